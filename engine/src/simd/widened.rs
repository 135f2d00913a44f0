//! Products of bf16 on levels that have none: widened to f32, with the same bits.

use super::Simd;

/// See [`Simd::dot_bf16`]; a word of activations is one f32.
#[inline(always)]
pub(super) fn dot_bf16<S: Simd, const T: usize>(s: S, pair: &[u8], x: &[u32], sums: &mut [S::F; T]) {
    let [first, second] = s.load_bf16_pairs(pair);
    let (x_first, x_second) = x.split_at(T);
    for (t, sum) in sums.iter_mut().enumerate() {
        *sum = s.mul_add(second, s.splat(f32::from_bits(x_second[t])), *sum);
        *sum = s.mul_add(first, s.splat(f32::from_bits(x_first[t])), *sum);
    }
}
