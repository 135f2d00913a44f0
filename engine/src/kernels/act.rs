//! Activations quantized to int8 in groups of 32, once per token, shared by all matrices that read them.

use crate::quant::pack::GROUP;
use crate::simd::{Level, Op, Simd};

/// 32 activations: x = d · q, with q in −127…127.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(16))]
pub(crate) struct Group {
    pub q: [i8; GROUP],
    pub d: f32,
    /// d · Σ q
    pub d_sum: f32,
    /// Σ q of columns 0–15 and 16–31.
    pub sums: [i16; 2],
}

impl Group {
    pub(crate) const ZERO: Group = Group { q: [0; GROUP], d: 0.0, d_sum: 0.0, sums: [0; 2] };

    /// Quantizes 32 values: d = max |x| / 127, q to nearest, ties to even. A group with a NaN or an infinity has no finite
    /// scale: it becomes NaN as a whole, so that the fault shows in the result instead of vanishing in a cast.
    #[inline(always)]
    fn quantize<S: Simd>(s: S, x: &[f32; GROUP]) -> Group {
        let x = x.as_chunks::<8>().0;
        let x = [s.load(&x[0]), s.load(&x[1]), s.load(&x[2]), s.load(&x[3])];
        let abs = |v| s.max(v, s.sub(s.splat(0.0), v));
        let abs = [abs(x[0]), abs(x[1]), abs(x[2]), abs(x[3])];
        let total = s.sum(s.add(s.add(abs[0], abs[1]), s.add(abs[2], abs[3])));
        if !total.is_finite() {
            return Group { d: f32::NAN, d_sum: f32::NAN, ..Group::ZERO };
        }
        let largest = s.max_lane(s.max(s.max(abs[0], abs[1]), s.max(abs[2], abs[3])));
        if largest < SMALLEST {
            return Group::ZERO;
        }
        let d = largest / 127.0;
        let inverse = s.splat(127.0 / largest);
        let magic = s.splat(12_582_912.0); // 1.5 · 2^23: adding it rounds to the nearest integer
        let round = |v| s.sub(s.mul_add(v, inverse, magic), magic);
        let q = s.to_bytes([round(x[0]), round(x[1]), round(x[2]), round(x[3])]);
        let sum = |q: &[i8]| q.iter().map(|&q| i16::from(q)).sum::<i16>();
        let sums = [sum(&q[..16]), sum(&q[16..])];
        Group { q, d, d_sum: d * f32::from(sums[0] + sums[1]), sums }
    }
}

/// Below this, 127 / max |x| would overflow; such activations are as good as zero.
const SMALLEST: f32 = 1e-35;

/// Quantizes a row; its length is a multiple of 32.
pub(crate) fn quantize(level: Level, row: &[f32], out: &mut [Group]) {
    struct Quantize<'a>(&'a [f32], &'a mut [Group]);
    impl Op for Quantize<'_> {
        type Output = ();
        #[inline(always)]
        fn eval<S: Simd>(self, s: S) {
            for (x, out) in self.0.as_chunks::<GROUP>().0.iter().zip(self.1) {
                *out = Group::quantize(s, x);
            }
        }
    }
    level.dispatch(Quantize(row, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_every_level(x: &[f32]) -> Group {
        let run = |level| {
            let mut out = [Group::ZERO];
            quantize(level, x, &mut out);
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
        assert_eq!(g.sums.map(i32::from).iter().sum::<i32>(), g.q.iter().map(|&q| i32::from(q)).sum::<i32>());
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
