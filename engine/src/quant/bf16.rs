//! BF16: the upper half of an IEEE 754 single, little-endian.

use super::{Bf16, Format};
use half::bf16;

pub(super) static FORMAT: Format =
    Format { name: "BF16", gguf_id: 30, block_len: 1, block_bytes: 2, decode, encode, packing: &Bf16 };

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (bytes, out) in bytes.as_chunks::<2>().0.iter().zip(out) {
        *out = bf16::from_le_bytes(*bytes).to_f32();
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (value, out) in values.iter().zip(out.as_chunks_mut::<2>().0) {
        *out = bf16::from_f32(*value).to_le_bytes();
    }
}
