//! AVX-512 F, BW, DQ and VL, and VNNI and BF16 where there are those.
#![expect(unsafe_code, reason = "vector loads, stores and intrinsics")]

use super::avx2::{array, bits_of, pair_sums};
use super::{Columns, Group, Op, Quants, Simd, Vectors, group, widened};
use std::arch::x86_64::*;
use std::sync::OnceLock;

/// Proof that the processor has AVX-512 F, BW, DQ and VL; also VNNI if `VNNI`, and BF16 if `BF16`.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const VNNI: bool, const BF16: bool>(());

impl<const VNNI: bool, const BF16: bool> Avx512<VNNI, BF16> {
    /// `None` if the processor lacks one of them.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        static DETECTED: OnceLock<[bool; 3]> = OnceLock::new();
        let [base, vnni, bf16] = *DETECTED.get_or_init(|| {
            let base = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            [base, is_x86_feature_detected!("avx512vnni"), is_x86_feature_detected!("avx512bf16")]
        });
        (base && (vnni || !VNNI) && (bf16 || !BF16)).then_some(Self(()))
    }
}

/// A level is compiled with its own instructions.
macro_rules! run {
    ($vnni:literal, $bf16:literal, $features:literal) => {
        impl Avx512<$vnni, $bf16> {
            /// Runs `op` compiled for this level.
            #[inline]
            pub(crate) fn run<O: Op>(self, op: O) -> O::Output {
                #[target_feature(enable = $features)]
                fn inner<O: Op>(proof: Avx512<$vnni, $bf16>, op: O) -> O::Output {
                    op.eval(proof)
                }
                // SAFETY: a value of this type proves that the processor has these features.
                unsafe { inner(self, op) }
            }
        }
    };
}
run!(false, false, "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl");
run!(true, false, "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
run!(true, true, "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16");

/// Wraps an intrinsic: all of them need the same proof.
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `self` proves that the processor has AVX-512 F, BW, DQ and VL (and VNNI if VNNI, BF16 if BF16); loads and stores go
        // through references to arrays of the vector's size.
        unsafe { $e }
    };
}

impl<const VNNI: bool, const BF16: bool> Simd for Avx512<VNNI, BF16> {
    const LANES: usize = 16;
    const TOKENS: usize = 8;
    const PAIR_TOKENS: usize = 5 * VNNI as usize;
    const BF16S: usize = 1 + BF16 as usize;
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        vector!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        vector!(_mm512_loadu_ps(array::<f32, 16>(from).as_ptr()))
    }
    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32]) {
        let to: &mut [f32; 16] = to.first_chunk_mut().expect("a slice as long as a vector");
        vector!(_mm512_storeu_ps(to.as_mut_ptr(), v))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        vector!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        vector!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn zero_below(self, x: __m512, limit: f32, v: __m512) -> __m512 {
        vector!(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(limit)), v))
    }
    #[inline(always)]
    fn exp2i(self, n: __m512) -> __m512 {
        vector!({
            let biased = _mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        })
    }
    #[inline(always)]
    fn load_f32(self, from: &[u8]) -> __m512 {
        vector!(_mm512_loadu_ps(array::<u8, 64>(from).as_ptr().cast()))
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8]) -> __m512 {
        vector!(_mm512_cvtph_ps(_mm256_loadu_si256(array::<u8, 32>(from).as_ptr().cast())))
    }
    #[inline(always)]
    fn load_bf16_pairs(self, from: &[u8]) -> [__m512; 2] {
        let pairs = self.load_bytes(from);
        vector!({
            let second = _mm512_and_si512(pairs, _mm512_set1_epi32(!0xffff));
            [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)), _mm512_castsi512_ps(second)]
        })
    }
    #[inline(always)]
    fn load_half(self, from: &[u16]) -> __m512 {
        vector!(_mm512_cvtph_ps(_mm256_loadu_si256(array::<u16, 16>(from).as_ptr().cast())))
    }
    #[inline(always)]
    fn load_i8(self, from: &[u8]) -> __m512 {
        let from: &[u8; 16] = array(from);
        vector!(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8]) -> __m512 {
        let from: &[u8; 16] = array(from);
        vector!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_u4(self, from: &[u8]) -> [__m512; 2] {
        let from: &[u8; 16] = array(from);
        vector!({
            let v = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast()));
            let low = _mm512_and_si512(v, _mm512_set1_epi32(15));
            [_mm512_cvtepi32_ps(low), _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(v))]
        })
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8]) -> __m512i {
        vector!(_mm512_loadu_si512(array::<u8, 64>(from).as_ptr().cast()))
    }
    #[inline(always)]
    fn bits<const SHIFT: u32>(self, v: __m512i, mask: u8) -> __m512i {
        vector!(_mm512_and_si512(_mm512_srli_epi16::<SHIFT>(v), _mm512_set1_epi8(mask as i8)))
    }
    #[inline(always)]
    fn bits_up<const SHIFT: u32>(self, v: __m512i, mask: u8) -> __m512i {
        vector!(_mm512_and_si512(_mm512_slli_epi16::<SHIFT>(v), _mm512_set1_epi8(mask as i8)))
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        vector!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn lookup(self, table: &[i8; 16], v: __m512i) -> __m512i {
        vector!({
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, v)
        })
    }
    #[inline(always)]
    fn dots<const T: usize>(
        self,
        q: &[__m512i; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [__m512i; T] {
        if !VNNI && quants.max != 0 {
            return self.dots_unsigned(q, columns, a, quants);
        }
        let mut out = [vector!(_mm512_setzero_si512()); T];
        for (out, a) in out.iter_mut().zip(a) {
            *out = if VNNI { self.dot_vnni(q, columns, a, quants) } else { self.dot_signed(q, columns, a) };
        }
        out
    }
    #[inline(always)]
    fn dots_of<V: Vectors, const P: usize, const T: usize>(
        self,
        q: [V; P],
        a: &[Group; T],
        quants: Quants,
    ) -> [[__m512i; T]; P] {
        if !VNNI || P == 1 {
            return group::dots_of(self, q, a, quants);
        }
        let mut out = [[vector!(_mm512_setzero_si512()); T]; P];
        for t in 0..T {
            let start = self.start_vnni(Columns::All, &a[t], quants);
            for out in &mut out {
                out[t] = start;
            }
        }
        // Vector by vector for all tokens: registers hold few of them at a time, and four activations are loaded once for all panels.
        for j in 0..4 {
            self.add_vnni(&q, j, a, quants, &mut out);
            self.add_vnni(&q, j + 4, a, quants, &mut out);
        }
        out
    }
    #[inline(always)]
    fn dot_bf16<const T: usize>(self, pair: &[u8], x: &[u32], sums: &mut [__m512; T]) {
        if BF16 {
            let pair = self.load_bytes(pair);
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = vector!(_mm512_dpbf16_ps(*sum, bf16s(pair), bf16s(_mm512_set1_epi32(*x as i32))));
            }
        } else {
            widened::dot_bf16(self, pair, x, sums);
        }
    }
    #[inline(always)]
    fn to_bytes(self, v: &[__m512]) -> [i8; 32] {
        let v: &[__m512; 2] = array(v);
        let mut out = [0; 32];
        for (v, out) in v.iter().zip(out.as_chunks_mut::<16>().0) {
            vector!(_mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(*v))));
        }
        out
    }
    #[inline(always)]
    fn pair_sums(self, q: &[i8; 32]) -> [[i16; 2]; 2] {
        vector!(pair_sums(q))
    }
    #[inline(always)]
    fn to_f(self, v: __m512i) -> __m512 {
        vector!(_mm512_cvtepi32_ps(v))
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

impl<const VNNI: bool, const BF16: bool> Avx512<VNNI, BF16> {
    /// As on AVX2.
    #[inline(always)]
    fn dots_unsigned<const T: usize>(
        self,
        q: &[__m512i; 8],
        columns: Columns,
        a: &[Group; T],
        quants: Quants,
    ) -> [__m512i; T] {
        let largest = 2 * 127 * quants.offset.max(quants.max - quants.offset);
        debug_assert!(4 * largest <= i32::from(i16::MAX));
        let fits = 8 * largest <= i32::from(i16::MAX);
        let mut out = [vector!(_mm512_setzero_si512()); T];
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
                vector!(_mm512_add_epi32(*out, self.widen(last)))
            };
        }
        out
    }

    /// What lanes of i16 start with where quants have an offset.
    #[inline(always)]
    fn start(self, pairs: [i16; 2], quants: Quants) -> Option<__m512i> {
        if quants.offset == 0 {
            return None;
        }
        Some(vector!(scaled16(_mm512_set1_epi32(bits_of(pairs)), quants.offset)))
    }

    /// Half a group in lanes of i16, added to `start`.
    #[inline(always)]
    fn narrow(self, q: &[__m512i; 8], half: usize, start: Option<__m512i>, a: &Group) -> __m512i {
        let a4 = a.q.as_chunks::<4>().0;
        let j = 4 * half;
        let mut narrow = vector!(_mm512_maddubs_epi16(q[j], splat4(&a4[j])));
        if let Some(start) = start {
            narrow = vector!(_mm512_add_epi16(start, narrow));
        }
        for j in j + 1..j + 4 {
            narrow = vector!(_mm512_add_epi16(narrow, _mm512_maddubs_epi16(q[j], splat4(&a4[j]))));
        }
        narrow
    }

    /// Neighbouring lanes of i16 added.
    #[inline(always)]
    fn widen(self, narrow: __m512i) -> __m512i {
        vector!(_mm512_madd_epi16(narrow, _mm512_set1_epi16(1)))
    }

    /// Signed quants: |q| ≤ 128 as unsigned, their sign moved to a ∈ −127…127; a pair is at most 32,512. Where q is 0 the
    /// sign does not matter.
    #[inline(always)]
    fn dot_signed(self, q: &[__m512i; 8], columns: Columns, a: &Group) -> __m512i {
        let mut acc = vector!(_mm512_setzero_si512());
        for (&q, a4) in q[columns.fours()].iter().zip(a.fours(columns)) {
            let narrow = vector!({
                let a = splat4(a4);
                let a = _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(q), _mm512_setzero_si512(), a);
                _mm512_maddubs_epi16(_mm512_abs_epi8(q), a)
            });
            acc = vector!(_mm512_add_epi32(acc, _mm512_madd_epi16(narrow, _mm512_set1_epi16(1))));
        }
        acc
    }

    /// As on AVX2 with AVX-VNNI.
    #[inline(always)]
    fn dot_vnni(self, q: &[__m512i; 8], columns: Columns, a: &Group, quants: Quants) -> __m512i {
        let mut acc = self.start_vnni(columns, a, quants);
        for (&q, a4) in q[columns.fours()].iter().zip(a.fours(columns)) {
            acc = vector!(_mm512_dpbusd_epi32(acc, self.unsigned(q, quants), splat4(a4)));
        }
        acc
    }

    /// Adds the products of vector `j` of each panel.
    #[inline(always)]
    fn add_vnni<V: Vectors, const P: usize, const T: usize>(
        self,
        q: &[V; P],
        j: usize,
        a: &[Group; T],
        quants: Quants,
        out: &mut [[__m512i; T]; P],
    ) {
        let mut vectors = [vector!(_mm512_setzero_si512()); P];
        for p in 0..P {
            vectors[p] = self.unsigned(q[p].vector(self, j), quants);
        }
        for t in 0..T {
            let a4 = splat4(&a[t].q.as_chunks::<4>().0[j]);
            for p in 0..P {
                out[p][t] = vector!(_mm512_dpbusd_epi32(out[p][t], vectors[p], a4));
            }
        }
    }

    /// What lanes of i32 start with: the share of the offset, where quants have one or are signed.
    #[inline(always)]
    fn start_vnni(self, columns: Columns, a: &Group, quants: Quants) -> __m512i {
        let offset = if quants.max == 0 { 128 } else { quants.offset };
        let sum = match columns {
            Columns::First => a.halves[0],
            Columns::Last => a.halves[1],
            Columns::All => a.total,
        };
        vector!(match offset {
            0 => _mm512_setzero_si512(),
            _ => scaled32(_mm512_set1_epi32(sum), offset),
        })
    }

    /// Signed quants 128 higher.
    #[inline(always)]
    fn unsigned(self, q: __m512i, quants: Quants) -> __m512i {
        if quants.max == 0 { vector!(_mm512_xor_si512(q, _mm512_set1_epi8(-128))) } else { q }
    }
}

/// v · offset / 8
///
/// # Safety
/// The processor must have AVX-512 F and BW.
#[inline(always)]
unsafe fn scaled16(v: __m512i, offset: i32) -> __m512i {
    // SAFETY: promised by the caller.
    unsafe {
        match offset {
            4 => _mm512_srai_epi16::<1>(v),
            16 => _mm512_slli_epi16::<1>(v),
            32 => _mm512_slli_epi16::<2>(v),
            _ => v,
        }
    }
}

/// v · offset / 8
///
/// # Safety
/// The processor must have AVX-512 F.
#[inline(always)]
unsafe fn scaled32(v: __m512i, offset: i32) -> __m512i {
    // SAFETY: promised by the caller.
    unsafe {
        match offset {
            4 => _mm512_srai_epi32::<1>(v),
            16 => _mm512_slli_epi32::<1>(v),
            32 => _mm512_slli_epi32::<2>(v),
            128 => _mm512_slli_epi32::<4>(v),
            _ => v,
        }
    }
}

/// 32 bf16.
#[inline(always)]
fn bf16s(v: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes without meaning to the compiler.
    unsafe { std::mem::transmute(v) }
}

/// Four activations in every lane.
#[inline(always)]
fn splat4(a: &[i8; 4]) -> __m512i {
    // SAFETY: called only from methods of Avx512, whose receiver is the proof.
    unsafe { _mm512_set1_epi32(i32::from_ne_bytes(a.map(|b| b as u8))) }
}
