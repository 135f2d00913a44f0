//! A narrow vector interface, and the levels that implement it.
//!
//! A value of a level's type is a proof that the processor has the level: `Avx2` exists only if detection
//! succeeded. Kernels are written once over `Simd` and instantiated for each level by `Level::dispatch`.
//! Every operation rounds the same way on every level, so kernels give the same bits everywhere.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(crate) mod math;
mod scalar;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
pub(crate) use scalar::Scalar;

use crate::error::{Error, ErrorKind, Result};

/// Lanes of a vector of f32.
pub(crate) const LANES: usize = 8;

/// Eight f32 lanes, eight i32 lanes, and 32 bytes whose bytes 4l…4l+3 belong to lane l.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Eight f32.
    type F: Copy;
    /// Eight i32.
    type I: Copy;
    /// Thirty-two bytes.
    type B: Copy;

    fn splat(self, value: f32) -> Self::F;
    fn load(self, from: &[f32; 8]) -> Self::F;
    fn store(self, v: Self::F, to: &mut [f32; 8]);
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
    /// Eight f32, little-endian.
    fn load_f32(self, from: &[u8; 32]) -> Self::F;
    /// Eight f16, little-endian.
    fn load_f16(self, from: &[u8; 16]) -> Self::F;
    /// Eight bf16, little-endian.
    fn load_bf16(self, from: &[u8; 16]) -> Self::F;
    /// Eight f16 as their bits.
    fn load_half(self, from: &[u16; 8]) -> Self::F;
    /// Eight signed bytes as f32.
    fn load_i8(self, from: &[u8; 8]) -> Self::F;
    /// Eight unsigned bytes as f32.
    fn load_u8(self, from: &[u8; 8]) -> Self::F;
    /// The low nibbles of eight bytes as f32, and the high ones.
    fn load_u4(self, from: &[u8; 8]) -> [Self::F; 2];

    fn load_bytes(self, from: &[u8; 32]) -> Self::B;
    /// Each byte shifted right by `SHIFT`, then and-ed with `mask`.
    fn bits<const SHIFT: i32>(self, v: Self::B, mask: u8) -> Self::B;
    /// Each byte shifted left by `SHIFT`, then and-ed with `mask`.
    fn bits_up<const SHIFT: i32>(self, v: Self::B, mask: u8) -> Self::B;
    fn or(self, a: Self::B, b: Self::B) -> Self::B;
    /// `table[v]` for each byte; bytes are 0…15.
    fn lookup(self, table: &[i8; 16], v: Self::B) -> Self::B;

    /// Σ over j of the four-byte dot products of q\[j\] (unsigned, at most `max`) with the activations 4j…4j+3,
    /// which are in −127…127 and the same for each lane. Exact.
    fn dot_unsigned<const N: usize>(self, q: &[Self::B], a: &[i8; N], max: i32) -> Self::I;
    /// The same for signed q.
    fn dot_signed<const N: usize>(self, q: &[Self::B], a: &[i8; N]) -> Self::I;
    fn sub_i(self, a: Self::I, b: i32) -> Self::I;
    /// Integral values in −128…127 as bytes, in order.
    fn to_bytes(self, v: [Self::F; 4]) -> [i8; 32];
    /// To the nearest f32, ties to even.
    fn to_f(self, v: Self::I) -> Self::F;

    /// The lanes as an array.
    #[inline(always)]
    fn lanes(self, v: Self::F) -> [f32; 8] {
        let mut out = [0.0; 8];
        self.store(v, &mut out);
        out
    }

    /// The sum of the lanes, in one fixed order.
    #[inline(always)]
    fn sum(self, v: Self::F) -> f32 {
        let a = self.lanes(v);
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }

    /// The largest lane.
    #[inline(always)]
    fn max_lane(self, v: Self::F) -> f32 {
        self.lanes(v).into_iter().fold(f32::NEG_INFINITY, |m, x| if x > m { x } else { m })
    }
}

/// Something to be run at whichever level the machine has.
pub(crate) trait Op {
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
}

/// The environment variable that forces a level, by [`Level::name`].
pub const LEVEL_VARIABLE: &str = "ENGINE_SIMD";

impl Level {
    /// Every level that this processor has, the best last.
    pub fn available() -> Vec<Level> {
        #[cfg(target_arch = "x86_64")]
        if Avx2::detect().is_some() {
            return vec![Level::Scalar, Level::Avx2];
        }
        vec![Level::Scalar]
    }

    /// The level forced by [`LEVEL_VARIABLE`], else the best that this processor has.
    ///
    /// # Errors
    /// If the variable names a level that does not exist or that this processor lacks.
    pub fn detect() -> Result<Level> {
        let available = Self::available();
        let Ok(wanted) = std::env::var(LEVEL_VARIABLE) else {
            return Ok(available[available.len() - 1]);
        };
        available.iter().copied().find(|l| l.name() == wanted).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|l| l.name()).collect();
            let message = format!("no such level here: `{wanted}`; this machine has {}", names.join(", "));
            Error::new(ErrorKind::Request, message).at_key(LEVEL_VARIABLE)
        })
    }

    /// `scalar` or `avx2`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
        }
    }

    /// Runs `op` at this level; below it, if the value was made for another processor.
    #[inline]
    pub(crate) fn dispatch<O: Op>(self, op: O) -> O::Output {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = (self == Level::Avx2).then(Avx2::detect).flatten() {
            return avx2.run(op);
        }
        op.eval(Scalar)
    }
}
