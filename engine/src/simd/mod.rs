//! A narrow vector interface, and the levels that implement it.
//!
//! A value of a level's type is a proof that the processor has the level: `Avx2` exists only if detection
//! succeeded. Kernels are written once over `Simd` and instantiated for each level by `Level::dispatch`.
//! Every operation rounds the same way on every level, so kernels give the same bits everywhere.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod group;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
mod scalar;
mod widened;

pub(crate) use group::{Columns, GROUP, Group, Quants, Vectors, unpack};
pub(crate) use scalar::Scalar;

use crate::error::{Error, ErrorKind, Result};
#[cfg(target_arch = "x86_64")]
use {avx2::Avx2, avx512::Avx512};
#[cfg(target_arch = "aarch64")]
use {
    neon::Neon,
    neon_dot::{Dotprod, I8mm, Plain},
};

/// Lanes of the widest level. What is reduced is accumulated in this many lanes everywhere, for the same bits.
pub(crate) const MAX_LANES: usize = 16;

/// `LANES` lanes of f32, as many of i32, and four times as many bytes, of which 4l…4l+3 belong to lane l.
/// Slices that are loaded from or stored to have at least the length of a vector; what lies beyond is left alone.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// 8 or 16.
    const LANES: usize;
    /// Most tokens of a tile of a matrix product, as many as registers hold: a power of two, at most 8.
    const TOKENS: usize;
    /// About how many tokens a tile of two panels at once has, give or take one; their activations are loaded once for both. 0 where one
    /// panel at a time is faster.
    const PAIR_TOKENS: usize = 0;
    /// How many bf16 a word of activations holds: 1, as f32, or 2, the first in the lower half.
    const BF16S: usize = 1;
    /// Lanes of f32.
    type F: Copy;
    /// Lanes of i32.
    type I: Copy;
    /// Four bytes for each lane.
    type B: Copy;

    fn splat(self, value: f32) -> Self::F;
    fn load(self, from: &[f32]) -> Self::F;
    fn store(self, v: Self::F, to: &mut [f32]);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c with one rounding.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a where a > b, else b.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// 0 where x < limit, else v.
    fn zero_below(self, x: Self::F, limit: f32, v: Self::F) -> Self::F;
    /// 2^n for integral n in −126…127.
    fn exp2i(self, n: Self::F) -> Self::F;
    /// f32, little-endian.
    fn load_f32(self, from: &[u8]) -> Self::F;
    /// f16, little-endian.
    fn load_f16(self, from: &[u8]) -> Self::F;
    /// Pairs of bf16, little-endian: the first of each as f32, and the second.
    fn load_bf16_pairs(self, from: &[u8]) -> [Self::F; 2];
    /// f16 as their bits.
    fn load_half(self, from: &[u16]) -> Self::F;
    /// Signed bytes as f32.
    fn load_i8(self, from: &[u8]) -> Self::F;
    /// Unsigned bytes as f32.
    fn load_u8(self, from: &[u8]) -> Self::F;
    /// The low nibbles of bytes as f32, and the high ones.
    fn load_u4(self, from: &[u8]) -> [Self::F; 2];

    fn load_bytes(self, from: &[u8]) -> Self::B;
    /// Each byte shifted right by `SHIFT`, then and-ed with `mask`.
    fn bits<const SHIFT: u32>(self, v: Self::B, mask: u8) -> Self::B;
    /// Each byte shifted left by `SHIFT`, then and-ed with `mask`.
    fn bits_up<const SHIFT: u32>(self, v: Self::B, mask: u8) -> Self::B;
    fn or(self, a: Self::B, b: Self::B) -> Self::B;
    /// `table[v]` for each byte; bytes are 0…15.
    fn lookup(self, table: &[i8; 16], v: Self::B) -> Self::B;

    /// Σ (q − offset) · a over the columns of a group, for each token: byte 4l + i of `q[j]` is column 4j + i of lane l, and
    /// the activations of a token are the same for all lanes. Exact.
    fn dots<const T: usize>(
        self,
        q: &[Self::B; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [Self::I; T];
    /// The same of all columns for the vectors of several panels.
    #[inline(always)]
    fn dots_of<V: Vectors, const P: usize, const T: usize>(
        self,
        q: [V; P],
        a: &[Group; T],
        quants: Quants,
    ) -> [[Self::I; T]; P] {
        group::dots_of(self, q, a, quants)
    }
    /// Adds the products of a pair of bf16 of each lane, little-endian, with that of each token: second · second + sum, rounded, then
    /// first · first + that, rounded (as Intel documents VDPBF16PS). `x` is \[words of a pair, tokens\]. No number may be
    /// so small that a product or a sum is subnormal.
    #[inline(always)]
    fn dot_bf16<const T: usize>(self, pair: &[u8], x: &[u32], sums: &mut [Self::F; T]) {
        widened::dot_bf16(self, pair, x, sums);
    }
    /// Integral values in −128…127 as bytes, in order; together there are 32.
    fn to_bytes(self, v: &[Self::F]) -> [i8; 32];
    /// Of columns 0–15 and of 16–31: Σ q over columns 4j and 4j + 1, and over 4j + 2 and 4j + 3.
    #[inline(always)]
    fn pair_sums(self, q: &[i8; GROUP]) -> [[i16; 2]; 2] {
        group::pair_sums(q)
    }
    /// To the nearest f32, ties to even.
    fn to_f(self, v: Self::I) -> Self::F;
    /// Asks for the cache line of element `at`, which may lie beyond the slice: into the second cache, as the first one can wait for
    /// fewer lines at a time than it takes to read at the speed of memory (measured on x86-64; on Arm it is the first one still).
    fn prefetch<T>(self, _of: &[T], _at: usize) {}
    /// The same for a line that is used once: it need not push others out of the larger caches.
    fn prefetch_once<T>(self, _of: &[T], _at: usize) {}

    /// The lanes as an array; those that the level lacks are 0.
    #[inline(always)]
    fn lanes(self, v: Self::F) -> [f32; MAX_LANES] {
        let mut out = [0.0; MAX_LANES];
        self.store(v, &mut out);
        out
    }

    /// The sum of `MAX_LANES` lanes, which are one vector or two, in one fixed order.
    #[inline(always)]
    fn sum(self, v: [Self::F; 2]) -> f32 {
        let v = if Self::LANES == MAX_LANES { v[0] } else { self.add(v[0], v[1]) };
        reduce(self.lanes(v), Self::LANES, |a, b| a + b)
    }

    /// The largest lane.
    #[inline(always)]
    fn max_lane(self, v: Self::F) -> f32 {
        reduce(self.lanes(v), Self::LANES, |a, b| if a > b { a } else { b })
    }
}

/// Folds the upper half of `n` lanes into the lower until one is left.
#[inline(always)]
fn reduce(mut lanes: [f32; MAX_LANES], mut n: usize, f: impl Fn(f32, f32) -> f32) -> f32 {
    while n > 1 {
        n /= 2;
        for i in 0..n {
            lanes[i] = f(lanes[i], lanes[i + n]);
        }
    }
    lanes[0]
}

/// What an operation uses of a level: where levels differ in nothing else, it is compiled once for them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Uses {
    /// Vectors of floats and bytes.
    Vectors,
    /// Also [`Simd::dots`], or how many tokens a tile has.
    Dots,
    /// Also [`Simd::dot_bf16`], or its words.
    Bf16s,
}

/// Something to be run at whichever level the machine has.
pub(crate) trait Op {
    const USES: Uses;
    type Output;
    /// Must be `#[inline(always)]`, so that it is compiled with the level's instructions.
    fn eval<S: Simd>(self, simd: S) -> Self::Output;
}

/// A level of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Portable Rust, the reference for the others.
    Scalar,
    /// AVX2 with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The same with AVX-VNNI.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same with AVX-512 VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// The same with AVX-512 BF16.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// NEON, as every 64-bit Arm processor has it.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// The same with the dot product of bytes (`sdot`), from Armv8.2 on.
    #[cfg(target_arch = "aarch64")]
    Dotprod,
    /// The same with the matrix product of bytes (`smmla`), from Armv8.6 on.
    #[cfg(target_arch = "aarch64")]
    I8mm,
}

/// The environment variable that forces a level, by [`Level::name`]; [`BEST_LEVEL`] forces none.
pub const LEVEL_VARIABLE: &str = "ENGINE_SIMD";
/// What stands for the best level that the processor has.
pub const BEST_LEVEL: &str = "best";

/// Every level of this architecture with its name, the best last.
const LEVELS: &[(Level, &str)] = &[
    (Level::Scalar, "scalar"),
    #[cfg(target_arch = "x86_64")]
    (Level::Avx2, "avx2"),
    #[cfg(target_arch = "x86_64")]
    (Level::AvxVnni, "avxvnni"),
    #[cfg(target_arch = "x86_64")]
    (Level::Avx512, "avx512"),
    #[cfg(target_arch = "x86_64")]
    (Level::Avx512Vnni, "avx512vnni"),
    #[cfg(target_arch = "x86_64")]
    (Level::Avx512Bf16, "avx512bf16"),
    #[cfg(target_arch = "aarch64")]
    (Level::Neon, "neon"),
    #[cfg(target_arch = "aarch64")]
    (Level::Dotprod, "dotprod"),
    #[cfg(target_arch = "aarch64")]
    (Level::I8mm, "i8mm"),
];

impl Level {
    /// Every level that this processor has, the best last.
    pub fn available() -> Vec<Level> {
        LEVELS.iter().map(|&(level, _)| level).filter(|level| level.exists()).collect()
    }

    fn exists(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::<false>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::AvxVnni => Avx2::<true>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Avx512::<false, false>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => Avx512::<true, false>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 => Avx512::<true, true>::detect().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Neon::<Plain>::detect().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::Dotprod => Neon::<Dotprod>::detect().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::I8mm => Neon::<I8mm>::detect().is_some(),
        }
    }

    /// The level forced by [`LEVEL_VARIABLE`], else the best that this processor has.
    ///
    /// # Errors
    /// If the variable names a level that does not exist or that this processor lacks.
    pub fn detect() -> Result<Level> {
        let available = Self::available();
        let wanted = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| BEST_LEVEL.into());
        Level::among(&available, &wanted)
    }

    /// The level of `available`, the best last, that is named `wanted`.
    fn among(available: &[Level], wanted: &str) -> Result<Level> {
        if wanted == BEST_LEVEL {
            return Ok(available[available.len() - 1]);
        }
        available.iter().copied().find(|l| l.name() == wanted).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|l| l.name()).collect();
            let names = names.join(", ");
            let message = format!(
                "no such level here: `{wanted}`; write `{BEST_LEVEL}`, or one that this machine has: {names}"
            );
            Error::new(ErrorKind::Request, message).at_key(LEVEL_VARIABLE)
        })
    }

    /// `scalar`; `avx2`, `avxvnni`, `avx512`, `avx512vnni`, `avx512bf16`; `neon`, `dotprod`, `i8mm`.
    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|(level, _)| *level == self).expect("every level is in the list").1
    }

    /// Words of `cols` activations in bf16, in whole pairs.
    pub(crate) fn words(self, cols: usize) -> usize {
        struct PerWord;
        impl Op for PerWord {
            const USES: Uses = Uses::Bf16s;
            type Output = usize;
            #[inline(always)]
            fn eval<S: Simd>(self, _: S) -> usize {
                S::BF16S
            }
        }
        cols.next_multiple_of(2) / self.dispatch(PerWord)
    }

    /// Runs `op` at this level; portably, if the value was made for another processor.
    #[inline]
    pub(crate) fn dispatch<O: Op>(self, op: O) -> O::Output {
        #[cfg(target_arch = "x86_64")]
        match self {
            Level::Scalar => {}
            Level::AvxVnni if const { matches!(O::USES, Uses::Dots | Uses::Bf16s) } => {
                if let Some(proof) = Avx2::<true>::detect() {
                    return proof.run(op);
                }
            }
            Level::Avx2 | Level::AvxVnni => {
                if let Some(proof) = Avx2::<false>::detect() {
                    return proof.run(op);
                }
            }
            Level::Avx512Bf16 if const { matches!(O::USES, Uses::Bf16s) } => {
                if let Some(proof) = Avx512::<true, true>::detect() {
                    return proof.run(op);
                }
            }
            Level::Avx512Vnni | Level::Avx512Bf16 if const { matches!(O::USES, Uses::Dots | Uses::Bf16s) } => {
                if let Some(proof) = Avx512::<true, false>::detect() {
                    return proof.run(op);
                }
            }
            Level::Avx512 | Level::Avx512Vnni | Level::Avx512Bf16 => {
                if let Some(proof) = Avx512::<false, false>::detect() {
                    return proof.run(op);
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        match self {
            Level::Scalar => {}
            Level::Dotprod if const { matches!(O::USES, Uses::Dots | Uses::Bf16s) } => {
                if let Some(proof) = Neon::<Dotprod>::detect() {
                    return proof.run(op);
                }
            }
            Level::I8mm if const { matches!(O::USES, Uses::Dots | Uses::Bf16s) } => {
                if let Some(proof) = Neon::<I8mm>::detect() {
                    return proof.run(op);
                }
            }
            Level::Neon | Level::Dotprod | Level::I8mm => {
                if let Some(proof) = Neon::<Plain>::detect() {
                    return proof.run(op);
                }
            }
        }
        op.eval(Scalar)
    }
}
