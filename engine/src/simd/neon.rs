//! NEON, which every 64-bit Arm processor has; the integer dot products are a parameter, as processors differ in them.
//!
//! A vector is a pair of registers: eight lanes, as on AVX2. The 32 registers then hold as much as AVX2's sixteen.
#![expect(
    unsafe_code,
    reason = "vector loads, stores and intrinsics, and instructions without stable intrinsics"
)]

use super::neon_dot::{Dot, Dotprod, I8mm, Plain};
use super::{Columns, Group, Op, Quants, Simd};
use std::arch::aarch64::*;
use std::arch::asm;
use std::marker::PhantomData;

/// Proof that the processor has NEON and what `D` needs.
pub(crate) struct Neon<D>(PhantomData<D>);

impl<D> Clone for Neon<D> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<D> Copy for Neon<D> {}

impl<D: Dot> Neon<D> {
    /// `None` if the processor lacks what is needed.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        D::exists().then_some(Self(PhantomData))
    }
}

/// `run` for a way to multiply, compiled with its features.
macro_rules! level {
    ($dot:ty, $features:literal) => {
        impl Neon<$dot> {
            /// Runs `op` compiled for this level.
            #[inline]
            pub(crate) fn run<O: Op>(self, op: O) -> O::Output {
                #[target_feature(enable = $features)]
                fn inner<O: Op>(proof: Neon<$dot>, op: O) -> O::Output {
                    op.eval(proof)
                }
                // SAFETY: a value of this type proves that the processor has these features.
                unsafe { inner(self, op) }
            }
        }
    };
}
level!(Plain, "neon");
level!(Dotprod, "neon,dotprod");
level!(I8mm, "neon,dotprod,i8mm");

/// Wraps intrinsics: all of them need the same proof.
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `self` proves that the processor has NEON; loads and stores go through references to arrays of the
        // vector's size; instructions written out read and write no memory and no flags.
        unsafe { $e }
    };
}

/// Both halves of a vector from an operation on the halves of its operands.
macro_rules! both {
    ($op:ident($($v:ident),+)) => {
        vector!([$op($($v[0]),+), $op($($v[1]),+)])
    };
}

impl<D: Dot> Simd for Neon<D> {
    const LANES: usize = 8;
    const TOKENS: usize = D::TOKENS;
    type F = [float32x4_t; 2];
    type I = [int32x4_t; 2];
    type B = [uint8x16_t; 2];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        vector!([vdupq_n_f32(value); 2])
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::F {
        let from = array::<f32, 8>(from).as_ptr();
        vector!([vld1q_f32(from), vld1q_f32(from.add(4))])
    }
    #[inline(always)]
    fn store(self, v: Self::F, to: &mut [f32]) {
        let to: &mut [f32; 8] = to.first_chunk_mut().expect("a slice as long as a vector");
        let to = to.as_mut_ptr();
        vector!({
            vst1q_f32(to, v[0]);
            vst1q_f32(to.add(4), v[1]);
        })
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        both!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        both!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        both!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        both!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        both!(vfmaq_f32(c, a, b))
    }
    /// Not `fmax`, which differs where a lane is NaN or both are zeros.
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        let greater = both!(vcgtq_f32(a, b));
        both!(vbslq_f32(greater, a, b))
    }
    #[inline(always)]
    fn zero_below(self, x: Self::F, limit: f32, v: Self::F) -> Self::F {
        let limit = self.splat(limit);
        let below = both!(vcltq_f32(x, limit));
        let v = both!(vreinterpretq_u32_f32(v));
        let kept = both!(vbicq_u32(v, below));
        both!(vreinterpretq_f32_u32(kept))
    }
    #[inline(always)]
    fn exp2i(self, n: Self::F) -> Self::F {
        let (n, bias) = (both!(vcvtq_s32_f32(n)), vector!([vdupq_n_s32(127); 2]));
        let biased = both!(vaddq_s32(n, bias));
        vector!([
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased[0])),
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased[1]))
        ])
    }
    #[inline(always)]
    fn load_f32(self, from: &[u8]) -> Self::F {
        let v = bytes32(from);
        both!(vreinterpretq_f32_u8(v))
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8]) -> Self::F {
        widen_f16(vector!(vreinterpretq_u16_u8(vld1q_u8(array::<u8, 16>(from).as_ptr()))))
    }
    #[inline(always)]
    fn load_bf16_pairs(self, from: &[u8]) -> [Self::F; 2] {
        let v = bytes32(from);
        let pairs = both!(vreinterpretq_u32_u8(v));
        let first = vector!([vshlq_n_u32::<16>(pairs[0]), vshlq_n_u32::<16>(pairs[1])]);
        let upper = vector!([vdupq_n_u32(!0xffff); 2]);
        let second = both!(vandq_u32(pairs, upper));
        [both!(vreinterpretq_f32_u32(first)), both!(vreinterpretq_f32_u32(second))]
    }
    #[inline(always)]
    fn load_half(self, from: &[u16]) -> Self::F {
        widen_f16(vector!(vld1q_u16(array::<u16, 8>(from).as_ptr())))
    }
    #[inline(always)]
    fn load_i8(self, from: &[u8]) -> Self::F {
        vector!({
            let v = vmovl_s8(vreinterpret_s8_u8(vld1_u8(array::<u8, 8>(from).as_ptr())));
            [vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))), vcvtq_f32_s32(vmovl_high_s16(v))]
        })
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8]) -> Self::F {
        floats_of(vector!(vld1_u8(array::<u8, 8>(from).as_ptr())))
    }
    #[inline(always)]
    fn load_u4(self, from: &[u8]) -> [Self::F; 2] {
        let v = vector!(vld1_u8(array::<u8, 8>(from).as_ptr()));
        vector!([floats_of(vand_u8(v, vdup_n_u8(15))), floats_of(vshr_n_u8::<4>(v))])
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8]) -> Self::B {
        bytes32(from)
    }
    #[inline(always)]
    fn bits<const SHIFT: u32>(self, v: Self::B, mask: u8) -> Self::B {
        // The shift by a vector: that by a constant takes no constant of this type, and the compiler makes it of this one.
        let shift = vector!([vdupq_n_s8(-(SHIFT as i8)); 2]);
        let shifted = both!(vshlq_u8(v, shift));
        let mask = vector!([vdupq_n_u8(mask); 2]);
        both!(vandq_u8(shifted, mask))
    }
    #[inline(always)]
    fn bits_up<const SHIFT: u32>(self, v: Self::B, mask: u8) -> Self::B {
        let shift = vector!([vdupq_n_s8(SHIFT as i8); 2]);
        let shifted = both!(vshlq_u8(v, shift));
        let mask = vector!([vdupq_n_u8(mask); 2]);
        both!(vandq_u8(shifted, mask))
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        both!(vorrq_u8(a, b))
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], v: Self::B) -> Self::B {
        let table = vector!([vreinterpretq_u8_s8(vld1q_s8(table.as_ptr())); 2]);
        both!(vqtbl1q_u8(table, v))
    }
    #[inline(always)]
    fn dots<const T: usize>(
        self,
        q: &[Self::B; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [Self::I; T] {
        D::dots(self, q, columns, a, quants)
    }
    #[inline(always)]
    fn to_bytes(self, v: &[Self::F]) -> [i8; 32] {
        let v: &[Self::F; 4] = array(v);
        let mut out = [0; 32];
        for (v, out) in v.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<16>().0) {
            vector!({
                let low = vmovn_high_s32(vmovn_s32(vcvtq_s32_f32(v[0][0])), vcvtq_s32_f32(v[0][1]));
                let high = vmovn_high_s32(vmovn_s32(vcvtq_s32_f32(v[1][0])), vcvtq_s32_f32(v[1][1]));
                vst1q_s8(out.as_mut_ptr(), vmovn_high_s16(vmovn_s16(low), high));
            });
        }
        out
    }
    #[inline(always)]
    fn to_f(self, v: Self::I) -> Self::F {
        both!(vcvtq_f32_s32(v))
    }
    #[inline(always)]
    fn prefetch<T>(self, of: &[T], at: usize) {
        let line = of.as_ptr().wrapping_add(at);
        vector!(asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, preserves_flags, readonly)))
    }
    #[inline(always)]
    fn prefetch_once<T>(self, of: &[T], at: usize) {
        let line = of.as_ptr().wrapping_add(at);
        vector!(asm!("prfm pldl1strm, [{}]", in(reg) line, options(nostack, preserves_flags, readonly)))
    }
}

/// Eight f16, as their bits, in f32. The intrinsics for it are not stable.
#[inline(always)]
fn widen_f16(v: uint16x8_t) -> [float32x4_t; 2] {
    let (low, high): (float32x4_t, float32x4_t);
    // SAFETY: NEON is part of every 64-bit Arm processor that Rust's targets with it run on; no memory is touched.
    unsafe {
        asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) low, in(vreg) v, options(pure, nomem, nostack, preserves_flags));
        asm!("fcvtl2 {0:v}.4s, {1:v}.8h", out(vreg) high, in(vreg) v, options(pure, nomem, nostack, preserves_flags));
    }
    [low, high]
}

/// Eight unsigned bytes in f32.
#[inline(always)]
fn floats_of(v: uint8x8_t) -> [float32x4_t; 2] {
    // SAFETY: called only from methods of Neon, whose receiver is the proof.
    unsafe {
        let v = vmovl_u8(v);
        [vcvtq_f32_u32(vmovl_u16(vget_low_u16(v))), vcvtq_f32_u32(vmovl_high_u16(v))]
    }
}

/// The first 32 bytes.
#[inline(always)]
fn bytes32(from: &[u8]) -> [uint8x16_t; 2] {
    let from = array::<u8, 32>(from).as_ptr();
    // SAFETY: called only from methods of Neon, whose receiver is the proof; the array has 32 bytes.
    unsafe { [vld1q_u8(from), vld1q_u8(from.add(16))] }
}

/// The first `N` elements.
#[inline(always)]
fn array<T, const N: usize>(from: &[T]) -> &[T; N] {
    from.first_chunk().expect("a slice as long as a vector")
}
