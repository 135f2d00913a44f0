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

/// Writes a value of each row at its place: `out[l]` is `value(rows[l])`.
pub(crate) fn pack_bytes(rows: [&[u8]; PANEL_ROWS], value: impl Fn(&[u8]) -> u8, out: &mut [u8]) {
    for (row, out) in rows.iter().zip(out) {
        *out = value(row);
    }
}

/// Writes `W` bits of each quant of a group, 32 · `W` bytes: vector j is in bytes 32 (j mod W)…, from bit W ⌊j / W⌋.
/// `q(row, column)` is below 2^W.
pub(crate) fn pack_plane<const W: usize>(q: impl Fn(usize, usize) -> u8, out: &mut [u8]) {
    for (k, out) in out.chunks_exact_mut(32).take(W).enumerate() {
        for (i, out) in out.iter_mut().enumerate() {
            let (row, column) = (i / 4, 4 * k + i % 4);
            *out = (0..8 / W).fold(0, |byte, n| byte | q(row, column + 4 * W * n) << (W * n));
        }
    }
}

/// Writes the quants of a group as nibbles, 128 bytes: vectors 0–3 low, 4–7 high. `q(row, column)` is 0…15.
pub(crate) fn pack_nibbles(q: impl Fn(usize, usize) -> u8, out: &mut [u8]) {
    pack_plane::<4>(q, out);
}

/// What [`pack_plane`] of eight bits wrote at `at`.
#[inline(always)]
pub(crate) fn bytes<S: Simd>(s: S, block: &[u8], at: usize) -> [S::B; 8] {
    std::array::from_fn(|j| s.load_bytes(array(block, at + 32 * j)))
}

/// What [`pack_nibbles`] wrote at `at`.
#[inline(always)]
pub(crate) fn nibbles<S: Simd>(s: S, block: &[u8], at: usize) -> [S::B; 8] {
    let v: [S::B; 4] = std::array::from_fn(|k| s.load_bytes(array(block, at + 32 * k)));
    std::array::from_fn(|j| if j < 4 { s.bits::<0>(v[j], 15) } else { s.bits::<4>(v[j - 4], 15) })
}

/// What [`pack_plane`] of two bits wrote at `at`.
#[inline(always)]
pub(crate) fn pairs<S: Simd>(s: S, block: &[u8], at: usize) -> [S::B; 8] {
    let [a, b] = [s.load_bytes(array(block, at)), s.load_bytes(array(block, at + 32))];
    [
        s.bits::<0>(a, 3),
        s.bits::<0>(b, 3),
        s.bits::<2>(a, 3),
        s.bits::<2>(b, 3),
        s.bits::<4>(a, 3),
        s.bits::<4>(b, 3),
        s.bits::<6>(a, 3),
        s.bits::<6>(b, 3),
    ]
}

/// What [`pack_plane`] of two bits wrote at `at`, times 16.
#[inline(always)]
pub(crate) fn pairs_times_16<S: Simd>(s: S, block: &[u8], at: usize) -> [S::B; 8] {
    let [a, b] = [s.load_bytes(array(block, at)), s.load_bytes(array(block, at + 32))];
    [
        s.bits_up::<4>(a, 0x30),
        s.bits_up::<4>(b, 0x30),
        s.bits_up::<2>(a, 0x30),
        s.bits_up::<2>(b, 0x30),
        s.bits::<0>(a, 0x30),
        s.bits::<0>(b, 0x30),
        s.bits::<2>(a, 0x30),
        s.bits::<2>(b, 0x30),
    ]
}

/// What [`pack_plane`] of one bit wrote at `at`, times 4.
#[inline(always)]
pub(crate) fn bits_times_4<S: Simd>(s: S, block: &[u8], at: usize) -> [S::B; 8] {
    let v = s.load_bytes(array(block, at));
    [
        s.bits_up::<2>(v, 4),
        s.bits_up::<1>(v, 4),
        s.bits::<0>(v, 4),
        s.bits::<1>(v, 4),
        s.bits::<2>(v, 4),
        s.bits::<3>(v, 4),
        s.bits::<4>(v, 4),
        s.bits::<5>(v, 4),
    ]
}

/// What [`pack_plane`] of one bit wrote at `at`, times 16.
#[inline(always)]
pub(crate) fn bits_times_16<S: Simd>(s: S, block: &[u8], at: usize) -> [S::B; 8] {
    let v = s.load_bytes(array(block, at));
    [
        s.bits_up::<4>(v, 16),
        s.bits_up::<3>(v, 16),
        s.bits_up::<2>(v, 16),
        s.bits_up::<1>(v, 16),
        s.bits::<0>(v, 16),
        s.bits::<1>(v, 16),
        s.bits::<2>(v, 16),
        s.bits::<3>(v, 16),
    ]
}

/// Joins the low and the high bits of quants.
#[inline(always)]
pub(crate) fn or<S: Simd>(s: S, low: [S::B; 8], high: [S::B; 8]) -> [S::B; 8] {
    std::array::from_fn(|j| s.or(low[j], high[j]))
}

/// Eight f16 at `d` times eight unsigned bytes at `scales`.
#[inline(always)]
pub(crate) fn f16_times_u8<S: Simd>(s: S, block: &[u8], d: usize, scales: usize) -> S::F {
    s.mul(s.load_f16(array(block, d)), s.load_u8(array(block, scales)))
}

/// Eight f16 at `d` times eight signed bytes at `scales`.
#[inline(always)]
pub(crate) fn f16_times_i8<S: Simd>(s: S, block: &[u8], d: usize, scales: usize) -> S::F {
    s.mul(s.load_f16(array(block, d)), s.load_i8(array(block, scales)))
}

/// A format of floating-point numbers; columns follow one another, eight rows side by side.
pub(crate) trait PackedFloat: Send + Sync + 'static {
    /// Bytes of a number.
    const BYTES: usize;
    /// Eight numbers.
    fn load<S: Simd>(s: S, bytes: &[u8]) -> S::F;
}
