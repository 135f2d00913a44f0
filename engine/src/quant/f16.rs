//! F16: IEEE 754 half precision, little-endian.

use super::pack::PackedFloat;
use super::{Float, Format};
use crate::simd::Simd;
use half::f16;

pub(super) static FORMAT: Format = Format {
    name: "F16",
    gguf_id: 1,
    block_len: 1,
    block_bytes: 2,
    decode,
    encode,
    packing: &Float::<F16>::NEW,
};

struct F16;

impl PackedFloat for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    fn load<S: Simd>(s: S, bytes: &[u8]) -> S::F {
        s.load_f16(bytes)
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (bytes, out) in bytes.as_chunks::<2>().0.iter().zip(out) {
        *out = f16::from_le_bytes(*bytes).to_f32();
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (value, out) in values.iter().zip(out.as_chunks_mut::<2>().0) {
        *out = f16::from_f32(*value).to_le_bytes();
    }
}
