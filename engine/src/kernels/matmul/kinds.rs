//! The kinds of formats: integers with scales, floating-point numbers that are widened, and bf16.

use super::{Ahead, Input, Kernel};
use crate::quant::pack::{PANEL_ROWS, Packed, PackedFloat};
use crate::simd::{Columns, GROUP, Group, Quants, Simd, Uses, Vectors, unpack};
use std::marker::PhantomData;
use std::num::NonZero;

/// Asks for the lines of `len` bytes `ahead` bytes after `at`. Decode uses a weight once, prefill for many tokens.
#[inline(always)]
fn prefetch<S: Simd, const T: usize>(s: S, block: &[u8], at: usize, len: usize, ahead: Ahead) {
    let Some(ahead) = ahead.map(NonZero::get) else { return };
    for line in (at..at + len).step_by(64) {
        if T == 1 {
            s.prefetch_once(block, line.wrapping_add(ahead));
        } else {
            s.prefetch(block, line.wrapping_add(ahead));
        }
    }
}

/// A quantized format.
pub(crate) struct Integers<F>(PhantomData<F>);

impl<F: Packed> Kernel for Integers<F> {
    const USES: Uses = Uses::Dots;
    type X = Group;
    const BYTES: usize = F::PACKED_BYTES;
    const COLS: usize = F::BLOCK_LEN;
    const PARTS: bool = false;
    const PAIRS: bool = F::PAIRS;

    #[inline(always)]
    fn xs<S: Simd>() -> usize {
        F::BLOCK_LEN / GROUP
    }
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [Group] {
        &input.groups[..input.tokens * input.cols / GROUP]
    }
    #[inline(always)]
    fn blocks<S: Simd, const P: usize, const T: usize>(
        s: S,
        blocks: [&[u8]; P],
        row: usize,
        x: &[Group],
        ahead: Ahead,
        acc: &mut [[S::F; T]; P],
    ) {
        for (group, x) in x.as_chunks::<T>().0.iter().take(F::BLOCK_LEN / GROUP).enumerate() {
            let share = F::PACKED_BYTES * GROUP / F::BLOCK_LEN;
            let mut groups = [Quantized::<F> { block: blocks[0], group, row, format: PhantomData }; P];
            for p in 0..P {
                groups[p].block = &blocks[p][..F::PACKED_BYTES];
                prefetch::<S, T>(s, groups[p].block, group * share, share, ahead);
            }
            integer_groups(s, groups, x, acc);
        }
    }
}

/// The rows of a vector in a group of a block.
struct Quantized<'a, F> {
    block: &'a [u8],
    group: usize,
    /// The first of the rows.
    row: usize,
    format: PhantomData<F>,
}

impl<F> Clone for Quantized<'_, F> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Quantized<'_, F> {}

impl<F: Packed> Vectors for Quantized<'_, F> {
    #[inline(always)]
    fn vector<S: Simd>(self, s: S, j: usize) -> S::B {
        F::quants(s, self.block, self.group, self.row, j)
    }
}

#[inline(always)]
fn integer_groups<S: Simd, F: Packed, const P: usize, const T: usize>(
    s: S,
    groups: [Quantized<'_, F>; P],
    x: &[Group; T],
    acc: &mut [[S::F; T]; P],
) {
    let quants = Quants { max: F::MAX, offset: F::OFFSET };
    // acc + scale · d · Σ (q − OFFSET) a, in the order that is the faster one: of pairs products first, else whole groups and scales first.
    if F::PAIRS {
        let dots = s.dots_of(groups, x, quants);
        for p in 0..P {
            let [scale, _] = F::scales(s, groups[p].block, groups[p].group, groups[p].row);
            for t in 0..T {
                acc[p][t] = s.mul_add(s.to_f(dots[p][t]), s.mul(scale, s.splat(x[t].d)), acc[p][t]);
            }
        }
    } else {
        for p in 0..P {
            let q = unpack(s, groups[p]);
            let scales = F::scales(s, groups[p].block, groups[p].group, groups[p].row);
            if F::HALVES {
                let first = s.dots(&q, Columns::First, x, quants);
                let last = s.dots(&q, Columns::Last, x, quants);
                for t in 0..T {
                    let d = s.splat(x[t].d);
                    acc[p][t] = s.mul_add(s.to_f(first[t]), s.mul(scales[0], d), acc[p][t]);
                    acc[p][t] = s.mul_add(s.to_f(last[t]), s.mul(scales[1], d), acc[p][t]);
                }
            } else {
                let dots = s.dots(&q, Columns::All, x, quants);
                for t in 0..T {
                    acc[p][t] = s.mul_add(s.to_f(dots[t]), s.mul(scales[0], s.splat(x[t].d)), acc[p][t]);
                }
            }
        }
    }
    // acc + Σ min · x
    if F::HAS_MIN {
        for (acc, g) in acc.iter_mut().zip(&groups) {
            let mins = F::mins(s, g.block, g.group, g.row);
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
}

/// A format of floating-point numbers that are widened to f32.
pub(crate) struct Floats<F>(PhantomData<F>);

impl<F: PackedFloat> Kernel for Floats<F> {
    const USES: Uses = Uses::Dots;
    type X = f32;
    const BYTES: usize = 32 * F::BYTES * PANEL_ROWS;
    const COLS: usize = 32;
    const PARTS: bool = true;
    const PAIRS: bool = false;

    #[inline(always)]
    fn xs<S: Simd>() -> usize {
        32
    }
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [f32] {
        &input.floats[..input.tokens * input.cols]
    }
    #[inline(always)]
    fn blocks<S: Simd, const P: usize, const T: usize>(
        s: S,
        blocks: [&[u8]; P],
        row: usize,
        x: &[f32],
        ahead: Ahead,
        acc: &mut [[S::F; T]; P],
    ) {
        let bytes = F::BYTES * PANEL_ROWS;
        for (i, x) in x.as_chunks::<T>().0.iter().enumerate() {
            for (acc, block) in acc.iter_mut().zip(&blocks) {
                let column = &block[i * bytes..][..bytes];
                prefetch::<S, T>(s, column, 0, bytes, ahead);
                let w = F::load(s, &column[row * F::BYTES..]);
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc = s.mul_add(w, s.splat(*x), *acc);
                }
            }
        }
    }
}

/// Bytes of a pair of columns of a panel of bf16.
pub(crate) const PAIR_BYTES: usize = 4 * PANEL_ROWS;

/// BF16, times activations in bf16.
pub(crate) struct Bf16s;

impl Kernel for Bf16s {
    const USES: Uses = Uses::Bf16s;
    type X = u32;
    const BYTES: usize = 16 * PAIR_BYTES;
    const COLS: usize = 32;
    const PARTS: bool = true;
    const PAIRS: bool = false;

    #[inline(always)]
    fn xs<S: Simd>() -> usize {
        32 / S::BF16S
    }
    fn activations<'a, S: Simd>(input: &Input<'a>) -> &'a [u32] {
        &input.bf16s[..input.tokens * input.cols.next_multiple_of(2) / S::BF16S]
    }
    #[inline(always)]
    fn blocks<S: Simd, const P: usize, const T: usize>(
        s: S,
        blocks: [&[u8]; P],
        row: usize,
        x: &[u32],
        ahead: Ahead,
        acc: &mut [[S::F; T]; P],
    ) {
        for (i, x) in x.chunks_exact(2 / S::BF16S * T).enumerate() {
            for (acc, block) in acc.iter_mut().zip(&blocks) {
                let pair = &block[i * PAIR_BYTES..][..PAIR_BYTES];
                prefetch::<S, T>(s, pair, 0, PAIR_BYTES, ahead);
                s.dot_bf16(&pair[4 * row..], x, acc);
            }
        }
    }
}
