//! Q8_0: blocks of 32; an f16 scale d, then 32 signed bytes. Value: d · q.

use super::field::{Field, get_f16, put_f16};
use super::fit::{extreme, inverse, nearest};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "Q8_0",
    gguf_id: 8,
    block_len: 32,
    block_bytes: 34,
    decode,
    encode,
    packing: &Integer::<Q8_0>::NEW,
};

const QUANTS: Field = Field { at: 2, width: 8, stride: 32 };

/// Packed: 16 f16 scales, then 512 signed bytes.
struct Q8_0;

impl Packed for Q8_0 {
    const BLOCK_LEN: usize = 32;
    const FILE_BYTES: usize = 34;
    const PACKED_BYTES: usize = 544;
    const MAX: i32 = 0;
    const OFFSET: i32 = 0;
    const HALVES: bool = false;
    const HAS_MIN: bool = false;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, 0, row, out);
        pack::pack_plane::<8>(row, |column| QUANTS.get4(block, column), &mut out[32..]);
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], _group: usize, row: usize, j: usize) -> S::B {
        pack::bytes(s, block, 32, row, j)
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], _group: usize, row: usize) -> [S::F; 2] {
        [pack::f16(s, block, 0, row); 2]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<34>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let d = get_f16(block, 0);
        for (out, &q) in out.iter_mut().zip(&block[2..]) {
            *out = d * f32::from(q as i8);
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<34>().0) {
        let inverse = inverse(put_f16(block, 0, extreme(values).abs() / 127.0));
        for (&v, q) in values.iter().zip(&mut block[2..]) {
            *q = nearest(v * inverse, -127.0, 127.0) as i8 as u8;
        }
    }
}
