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
        let x: [S::F; 4] = std::array::from_fn(|i| s.load(&x.as_chunks::<8>().0[i]));
        let zero = s.splat(0.0);
        let abs = x.map(|v| s.max(v, s.sub(zero, v)));
        let largest = s.max_lane(s.max(s.max(abs[0], abs[1]), s.max(abs[2], abs[3])));
        let d = largest / 127.0;
        let inverse = s.splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
        let magic = s.splat(12_582_912.0); // 1.5 · 2^23: adding it rounds to the nearest integer
        let mut out = Group { d, ..Group::ZERO };
        for (i, v) in x.into_iter().enumerate() {
            let rounded = s.lanes(s.sub(s.mul_add(v, inverse, magic), magic));
            for (j, r) in rounded.into_iter().enumerate() {
                out.q[8 * i + j] = r as i8;
            }
        }
        let sum = |q: &[i8]| q.iter().map(|&q| i16::from(q)).sum::<i16>();
        out.sums = [sum(&out.q[..16]), sum(&out.q[16..])];
        out.d_sum = d * f32::from(out.sums[0] + out.sums[1]);
        let finite = x.iter().all(|&v| s.sum(s.sub(v, v)) == 0.0);
        if !finite {
            (out.d, out.d_sum) = (f32::NAN, f32::NAN);
        }
        out
    }
}

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
