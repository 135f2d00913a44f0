//! Q5_0: blocks of 32; f16 scale d, 4 bytes with the fifth bit of each column, 16 bytes of nibbles as in Q4_0.
//! Value: d · (q − 16).

use super::field::{Field, get_f16, put_f16};
use super::fit::{extreme, inverse, nearest};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "Q5_0",
    gguf_id: 6,
    block_len: 32,
    block_bytes: 22,
    decode,
    encode,
    packing: &Integer::<Q5_0>::NEW,
};

const HIGH: Field = Field { at: 2, width: 1, stride: 1 };
const LOW: Field = Field { at: 6, width: 4, stride: 16 };

/// Packed: 16 f16 scales, 256 bytes of nibbles, then 64 bytes of fifth bits.
struct Q5_0;

impl Packed for Q5_0 {
    const BLOCK_LEN: usize = 32;
    const FILE_BYTES: usize = 22;
    const PACKED_BYTES: usize = 352;
    const MAX: i32 = 31;
    const OFFSET: i32 = 16;
    const HALVES: bool = false;
    const HAS_MIN: bool = false;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, 0, row, out);
        pack::pack_nibbles(row, |column| LOW.get4(block, column), &mut out[32..]);
        pack::pack_plane::<1>(row, |column| HIGH.get4(block, column), &mut out[288..]);
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], _group: usize, row: usize, j: usize) -> S::B {
        s.or(pack::nibbles(s, block, 32, row, j), pack::bits_times_16(s, block, 288, row, j))
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], _group: usize, row: usize) -> [S::F; 2] {
        [pack::f16(s, block, 0, row); 2]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<22>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let d = get_f16(block, 0);
        for (c, out) in out.iter_mut().enumerate() {
            let q = LOW.get(block, c) | HIGH.get(block, c) << 4;
            *out = d * (i32::from(q) - 16) as f32;
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<22>().0) {
        block.fill(0);
        // The value of largest magnitude maps to −16, the end of the range that has one more step.
        let d = put_f16(block, 0, extreme(values) / -16.0);
        for (c, &v) in values.iter().enumerate() {
            let q = (nearest(v * inverse(d), -16.0, 15.0) + 16.0) as u8;
            LOW.put(block, c, q);
            HIGH.put(block, c, q >> 4);
        }
    }
}
