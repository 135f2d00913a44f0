//! The integer dot products of NEON: with what every processor has, with `sdot`, and with `smmla`.
//!
//! Quants of all formats fit a signed byte as they are; an offset is what the sums start with. The instructions are
//! written out where the intrinsics are not stable: one instruction each, so that the compiler still chooses registers and order.
#![expect(unsafe_code, reason = "vector loads and intrinsics, and instructions without stable intrinsics")]

use super::neon::Neon;
use super::{Columns, Group, Quants};
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// Half of a vector each: the quants of four lanes and four more.
pub(super) type Bytes = [uint8x16_t; 2];
/// The same of sums.
pub(super) type Sums = [int32x4_t; 2];

/// A way to multiply: see [`super::Simd::dots`].
pub(crate) trait Dot: Sized + Send + Sync + 'static {
    /// As [`super::Simd::TOKENS`].
    const TOKENS: usize;
    /// Whether the processor has the instructions.
    fn exists() -> bool;
    fn dots<const T: usize>(
        proof: Neon<Self>,
        q: &[Bytes; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [Sums; T];
}

/// Wraps intrinsics and instructions: all of them need the same proof.
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: a `Neon<Self>` proves that the processor has NEON and the instructions of `Self`; loads go through
        // references to arrays of the vector's size; instructions written out touch neither memory nor flags.
        unsafe { $e }
    };
}

/// What the sums of a token start with, in all lanes: −offset · Σ a.
#[inline(always)]
fn start(a: &Group, columns: Columns, quants: Quants) -> int32x4_t {
    let sum = match columns {
        Columns::First => &a.halves[0],
        Columns::Last => &a.halves[1],
        Columns::All => &a.total,
    };
    vector!({
        let sum = vld1q_dup_s32(sum);
        match quants.offset {
            0 => vdupq_n_s32(0),
            4 => vshrq_n_s32::<1>(sum),
            16 => vshlq_n_s32::<1>(sum),
            32 => vshlq_n_s32::<2>(sum),
            _ => sum,
        }
    })
}

/// Multiplies bytes to lanes of i16, adds as many of these as fit, and widens.
pub(crate) struct Plain;

impl Dot for Plain {
    const TOKENS: usize = 4;

    fn exists() -> bool {
        is_aarch64_feature_detected!("neon")
    }
    #[inline(always)]
    fn dots<const T: usize>(
        _: Neon<Self>,
        q: &[Bytes; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [Sums; T] {
        // Each lane of i16 takes one product of every vector.
        let largest = 127 * if quants.max == 0 { 128 } else { quants.max };
        let fit = (i32::from(i16::MAX) / largest).clamp(1, 8) as usize;
        let mut out = [[vector!(vdupq_n_s32(0)); 2]; T];
        for (out, a) in out.iter_mut().zip(a) {
            let start = start(a, columns, quants);
            // Of each half: lanes 0 and 1 in two i32 each, then lanes 2 and 3.
            let mut sums = [[vector!(vdupq_n_s32(0)); 2]; 2];
            let runs = q[columns.fours()].chunks(fit).zip(a.fours(columns).chunks(fit));
            for (q, a) in runs {
                for half in 0..2 {
                    let mut narrow = [vector!(vdupq_n_s16(0)); 2];
                    for (q, a4) in q.iter().zip(a) {
                        vector!({
                            let (q, a4) = (vreinterpretq_s8_u8(q[half]), splat4(a4));
                            narrow[0] = vmlal_s8(narrow[0], vget_low_s8(q), vget_low_s8(a4));
                            narrow[1] = vmlal_high_s8(narrow[1], q, a4);
                        });
                    }
                    for (sums, narrow) in sums[half].iter_mut().zip(narrow) {
                        *sums = vector!(vpadalq_s16(*sums, narrow));
                    }
                }
            }
            for (out, sums) in out.iter_mut().zip(sums) {
                *out = vector!(vaddq_s32(start, vpaddq_s32(sums[0], sums[1])));
            }
        }
        out
    }
}

/// Four activations in every lane.
#[inline(always)]
fn splat4(a: &[i8; 4]) -> int8x16_t {
    vector!(vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(a.map(|b| b as u8)))))
}

/// `sdot`: four products of bytes and their sum in every lane of i32.
pub(crate) struct Dotprod;

impl Dot for Dotprod {
    const TOKENS: usize = 4;

    fn exists() -> bool {
        Plain::exists() && is_aarch64_feature_detected!("dotprod")
    }
    #[inline(always)]
    fn dots<const T: usize>(
        _: Neon<Self>,
        q: &[Bytes; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [Sums; T] {
        let mut out = [[vector!(vdupq_n_s32(0)); 2]; T];
        for (out, a) in out.iter_mut().zip(a) {
            *out = dot(q, columns, a, quants);
        }
        out
    }
}

/// One token's sums.
#[inline(always)]
fn dot(q: &[Bytes; 8], columns: Columns, a: &Group, quants: Quants) -> Sums {
    let mut out = [start(a, columns, quants); 2];
    let [first, last] = activations(a);
    for (half, sum) in out.iter_mut().enumerate() {
        if columns != Columns::Last {
            *sum = sdot::<0>(*sum, q[0][half], first);
            *sum = sdot::<1>(*sum, q[1][half], first);
            *sum = sdot::<2>(*sum, q[2][half], first);
            *sum = sdot::<3>(*sum, q[3][half], first);
        }
        if columns != Columns::First {
            *sum = sdot::<0>(*sum, q[4][half], last);
            *sum = sdot::<1>(*sum, q[5][half], last);
            *sum = sdot::<2>(*sum, q[6][half], last);
            *sum = sdot::<3>(*sum, q[7][half], last);
        }
    }
    out
}

/// A token's activations of columns 0–15 and of 16–31.
#[inline(always)]
fn activations(a: &Group) -> [int8x16_t; 2] {
    let [first, last]: &[[i8; 16]; 2] = a.q.as_chunks().0.first_chunk().expect("two halves");
    vector!([vld1q_s8(first.as_ptr()), vld1q_s8(last.as_ptr())])
}

/// sum + q · a, where all lanes take four `FOUR` of the activations.
#[inline(always)]
fn sdot<const FOUR: usize>(mut sum: int32x4_t, q: uint8x16_t, a: int8x16_t) -> int32x4_t {
    vector!(asm!(
        "sdot {sum:v}.4s, {q:v}.16b, {a:v}.4b[{four}]",
        sum = inlateout(vreg) sum,
        q = in(vreg) q,
        a = in(vreg) a,
        four = const FOUR,
        options(pure, nomem, nostack, preserves_flags),
    ));
    sum
}

/// `smmla`: two rows of eight columns times two tokens, four sums. A token that is left alone takes `sdot`.
pub(crate) struct I8mm;

impl Dot for I8mm {
    const TOKENS: usize = 8;

    fn exists() -> bool {
        Dotprod::exists() && is_aarch64_feature_detected!("i8mm")
    }
    #[inline(always)]
    fn dots<const T: usize>(
        _: Neon<Self>,
        q: &[Bytes; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [Sums; T] {
        let mut out = [[vector!(vdupq_n_s32(0)); 2]; T];
        let (pairs, alone) = a.as_chunks::<2>();
        for (out, a) in out.as_chunks_mut().0.iter_mut().zip(pairs) {
            *out = product(q, columns, a, quants);
        }
        for (out, a) in out[2 * pairs.len()..].iter_mut().zip(alone) {
            *out = dot(q, columns, a, quants);
        }
        out
    }
}

/// The sums of two tokens.
#[inline(always)]
fn product(q: &[Bytes; 8], columns: Columns, a: &[Group; 2], quants: Quants) -> [Sums; 2] {
    let start = [start(&a[0], columns, quants), start(&a[1], columns, quants)];
    // Sums of a pair of rows: row and token (0, 0), (0, 1), (1, 0), (1, 1).
    let mut sums = [[vector!(vzip1q_s32(start[0], start[1])); 2]; 2];
    let a = [activations(&a[0]), activations(&a[1])];
    for eight in columns.fours().step_by(2) {
        let a = vector!({
            let (this, that) = (vreinterpretq_s64_s8(a[0][eight / 4]), vreinterpretq_s64_s8(a[1][eight / 4]));
            if eight % 4 == 0 { vzip1q_s64(this, that) } else { vzip2q_s64(this, that) }
        });
        for (half, sums) in sums.iter_mut().enumerate() {
            let (low, high) = (q[eight][half], q[eight + 1][half]);
            let (low, high) = vector!((vreinterpretq_u32_u8(low), vreinterpretq_u32_u8(high)));
            sums[0] = smmla(sums[0], vector!(vzip1q_u32(low, high)), a);
            sums[1] = smmla(sums[1], vector!(vzip2q_u32(low, high)), a);
        }
    }
    vector!([
        [vuzp1q_s32(sums[0][0], sums[0][1]), vuzp1q_s32(sums[1][0], sums[1][1])],
        [vuzp2q_s32(sums[0][0], sums[0][1]), vuzp2q_s32(sums[1][0], sums[1][1])],
    ])
}

/// sums + q · aᵀ, of two rows of eight bytes each.
#[inline(always)]
fn smmla(mut sums: int32x4_t, q: uint32x4_t, a: int64x2_t) -> int32x4_t {
    vector!(asm!(
        "smmla {sums:v}.4s, {q:v}.16b, {a:v}.16b",
        sums = inlateout(vreg) sums,
        q = in(vreg) q,
        a = in(vreg) a,
        options(pure, nomem, nostack, preserves_flags),
    ));
    sums
}
