//! Activations quantized to int8 in groups of 32, once per token, shared by all matrices that read them.

use crate::simd::{GROUP, Group, Level, Op, Simd};

/// Quantizes 32 values: d = max |x| / 127, q to nearest, ties to even. Adds 0 · x to `fault`, which a NaN or an infinity makes NaN.
#[inline(always)]
fn quantize_group<S: Simd>(s: S, x: &[f32; GROUP], fault: &mut S::F) -> Group {
    // As a level of eight lanes has it; one of sixteen leaves the second of each pair out.
    let at = S::LANES % 16;
    let mut v = [[s.load(&x[..]), s.load(&x[at..])], [s.load(&x[16..]), s.load(&x[16 + at..])]];
    let zero = s.splat(0.0);
    let mut largest = zero;
    for half in &v {
        for &v in half.iter().take(16 / S::LANES) {
            largest = s.max(s.max(v, s.sub(zero, v)), largest);
            *fault = s.mul_add(v, zero, *fault);
        }
    }
    let largest = s.max_lane(largest);
    if largest < SMALLEST {
        return Group::ZERO;
    }
    let inverse = s.splat(127.0 / largest);
    let magic = s.splat(12_582_912.0); // 1.5 · 2^23: adding it rounds to the nearest integer
    for v in v.as_flattened_mut() {
        *v = s.sub(s.mul_add(*v, inverse, magic), magic);
    }
    let [first, last] = v;
    let q = if S::LANES == 16 {
        s.to_bytes(&[first[0], last[0]])
    } else {
        s.to_bytes(&[first[0], first[1], last[0], last[1]])
    };
    Group::new(q, largest / 127.0, s.pair_sums(&q))
}

/// Below this, 127 / max |x| would overflow; such activations are as good as zero.
const SMALLEST: f32 = 1e-35;

/// Where a token's activations go in a tile; see [`super::matmul::Input`].
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Tokens of the tile.
    pub of: usize,
    /// Which of them.
    pub token: usize,
}

/// Quantizes a row, whose length is a multiple of 32, into its place in a tile.
///
/// A group with a NaN or an infinity has no finite scale: it becomes NaN as a whole, so that the fault shows in the result
/// instead of vanishing in a cast.
pub(crate) fn quantize(level: Level, row: &[f32], tile: &mut [Group], place: Place) {
    struct Quantize<'a>(&'a [f32], &'a mut [Group], Place);
    impl Op for Quantize<'_> {
        type Output = ();
        #[inline(always)]
        fn eval<S: Simd>(self, s: S) {
            let Self(row, tile, Place { of, token }) = self;
            let row = row.as_chunks::<GROUP>().0;
            let mut fault = s.splat(0.0);
            for (x, out) in row.iter().zip(tile.chunks_exact_mut(of)) {
                out[token] = quantize_group(s, x, &mut fault);
            }
            if s.lanes(fault).iter().all(|fault| *fault == 0.0) {
                return;
            }
            for (x, out) in row.iter().zip(tile.chunks_exact_mut(of)) {
                if !x.iter().all(|x| x.is_finite()) {
                    out[token] = Group { d: f32::NAN, d_sum: f32::NAN, ..Group::ZERO };
                }
            }
        }
    }
    level.dispatch(Quantize(row, tile, place));
}

/// Puts a row into its place in a tile as it is.
pub(crate) fn copy(row: &[f32], tile: &mut [f32], place: Place) {
    for (x, out) in row.iter().zip(tile.chunks_exact_mut(place.of)) {
        out[place.token] = *x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_every_level(x: &[f32]) -> Group {
        let run = |level| {
            let mut out = [Group::ZERO];
            quantize(level, x, &mut out, Place { of: 1, token: 0 });
            out[0]
        };
        let scalar = run(Level::Scalar);
        for level in Level::available() {
            let got = run(level);
            assert!(got == scalar || (got.d.is_nan() && scalar.d.is_nan()), "{}: {got:?}", level.name());
        }
        scalar
    }

    #[test]
    fn values_come_back_within_half_a_step() {
        let x: Vec<f32> = (0..32).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3).collect();
        let g = on_every_level(&x);
        for (x, q) in x.iter().zip(g.q) {
            assert!((x - g.d * f32::from(q)).abs() <= g.d * 0.5001);
        }
        let sum = |columns: std::ops::Range<usize>| g.q[columns].iter().map(|&q| i32::from(q)).sum::<i32>();
        assert_eq!((g.halves, g.total), ([-8 * sum(0..16), -8 * sum(16..32)], -8 * sum(0..32)));
        assert_eq!(g.pairs.map(|[a, b]| i32::from(a) + i32::from(b)), [g.halves[0], g.halves[1], g.total]);
        assert_eq!(g.d_sum, g.d * sum(0..32) as f32);
    }

    #[test]
    fn extremes() {
        assert_eq!(on_every_level(&[0.0; 32]), Group::ZERO);
        assert_eq!(on_every_level(&[1e-40; 32]), Group::ZERO);
        let mut x = [-1.0; 32];
        assert_eq!(on_every_level(&x).q, [-127; 32]);
        x[7] = 3e30;
        assert_eq!(on_every_level(&x).q[7], 127);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            x[7] = bad;
            assert!(on_every_level(&x).d.is_nan());
        }
    }
}
