//! AVX2 with FMA and F16C.
#![expect(unsafe_code, reason = "vector loads, stores and intrinsics")]

use super::{Op, Simd};
use std::arch::x86_64::*;
use std::sync::OnceLock;

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// `None` if the processor lacks one of them.
    #[inline]
    pub(crate) fn detect() -> Option<Avx2> {
        static DETECTED: OnceLock<bool> = OnceLock::new();
        let detected = *DETECTED.get_or_init(|| {
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
        });
        detected.then_some(Avx2(()))
    }

    /// Runs `op` compiled for this level.
    #[inline]
    pub(crate) fn run<O: Op>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn inner<O: Op>(avx2: Avx2, op: O) -> O::Output {
            op.eval(avx2)
        }
        // SAFETY: a value of type Avx2 proves that the processor has these features.
        unsafe { inner(self, op) }
    }
}

/// Wraps an intrinsic: all of them need the same proof.
macro_rules! vector {
    ($e:expr) => {
        // SAFETY: `self` proves that the processor has AVX2, FMA and F16C; loads and stores go through
        // references to arrays of the vector's size.
        unsafe { $e }
    };
}

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    type B = __m256i;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        vector!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    fn load(self, from: &[f32; 8]) -> __m256 {
        vector!(_mm256_loadu_ps(from.as_ptr()))
    }
    #[inline(always)]
    fn store(self, v: __m256, to: &mut [f32; 8]) {
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
    fn load_f32(self, from: &[u8; 32]) -> __m256 {
        vector!(_mm256_loadu_ps(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn load_f16(self, from: &[u8; 16]) -> __m256 {
        vector!(_mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_bf16(self, from: &[u8; 16]) -> __m256 {
        vector!({
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        })
    }
    #[inline(always)]
    fn load_half(self, from: &[u16; 8]) -> __m256 {
        vector!(_mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())))
    }
    #[inline(always)]
    fn load_i8(self, from: &[u8; 8]) -> __m256 {
        vector!(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_u8(self, from: &[u8; 8]) -> __m256 {
        vector!(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().cast()))))
    }
    #[inline(always)]
    fn load_u4(self, from: &[u8; 8]) -> [__m256; 2] {
        vector!({
            let v = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().cast()));
            let low = _mm256_and_si256(v, _mm256_set1_epi32(15));
            [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(v))]
        })
    }
    #[inline(always)]
    fn load_bytes(self, from: &[u8; 32]) -> __m256i {
        vector!(_mm256_loadu_si256(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn bits<const SHIFT: i32>(self, v: __m256i, mask: u8) -> __m256i {
        vector!(_mm256_and_si256(_mm256_srli_epi16::<SHIFT>(v), _mm256_set1_epi8(mask as i8)))
    }
    #[inline(always)]
    fn bits_up<const SHIFT: i32>(self, v: __m256i, mask: u8) -> __m256i {
        vector!(_mm256_and_si256(_mm256_slli_epi16::<SHIFT>(v), _mm256_set1_epi8(mask as i8)))
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
    fn dot_unsigned<const N: usize>(self, q: &[__m256i], a: &[i8; N], max: i32) -> __m256i {
        // As many products as a lane of i16 holds: each maddubs adds at most 2 · max · 127.
        let chain = (i16::MAX as i32 / (2 * max * 127)) as usize;
        let mut acc = vector!(_mm256_setzero_si256());
        for (q, a) in q.chunks(chain).zip(a.as_chunks::<4>().0.chunks(chain)) {
            let mut narrow = vector!(_mm256_maddubs_epi16(q[0], splat4(&a[0])));
            for (&q, a) in q[1..].iter().zip(&a[1..]) {
                narrow = vector!(_mm256_add_epi16(narrow, _mm256_maddubs_epi16(q, splat4(a))));
            }
            acc = vector!(_mm256_add_epi32(acc, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1))));
        }
        acc
    }
    #[inline(always)]
    fn dot_signed<const N: usize>(self, q: &[__m256i], a: &[i8; N]) -> __m256i {
        let mut acc = vector!(_mm256_setzero_si256());
        for (&q, a) in q.iter().zip(a.as_chunks::<4>().0) {
            // |q| ≤ 128 as unsigned, sign moved to a ∈ −127…127: a pair is at most 32,512.
            let narrow = vector!({
                let a = _mm256_sign_epi8(splat4(a), q);
                _mm256_maddubs_epi16(_mm256_abs_epi8(q), a)
            });
            acc = vector!(_mm256_add_epi32(acc, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1))));
        }
        acc
    }
    #[inline(always)]
    fn sub_i(self, a: __m256i, b: i32) -> __m256i {
        vector!(_mm256_sub_epi32(a, _mm256_set1_epi32(b)))
    }
    #[inline(always)]
    fn to_bytes(self, v: [__m256; 4]) -> [i8; 32] {
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
    fn to_f(self, v: __m256i) -> __m256 {
        vector!(_mm256_cvtepi32_ps(v))
    }
}

/// Four activations in every lane.
#[inline(always)]
fn splat4(a: &[i8; 4]) -> __m256i {
    let dword = i32::from_ne_bytes(a.map(|b| b as u8));
    // SAFETY: called only from methods of Avx2, whose receiver is the proof.
    unsafe { _mm256_set1_epi32(dword) }
}
