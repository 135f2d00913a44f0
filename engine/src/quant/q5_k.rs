//! Q5_K: blocks of 256 in 8 sub-blocks of 32; f16 d and dmin, 12 bytes with a six-bit scale and min of each sub-block,
//! 32 bytes of fifth bits, 128 bytes of nibbles. Value: d · scale · q − dmin · min.

use super::field::{Field, get_f16, get_scale_min, put_f16, put_scale_min};
use super::fit::{affine, largest};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "Q5_K",
    gguf_id: 13,
    block_len: 256,
    block_bytes: 176,
    decode,
    encode,
    packing: &Integer::<Q5K>::NEW,
};

const HIGH: Field = Field { at: 16, width: 1, stride: 32 };
const LOW: Field = Field { at: 48, width: 4, stride: 32 };

/// Packed: 16 f16 d, 16 f16 dmin, 16 scales for each group, 16 mins for each, then for each group 128 bytes
/// of nibbles and 64 of fifth bits.
struct Q5K;

impl Packed for Q5K {
    const BLOCK_LEN: usize = 256;
    const FILE_BYTES: usize = 176;
    const PACKED_BYTES: usize = 2880;
    const MAX: i32 = 31;
    const OFFSET: i32 = 0;
    const HALVES: bool = false;
    const HAS_MIN: bool = true;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, 0, row, out);
        pack::pack_f16(block, 2, row, &mut out[32..]);
        for i in 0..8 {
            let (scale, min) = get_scale_min(&block[4..16], i);
            out[64 + 16 * i + row] = scale;
            out[192 + 16 * i + row] = min;
        }
        for (group, out) in out[320..].chunks_exact_mut(320).enumerate() {
            pack::pack_nibbles(row, |column| LOW.get4(block, 32 * group + column), out);
            pack::pack_plane::<1>(row, |column| HIGH.get4(block, 32 * group + column), &mut out[256..]);
        }
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], group: usize, row: usize, j: usize) -> S::B {
        let at = 320 + 320 * group;
        s.or(pack::nibbles(s, block, at, row, j), pack::bits_times_16(s, block, at + 256, row, j))
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], group: usize, row: usize) -> [S::F; 2] {
        [pack::f16_times_u8(s, block, 0, 64 + 16 * group, row); 2]
    }
    #[inline(always)]
    fn mins<S: Simd>(s: S, block: &[u8], group: usize, row: usize) -> [S::F; 2] {
        [s.sub(s.splat(0.0), pack::f16_times_u8(s, block, 32, 192 + 16 * group, row)); 2]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<176>().0.iter().zip(out.as_chunks_mut::<256>().0) {
        let (d, dmin) = (get_f16(block, 0), get_f16(block, 2));
        for (i, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = get_scale_min(&block[4..16], i);
            let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
            for (c, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(LOW.get(block, 32 * i + c) | HIGH.get(block, 32 * i + c) << 4) - min;
            }
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<256>().0.iter().zip(out.as_chunks_mut::<176>().0) {
        block.fill(0);
        let values = values.as_chunks::<32>().0;
        let lines: [_; 8] = std::array::from_fn(|i| affine(&values[i], 31.0));
        let (scale, min) = largest(&lines);
        let (d, dmin) = (put_f16(block, 0, scale / 63.0), put_f16(block, 2, min / 63.0));
        for (i, (values, line)) in values.iter().zip(lines).enumerate() {
            let (scale, min, line) = line.in_steps(d, dmin, 63.0);
            put_scale_min(&mut block[4..16], i, scale, min);
            for (c, &v) in values.iter().enumerate() {
                let q = line.level(v, 0.0, 31.0) as u8;
                LOW.put(block, 32 * i + c, q);
                HIGH.put(block, 32 * i + c, q >> 4);
            }
        }
    }
}
