//! F32: IEEE 754 single precision, little-endian.

use super::pack::PackedFloat;
use super::{Float, Format};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "F32",
    gguf_id: 0,
    block_len: 1,
    block_bytes: 4,
    decode,
    encode,
    packing: &Float::<F32>::NEW,
};

/// Packed: as it is.
struct F32;

impl PackedFloat for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    fn load<S: Simd>(s: S, bytes: &[u8]) -> S::F {
        s.load_f32(bytes)
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (bytes, out) in bytes.as_chunks::<4>().0.iter().zip(out) {
        *out = f32::from_le_bytes(*bytes);
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (value, out) in values.iter().zip(out.as_chunks_mut::<4>().0) {
        *out = value.to_le_bytes();
    }
}
