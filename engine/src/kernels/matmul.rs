//! Packed matrix times activations. Each lane is one (row, token) pair that accumulates its groups in order, so the
//! order of panels, tokens and blocks of columns changes the speed and never the bits.

mod kinds;

pub(crate) use kinds::{Bf16s, Floats, Integers, PAIR_BYTES};

use crate::quant::pack::PANEL_ROWS;
use crate::simd::{Group, Level, Op, Simd, Uses};
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::Range;

/// Panels that decode walks at once: as many streams from memory. With lines asked for early enough, more do not help.
const STREAMS: usize = 2;
/// Columns after which the next panel has its turn: a panel's and a few tokens' share of them fit the first cache.
const COLUMNS_AT_ONCE: usize = 1024;
/// So few tiles take whole rows: weights are then read from one end to the other, and come from the second cache to the later tiles.
const FEW_TILES: usize = 3;
/// How many bytes ahead a prompt of one tile asks for lines.
const SHORT_AHEAD: usize = 8192;

/// How many bytes further lines are asked for, if they are.
pub(crate) type Ahead = Option<NonZero<usize>>;

/// How panels are read from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Decode walks several streams at once instead of one.
    pub several: bool,
    /// Lines are asked for ahead of their use: at decode so many bytes ahead in the same stream, at prefill [`SHORT_AHEAD`] or
    /// what comes after this panel.
    pub ahead: Ahead,
}

/// Panels of a packed matrix, and how they are to be read.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub data: &'a [u8],
    pub walk: Walk,
}

/// The activations of `tokens` tokens, in [`Tiles`] of the level: of a tile of n, element i of token t is at n i + t, so that a
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
    /// Whether tiles are for two panels at once, as all that read it can take them.
    pub pairs: bool,
}

/// How tokens are divided into tiles: as evenly as can be, the larger ones first, as a token costs more the fewer its tile has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiles {
    /// How many there are.
    n: usize,
    /// Tokens of the smaller ones.
    least: usize,
    /// How many have one more.
    larger: usize,
}

impl Tiles {
    /// Of `tokens` ≥ 1 tokens, at a level; `pairs` as in [`Input`].
    pub(crate) fn new(level: Level, tokens: usize, pairs: bool) -> Self {
        struct New(usize, bool);
        impl Op for New {
            const USES: Uses = Uses::Dots;
            type Output = Tiles;
            #[inline(always)]
            fn eval<S: Simd>(self, s: S) -> Tiles {
                Tiles::at(s, self.0, self.1)
            }
        }
        level.dispatch(New(tokens, pairs))
    }

    #[inline(always)]
    fn at<S: Simd>(_: S, tokens: usize, pairs: bool) -> Self {
        let n = match pairs && in_pairs::<S>(tokens) {
            true => (tokens + S::PAIR_TOKENS / 2) / S::PAIR_TOKENS,
            false => tokens.div_ceil(S::TOKENS),
        };
        Self { n, least: tokens / n, larger: tokens % n }
    }

    /// How many there are.
    pub(crate) fn len(self) -> usize {
        self.n
    }

    /// The tokens of tile `i`.
    pub(crate) fn tokens(self, i: usize) -> Range<usize> {
        let start = |i: usize| i * self.least + i.min(self.larger);
        start(i)..start(i + 1)
    }
}

/// Whether two panels are multiplied at once. One tile has each weight once, and memory is the limit.
#[inline(always)]
fn in_pairs<S: Simd>(tokens: usize) -> bool {
    S::PAIR_TOKENS > 0 && tokens > S::TOKENS
}

/// How a kind of format multiplies.
pub(crate) trait Kernel {
    /// At least [`Uses::Dots`], as that decides about tiles.
    const USES: Uses;
    /// What activations are read as.
    type X: 'static;
    /// Bytes of a block of a panel.
    const BYTES: usize;
    /// Columns of a block.
    const COLS: usize;
    /// Whether the last block may have fewer columns.
    const PARTS: bool;
    /// Whether two panels may be multiplied at once.
    const PAIRS: bool;

    /// `X`s of a block.
    fn xs<S: Simd>() -> usize;
    /// All activations, \[tokens, `X`s of a row\] in tiles.
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [Self::X];
    /// Adds the products of a block of each of `P` panels, of the rows from `row` on, with those of a tile of `T` tokens. What lies
    /// `ahead` bytes further is asked for on the way.
    fn blocks<S: Simd, const P: usize, const T: usize>(
        s: S,
        blocks: [&[u8]; P],
        row: usize,
        x: &[Self::X],
        ahead: Ahead,
        acc: &mut [[S::F; T]; P],
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
    const USES: Uses = K::USES;
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
    let mut acc = [[[[s.splat(0.0); 1]]; 2]; P];
    for (i, x) in x.chunks(K::xs::<S>()).enumerate() {
        let bytes = i * K::BYTES..((i + 1) * K::BYTES).min(panels[0].len());
        for p in 0..P {
            let block = &panels[p][bytes.clone()];
            for (half, acc) in acc[p].iter_mut().take(PANEL_ROWS / S::LANES).enumerate() {
                K::blocks(s, [block], half * S::LANES, x, if half == 0 { ahead } else { None }, acc);
            }
        }
    }
    let mut out = [[0.0; PANEL_ROWS]; P];
    for (acc, out) in acc.iter().zip(&mut out) {
        for ([acc], out) in acc.iter().zip(out.chunks_exact_mut(S::LANES)) {
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
        if const { S::PAIR_TOKENS > 0 && K::PAIRS } && self.input.pairs && in_pairs::<S>(self.input.tokens) {
            self.tiles::<S, 2>(s, x);
        } else {
            self.tiles::<S, 1>(s, x);
        }
    }

    /// Every tile of tokens, `P` panels at a time.
    #[inline(always)]
    fn tiles<S: Simd, const P: usize>(self, s: S, x: &[K::X]) {
        let Input { tokens, cols, .. } = self.input;
        let xs_of_row = x.len() / tokens;
        let tiles = Tiles::at(s, tokens, self.input.pairs);
        let at_once = if tiles.n <= FEW_TILES { cols } else { COLUMNS_AT_ONCE };
        let blocks = at_once.div_ceil(K::COLS);
        let n_parts = cols.div_ceil(at_once);
        let panels_bytes = P * self.panel_bytes;
        for part in 0..n_parts {
            let xs = part * blocks * K::xs::<S>()..((part + 1) * blocks * K::xs::<S>()).min(xs_of_row);
            let bytes = part * blocks * K::BYTES..((part + 1) * blocks * K::BYTES).min(self.panel_bytes);
            let some = self.panels.data.chunks(panels_bytes);
            for (q, (some, out)) in some.zip(self.out.chunks_mut(P * tokens * PANEL_ROWS)).enumerate() {
                let n_panels = some.len() / self.panel_bytes;
                let mut panels = [&some[..0]; P];
                for (p, panel) in panels.iter_mut().enumerate() {
                    // A last one without a partner has itself.
                    *panel = &some[p.min(n_panels - 1) * self.panel_bytes..][bytes.clone()];
                }
                // What comes next: the same columns of the next panels, the next columns of the first ones, or the panels after these.
                let more = (q + 1) * panels_bytes < self.panels.data.len();
                let next = match (more, part + 1 < n_parts) {
                    (true, _) => panels_bytes,
                    (false, true) => (blocks * K::BYTES).wrapping_sub(q * panels_bytes),
                    (false, false) => panels_bytes.wrapping_sub(part * blocks * K::BYTES),
                };
                let columns =
                    Part { panels, n_panels, x, xs_of_row, xs: xs.clone(), tokens, first: part == 0 };
                let mut t = 0;
                for i in 0..tiles.n {
                    let asks = match self.panels.walk.ahead {
                        None => Asks { ahead: None, before: 0, between: 0 },
                        Some(_) if tiles.n == 1 => {
                            Asks { ahead: NonZero::new(SHORT_AHEAD), before: 0, between: 0 }
                        }
                        // Each tile asks for the lines of other blocks, so that they come while all are at work.
                        Some(_) => Asks { ahead: NonZero::new(next), before: i, between: tiles.n - 1 },
                    };
                    let of = tiles.tokens(i).len();
                    // Only sizes that occur are compiled.
                    match of {
                        1 if const { P == 1 } => columns.tile::<S, K, 1>(s, t, out, asks),
                        2 if const { P == 1 } => columns.tile::<S, K, 2>(s, t, out, asks),
                        3 if const { P == 1 } => columns.tile::<S, K, 3>(s, t, out, asks),
                        4 => columns.tile::<S, K, 4>(s, t, out, asks),
                        5 if const { S::TOKENS > 4 } => columns.tile::<S, K, 5>(s, t, out, asks),
                        6 if const { S::TOKENS > 4 } => columns.tile::<S, K, 6>(s, t, out, asks),
                        7 if const { P == 1 && S::TOKENS > 4 } => columns.tile::<S, K, 7>(s, t, out, asks),
                        8 if const { P == 1 && S::TOKENS > 4 } => columns.tile::<S, K, 8>(s, t, out, asks),
                        _ => unreachable!("a tile of {of} tokens of {P} panels"),
                    }
                    t += of;
                }
            }
        }
    }
}

/// Which blocks of a tile ask for lines, and how far ahead.
#[derive(Clone, Copy)]
struct Asks {
    ahead: Ahead,
    /// How many blocks pass before the next that asks, and how many between two.
    before: usize,
    between: usize,
}

impl Asks {
    /// What the next block asks for.
    #[inline(always)]
    fn next(&mut self) -> Ahead {
        if self.before > 0 {
            self.before -= 1;
            return None;
        }
        self.before = self.between;
        self.ahead
    }
}

/// Some columns of `P` panels and of all activations.
struct Part<'a, X, const P: usize> {
    panels: [&'a [u8]; P],
    /// How many panels there are: the last may stand for one that is not there.
    n_panels: usize,
    /// \[tokens, `xs_of_row`\] in tiles
    x: &'a [X],
    xs_of_row: usize,
    /// Which of a row.
    xs: Range<usize>,
    tokens: usize,
    /// Whether there are no sums yet.
    first: bool,
}

impl<X, const P: usize> Part<'_, X, P> {
    /// Times the tile of the `T` tokens from `t` on, added to `out`, \[panels, tokens, rows\].
    #[inline(always)]
    fn tile<S: Simd, K: Kernel<X = X>, const T: usize>(&self, s: S, t: usize, out: &mut [f32], asks: Asks) {
        let x = &self.x[t * self.xs_of_row + T * self.xs.start..][..T * self.xs.len()];
        let sums = |p: usize| (p * self.tokens + t) * PANEL_ROWS..(p * self.tokens + t + T) * PANEL_ROWS;
        for row in (0..PANEL_ROWS).step_by(S::LANES) {
            let mut acc = [[s.splat(0.0); T]; P];
            if !self.first {
                for p in 0..self.n_panels.min(P) {
                    let sums = out[sums(p)].as_chunks::<PANEL_ROWS>().0;
                    for (acc, sums) in acc[p].iter_mut().zip(sums) {
                        *acc = s.load(&sums[row..]);
                    }
                }
            }
            let whole = x.chunks_exact(K::xs::<S>() * T);
            let rest = whole.remainder();
            let mut asks = asks;
            let mut blocks = self.panels;
            let mut streams = self.panels.map(|panel| panel.chunks_exact(K::BYTES));
            'blocks: for x in whole {
                for p in 0..P {
                    let Some(block) = streams[p].next() else { break 'blocks };
                    blocks[p] = block;
                }
                K::blocks(s, blocks, row, x, asks.next(), &mut acc);
            }
            if K::PARTS && !rest.is_empty() {
                for (block, panel) in blocks.iter_mut().zip(&self.panels) {
                    *block = &panel[x.len() / (K::xs::<S>() * T) * K::BYTES..];
                }
                K::blocks(s, blocks, row, rest, asks.next(), &mut acc);
            }
            for p in 0..self.n_panels.min(P) {
                let sums = out[sums(p)].as_chunks_mut::<PANEL_ROWS>().0;
                for (acc, sums) in acc[p].iter().zip(sums) {
                    s.store(*acc, &mut sums[row..]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_even_and_of_sizes_that_are_compiled() {
        struct Most;
        impl Op for Most {
            const USES: Uses = Uses::Dots;
            type Output = [usize; 2];
            #[inline(always)]
            fn eval<S: Simd>(self, _: S) -> [usize; 2] {
                [S::TOKENS, S::PAIR_TOKENS]
            }
        }
        for level in Level::available() {
            let [one, pair] = level.dispatch(Most);
            for (tokens, pairs) in (1..600).flat_map(|tokens| [(tokens, false), (tokens, true)]) {
                let tiles = Tiles::new(level, tokens, pairs);
                let sizes: Vec<_> = (0..tiles.len()).map(|i| tiles.tokens(i).len()).collect();
                assert_eq!(sizes.iter().sum::<usize>(), tokens);
                assert!(sizes.is_sorted_by(|a, b| a == b || *a == b + 1), "{sizes:?}");
                let allowed = if pairs && pair > 0 && tokens > one { pair - 1..=pair + 1 } else { 1..=one };
                assert!(sizes.iter().all(|size| allowed.contains(size)), "{}: {sizes:?}", level.name());
            }
        }
    }
}
