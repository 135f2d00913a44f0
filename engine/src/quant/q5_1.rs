//! Q5_1: blocks of 32; f16 scale d and min m, 4 bytes with the fifth bit of each column, 16 bytes of nibbles as in
//! Q4_0. Value: d · q + m.

use super::field::{Field, get_f16, put_f16};
use super::fit::{Line, range};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "Q5_1",
    gguf_id: 7,
    block_len: 32,
    block_bytes: 24,
    decode,
    encode,
    packing: &Integer::<Q5_1>::NEW,
};

const HIGH: Field = Field { at: 4, width: 1, stride: 1 };
const LOW: Field = Field { at: 8, width: 4, stride: 16 };

/// Packed: 16 f16 scales, 16 f16 mins, 256 bytes of nibbles, then 64 bytes of fifth bits.
struct Q5_1;

impl Packed for Q5_1 {
    const BLOCK_LEN: usize = 32;
    const FILE_BYTES: usize = 24;
    const PACKED_BYTES: usize = 384;
    const MAX: i32 = 31;
    const OFFSET: i32 = 0;
    const HALVES: bool = false;
    const HAS_MIN: bool = true;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, 0, row, out);
        pack::pack_f16(block, 2, row, &mut out[32..]);
        pack::pack_nibbles(row, |column| LOW.get4(block, column), &mut out[64..]);
        pack::pack_plane::<1>(row, |column| HIGH.get4(block, column), &mut out[320..]);
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], _group: usize, row: usize, j: usize) -> S::B {
        s.or(pack::nibbles(s, block, 64, row, j), pack::bits_times_16(s, block, 320, row, j))
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], _group: usize, row: usize) -> [S::F; 2] {
        [pack::f16(s, block, 0, row); 2]
    }
    #[inline(always)]
    fn mins<S: Simd>(s: S, block: &[u8], _group: usize, row: usize) -> [S::F; 2] {
        [pack::f16(s, block, 32, row); 2]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<24>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let (d, m) = (get_f16(block, 0), get_f16(block, 2));
        for (c, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(LOW.get(block, c) | HIGH.get(block, c) << 4) + m;
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<24>().0) {
        block.fill(0);
        let (lo, hi) = range(values);
        let line = Line { scale: put_f16(block, 0, (hi - lo) / 31.0), min: put_f16(block, 2, lo) };
        for (c, &v) in values.iter().enumerate() {
            let q = line.level(v, 0.0, 31.0) as u8;
            LOW.put(block, c, q);
            HIGH.put(block, c, q >> 4);
        }
    }
}
