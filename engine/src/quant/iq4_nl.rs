//! IQ4_NL: blocks of 32; an f16 scale d, then 16 bytes of nibbles as in Q4_0 that choose from a table.
//! Value: d · TABLE\[q\].

use super::field::{Field, get_f16, put_f16};
use super::fit::{extreme, inverse};
use super::pack::{self, Packed};
use super::{Format, Integer};
use crate::simd::Simd;

pub(super) static FORMAT: Format = Format {
    name: "IQ4_NL",
    gguf_id: 20,
    block_len: 32,
    block_bytes: 18,
    decode,
    encode,
    packing: &Integer::<Iq4Nl>::NEW,
};

const QUANTS: Field = Field { at: 2, width: 4, stride: 16 };

/// The levels, from the definition of the format: closer together near 0.
const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Packed: 16 f16 scales, then 256 bytes of nibbles.
struct Iq4Nl;

impl Packed for Iq4Nl {
    const BLOCK_LEN: usize = 32;
    const FILE_BYTES: usize = 18;
    const PACKED_BYTES: usize = 288;
    const MAX: i32 = 0;
    const OFFSET: i32 = 0;
    const HALVES: bool = false;
    const HAS_MIN: bool = false;

    fn pack(block: &[u8], row: usize, out: &mut [u8]) {
        pack::pack_f16(block, 0, row, out);
        pack::pack_nibbles(row, |column| QUANTS.get4(block, column), &mut out[32..]);
    }
    #[inline(always)]
    fn quants<S: Simd>(s: S, block: &[u8], _group: usize, row: usize, j: usize) -> S::B {
        s.lookup(&TABLE, pack::nibbles(s, block, 32, row, j))
    }
    #[inline(always)]
    fn scales<S: Simd>(s: S, block: &[u8], _group: usize, row: usize) -> [S::F; 2] {
        [pack::f16(s, block, 0, row); 2]
    }
}

fn decode(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<18>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let d = get_f16(block, 0);
        for (c, out) in out.iter_mut().enumerate() {
            *out = d * f32::from(TABLE[usize::from(QUANTS.get(block, c))]);
        }
    }
}

fn encode(values: &[f32], out: &mut [u8]) {
    for (values, block) in values.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<18>().0) {
        block.fill(0);
        // The value of largest magnitude maps to the level of largest magnitude.
        let inverse = inverse(put_f16(block, 0, extreme(values) / f32::from(TABLE[0])));
        for (c, &v) in values.iter().enumerate() {
            QUANTS.put(block, c, nearest_level(v * inverse));
        }
    }
}

/// The index of the level nearest to `v`: how many midpoints between levels are below it.
fn nearest_level(v: f32) -> u8 {
    TABLE.windows(2).map(|w| u8::from(v > (f32::from(w[0]) + f32::from(w[1])) / 2.0)).sum()
}
