//! AVX2 with FMA and F16C, and with AVX-VNNI where there is that.
#![expect(unsafe_code, reason = "vector loads, stores and intrinsics")]

use super::{Columns, Group, Op, Quants, Simd};
use std::arch::x86_64::*;
use std::sync::OnceLock;

/// Proof that the processor has AVX2, FMA and F16C; also AVX-VNNI if `VNNI`.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<const VNNI: bool>(());

impl<const VNNI: bool> Avx2<VNNI> {
    /// `None` if the processor lacks one of them.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        static DETECTED: OnceLock<[bool; 2]> = OnceLock::new();
        let detected = DETECTED.get_or_init(|| {
            let base = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            [base, base && is_x86_feature_detected!("avxvnni")]
        });
        detected[usize::from(VNNI)].then_some(Self(()))
    }
}

impl Avx2<false> {
    /// Runs `op` compiled for this level.
    #[inline]
    pub(crate) fn run<O: Op>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn inner<O: Op>(proof: Avx2<false>, op: O) -> O::Output {
            op.eval(proof)
        }
        // SAFETY: a value of this type proves that the processor has these features.
        unsafe { inner(self, op) }
    }
}

impl Avx2<true> {
    /// Runs `op` compiled for this level.
    #[inline]
    pub(crate) fn run<O: Op>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn inner<O: Op>(proof: Avx2<true>, op: O) -> O::Output {
            op.eval(proof)
        }
        // SAFETY: a value of this type proves that the processor has these features.
        unsafe { inner(self, op) }
    }
}

/// Wraps an intrinsic: all of them need the same proof.
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `self` proves that the processor has AVX2, FMA and F16C (and AVX-VNNI if VNNI); loads and stores go
        // through references to arrays of the vector's size.
        unsafe { $e }
    };
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    const LANES: usize = 8;
    const TOKENS: usize = 4;
    type F = __m256;
    type I = __m256i;
    type B = __m256i;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        vector!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        vector!(_mm256_loadu_ps(array::<f32, 8>(from).as_ptr()))
    }
    #[inline(always)]
    fn store(self, v: __m256, to: &mut [f32]) {
        let to: &mut [f32; 8] = to.first_chunk_mut().expect("a slice as long as a vector");
        vector!(_mm256_storeu_ps(to.as_mut_ptr(), v))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        vector!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        vector!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn zero_below(self, x: __m256, limit: f32, v: __m256) -> __m256 {
        vector!(_mm256_andnot_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_set1_ps(limit)), v))
    }
    #[inline(always)]
    fn exp2i(self, n: __m256) -> __m256 {
        vector!({
            let biased = _mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        })
    }
    #[inline(always)]
    fn load_f32(self, from: &[u8]) -> __m256 {
        vector!(_mm256_loadu_ps(array::<u8, 32>(from).as_ptr().cast()))
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8]) -> __m256 {
        vector!(_mm256_cvtph_ps(_mm_loadu_si128(array::<u8, 16>(from).as_ptr().cast())))
    }
    #[inline(always)]
    fn load_bf16_pairs(self, from: &[u8]) -> [__m256; 2] {
        let pairs = self.load_bytes(from);
        vector!({
            let second = _mm256_and_si256(pairs, _mm256_set1_epi32(!0xffff));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)), _mm256_castsi256_ps(second)]
        })
    }
    #[inline(always)]
    fn load_half(self, from: &[u16]) -> __m256 {
        vector!(_mm256_cvtph_ps(_mm_loadu_si128(array::<u16, 8>(from).as_ptr().cast())))
    }
    #[inline(always)]
    fn load_i8(self, from: &[u8]) -> __m256 {
        let from: &[u8; 8] = array(from);
        vector!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8]) -> __m256 {
        let from: &[u8; 8] = array(from);
        vector!(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_u4(self, from: &[u8]) -> [__m256; 2] {
        let from: &[u8; 8] = array(from);
        vector!({
            let v = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().cast()));
            let low = _mm256_and_si256(v, _mm256_set1_epi32(15));
            [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(v))]
        })
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8]) -> __m256i {
        vector!(_mm256_loadu_si256(array::<u8, 32>(from).as_ptr().cast()))
    }
    #[inline(always)]
    fn bits<const SHIFT: u32>(self, v: __m256i, mask: u8) -> __m256i {
        vector!({
            let shifted = _mm256_srl_epi16(v, _mm_cvtsi32_si128(SHIFT as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi8(mask as i8))
        })
    }
    #[inline(always)]
    fn bits_up<const SHIFT: u32>(self, v: __m256i, mask: u8) -> __m256i {
        vector!({
            let shifted = _mm256_sll_epi16(v, _mm_cvtsi32_si128(SHIFT as i32));
            _mm256_and_si256(shifted, _mm256_set1_epi8(mask as i8))
        })
    }
    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        vector!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], v: __m256i) -> __m256i {
        vector!({
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            _mm256_shuffle_epi8(table, v)
        })
    }
    #[inline(always)]
    fn dots<const T: usize>(
        self,
        q: &[__m256i; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [__m256i; T] {
        if !VNNI && quants.max != 0 {
            return self.dots_unsigned(q, columns, a, quants);
        }
        let mut out = [vector!(_mm256_setzero_si256()); T];
        for (out, a) in out.iter_mut().zip(a) {
            *out = if VNNI { self.dot_vnni(q, columns, a, quants) } else { self.dot_signed(q, columns, a) };
        }
        out
    }
    #[inline(always)]
    fn to_bytes(self, v: &[__m256]) -> [i8; 32] {
        let v: &[__m256; 4] = array(v);
        let mut out = [0; 32];
        vector!({
            let low = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
            let high = _mm256_packs_epi32(_mm256_cvtps_epi32(v[2]), _mm256_cvtps_epi32(v[3]));
            // Packing works within halves of 128 bits; this puts the groups of four bytes back in order.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes);
        });
        out
    }
    #[inline(always)]
    fn pair_sums(self, q: &[i8; 32]) -> [[i16; 2]; 2] {
        vector!(pair_sums(q))
    }
    #[inline(always)]
    fn to_f(self, v: __m256i) -> __m256 {
        vector!(_mm256_cvtepi32_ps(v))
    }
    #[inline(always)]
    fn prefetch<T>(self, of: &[T], at: usize) {
        vector!(_mm_prefetch::<_MM_HINT_T1>(of.as_ptr().wrapping_add(at).cast()))
    }
    #[inline(always)]
    fn prefetch_once<T>(self, of: &[T], at: usize) {
        vector!(_mm_prefetch::<_MM_HINT_NTA>(of.as_ptr().wrapping_add(at).cast()))
    }
}

impl<const VNNI: bool> Avx2<VNNI> {
    /// Unsigned quants by lanes of i16, which start with the offset's share. Four products of pairs fit a lane in every format;
    /// eight where 8 · 2 · |q − offset| · 127 does. Sums on the way may wrap, the last one is in range.
    #[inline(always)]
    fn dots_unsigned<const T: usize>(
        self,
        q: &[__m256i; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [__m256i; T] {
        let largest = 2 * 127 * quants.offset.max(quants.max - quants.offset);
        debug_assert!(4 * largest <= i32::from(i16::MAX));
        let fits = 8 * largest <= i32::from(i16::MAX);
        let mut out = [vector!(_mm256_setzero_si256()); T];
        // Half of the columns for all tokens, then the other half: so registers hold four vectors of quants and not eight.
        for (out, a) in out.iter_mut().zip(a) {
            *out = match columns {
                Columns::First => self.widen(self.narrow(q, 0, self.start(a.pairs[0], quants), a)),
                Columns::Last => self.widen(self.narrow(q, 1, self.start(a.pairs[1], quants), a)),
                Columns::All if fits => self.narrow(q, 0, self.start(a.pairs[2], quants), a),
                Columns::All => self.widen(self.narrow(q, 0, self.start(a.pairs[0], quants), a)),
            };
        }
        if columns != Columns::All {
            return out;
        }
        for (out, a) in out.iter_mut().zip(a) {
            *out = if fits {
                self.widen(self.narrow(q, 1, Some(*out), a))
            } else {
                let last = self.narrow(q, 1, self.start(a.pairs[1], quants), a);
                vector!(_mm256_add_epi32(*out, self.widen(last)))
            };
        }
        out
    }

    /// What lanes of i16 start with where quants have an offset.
    #[inline(always)]
    fn start(self, pairs: [i16; 2], quants: Quants) -> Option<__m256i> {
        if quants.offset == 0 {
            return None;
        }
        Some(vector!(scaled16(_mm256_set1_epi32(bits_of(pairs)), quants.offset)))
    }

    /// Half a group in lanes of i16, added to `start`.
    #[inline(always)]
    fn narrow(self, q: &[__m256i; 8], half: usize, start: Option<__m256i>, a: &Group) -> __m256i {
        let a4 = a.q.as_chunks::<4>().0;
        let j = 4 * half;
        let mut narrow = vector!(_mm256_maddubs_epi16(q[j], splat4(&a4[j])));
        if let Some(start) = start {
            narrow = vector!(_mm256_add_epi16(start, narrow));
        }
        for j in j + 1..j + 4 {
            narrow = vector!(_mm256_add_epi16(narrow, _mm256_maddubs_epi16(q[j], splat4(&a4[j]))));
        }
        narrow
    }

    /// Neighbouring lanes of i16 added.
    #[inline(always)]
    fn widen(self, narrow: __m256i) -> __m256i {
        vector!(_mm256_madd_epi16(narrow, _mm256_set1_epi16(1)))
    }

    /// Signed quants: |q| ≤ 128 as unsigned, their sign moved to a ∈ −127…127; a pair is at most 32,512.
    #[inline(always)]
    fn dot_signed(self, q: &[__m256i; 8], columns: Columns, a: &Group) -> __m256i {
        let mut acc = vector!(_mm256_setzero_si256());
        for (&q, a4) in q[columns.fours()].iter().zip(a.fours(columns)) {
            let narrow = vector!({
                let a = _mm256_sign_epi8(splat4(a4), q);
                _mm256_maddubs_epi16(_mm256_abs_epi8(q), a)
            });
            acc = vector!(_mm256_add_epi32(acc, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1))));
        }
        acc
    }

    /// Quants by lanes of i32, which start with the offset's share; signed ones are made unsigned first.
    #[inline(always)]
    fn dot_vnni(self, q: &[__m256i; 8], columns: Columns, a: &Group, quants: Quants) -> __m256i {
        let offset = if quants.max == 0 { 128 } else { quants.offset };
        let sum = match columns {
            Columns::First => a.halves[0],
            Columns::Last => a.halves[1],
            Columns::All => a.total,
        };
        let mut acc = vector!(match offset {
            0 => _mm256_setzero_si256(),
            _ => scaled32(_mm256_set1_epi32(sum), offset),
        });
        for (&q, a4) in q[columns.fours()].iter().zip(a.fours(columns)) {
            acc = vector!({
                let q = if quants.max == 0 { _mm256_xor_si256(q, _mm256_set1_epi8(-128)) } else { q };
                _mm256_dpbusd_avx_epi32(acc, q, splat4(a4))
            });
        }
        acc
    }
}

/// v · offset / 8
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn scaled16(v: __m256i, offset: i32) -> __m256i {
    // SAFETY: promised by the caller.
    unsafe {
        match offset {
            4 => _mm256_srai_epi16::<1>(v),
            16 => _mm256_slli_epi16::<1>(v),
            32 => _mm256_slli_epi16::<2>(v),
            _ => v,
        }
    }
}

/// v · offset / 8
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn scaled32(v: __m256i, offset: i32) -> __m256i {
    // SAFETY: promised by the caller.
    unsafe {
        match offset {
            4 => _mm256_srai_epi32::<1>(v),
            16 => _mm256_slli_epi32::<1>(v),
            32 => _mm256_slli_epi32::<2>(v),
            128 => _mm256_slli_epi32::<4>(v),
            _ => v,
        }
    }
}

/// Four activations in every lane.
#[inline(always)]
fn splat4(a: &[i8; 4]) -> __m256i {
    // SAFETY: called only from methods of Avx2, whose receiver is the proof.
    unsafe { _mm256_set1_epi32(i32::from_ne_bytes(a.map(|b| b as u8))) }
}

/// [`Simd::pair_sums`]
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
pub(super) unsafe fn pair_sums(q: &[i8; 32]) -> [[i16; 2]; 2] {
    // SAFETY: promised by the caller; the load is through a reference to an array of the vector's size.
    let [first, last] = unsafe {
        let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), _mm256_loadu_si256(q.as_ptr().cast()));
        let pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32::<0b01_00_11_10>(pairs));
        let pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32::<0b10_11_00_01>(pairs));
        [_mm256_extract_epi32::<0>(pairs), _mm256_extract_epi32::<4>(pairs)]
    };
    [first, last].map(|both| [both as i16, (both >> 16) as i16])
}

/// The two as they lie in memory.
#[inline(always)]
pub(super) fn bits_of(pair: [i16; 2]) -> i32 {
    i32::from(pair[1]) << 16 | i32::from(pair[0] as u16)
}

/// The first `N` elements.
#[inline(always)]
pub(super) fn array<T, const N: usize>(from: &[T]) -> &[T; N] {
    from.first_chunk().expect("a slice as long as a vector")
}
