//! Scales for the encoders: from a few starts, quantize, fit by least squares, quantize again; the least error wins.

/// How far, in levels, the starts clip the range.
const CLIPS: [f32; 2] = [0.0, 1.0];
/// Fits after each start; a second one gains 1% of the error for half as much time again.
const FITS: usize = 1;

/// x ≈ scale · q + min.
#[derive(Clone, Copy, Default)]
pub(super) struct Line {
    pub(super) scale: f32,
    pub(super) min: f32,
}

impl Line {
    /// The nearest level of `x` in `low…high`.
    #[inline(always)]
    pub(super) fn level(self, x: f32, low: f32, high: f32) -> f32 {
        nearest((x - self.min) * inverse(self.scale), low, high)
    }

    /// Scale in steps of `d` and min in steps of −`dmin`: the numbers of steps, 0…`max`, and the line they give.
    pub(super) fn in_steps(self, d: f32, dmin: f32, max: f32) -> (u8, u8, Line) {
        let scale = nearest(self.scale * inverse(d), 0.0, max);
        let min = nearest(-self.min * inverse(dmin), 0.0, max);
        (scale as u8, min as u8, Line { scale: d * scale, min: -dmin * min })
    }
}

/// 1 / x, or 0 of 0.
#[inline(always)]
pub(super) fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// The integer nearest to `v` in `low…high`, which is within ±2^21; `low` of a NaN.
#[inline(always)]
pub(super) fn nearest(v: f32, low: f32, high: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to the nearest integer
    v.max(low).min(high) + MAGIC - MAGIC
}

/// The value of largest magnitude.
pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().copied().fold(0.0_f32, |m, v| if v.abs() > m.abs() { v } else { m })
}

/// The least and the largest value.
pub(super) fn range(x: &[f32]) -> (f32, f32) {
    x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)))
}

/// The largest scale, and the largest min without its sign.
pub(super) fn largest(lines: &[Line]) -> (f32, f32) {
    lines.iter().fold((0.0, 0.0), |(scale, min), line| (line.scale.max(scale), (-line.min).max(min)))
}

/// The best line with q in 0…`max` and min ≤ 0, for a number of values that is a multiple of 8.
pub(super) fn affine(x: &[f32], max: f32) -> Line {
    let (lo, hi) = range(x);
    let lo = lo.min(0.0);
    let start = |clip: f32| {
        let scale = (hi - lo) / (max + clip);
        Line { scale, min: (lo + scale * clip / 2.0).min(0.0) }
    };
    search(x, (0.0, max), start, |sums| {
        let n = x.len() as f32;
        let det = n * sums.qq - sums.q * sums.q;
        let scale = (n * sums.qx - sums.q * sums.x) * inverse(det);
        let min = (sums.x - scale * sums.q) / n;
        if scale > 0.0 && min <= 0.0 { Line { scale, min } } else { Line { scale: sums.slope(), min: 0.0 } }
    })
}

/// The best scale with q in `low…−low − 1` and no min, for a number of values that is a multiple of 8. Its sign takes
/// the value of largest magnitude to `low`.
pub(super) fn symmetric(x: &[f32], low: f32) -> f32 {
    let extreme = extreme(x);
    let start = |clip: f32| Line { scale: extreme / (low - clip), min: 0.0 };
    search(x, (low, -low - 1.0), start, |sums| Line { scale: sums.slope(), min: 0.0 }).scale
}

fn search(
    x: &[f32],
    (low, high): (f32, f32),
    start: impl Fn(f32) -> Line,
    fit: impl Fn(&Sums) -> Line,
) -> Line {
    let (mut best, mut least) = (start(0.0), f32::INFINITY);
    for clip in CLIPS {
        let mut line = start(clip);
        for fits_left in (0..=FITS).rev() {
            let sums = Sums::of(x, line, low, high);
            if sums.error < least {
                (best, least) = (line, sums.error);
            }
            if fits_left > 0 {
                line = fit(&sums);
            }
        }
    }
    best
}

/// Sums over a sub-block quantized by a line.
struct Sums {
    error: f32,
    x: f32,
    q: f32,
    qq: f32,
    qx: f32,
}

impl Sums {
    /// Eight sums side by side, so that the compiler may use vectors.
    fn of(x: &[f32], line: Line, low: f32, high: f32) -> Sums {
        let inverse = inverse(line.scale);
        let [mut error, mut sum, mut q_sum, mut qq, mut qx] = [[0.0_f32; 8]; 5];
        for x in x.as_chunks::<8>().0 {
            for i in 0..8 {
                let q = nearest((x[i] - line.min) * inverse, low, high);
                let e = x[i] - (line.scale * q + line.min);
                error[i] += e * e;
                sum[i] += x[i];
                q_sum[i] += q;
                qq[i] += q * q;
                qx[i] += q * x[i];
            }
        }
        let [error, x, q, qq, qx] = [error, sum, q_sum, qq, qx].map(|s| s.iter().sum());
        Sums { error, x, q, qq, qx }
    }

    /// The scale of least error without a min.
    fn slope(&self) -> f32 {
        self.qx * inverse(self.qq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_lines_are_found() {
        let line = affine(&std::array::from_fn::<_, 16, _>(|i| (i % 4) as f32 * 0.5 - 0.75), 3.0);
        assert_eq!((line.scale, line.min), (0.5, -0.75));
        assert_eq!(symmetric(&std::array::from_fn::<_, 16, _>(|i| (i % 8) as f32 * 0.25 - 1.0), -4.0), 0.25);
    }

    #[test]
    fn values_without_a_line_do_not_panic() {
        for v in [0.0, -1.0, 1.0, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NAN] {
            let _ = (affine(&[v; 16], 15.0), symmetric(&[v; 16], -32.0));
        }
        assert_eq!(nearest(f32::NAN, 0.0, 15.0), 0.0);
    }
}
