//! Tensor formats: one file each, one line each in [`FORMATS`].
//!
//! A format is a value: its name, its id in GGUF, the shape of its blocks, a scalar decoder and encoder,
//! and how eight of its rows are packed for the kernels. Nothing else in the crate matches on a format's name.

pub(crate) mod pack;
#[cfg(test)]
mod goldens;
#[cfg(test)]
mod oracle;
mod packing;

mod field;
mod fit;

mod f32;
mod f16;
mod q4_0;
mod q4_1;
mod q5_0;
mod q5_1;
mod q8_0;
mod q2_k;
mod q3_k;
mod q4_k;
mod q5_k;
mod q6_k;
mod iq4_nl;
mod bf16;

pub(crate) use packing::{Bf16, Float, Integer, Packing};

/// A tensor format.
pub struct Format {
    /// The name that GGUF tools print, in upper case: `Q4_0`.
    pub name: &'static str,
    /// The type id in a GGUF tensor record.
    pub gguf_id: u32,
    /// Elements in a block; a row is a whole number of blocks.
    pub block_len: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Decodes whole blocks: `bytes.len() / block_bytes * block_len == out.len()`.
    pub decode: fn(bytes: &[u8], out: &mut [f32]),
    /// Encodes whole blocks, rounding to nearest; the inverse shape of `decode`.
    pub encode: fn(values: &[f32], out: &mut [u8]),
    /// How the kernels see it.
    pub(crate) packing: &'static dyn Packing,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.gguf_id == other.gguf_id
    }
}
impl Eq for Format {}

/// Every format, in the order of its GGUF id.
pub static FORMATS: &[&Format] = &[
    &f32::FORMAT,
    &f16::FORMAT,
    &q4_0::FORMAT,
    &q4_1::FORMAT,
    &q5_0::FORMAT,
    &q5_1::FORMAT,
    &q8_0::FORMAT,
    &q2_k::FORMAT,
    &q3_k::FORMAT,
    &q4_k::FORMAT,
    &q5_k::FORMAT,
    &q6_k::FORMAT,
    &iq4_nl::FORMAT,
    &bf16::FORMAT,
];

impl Format {
    /// The format with this GGUF id.
    pub fn by_id(gguf_id: u32) -> Option<&'static Format> {
        FORMATS.iter().copied().find(|f| f.gguf_id == gguf_id)
    }

    /// The format of this name, in any case.
    pub fn by_name(name: &str) -> Option<&'static Format> {
        FORMATS.iter().copied().find(|f| f.name.eq_ignore_ascii_case(name))
    }

    /// Bytes of a row of `cols` elements; `None` if it is not a whole number of blocks or overflows.
    pub fn row_bytes(&self, cols: u64) -> Option<u64> {
        let block_len = self.block_len as u64;
        if !cols.is_multiple_of(block_len) {
            return None;
        }
        (cols / block_len).checked_mul(self.block_bytes as u64)
    }
}
