//! How eight rows lie interleaved in memory, and the trait by which a format tells.
//!
//! A *panel* is sixteen rows. Within it, blocks follow one another along the columns; a block holds one block of each
//! of the rows. In a block, columns come in *groups* of 32, and a group's quants unpack to eight vectors
//! of 64 bytes: byte 4l + i of vector j is column 4j + i of row l. So a kernel needs no shuffle and no horizontal
//! sum: each lane is one output row, and accumulates its groups in order. A level of eight lanes takes rows 0–7, then
//! rows 8–15: `row` is the first row of a vector.
//!
//! What runs inside kernels has no closures: one that is not inlined is compiled without the level's instructions.

pub(crate) use crate::simd::GROUP;
use crate::simd::Simd;

/// Rows in a panel.
pub(crate) const PANEL_ROWS: usize = 16;

/// A quantized format as the kernels see it: w = scale · (q − OFFSET) + min, with q an integer.
pub(crate) trait Packed: Send + Sync + 'static {
    /// Columns in a block: a multiple of [`GROUP`].
    const BLOCK_LEN: usize;
    /// Bytes of a block of one row in the file.
    const FILE_BYTES: usize;
    /// Bytes of a packed block of a panel.
    const PACKED_BYTES: usize;
    /// Largest q where q is unsigned; 0 where q is a signed byte.
    const MAX: i32;
    /// Subtracted from q.
    const OFFSET: i32;
    /// Whether scale (and min) change at column 16 of each group.
    const HALVES: bool;
    /// Whether there is a min.
    const HAS_MIN: bool;

    /// Whether prefill takes two panels at once where a level gains by it: where a block is one group with one scale. (Others were slower.)
    const PAIRS: bool = Self::BLOCK_LEN == GROUP && !Self::HALVES;

    /// Puts the block of a row (`FILE_BYTES`) into its place in a packed block (`PACKED_BYTES`).
    fn pack(block: &[u8], row: usize, out: &mut [u8]);
    /// Vector `j` of the eight of a group of a packed block.
    fn quants<S: Simd>(s: S, block: &[u8], group: usize, row: usize, j: usize) -> S::B;
    /// Scale of columns 0–15 and 16–31 of each row; equal unless [`Packed::HALVES`].
    fn scales<S: Simd>(s: S, block: &[u8], group: usize, row: usize) -> [S::F; 2];
    /// Min of columns 0–15 and 16–31 of each row, to be added; equal unless [`Packed::HALVES`]. Never called without [`Packed::HAS_MIN`].
    fn mins<S: Simd>(s: S, _block: &[u8], _group: usize, _row: usize) -> [S::F; 2] {
        [s.splat(0.0); 2]
    }
}

/// Copies the two bytes at `at` of a row's block to their place: f16 side by side.
#[inline(always)]
pub(crate) fn pack_f16(block: &[u8], at: usize, row: usize, out: &mut [u8]) {
    out[2 * row..2 * row + 2].copy_from_slice(&block[at..at + 2]);
}

/// Writes `W` bits of each quant of a row's group, which has 64 · `W` bytes: vector j is in bytes 64 (j mod W)…, from bit W ⌊j / W⌋.
/// `four(column)` are the quants of four columns, each below 2^W, the first in the lowest byte.
#[inline(always)]
pub(crate) fn pack_plane<const W: usize>(row: usize, four: impl Fn(usize) -> u32, out: &mut [u8]) {
    for (k, out) in out.as_chunks_mut::<{ 4 * PANEL_ROWS }>().0.iter_mut().take(W).enumerate() {
        let word = (0..8 / W).fold(0, |word, n| word | four(4 * k + 4 * W * n) << (W * n));
        out.as_chunks_mut::<4>().0[row] = word.to_le_bytes();
    }
}

/// Writes the quants of a row's group as nibbles, 256 bytes: vectors 0–3 low, 4–7 high.
#[inline(always)]
pub(crate) fn pack_nibbles(row: usize, four: impl Fn(usize) -> u32, out: &mut [u8]) {
    pack_plane::<4>(row, four, out);
}

/// The quants of a row's half of vector `j` of a plane at `at`.
#[inline(always)]
fn vector<S: Simd>(s: S, block: &[u8], at: usize, j: usize, row: usize) -> S::B {
    s.load_bytes(&block[at + 4 * (PANEL_ROWS * j + row)..])
}

/// Vector `j` of what [`pack_plane`] of eight bits wrote at `at`.
#[inline(always)]
pub(crate) fn bytes<S: Simd>(s: S, block: &[u8], at: usize, row: usize, j: usize) -> S::B {
    vector(s, block, at, j, row)
}

/// Vector `j` of what [`pack_nibbles`] wrote at `at`.
#[inline(always)]
pub(crate) fn nibbles<S: Simd>(s: S, block: &[u8], at: usize, row: usize, j: usize) -> S::B {
    let v = vector(s, block, at, j % 4, row);
    if j < 4 { s.bits::<0>(v, 15) } else { s.bits::<4>(v, 15) }
}

/// Vector `j` of what [`pack_plane`] of two bits wrote at `at`.
#[inline(always)]
pub(crate) fn pairs<S: Simd>(s: S, block: &[u8], at: usize, row: usize, j: usize) -> S::B {
    let v = vector(s, block, at, j % 2, row);
    match j / 2 {
        0 => s.bits::<0>(v, 3),
        1 => s.bits::<2>(v, 3),
        2 => s.bits::<4>(v, 3),
        _ => s.bits::<6>(v, 3),
    }
}

/// The same, times 16.
#[inline(always)]
pub(crate) fn pairs_times_16<S: Simd>(s: S, block: &[u8], at: usize, row: usize, j: usize) -> S::B {
    let v = vector(s, block, at, j % 2, row);
    match j / 2 {
        0 => s.bits_up::<4>(v, 0x30),
        1 => s.bits_up::<2>(v, 0x30),
        2 => s.bits::<0>(v, 0x30),
        _ => s.bits::<2>(v, 0x30),
    }
}

/// Vector `j` of what [`pack_plane`] of one bit wrote at `at`, times 4.
#[inline(always)]
pub(crate) fn bits_times_4<S: Simd>(s: S, block: &[u8], at: usize, row: usize, j: usize) -> S::B {
    let v = vector(s, block, at, 0, row);
    match j {
        0 => s.bits_up::<2>(v, 4),
        1 => s.bits_up::<1>(v, 4),
        2 => s.bits::<0>(v, 4),
        3 => s.bits::<1>(v, 4),
        4 => s.bits::<2>(v, 4),
        5 => s.bits::<3>(v, 4),
        6 => s.bits::<4>(v, 4),
        _ => s.bits::<5>(v, 4),
    }
}

/// The same, times 16.
#[inline(always)]
pub(crate) fn bits_times_16<S: Simd>(s: S, block: &[u8], at: usize, row: usize, j: usize) -> S::B {
    let v = vector(s, block, at, 0, row);
    match j {
        0 => s.bits_up::<4>(v, 16),
        1 => s.bits_up::<3>(v, 16),
        2 => s.bits_up::<2>(v, 16),
        3 => s.bits_up::<1>(v, 16),
        4 => s.bits::<0>(v, 16),
        5 => s.bits::<1>(v, 16),
        6 => s.bits::<2>(v, 16),
        _ => s.bits::<3>(v, 16),
    }
}

/// The f16 of each row that [`pack_f16`] wrote at `at`.
#[inline(always)]
pub(crate) fn f16<S: Simd>(s: S, block: &[u8], at: usize, row: usize) -> S::F {
    s.load_f16(&block[at + 2 * row..])
}

/// The f16 at `d` times the unsigned bytes at `scales`.
#[inline(always)]
pub(crate) fn f16_times_u8<S: Simd>(s: S, block: &[u8], d: usize, scales: usize, row: usize) -> S::F {
    s.mul(f16(s, block, d, row), s.load_u8(&block[scales + row..]))
}

/// The f16 at `d` times the signed bytes at `scales`.
#[inline(always)]
pub(crate) fn f16_times_i8<S: Simd>(s: S, block: &[u8], d: usize, scales: usize, row: usize) -> S::F {
    s.mul(f16(s, block, d, row), s.load_i8(&block[scales + row..]))
}

/// A format of floating-point numbers that are widened to f32; columns follow one another, the rows of a panel side by side.
pub(crate) trait PackedFloat: Send + Sync + 'static {
    /// Bytes of a number.
    const BYTES: usize;
    /// A number of each lane.
    fn load<S: Simd>(s: S, bytes: &[u8]) -> S::F;
}
