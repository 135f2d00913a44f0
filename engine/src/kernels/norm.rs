//! RMSNorm (Zhang and Sennrich 2019).

use crate::simd::{Level, MAX_LANES, Op, Simd, Uses};

/// out = x / √(mean x² + eps) · weight
pub(crate) fn rms_norm(level: Level, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    level.dispatch(RmsNorm { x, weight, eps, out });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Op for RmsNorm<'_> {
    const USES: Uses = Uses::Vectors;
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        // Element i is added to lane i mod MAX_LANES, whatever the level.
        let (x, x_tail) = self.x.as_chunks::<MAX_LANES>();
        let mut squares = [s.splat(0.0); 2];
        for x in x {
            for (x, squares) in x.chunks_exact(S::LANES).zip(&mut squares) {
                let x = s.load(x);
                *squares = s.mul_add(x, x, *squares);
            }
        }
        let tail: f32 = x_tail.iter().fold(0.0, |sum, x| x.mul_add(*x, sum));
        let mean = (s.sum(squares) + tail) / self.x.len() as f32;
        let scale = 1.0 / (mean + self.eps).sqrt();
        let (weight, weight_tail) = self.weight.as_chunks::<MAX_LANES>();
        let (out, out_tail) = self.out.as_chunks_mut::<MAX_LANES>();
        let vectors =
            x.as_flattened().chunks_exact(S::LANES).zip(weight.as_flattened().chunks_exact(S::LANES));
        for ((x, w), out) in vectors.zip(out.as_flattened_mut().chunks_exact_mut(S::LANES)) {
            s.store(s.mul(s.mul(s.load(x), s.splat(scale)), s.load(w)), out);
        }
        for ((x, w), out) in x_tail.iter().zip(weight_tail).zip(out_tail) {
            *out = x * scale * w;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_mean_square_and_the_same_bits_on_every_level() {
        for n in [1, 7, 8, 9, 15, 16, 64, 257] {
            let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin() + 0.1).collect();
            let run = |level| {
                let mut out = vec![0.0; n];
                rms_norm(level, &x, &vec![2.0; n], 0.0, &mut out);
                out
            };
            let scalar = run(Level::Scalar);
            let mean_square = scalar.iter().map(|x| x * x).sum::<f32>() / n as f32;
            assert!((mean_square - 4.0).abs() < 1e-4, "{n}: {mean_square}");
            for level in Level::available() {
                assert_eq!(run(level), scalar);
            }
        }
    }
}
