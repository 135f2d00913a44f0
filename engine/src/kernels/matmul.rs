//! Packed matrix times activations. Each lane is one (row, token) pair that accumulates its groups in order, so the
//! order of panels, tokens and blocks of columns changes the speed and never the bits.

use crate::quant::pack::{PANEL_ROWS, Packed, PackedFloat};
use crate::simd::{Columns, GROUP, Group, Op, Quants, Simd};
use std::marker::PhantomData;
use std::num::NonZero;

/// Panels that decode walks at once: as many streams from memory. With lines asked for early enough, more do not help.
const STREAMS: usize = 2;
/// Columns after which the next panel has its turn: a panel's and a few tokens' share of them fit the first cache.
const COLUMNS_AT_ONCE: usize = 1024;
/// How many bytes ahead a prompt of one tile asks for lines.
const SHORT_AHEAD: NonZero<usize> = NonZero::new(8192).expect("not 0");

/// How many bytes further lines are asked for, if they are.
pub(crate) type Ahead = Option<NonZero<usize>>;

/// How panels are read from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Decode walks several streams at once instead of one.
    pub several: bool,
    /// Lines are asked for ahead of their use: at decode so many bytes ahead in the same stream, at prefill [`SHORT_AHEAD`] or a
    /// panel ahead.
    pub ahead: Ahead,
}

/// Panels of a packed matrix, and how they are to be read.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub data: &'a [u8],
    pub walk: Walk,
}

/// The activations of `tokens` tokens, in tiles of [`tile_tokens`]: of a tile of n, element i of token t is at n i + t, so that a
/// product of panels and a tile reads both from one end to the other.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// \[tokens, cols\] in tiles; empty where no matrix of f32 or f16 reads them.
    pub floats: &'a [f32],
    /// \[tokens, words of a row\] in tiles ([`Level::words`]); empty where no matrix of bf16 reads them.
    pub bf16s: &'a [u32],
    /// \[tokens, cols / 32\] in tiles; empty where no quantized matrix reads them.
    pub groups: &'a [Group],
    pub cols: usize,
    pub tokens: usize,
}

/// Tokens of the next tile where `left` tokens are left, of which the level takes at most `most`.
pub(crate) fn tile_tokens(left: usize, most: usize) -> usize {
    left.min(most)
}

/// How a kind of format multiplies.
pub(crate) trait Kernel {
    /// What activations are read as.
    type X: 'static;
    /// Bytes of a block of a panel.
    const BYTES: usize;
    /// Columns of a block; the last one may have fewer where columns come one by one or in pairs.
    const COLS: usize;

    /// `X`s of a block.
    fn xs<S: Simd>() -> usize;
    /// All activations, \[tokens, `X`s of a row\] in tiles.
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [Self::X];
    /// Adds the products of a block of the rows from `row` on with those of a tile of `T` tokens. What lies `ahead` bytes
    /// further is asked for on the way.
    fn block<S: Simd, const T: usize>(
        s: S,
        block: &[u8],
        row: usize,
        x: &[Self::X],
        ahead: Ahead,
        acc: &mut [S::F; T],
    );
}

/// Panels times activations.
pub(crate) struct Matmul<'a, K> {
    pub panels: Panels<'a>,
    pub panel_bytes: usize,
    pub input: Input<'a>,
    /// \[panels, tokens, rows\]
    pub out: &'a mut [f32],
    pub kernel: PhantomData<K>,
}

impl<K: Kernel> Op for Matmul<'_, K> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let x = K::activations::<S>(&self.input);
        match self.input.tokens {
            1 => match self.panels.walk.ahead {
                // Compiled for either, so that no line asks whether another one is asked for.
                Some(bytes) => self.decode(s, x, Some(bytes)),
                None => self.decode(s, x, None),
            },
            _ => self.prefill(s, x),
        }
    }
}

/// `P` panels times one token.
#[inline(always)]
fn decode<S: Simd, K: Kernel, const P: usize>(
    s: S,
    panels: [&[u8]; P],
    x: &[K::X],
    ahead: Ahead,
) -> [[f32; PANEL_ROWS]; P] {
    let mut acc = [[[s.splat(0.0); 1]; 2]; P];
    for (i, x) in x.chunks(K::xs::<S>()).enumerate() {
        let bytes = i * K::BYTES..((i + 1) * K::BYTES).min(panels[0].len());
        for p in 0..P {
            let block = &panels[p][bytes.clone()];
            for (half, acc) in acc[p].iter_mut().take(PANEL_ROWS / S::LANES).enumerate() {
                K::block(s, block, half * S::LANES, x, if half == 0 { ahead } else { None }, acc);
            }
        }
    }
    let mut out = [[0.0; PANEL_ROWS]; P];
    for (acc, out) in acc.iter().zip(&mut out) {
        for (acc, out) in acc.iter().zip(out.chunks_exact_mut(S::LANES)) {
            s.store(acc[0], out);
        }
    }
    out
}

impl<K: Kernel> Matmul<'_, K> {
    #[inline(always)]
    fn decode<S: Simd>(self, s: S, x: &[K::X], ahead: Ahead) {
        // Each stream walks panels that lie one behind the other.
        let panel = |p: usize| &self.panels.data[p * self.panel_bytes..][..self.panel_bytes];
        let n_panels = self.panels.data.len() / self.panel_bytes;
        let run = if self.panels.walk.several { n_panels / STREAMS } else { 0 };
        for i in 0..run {
            let panels = std::array::from_fn(|stream| panel(stream * run + i));
            for (stream, rows) in decode::<S, K, STREAMS>(s, panels, x, ahead).iter().enumerate() {
                self.out[(stream * run + i) * PANEL_ROWS..][..PANEL_ROWS].copy_from_slice(rows);
            }
        }
        for p in STREAMS * run..n_panels {
            let [rows] = decode::<S, K, 1>(s, [panel(p)], x, ahead);
            self.out[p * PANEL_ROWS..][..PANEL_ROWS].copy_from_slice(&rows);
        }
    }

    #[inline(always)]
    fn prefill<S: Simd>(self, s: S, x: &[K::X]) {
        let Input { tokens, cols, .. } = self.input;
        let xs_of_row = x.len() / tokens;
        // One tile has each weight once: memory is the limit, and is read from one end to the other.
        let (at_once, ahead) = match tokens <= S::TOKENS {
            true => (cols, Some(SHORT_AHEAD)),
            false => (COLUMNS_AT_ONCE, NonZero::new(self.panel_bytes)),
        };
        let blocks = at_once.div_ceil(K::COLS);
        for (part, columns) in (0..cols).step_by(at_once).enumerate() {
            let first = columns == 0;
            let xs = part * blocks * K::xs::<S>()..((part + 1) * blocks * K::xs::<S>()).min(xs_of_row);
            let bytes = part * blocks * K::BYTES..((part + 1) * blocks * K::BYTES).min(self.panel_bytes);
            let panels = self.panels.data.chunks_exact(self.panel_bytes);
            for (panel, out) in panels.zip(self.out.chunks_exact_mut(tokens * PANEL_ROWS)) {
                let panel = &panel[bytes.clone()];
                let mut t = 0;
                while t < tokens {
                    let n = tile_tokens(tokens - t, S::TOKENS);
                    let x = &x[t * xs_of_row + n * xs.start..t * xs_of_row + n * xs.end];
                    let out = &mut out[t * PANEL_ROWS..][..n * PANEL_ROWS];
                    // While the first tokens are at work the next weights come.
                    let ahead = self.panels.walk.ahead.filter(|_| t == 0).and(ahead);
                    match n {
                        1 => tile::<S, K, 1>(s, panel, x, out, first, ahead),
                        2 => tile::<S, K, 2>(s, panel, x, out, first, ahead),
                        3 => tile::<S, K, 3>(s, panel, x, out, first, ahead),
                        4 => tile::<S, K, 4>(s, panel, x, out, first, ahead),
                        5 => tile::<S, K, 5>(s, panel, x, out, first, ahead),
                        6 => tile::<S, K, 6>(s, panel, x, out, first, ahead),
                        7 => tile::<S, K, 7>(s, panel, x, out, first, ahead),
                        _ => tile::<S, K, 8>(s, panel, x, out, first, ahead),
                    }
                    t += n;
                }
            }
        }
    }
}

/// Some blocks of a panel times a tile of `T` tokens, added to `out` unless they are the first. What lies `ahead` bytes further is asked
/// for.
#[inline(always)]
fn tile<S: Simd, K: Kernel, const T: usize>(
    s: S,
    panel: &[u8],
    x: &[K::X],
    out: &mut [f32],
    first: bool,
    ahead: Ahead,
) {
    for row in (0..PANEL_ROWS).step_by(S::LANES) {
        let mut acc = [s.splat(0.0); T];
        if !first {
            for (acc, out) in acc.iter_mut().zip(out.chunks_exact(PANEL_ROWS)) {
                *acc = s.load(&out[row..]);
            }
        }
        for (block, x) in panel.chunks(K::BYTES).zip(x.chunks(K::xs::<S>() * T)) {
            K::block(s, block, row, x, ahead, &mut acc);
        }
        for (acc, out) in acc.into_iter().zip(out.chunks_exact_mut(PANEL_ROWS)) {
            s.store(acc, &mut out[row..]);
        }
    }
}

/// Asks for the lines of `len` bytes `ahead` bytes after `at`. Decode uses a weight once, prefill for many tokens.
#[inline(always)]
fn prefetch<S: Simd, const T: usize>(s: S, block: &[u8], at: usize, len: usize, ahead: Ahead) {
    let Some(ahead) = ahead.map(NonZero::get) else { return };
    for line in (at..at + len).step_by(64) {
        if T == 1 {
            s.prefetch_once(block, line + ahead);
        } else {
            s.prefetch(block, line + ahead);
        }
    }
}

/// A quantized format.
pub(crate) struct Integers<F>(PhantomData<F>);

impl<F: Packed> Kernel for Integers<F> {
    type X = Group;
    const BYTES: usize = F::PACKED_BYTES;
    const COLS: usize = F::BLOCK_LEN;

    #[inline(always)]
    fn xs<S: Simd>() -> usize {
        F::BLOCK_LEN / GROUP
    }
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [Group] {
        &input.groups[..input.tokens * input.cols / GROUP]
    }
    #[inline(always)]
    fn block<S: Simd, const T: usize>(
        s: S,
        block: &[u8],
        row: usize,
        x: &[Group],
        ahead: Ahead,
        acc: &mut [S::F; T],
    ) {
        let block = &block[..F::PACKED_BYTES];
        for (group, x) in x.as_chunks::<T>().0.iter().take(F::BLOCK_LEN / GROUP).enumerate() {
            let share = F::PACKED_BYTES * GROUP / F::BLOCK_LEN;
            prefetch::<S, T>(s, block, group * share, share, ahead);
            integer_group::<S, F, T>(s, block, group, row, x, acc);
        }
    }
}

#[inline(always)]
fn integer_group<S: Simd, F: Packed, const T: usize>(
    s: S,
    block: &[u8],
    group: usize,
    row: usize,
    x: &[Group; T],
    acc: &mut [S::F; T],
) {
    let quants = Quants { max: F::MAX, offset: F::OFFSET };
    let q = F::quants(s, block, group, row);
    let scales = F::scales(s, block, group, row);
    // acc + scale · d · Σ (q − OFFSET) a
    if F::HALVES {
        let first = s.dots(&q, Columns::First, x, quants);
        let last = s.dots(&q, Columns::Last, x, quants);
        for t in 0..T {
            let d = s.splat(x[t].d);
            acc[t] = s.mul_add(s.to_f(first[t]), s.mul(scales[0], d), acc[t]);
            acc[t] = s.mul_add(s.to_f(last[t]), s.mul(scales[1], d), acc[t]);
        }
    } else {
        let dots = s.dots(&q, Columns::All, x, quants);
        for t in 0..T {
            acc[t] = s.mul_add(s.to_f(dots[t]), s.mul(scales[0], s.splat(x[t].d)), acc[t]);
        }
    }
    // acc + Σ min · x
    if F::HAS_MIN {
        let mins = F::mins(s, block, group, row);
        for (acc, x) in acc.iter_mut().zip(x) {
            if F::HALVES {
                let [first, last] = x.halves.map(|sum| x.d * (sum / -8) as f32);
                *acc = s.mul_add(mins[1], s.splat(last), s.mul_add(mins[0], s.splat(first), *acc));
            } else {
                *acc = s.mul_add(mins[0], s.splat(x.d_sum), *acc);
            }
        }
    }
}

/// A format of floating-point numbers that are widened to f32.
pub(crate) struct Floats<F>(PhantomData<F>);

impl<F: PackedFloat> Kernel for Floats<F> {
    type X = f32;
    const BYTES: usize = 32 * F::BYTES * PANEL_ROWS;
    const COLS: usize = 32;

    #[inline(always)]
    fn xs<S: Simd>() -> usize {
        32
    }
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [f32] {
        &input.floats[..input.tokens * input.cols]
    }
    #[inline(always)]
    fn block<S: Simd, const T: usize>(
        s: S,
        block: &[u8],
        row: usize,
        x: &[f32],
        ahead: Ahead,
        acc: &mut [S::F; T],
    ) {
        for (column, x) in block.chunks_exact(F::BYTES * PANEL_ROWS).zip(x.as_chunks::<T>().0) {
            prefetch::<S, T>(s, column, 0, F::BYTES * PANEL_ROWS, ahead);
            let w = F::load(s, &column[row * F::BYTES..]);
            for (acc, x) in acc.iter_mut().zip(x) {
                *acc = s.mul_add(w, s.splat(*x), *acc);
            }
        }
    }
}

/// Bytes of a pair of columns of a panel of bf16.
pub(crate) const PAIR_BYTES: usize = 4 * PANEL_ROWS;

/// BF16, times activations in bf16.
pub(crate) struct Bf16s;

impl Kernel for Bf16s {
    type X = u32;
    const BYTES: usize = 16 * PAIR_BYTES;
    const COLS: usize = 32;

    #[inline(always)]
    fn xs<S: Simd>() -> usize {
        32 / S::BF16S
    }
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [u32] {
        &input.bf16s[..input.tokens * input.cols.next_multiple_of(2) / S::BF16S]
    }
    #[inline(always)]
    fn block<S: Simd, const T: usize>(
        s: S,
        block: &[u8],
        row: usize,
        x: &[u32],
        ahead: Ahead,
        acc: &mut [S::F; T],
    ) {
        for (pair, x) in block.as_chunks::<PAIR_BYTES>().0.iter().zip(x.chunks_exact(2 / S::BF16S * T)) {
            prefetch::<S, T>(s, pair, 0, PAIR_BYTES, ahead);
            s.dot_bf16(&pair[4 * row..], x, acc);
        }
    }
}
