//! Q2_K: blocks of 256 in 16 sub-blocks of 16; 16 bytes with a four-bit scale (low) and min (high) of each sub-block,
//! 64 bytes of quants of two bits, f16 d and dmin. Value: d · scale · q − dmin · min.

use super::field::{Field, get_f16, put_f16};
use super::fit::{affine, largest};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "Q2_K",
    gguf_id: 10,
    block_len: 256,
    block_bytes: 84,
    decode,
    encode,
    packing: &Integer::<Q2K>::NEW,
};

const SCALE: Field = Field { at: 0, width: 4, stride: 16 };
const QUANTS: Field = Field { at: 16, width: 2, stride: 32 };
const D: usize = 80;
const DMIN: usize = 82;

/// Packed: 16 f16 d, 16 f16 dmin, 16 bytes of scale and min for each sub-block, then 128 bytes of quants for
/// each group.
struct Q2K;

impl Packed for Q2K {
    const BLOCK_LEN: usize = 256;
    const FILE_BYTES: usize = 84;
    const PACKED_BYTES: usize = 1344;
    const MAX: i32 = 3;
    const OFFSET: i32 = 0;
    const HALVES: bool = true;
    const HAS_MIN: bool = true;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, D, row, out);
        pack::pack_f16(block, DMIN, row, &mut out[32..]);
        for (i, out) in out[64..320].chunks_exact_mut(16).enumerate() {
            out[row] = block[i];
        }
        for (group, out) in out[320..].chunks_exact_mut(128).enumerate() {
            pack::pack_plane::<2>(row, |column| QUANTS.get4(block, 32 * group + column), out);
        }
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], group: usize, row: usize, j: usize) -> S::B {
        pack::pairs(s, block, 320 + 128 * group, row, j)
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], group: usize, row: usize) -> [S::F; 2] {
        let d = pack::f16(s, block, 0, row);
        let at = 64 + 32 * group + row;
        [s.mul(d, s.load_u4(&block[at..])[0]), s.mul(d, s.load_u4(&block[at + 16..])[0])]
    }
    #[inline(always)]
    fn mins<S: Simd>(s: S, block: &[u8], group: usize, row: usize) -> [S::F; 2] {
        let dmin = s.sub(s.splat(0.0), pack::f16(s, block, 32, row));
        let at = 64 + 32 * group + row;
        [s.mul(dmin, s.load_u4(&block[at..])[1]), s.mul(dmin, s.load_u4(&block[at + 16..])[1])]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<84>().0.iter().zip(out.as_chunks_mut::<256>().0) {
        let (d, dmin) = (get_f16(block, D), get_f16(block, DMIN));
        for (i, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(SCALE.get(block, i));
            let min = dmin * f32::from(SCALE.get(block, i + 16));
            for (c, out) in out.iter_mut().enumerate() {
                *out = scale * f32::from(QUANTS.get(block, 16 * i + c)) - min;
            }
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<256>().0.iter().zip(out.as_chunks_mut::<84>().0) {
        block.fill(0);
        let values = values.as_chunks::<16>().0;
        let lines: [_; 16] = std::array::from_fn(|i| affine(&values[i], 3.0));
        let (scale, min) = largest(&lines);
        let (d, dmin) = (put_f16(block, D, scale / 15.0), put_f16(block, DMIN, min / 15.0));
        for (i, (values, line)) in values.iter().zip(lines).enumerate() {
            let (scale, min, line) = line.in_steps(d, dmin, 15.0);
            SCALE.put(block, i, scale);
            SCALE.put(block, i + 16, min);
            for (c, &v) in values.iter().enumerate() {
                QUANTS.put(block, 16 * i + c, line.level(v, 0.0, 3.0) as u8);
            }
        }
    }
}
