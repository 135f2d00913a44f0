//! Q6_K: blocks of 256 in 16 sub-blocks of 16; 128 bytes of nibbles, 64 bytes with the upper two bits, 16 signed
//! scales, f16 d. Value: d · scale · (q − 32).

use super::field::{Field, get_f16, put_f16};
use super::fit::{extreme, inverse, nearest, symmetric};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "Q6_K",
    gguf_id: 14,
    block_len: 256,
    block_bytes: 210,
    decode,
    encode,
    packing: &Integer::<Q6K>::NEW,
};

const LOW: Field = Field { at: 0, width: 4, stride: 64 };
const HIGH: Field = Field { at: 128, width: 2, stride: 32 };
const SCALES: usize = 192;
const D: usize = 208;

/// Packed: 16 f16 d, 16 signed scales for each sub-block, then for each group 256 bytes of nibbles and 128 of
/// upper bits.
struct Q6K;

impl Packed for Q6K {
    const BLOCK_LEN: usize = 256;
    const FILE_BYTES: usize = 210;
    const PACKED_BYTES: usize = 3360;
    const MAX: i32 = 63;
    const OFFSET: i32 = 32;
    const HALVES: bool = true;
    const HAS_MIN: bool = false;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, D, row, out);
        for (i, out) in out[32..288].chunks_exact_mut(16).enumerate() {
            out[row] = block[SCALES + i];
        }
        for (group, out) in out[288..].chunks_exact_mut(384).enumerate() {
            pack::pack_nibbles(row, |column| LOW.get4(block, 32 * group + column), out);
            pack::pack_plane::<2>(row, |column| HIGH.get4(block, 32 * group + column), &mut out[256..]);
        }
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], group: usize, row: usize, j: usize) -> S::B {
        let at = 288 + 384 * group;
        s.or(pack::nibbles(s, block, at, row, j), pack::pairs_times_16(s, block, at + 256, row, j))
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], group: usize, row: usize) -> [S::F; 2] {
        let at = 32 + 32 * group;
        [pack::f16_times_i8(s, block, 0, at, row), pack::f16_times_i8(s, block, 0, at + 16, row)]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<210>().0.iter().zip(out.as_chunks_mut::<256>().0) {
        let d = get_f16(block, D);
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(block[SCALES + i] as i8);
            for (c, out) in out.iter_mut().enumerate() {
                let q = LOW.get(block, 16 * i + c) | HIGH.get(block, 16 * i + c) << 4;
                *out = scale * (i32::from(q) - 32) as f32;
            }
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<256>().0.iter().zip(out.as_chunks_mut::<210>().0) {
        block.fill(0);
        let values = values.as_chunks::<16>().0;
        let scales: [_; 16] = std::array::from_fn(|i| symmetric(&values[i], -32.0));
        let d = put_f16(block, D, extreme(&scales) / -128.0);
        for (i, (values, scale)) in values.iter().zip(scales).enumerate() {
            let scale = nearest(scale * inverse(d), -128.0, 127.0);
            block[SCALES + i] = scale as i8 as u8;
            for (c, &v) in values.iter().enumerate() {
                let q = (nearest(v * inverse(d * scale), -32.0, 31.0) + 32.0) as u8;
                LOW.put(block, 16 * i + c, q);
                HIGH.put(block, 16 * i + c, q >> 4);
            }
        }
    }
}
