//! What a forward pass works on, and the steps that architectures share.

use crate::ablation::Without;
use crate::gguf::Gguf;
use crate::kernels::act::{self, Form, Place};
use crate::kernels::matmul::{Input, Tiles};
use crate::kernels::{attention, norm};
use crate::pool::{Pool, Shared, Sizes, Worker};
use crate::quant::pack::{GROUP, PANEL_ROWS};
use crate::simd::{Group, Level};
use crate::tensor::How;
use std::ops::Range;
use std::sync::Mutex;

/// Most panels in a chunk of work.
const CHUNK: usize = 256;
/// Most panels times tokens in a chunk, as long as that is not fewer than [`CHUNK_MANY`] panels.
const CHUNK_TOKENS: usize = 512;
/// Panels that a chunk may have with any number of tokens: each begins with lines that nobody has asked for.
const CHUNK_MANY: usize = 32;

/// Whose logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logits {
    /// Nobody's: more of the prompt follows.
    None,
    /// The last token's.
    Last,
    /// Every token's.
    All,
}

/// Some consecutive tokens on their way through the network.
pub(crate) struct Pass<'a> {
    pub gguf: &'a Gguf,
    pub pool: &'a Pool,
    pub threads: usize,
    pub how: How,
    pub ids: &'a [u32],
    /// Position of the first.
    pub position: usize,
    /// Positions that the session may have.
    pub context: usize,
    pub logits: Logits,
    pub without: Without,
    pub scratch: &'a mut Scratch,
}

/// Space for a pass, allocated once for a session.
pub(crate) struct Scratch {
    /// A row of the embedding table as the file has it.
    pub row: Vec<u8>,
    /// Residual stream, \[batch, width\].
    pub x: Vec<f32>,
    /// Input of a matrix, \[batch, cols\].
    pub forms: Forms,
    /// Outputs of matrices, rows padded to whole panels.
    pub qkv: Vec<f32>,
    pub attention: Vec<f32>,
    pub hidden: Vec<f32>,
    pub logits: Vec<f32>,
    /// cos and sin for each token and pair.
    pub angles: Vec<(f32, f32)>,
    pub own: Vec<Mutex<Own>>,
}

/// The normed or plain input of a matrix in every form that one reads.
pub(crate) struct Forms {
    pub floats: Vec<f32>,
    pub bf16s: Vec<u32>,
    pub groups: Vec<Group>,
}

impl Forms {
    /// Space for `tokens` rows of `cols`.
    pub(crate) fn new(tokens: usize, cols: usize) -> Self {
        Self {
            floats: vec![0.0; tokens * cols],
            bf16s: vec![0; tokens * cols.next_multiple_of(2)],
            groups: vec![Group::ZERO; tokens * (cols / GROUP)],
        }
    }
}

/// Space of one worker.
pub(crate) struct Own {
    /// A row.
    pub forms: Forms,
    /// Outputs of a chunk: \[panels, tokens, rows\].
    pub tile: Vec<f32>,
    pub tile2: Vec<f32>,
    pub attention: attention::Scratch,
    /// Queries of a task.
    pub rows: Vec<f32>,
}

impl Own {
    /// `cols`: the widest input. Queries of a task of attention: at most `n_rows` of `width`.
    pub(crate) fn new(cols: usize, batch: usize, (n_rows, width): (usize, usize)) -> Self {
        let tile = vec![0.0; PANEL_ROWS * CHUNK.max(CHUNK_TOKENS).max(CHUNK_MANY * batch)];
        Self {
            forms: Forms::new(1, cols),
            tile: tile.clone(),
            tile2: tile,
            attention: attention::Scratch::with_room(n_rows, width),
            rows: Vec::with_capacity(n_rows * width),
        }
    }
}

/// Panels to hand out at once. Decode walks two at a time: few large ones.
pub(crate) fn chunk(tokens: usize) -> Sizes {
    match tokens {
        1 => Sizes { least: 4, most: CHUNK, parts: 1 },
        _ => Sizes { least: 2, most: (CHUNK_TOKENS / tokens).clamp(CHUNK_MANY, CHUNK), parts: 2 },
    }
}

/// RMSNorm with its weight and epsilon.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub weight: &'a [f32],
    pub eps: f32,
}

/// Where all workers find the input of the next matrices, for more than one token.
pub(crate) struct Prepared<'a> {
    pub floats: Shared<'a, f32>,
    pub bf16s: Shared<'a, u32>,
    pub groups: Shared<'a, Group>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(forms: &'a mut Forms) -> Self {
        let Forms { floats, bf16s, groups } = forms;
        Self { floats: Shared::new(floats), bf16s: Shared::new(bf16s), groups: Shared::new(groups) }
    }
}

/// Norms (if asked) rows of `x` and lays them out in the forms that the next matrices read.
///
/// For one token every worker does all of it for itself: cheaper than a barrier. For more, they share, with a barrier.
pub(crate) fn prepare<'b>(
    level: Level,
    worker: &Worker<'_>,
    own: &'b mut Forms,
    shared: &'b Prepared<'_>,
    x: Rows<'b>,
    norm: Option<Norm<'_>>,
    readers: impl Iterator<Item = Form> + Clone,
) -> Input<'b> {
    let Rows { data, tokens, cols, stride, first } = x;
    let of = |form: Form, n: usize| if readers.clone().any(|reads| reads == form) { n } else { 0 };
    let pairs = readers.clone().all(|reads| reads == Form::PairedGroups);
    let n_floats = of(Form::Floats, cols);
    let n_words = of(Form::Bf16s, level.words(cols));
    let n_groups = of(Form::Groups, cols / GROUP).max(of(Form::PairedGroups, cols / GROUP));
    let n_rounded = if n_words > 0 { cols } else { 0 };
    let row = |t: usize| data.get((first + t) * stride..(first + t) * stride + cols);
    let (own_row, own_words, own_groups) =
        (&mut own.floats[..cols], &mut own.bf16s[..n_words], &mut own.groups[..n_groups]);
    if tokens == 1 {
        let place = Place { of: 1, token: 0 };
        let row = normed(level, row(0), norm, own_row);
        act::round(level, &row[..n_rounded], own_words, place);
        act::quantize(level, &row[..n_groups * GROUP], own_groups, place);
        return Input { floats: row, bf16s: own_words, groups: own_groups, cols, tokens, pairs };
    }
    let tiles = Tiles::new(level, tokens, pairs);
    for tile in worker.split(tiles.len()).each() {
        let range = tiles.tokens(tile.range().start).start..tiles.tokens(tile.range().end - 1).end;
        let floats = shared.floats.claim(&tile, range.start * n_floats..range.end * n_floats);
        let words = shared.bf16s.claim(&tile, range.start * n_words..range.end * n_words);
        let groups = shared.groups.claim(&tile, range.start * n_groups..range.end * n_groups);
        for i in tile.range() {
            let tokens = tiles.tokens(i);
            let (at, of) = (tokens.start - range.start, tokens.len());
            for token in 0..of {
                let row = normed(level, row(tokens.start + token), norm, own_row);
                let place = Place { of, token };
                act::copy(&row[..n_floats], &mut floats[at * n_floats..], place);
                act::round(level, &row[..n_rounded], &mut words[at * n_words..], place);
                act::quantize(level, &row[..n_groups * GROUP], &mut groups[at * n_groups..], place);
            }
        }
    }
    worker.barrier();
    Input {
        floats: shared.floats.get(0..tokens * n_floats),
        bf16s: shared.bf16s.get(0..tokens * n_words),
        groups: shared.groups.get(0..tokens * n_groups),
        cols,
        tokens,
        pairs,
    }
}

/// The row itself, or its norm in `own`.
fn normed<'a>(level: Level, row: &'a [f32], norm: Option<Norm<'_>>, own: &'a mut [f32]) -> &'a [f32] {
    let Some(norm) = norm else { return row };
    norm::rms_norm(level, row, norm.weight, norm.eps, own);
    own
}

/// Rows of a shared slice.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub data: &'a Shared<'a, f32>,
    pub tokens: usize,
    pub cols: usize,
    pub stride: usize,
    /// The first row.
    pub first: usize,
}

/// Elements from one token's row to the next: whole panels, and an odd number of them, as a column of many tokens would otherwise
/// have few sets of the caches to itself.
pub(crate) fn stride(cols: usize) -> usize {
    (cols.div_ceil(PANEL_ROWS) | 1) * PANEL_ROWS
}

/// Columns of panels `range`.
pub(crate) fn columns(range: &Range<usize>) -> Range<usize> {
    range.start * PANEL_ROWS..range.end * PANEL_ROWS
}

/// The outputs of token `t` in a tile of \[panels, tokens, rows\], panel by panel.
pub(crate) fn tile_row(tile: &[f32], tokens: usize, t: usize) -> impl Iterator<Item = &[f32; PANEL_ROWS]> {
    tile.as_chunks::<PANEL_ROWS>().0[t..].iter().step_by(tokens)
}

/// Where the outputs of a matrix go: rows of whole panels, `stride` apart.
pub(crate) struct Destination<'a> {
    pub rows: &'a Shared<'a, f32>,
    pub n_panels: usize,
    pub tokens: usize,
    pub stride: usize,
}

/// Multiplies this worker's chunks of panels and hands the outputs of every panel to `store`, after where they go.
pub(crate) fn store_product(
    worker: &Worker<'_>,
    tile: &mut [f32],
    multiply: impl Fn(Range<usize>, &mut [f32]),
    to: Destination<'_>,
    store: impl Fn(&mut [f32; PANEL_ROWS], &[f32; PANEL_ROWS]),
) {
    let Destination { rows, n_panels, tokens, stride } = to;
    for share in worker.chunks(n_panels, chunk(tokens)) {
        let tile = &mut tile[..share.range().len() * tokens * PANEL_ROWS];
        multiply(share.range(), tile);
        let columns = columns(&share.range());
        for t in 0..tokens {
            let at = t * stride;
            let out = rows.claim(&share, at + columns.start..at + columns.end);
            let outputs = out.as_chunks_mut::<PANEL_ROWS>().0.iter_mut().zip(tile_row(tile, tokens, t));
            outputs.for_each(|(out, y)| store(out, y));
        }
    }
}
