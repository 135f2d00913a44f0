//! The element-wise ends of a layer's matrices.

use crate::simd::math::silu;
use crate::simd::{Level, Op, Simd};

/// out = silu(gate) · up, for lengths that are multiples of a panel.
pub(crate) fn swiglu(level: Level, gate: &[f32], up: &[f32], out: &mut [f32]) {
    level.dispatch(SwiGlu { gate, up, out });
}

struct SwiGlu<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl Op for SwiGlu<'_> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let inputs = self.gate.chunks_exact(S::LANES).zip(self.up.chunks_exact(S::LANES));
        for ((gate, up), out) in inputs.zip(self.out.chunks_exact_mut(S::LANES)) {
            s.store(s.mul(silu(s, s.load(gate)), s.load(up)), out);
        }
    }
}
