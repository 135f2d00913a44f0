//! The portable level: arrays and loops. The oracle for the others.

use super::Simd;
use half::{bf16, f16};
use std::array::from_fn;

/// Needs no proof.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    type F = [f32; 8];
    type I = [i32; 8];
    type B = [u8; 32];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; 8]
    }
    #[inline(always)]
    fn load(self, from: &[f32; 8]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(self, v: Self::F, to: &mut [f32; 8]) {
        *to = v;
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
    fn load_f32(self, from: &[u8; 32]) -> Self::F {
        from_fn(|i| f32::from_le_bytes(*from[4 * i..].first_chunk().expect("four bytes")))
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 16]) -> Self::F {
        from_fn(|i| f16::from_le_bytes([from[2 * i], from[2 * i + 1]]).to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 16]) -> Self::F {
        from_fn(|i| bf16::from_le_bytes([from[2 * i], from[2 * i + 1]]).to_f32())
    }
    #[inline(always)]
    fn load_half(self, from: &[u16; 8]) -> Self::F {
        from.map(|bits| f16::from_bits(bits).to_f32())
    }
    #[inline(always)]
    fn load_i8(self, from: &[u8; 8]) -> Self::F {
        from.map(|b| f32::from(b as i8))
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8; 8]) -> Self::F {
        from.map(f32::from)
    }
    #[inline(always)]
    fn load_u4(self, from: &[u8; 8]) -> [Self::F; 2] {
        [from.map(|b| f32::from(b & 15)), from.map(|b| f32::from(b >> 4))]
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8; 32]) -> Self::B {
        *from
    }
    #[inline(always)]
    fn bits<const SHIFT: i32>(self, v: Self::B, mask: u8) -> Self::B {
        v.map(|b| b >> SHIFT & mask)
    }
    #[inline(always)]
    fn bits_up<const SHIFT: i32>(self, v: Self::B, mask: u8) -> Self::B {
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
    fn dot_unsigned<const N: usize>(self, q: &[Self::B], a: &[i8; N], _max: i32) -> Self::I {
        dot(q, a, i32::from)
    }
    #[inline(always)]
    fn dot_signed<const N: usize>(self, q: &[Self::B], a: &[i8; N]) -> Self::I {
        dot(q, a, |b| i32::from(b as i8))
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: i32) -> Self::I {
        a.map(|a| a - b)
    }
    #[inline(always)]
    fn to_bytes(self, v: [Self::F; 4]) -> [i8; 32] {
        from_fn(|i| v[i / 8][i % 8] as i8)
    }
    #[inline(always)]
    fn to_f(self, v: Self::I) -> Self::F {
        v.map(|v| v as f32)
    }
}

#[inline(always)]
fn dot<const N: usize>(q: &[[u8; 32]], a: &[i8; N], value: impl Fn(u8) -> i32) -> [i32; 8] {
    let mut acc = [0; 8];
    for (q, a) in q.iter().zip(a.as_chunks::<4>().0) {
        for (lane, q) in q.as_chunks::<4>().0.iter().enumerate() {
            for i in 0..4 {
                acc[lane] += value(q[i]) * i32::from(a[i]);
            }
        }
    }
    acc
}
