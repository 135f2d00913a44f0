//! Q4_0: blocks of 32; an f16 scale d, then 16 bytes whose low nibbles are columns 0–15 and high nibbles 16–31.
//! Value: d · (q − 8).

use super::field::Field;
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;
use half::f16;

pub(super) static FORMAT: Format = Format {
    name: "Q4_0",
    gguf_id: 2,
    block_len: 32,
    block_bytes: 18,
    decode,
    encode,
    packing: &Integer::<Q4_0>::NEW,
};

const QUANTS: Field = Field { at: 2, width: 4, stride: 16 };

/// Packed: 16 f16 scales, then 256 bytes of nibbles.
struct Q4_0;

impl Packed for Q4_0 {
    const BLOCK_LEN: usize = 32;
    const FILE_BYTES: usize = 18;
    const PACKED_BYTES: usize = 288;
    const MAX: i32 = 15;
    const OFFSET: i32 = 8;
    const HALVES: bool = false;
    const HAS_MIN: bool = false;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, 0, row, out);
        pack::pack_nibbles(row, |column| QUANTS.get4(block, column), &mut out[32..]);
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], _group: usize, row: usize, j: usize) -> S::B {
        pack::nibbles(s, block, 32, row, j)
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], _group: usize, row: usize) -> [S::F; 2] {
        [pack::f16(s, block, 0, row); 2]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.chunks_exact(18).zip(out.chunks_exact_mut(32)) {
        let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
        for (i, &byte) in block[2..].iter().enumerate() {
            out[i] = (i32::from(byte & 15) - 8) as f32 * d;
            out[i + 16] = (i32::from(byte >> 4) - 8) as f32 * d;
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.chunks_exact(32).zip(out.chunks_exact_mut(18)) {
        // The value of largest magnitude maps to −8, the end of the range that has one more step.
        let extreme = values.iter().copied().fold(0.0_f32, |m, v| if v.abs() > m.abs() { v } else { m });
        let d = f16::from_f32(extreme / -8.0);
        let inverse = if d.to_f32() == 0.0 { 0.0 } else { 1.0 / d.to_f32() };
        block[..2].copy_from_slice(&d.to_le_bytes());
        let q = |v: f32| (v * inverse + 8.5).clamp(0.0, 15.0) as u8;
        for i in 0..16 {
            block[2 + i] = q(values[i]) | q(values[i + 16]) << 4;
        }
    }
}
