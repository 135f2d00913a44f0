//! Q3_K: blocks of 256 in 16 sub-blocks of 16; 32 bytes of third bits, 64 bytes of pairs of bits, 12 bytes of six-bit
//! scales (8 of nibbles, 4 of pairs), f16 d. Value: d · (scale − 32) · (q − 4).

use super::field::{Field, get_f16, put_f16};
use super::fit::{extreme, inverse, nearest, symmetric};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "Q3_K",
    gguf_id: 11,
    block_len: 256,
    block_bytes: 110,
    decode,
    encode,
    packing: &Integer::<Q3K>::NEW,
};

const HIGH: Field = Field { at: 0, width: 1, stride: 32 };
const LOW: Field = Field { at: 32, width: 2, stride: 32 };
const SCALE_LOW: Field = Field { at: 96, width: 4, stride: 8 };
const SCALE_HIGH: Field = Field { at: 104, width: 2, stride: 4 };
const D: usize = 108;

/// Packed: 16 f16 d, 16 signed scales for each sub-block, then for each group 128 bytes of pairs and 64 of third
/// bits.
struct Q3K;

impl Packed for Q3K {
    const BLOCK_LEN: usize = 256;
    const FILE_BYTES: usize = 110;
    const PACKED_BYTES: usize = 1824;
    const MAX: i32 = 7;
    const OFFSET: i32 = 4;
    const HALVES: bool = true;
    const HAS_MIN: bool = false;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, D, row, out);
        for (i, out) in out[32..288].chunks_exact_mut(16).enumerate() {
            out[row] = scale(block, i) as u8;
        }
        for (group, out) in out[288..].chunks_exact_mut(192).enumerate() {
            pack::pack_plane::<2>(row, |column| LOW.get4(block, 32 * group + column), out);
            pack::pack_plane::<1>(row, |column| HIGH.get4(block, 32 * group + column), &mut out[128..]);
        }
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], group: usize, row: usize, j: usize) -> S::B {
        let at = 288 + 192 * group;
        s.or(pack::pairs(s, block, at, row, j), pack::bits_times_4(s, block, at + 128, row, j))
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], group: usize, row: usize) -> [S::F; 2] {
        let at = 32 + 32 * group;
        [pack::f16_times_i8(s, block, 0, at, row), pack::f16_times_i8(s, block, 0, at + 16, row)]
    }
}

/// The scale of a sub-block, −32…31.
fn scale(block: &[u8], i: usize) -> i8 {
    (SCALE_LOW.get(block, i) | SCALE_HIGH.get(block, i) << 4) as i8 - 32
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<110>().0.iter().zip(out.as_chunks_mut::<256>().0) {
        let d = get_f16(block, D);
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scale(block, i));
            for (c, out) in out.iter_mut().enumerate() {
                let q = LOW.get(block, 16 * i + c) | HIGH.get(block, 16 * i + c) << 2;
                *out = scale * (i32::from(q) - 4) as f32;
            }
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<256>().0.iter().zip(out.as_chunks_mut::<110>().0) {
        block.fill(0);
        let values = values.as_chunks::<16>().0;
        let scales: [_; 16] = std::array::from_fn(|i| symmetric(&values[i], -4.0));
        let d = put_f16(block, D, extreme(&scales) / -32.0);
        for (i, (values, scale)) in values.iter().zip(scales).enumerate() {
            let scale = nearest(scale * inverse(d), -32.0, 31.0);
            SCALE_LOW.put(block, i, (scale + 32.0) as u8);
            SCALE_HIGH.put(block, i, (scale + 32.0) as u8 >> 4);
            for (c, &v) in values.iter().enumerate() {
                let q = (nearest(v * inverse(d * scale), -4.0, 3.0) + 4.0) as u8;
                LOW.put(block, 16 * i + c, q);
                HIGH.put(block, 16 * i + c, q >> 2);
            }
        }
    }
}
