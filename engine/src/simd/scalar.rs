//! The portable level: arrays and loops. The oracle for the others.

use super::{Columns, Group, MAX_LANES, Quants, Simd};
use half::{bf16, f16};
use std::array::from_fn;

/// Needs no proof.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

const LANES: usize = MAX_LANES;

impl Simd for Scalar {
    const LANES: usize = LANES;
    const TOKENS: usize = 4;
    type F = [f32; LANES];
    type I = [i32; LANES];
    type B = [u8; 4 * LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::F {
        array(from)
    }
    #[inline(always)]
    fn store(self, v: Self::F, to: &mut [f32]) {
        to[..LANES].copy_from_slice(&v);
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn zero_below(self, x: Self::F, limit: f32, v: Self::F) -> Self::F {
        from_fn(|i| if x[i] < limit { 0.0 } else { v[i] })
    }
    #[inline(always)]
    fn exp2i(self, n: Self::F) -> Self::F {
        n.map(|n| f32::from_bits(((n as i32).wrapping_add(127) as u32) << 23))
    }
    #[inline(always)]
    fn load_f32(self, from: &[u8]) -> Self::F {
        let words: [[u8; 4]; LANES] = array(from.as_chunks().0);
        words.map(f32::from_le_bytes)
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8]) -> Self::F {
        let words: [[u8; 2]; LANES] = array(from.as_chunks().0);
        words.map(|bytes| f16::from_le_bytes(bytes).to_f32())
    }
    #[inline(always)]
    fn load_bf16_pairs(self, from: &[u8]) -> [Self::F; 2] {
        let pairs: [[u8; 4]; LANES] = array(from.as_chunks().0);
        let half = |bytes| bf16::from_le_bytes(bytes).to_f32();
        [pairs.map(|[a, b, ..]| half([a, b])), pairs.map(|[.., a, b]| half([a, b]))]
    }
    #[inline(always)]
    fn load_half(self, from: &[u16]) -> Self::F {
        array::<u16, LANES>(from).map(|bits| f16::from_bits(bits).to_f32())
    }
    #[inline(always)]
    fn load_i8(self, from: &[u8]) -> Self::F {
        array::<u8, LANES>(from).map(|b| f32::from(b as i8))
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8]) -> Self::F {
        array::<u8, LANES>(from).map(f32::from)
    }
    #[inline(always)]
    fn load_u4(self, from: &[u8]) -> [Self::F; 2] {
        let bytes: [u8; LANES] = array(from);
        [bytes.map(|b| f32::from(b & 15)), bytes.map(|b| f32::from(b >> 4))]
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8]) -> Self::B {
        array(from)
    }
    #[inline(always)]
    fn bits<const SHIFT: u32>(self, v: Self::B, mask: u8) -> Self::B {
        v.map(|b| b >> SHIFT & mask)
    }
    #[inline(always)]
    fn bits_up<const SHIFT: u32>(self, v: Self::B, mask: u8) -> Self::B {
        v.map(|b| b << SHIFT & mask)
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], v: Self::B) -> Self::B {
        v.map(|b| table[usize::from(b & 15)] as u8)
    }
    #[inline(always)]
    fn dots<const T: usize>(
        self,
        q: &[Self::B; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [Self::I; T] {
        let value = |q: u8| if quants.max == 0 { i32::from(q as i8) } else { i32::from(q) - quants.offset };
        let mut acc = [[0; LANES]; T];
        for (acc, a) in acc.iter_mut().zip(a) {
            for (q, a4) in q[columns.fours()].iter().zip(a.fours(columns)) {
                for (acc, q) in acc.iter_mut().zip(q.as_chunks::<4>().0) {
                    *acc += q.iter().zip(a4).map(|(&q, &a)| value(q) * i32::from(a)).sum::<i32>();
                }
            }
        }
        acc
    }
    #[inline(always)]
    fn to_bytes(self, v: &[Self::F]) -> [i8; 32] {
        from_fn(|i| v[i / LANES][i % LANES] as i8)
    }
    #[inline(always)]
    fn to_f(self, v: Self::I) -> Self::F {
        v.map(|v| v as f32)
    }
}

/// The first `N` elements.
#[inline(always)]
fn array<T: Copy, const N: usize>(from: &[T]) -> [T; N] {
    *from.first_chunk().expect("a slice as long as a vector")
}
