//! How eight rows lie interleaved in memory, and the trait by which a format tells.
//!
//! A *panel* is eight rows. Within it, blocks follow one another along the columns; a block holds one block of each
//! of the eight rows. In a block, columns come in *groups* of 32, and a group's quants unpack to eight vectors
//! of 32 bytes: byte 4l + i of vector j is column 4j + i of row l. So a kernel needs no shuffle and no horizontal
//! sum: each lane is one output row, and accumulates its groups in order.

use crate::simd::Simd;

/// Rows in a panel.
pub(crate) const PANEL_ROWS: usize = 8;
/// Columns in a group; activations have one scale for each.
pub(crate) const GROUP: usize = 32;

/// A quantized format as the kernels see it: w = scale · (q − OFFSET) + min, with q an integer.
pub(crate) trait Packed: Send + Sync + 'static {
    /// Columns in a block: a multiple of [`GROUP`].
    const BLOCK_LEN: usize;
    /// Bytes of a block of one row in the file.
    const FILE_BYTES: usize;
    /// Bytes of a packed block of eight rows.
    const PACKED_BYTES: usize;
    /// Largest q where q is unsigned; 0 where q is a signed byte.
    const MAX: i32;
    /// Subtracted from q.
    const OFFSET: i32;
    /// Whether scale (and min) change at column 16 of each group.
    const HALVES: bool;
    /// Whether there is a min.
    const HAS_MIN: bool;

    /// Interleaves one block of each of eight rows (`rows[l]` has `FILE_BYTES` bytes) into `out` (`PACKED_BYTES`).
    fn pack(rows: [&[u8]; PANEL_ROWS], out: &mut [u8]);
    /// The quants of a group of a packed block.
    fn quants<S: Simd>(s: S, block: &[u8], group: usize) -> [S::B; 8];
    /// Scale of columns 0–15 and 16–31 of each row; equal unless [`Packed::HALVES`].
    fn scales<S: Simd>(s: S, block: &[u8], group: usize) -> [S::F; 2];
    /// Min of columns 0–15 and 16–31 of each row, to be added; equal unless [`Packed::HALVES`]. Never called without [`Packed::HAS_MIN`].
    fn mins<S: Simd>(s: S, _block: &[u8], _group: usize) -> [S::F; 2] {
        [s.splat(0.0); 2]
    }
}

/// `bytes[at..at + N]` as an array.
#[inline(always)]
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    bytes[at..at + N].first_chunk().expect("a slice of N bytes")
}

/// Copies the two bytes at `at` of each row to `out`: eight f16 side by side.
pub(crate) fn pack_f16(rows: [&[u8]; PANEL_ROWS], at: usize, out: &mut [u8]) {
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(2)) {
        out.copy_from_slice(&row[at..at + 2]);
    }
}

/// Writes the quants of a group as nibbles, 128 bytes: vectors 0–3 low, 4–7 high. `q(row, column)` is 0…15.
pub(crate) fn pack_nibbles(q: impl Fn(usize, usize) -> u8, out: &mut [u8]) {
    for (k, out) in out.chunks_exact_mut(32).take(4).enumerate() {
        for (i, out) in out.iter_mut().enumerate() {
            let (row, column) = (i / 4, 4 * k + i % 4);
            *out = q(row, column) | q(row, column + 16) << 4;
        }
    }
}

/// What [`pack_nibbles`] wrote at `at`.
#[inline(always)]
pub(crate) fn nibbles<S: Simd>(s: S, block: &[u8], at: usize) -> [S::B; 8] {
    let v: [S::B; 4] = std::array::from_fn(|k| s.load_bytes(array(block, at + 32 * k)));
    std::array::from_fn(|j| if j < 4 { s.bits::<0>(v[j], 15) } else { s.bits::<4>(v[j - 4], 15) })
}

/// A format of floating-point numbers; columns follow one another, eight rows side by side.
pub(crate) trait PackedFloat: Send + Sync + 'static {
    /// Bytes of a number.
    const BYTES: usize;
    /// Eight numbers.
    fn load<S: Simd>(s: S, bytes: &[u8]) -> S::F;
}
