//! The element-wise ends of a layer's matrices.

use crate::simd::math::silu;
use crate::simd::{Level, Op, Simd, Uses};

/// gate = silu(gate) · up, for lengths that are multiples of a panel.
pub(crate) fn swiglu(level: Level, gate: &mut [f32], up: &[f32]) {
    level.dispatch(SwiGlu { gate, up });
}

struct SwiGlu<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Op for SwiGlu<'_> {
    const USES: Uses = Uses::Vectors;
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        for (gate, up) in self.gate.chunks_exact_mut(S::LANES).zip(self.up.chunks_exact(S::LANES)) {
            s.store(s.mul(silu(s, s.load(gate)), s.load(up)), gate);
        }
    }
}
