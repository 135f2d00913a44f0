//! Llama (Touvron et al. 2023): RMSNorm, rotary positions, grouped-query attention, SwiGLU. Also Llama 2 and 3, TinyLlama,
//! SmolLM2 and Mistral, whose files name this architecture.

mod hyperparameters;

use super::pass::{self, Destination, Forms, Norm, Own, Prepared, Rows, stride};
use super::{Architecture, Config, Loader, Logits, Network, Pass, Scratch};
use crate::ablation::{Part, Without};
use crate::error::Result;
use crate::kernels::attention::{self, Cache, Element, Queries};
use crate::kernels::rope::Rope;
use crate::kernels::swiglu::swiglu;
use crate::kv::{Cells, KvCache};
use crate::pool::{Shared, Sizes, Worker};
use crate::quant::pack::PANEL_ROWS;
use crate::simd::MAX_LANES;
use crate::tensor::{Embedding, How, Matrix, Stack};
use hyperparameters::{MAX_HEAD_DIM, Ropes, config, ropes};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

pub(super) static ARCHITECTURE: Architecture = Architecture { name: "llama", load };

/// Tokens of a prefill that share a task of attention.
const ATTENTION_TOKENS: usize = 16;
/// Query heads of a group from which on attention computes so long for each byte of the cache that memory could bring more.
const LOOKAHEAD_GROUP_MIN: usize = 8;
/// How much of the next matrix is asked for during attention: what the last cache can keep beside everything else.
const LOOKAHEAD_BYTES_MAX: usize = 4 << 20;

struct Llama {
    config: Config,
    eps: f32,
    ropes: Ropes,
    embedding: Embedding, // [n_vocab, width]
    layers: Vec<Layer>,
    output_norm: Vec<f32>, // [width]
    output: Matrix,        // [n_vocab, width]
}

/// Each matrix of a layer may have a bias.
struct Layer {
    attention_norm: Vec<f32>, // [width]
    qkv: Stack,               // [(n_heads + 2 n_kv_heads) · head_dim, width]
    attention_out: Matrix,    // [width, n_heads · head_dim]
    ffn_norm: Vec<f32>,       // [width]
    gate: Matrix,             // [ffn_width, width]
    up: Matrix,               // [ffn_width, width]
    down: Matrix,             // [width, ffn_width]
}

fn load(loader: &Loader<'_>) -> Result<Box<dyn Network>> {
    let config = config(loader)?;
    let (width, kv_rows) = (config.width, config.n_kv_heads * config.head_dim);
    let q_rows = config.n_heads * config.head_dim;
    let mut layers = Vec::with_capacity(config.n_layers);
    for i in 0..config.n_layers {
        let vector = |part: &str| loader.vector(&format!("blk.{i}.{part}.weight"), width);
        let affine = |part: &str, rows, cols| loader.affine(&format!("blk.{i}.{part}"), rows, cols);
        layers.push(Layer {
            attention_norm: vector("attn_norm")?,
            qkv: Stack::new(vec![
                affine("attn_q", q_rows, width)?,
                affine("attn_k", kv_rows, width)?,
                affine("attn_v", kv_rows, width)?,
            ]),
            attention_out: affine("attn_output", width, q_rows)?,
            ffn_norm: vector("ffn_norm")?,
            gate: affine("ffn_gate", config.ffn_width, width)?,
            up: affine("ffn_up", config.ffn_width, width)?,
            down: affine("ffn_down", width, config.ffn_width)?,
        });
    }
    // Tied: the output matrix is the embedding table.
    let output = if loader.has("output.weight") { "output.weight" } else { "token_embd.weight" };
    Ok(Box::new(Llama {
        eps: loader.positive("llama.attention.layer_norm_rms_epsilon", None)?,
        ropes: ropes(loader, &config)?,
        embedding: loader.embedding("token_embd.weight", config.n_vocab, width)?,
        output_norm: loader.vector("output_norm.weight", width)?,
        output: loader.matrix(output, config.n_vocab, width)?,
        layers,
        config,
    }))
}

impl Network for Llama {
    fn config(&self) -> &Config {
        &self.config
    }

    fn kv_width(&self) -> usize {
        self.config.head_dim.next_multiple_of(MAX_LANES)
    }

    fn matrices(&self) -> Vec<&Matrix> {
        let layers = self
            .layers
            .iter()
            .flat_map(|l| l.qkv.matrices().chain([&l.attention_out, &l.gate, &l.up, &l.down]));
        layers.chain([&self.output]).collect()
    }

    fn scratch(&self, batch: usize, threads: usize) -> Scratch {
        let Config { width, n_heads, n_kv_heads, head_dim, ffn_width, .. } = self.config;
        let queries = (n_heads / n_kv_heads * batch.min(ATTENTION_TOKENS), self.kv_width());
        let cols = width.max(n_heads * head_dim).max(ffn_width);
        let qkv = self.layers.first().map_or(0, |l| l.qkv.n_panels() * PANEL_ROWS);
        Scratch {
            row: vec![0; self.embedding.row_bytes()],
            x: vec![0.0; batch * stride(width)],
            forms: Forms::new(batch, cols),
            qkv: vec![0.0; batch * stride(qkv)],
            attention: vec![0.0; batch * stride(n_heads * head_dim)],
            hidden: vec![0.0; batch * stride(ffn_width)],
            logits: vec![0.0; self.output.n_panels() * PANEL_ROWS],
            angles: Vec::with_capacity(batch * self.ropes.n_rot() / 2),
            own: (0..threads).map(|_| Mutex::new(Own::new(cols, batch, queries))).collect(),
        }
    }

    fn forward(&self, pass: &mut Pass<'_>, kv: &mut KvCache) -> Result<()> {
        match kv {
            KvCache::F16(cells) => self.run(pass, cells),
            KvCache::F32(cells) => self.run(pass, cells),
        }
    }
}

impl Llama {
    fn run<E: Element>(&self, pass: &mut Pass<'_>, kv: &mut Cells<E>) -> Result<()> {
        let (tokens, width) = (pass.ids.len(), self.config.width);
        let Scratch { row: file_row, x, forms, qkv, attention, hidden, logits, angles, own } = pass.scratch;
        for (&id, row) in pass.ids.iter().zip(x.chunks_exact_mut(stride(width))) {
            self.embedding.row(pass.gguf, id, file_row, &mut row[..width])?;
        }
        angles.clear();
        let rope = self.ropes.within(pass.context);
        (0..tokens).for_each(|t| rope.angles(pass.position + t, angles));
        let n_logits = match pass.logits {
            Logits::None => 0,
            Logits::Last => 1,
            Logits::All => tokens,
        };
        logits.resize(n_logits.max(1) * self.output.n_panels() * PANEL_ROWS, 0.0);
        let run = Run {
            model: self,
            how: pass.how,
            threads: pass.threads,
            without: pass.without,
            tokens,
            position: pass.position,
            n_logits,
            head_len: kv.head_len,
            layer_len: kv.layer_len,
            rope,
            angles,
            x: Shared::new(x),
            prepared: Prepared::new(forms),
            qkv: Shared::new(qkv),
            attention: Shared::new(attention),
            hidden: Shared::new(hidden),
            logits: Shared::new(logits),
            keys: Shared::new(&mut kv.keys),
            values: Shared::new(&mut kv.values),
        };
        let enter = |work: &(dyn Fn(&Worker<'_>, &mut Own) + Sync)| {
            pass.pool.run(pass.threads, |worker| {
                let mut own = own[worker.idx()].lock().unwrap_or_else(PoisonError::into_inner);
                work(worker, &mut own);
            })
        };
        if pass.without.leaves_out(Part::Entry) {
            return run.steps().try_for_each(|step| enter(&|worker, own| run.step(worker, own, step)));
        }
        enter(&|worker, own| {
            for step in run.steps() {
                run.step(worker, own, step);
                worker.barrier();
            }
        })
    }
}

/// What all workers do together before any of them goes on.
#[derive(Clone, Copy)]
enum Step {
    /// Of this layer.
    Qkv(usize),
    Attention(usize),
    AttentionOut(usize),
    GateAndUp(usize),
    Down(usize),
    Output,
}

/// A pass under way, as all workers see it.
struct Run<'a, E> {
    model: &'a Llama,
    how: How,
    threads: usize,
    without: Without,
    tokens: usize,
    position: usize,
    n_logits: usize,
    head_len: usize,
    layer_len: usize,
    rope: &'a Rope,
    angles: &'a [(f32, f32)],   // [tokens, n_rot / 2]
    x: Shared<'a, f32>,         // [tokens, width]
    prepared: Prepared<'a>,     // [tokens, cols]
    qkv: Shared<'a, f32>,       // [tokens, rows of qkv]
    attention: Shared<'a, f32>, // [tokens, n_heads · head_dim]
    hidden: Shared<'a, f32>,    // [tokens, ffn_width]
    logits: Shared<'a, f32>,    // [n_logits, n_vocab]
    keys: Shared<'a, E>,        // [layers, kv_heads, head_len]
    values: Shared<'a, E>,      // [layers, kv_heads, head_len]
}

impl<E: Element> Run<'_, E> {
    /// The steps of a pass, in order.
    fn steps(&self) -> impl Iterator<Item = Step> {
        use Step::{Attention, AttentionOut, Down, GateAndUp, Output, Qkv};
        let layers = 0..self.model.layers.len();
        let layers = layers.flat_map(|i| [Qkv(i), Attention(i), AttentionOut(i), GateAndUp(i), Down(i)]);
        layers.chain((self.n_logits > 0).then_some(Output))
    }

    fn step(&self, worker: &Worker<'_>, own: &mut Own, step: Step) {
        let layer = |i: usize| &self.model.layers[i];
        match step {
            Step::Qkv(i) => self.qkv(worker, own, layer(i)),
            Step::Attention(i) => self.attention(worker, own, i),
            Step::AttentionOut(i) => self.residual(worker, own, &layer(i).attention_out, &self.attention),
            Step::GateAndUp(i) => self.gate_and_up(worker, own, layer(i)),
            Step::Down(i) => self.residual(worker, own, &layer(i).down, &self.hidden),
            Step::Output => self.output(worker, own),
        }
    }

    /// qkv = norm(x) · [wq; wk; wv] + bias
    fn qkv(&self, worker: &Worker<'_>, own: &mut Own, layer: &Layer) {
        let norm = Norm { weight: &layer.attention_norm, eps: self.model.eps };
        let Own { forms, tile, .. } = own;
        let x = self.rows(&self.x, self.model.config.width);
        let readers = layer.qkv.reads();
        let input = pass::prepare(self.how.level, worker, forms, &self.prepared, x, Some(norm), readers);
        let multiply = |range, tile: &mut [f32]| layer.qkv.matmul(self.how, range, input, tile);
        let to = self.to(&self.qkv, layer.qkv.n_panels());
        pass::store_product(worker, tile, multiply, to, |out, y| *out = *y);
    }

    /// Rotates and writes the new keys and values, then attends: one KV head at a time, all of its group.
    fn attention(&self, worker: &Worker<'_>, own: &mut Own, layer_idx: usize) {
        let n_kv_heads = self.model.config.n_kv_heads;
        if self.tokens == 1 {
            for share in worker.chunks(n_kv_heads, Sizes::ONE) {
                let head = share.range().start;
                let at = layer_idx * self.layer_len + head * self.head_len;
                let keys = self.keys.claim(&share, at..at + self.head_len);
                let values = self.values.claim(&share, at..at + self.head_len);
                self.write_head(head, keys, values);
                let out = |range| self.attention.claim(&share, range);
                let next = self.next_of_head(layer_idx, head);
                self.attend(own, head, (0..1, next), Cache { keys, values }, out);
            }
            return;
        }
        for share in worker.chunks(n_kv_heads, Sizes::ONE) {
            let head = share.range().start;
            let at = layer_idx * self.layer_len + head * self.head_len;
            let keys = self.keys.claim(&share, at..at + self.head_len);
            let values = self.values.claim(&share, at..at + self.head_len);
            self.write_head(head, keys, values);
        }
        worker.barrier();
        let blocks = self.tokens.div_ceil(ATTENTION_TOKENS);
        for share in worker.chunks(n_kv_heads * blocks, Sizes::ONE) {
            // The last tokens see most: they go first, so that no long task is left for the end.
            let task = share.range().start;
            let (head, block) = (task % n_kv_heads, blocks - 1 - task / n_kv_heads);
            let first = block * ATTENTION_TOKENS;
            let at = layer_idx * self.layer_len + head * self.head_len;
            let range = at..at + self.head_len;
            let cache = Cache { keys: self.keys.get(range.clone()), values: self.values.get(range) };
            let out = |range| self.attention.claim(&share, range);
            let tokens = first..(first + ATTENTION_TOKENS).min(self.tokens);
            self.attend(own, head, (tokens, &[]), cache, out);
        }
    }

    /// The part of the matrix after attention that is asked for while one token's queries of KV head `head` compute. Only where one thread
    /// runs: more of them read as much as memory gives.
    fn next_of_head(&self, layer_idx: usize, head: usize) -> &[u8] {
        let Config { n_heads, n_kv_heads, .. } = self.model.config;
        let is_idle = self.threads == 1 && n_heads / n_kv_heads >= LOOKAHEAD_GROUP_MIN;
        let left_out =
            [Part::Lookahead, Part::Group, Part::Prefetch].map(|part| self.without.leaves_out(part));
        if !is_idle || left_out.contains(&true) {
            return &[];
        }
        let bytes = self.model.layers[layer_idx].attention_out.data();
        let of_head = bytes.len().min(LOOKAHEAD_BYTES_MAX) / n_kv_heads;
        &bytes[head * of_head..][..of_head]
    }

    /// Offsets of q, k and v heads in a row of qkv, each part beginning at a panel.
    fn head_offsets(&self, kv_head: usize) -> [usize; 3] {
        let Config { n_heads, n_kv_heads, head_dim, .. } = self.model.config;
        let k = (n_heads * head_dim).next_multiple_of(PANEL_ROWS);
        let v = k + (n_kv_heads * head_dim).next_multiple_of(PANEL_ROWS);
        [kv_head * (n_heads / n_kv_heads) * head_dim, k + kv_head * head_dim, v + kv_head * head_dim]
    }

    fn qkv_row(&self, t: usize) -> &[f32] {
        let stride = stride(self.model.layers[0].qkv.n_panels() * PANEL_ROWS);
        self.qkv.get(t * stride..(t + 1) * stride)
    }

    fn angles(&self, t: usize) -> &[(f32, f32)] {
        let n = self.rope.n_rot / 2;
        &self.angles[t * n..(t + 1) * n]
    }

    fn write_head(&self, head: usize, keys: &mut [E], values: &mut [E]) {
        let head_dim = self.model.config.head_dim;
        let [_, k_at, v_at] = self.head_offsets(head);
        let mut k = [0.0; MAX_HEAD_DIM as usize];
        for t in 0..self.tokens {
            let row = self.qkv_row(t);
            let k = &mut k[..head_dim];
            k.copy_from_slice(&row[k_at..k_at + head_dim]);
            self.rope.rotate(k, self.angles(t));
            let v = &row[v_at..v_at + head_dim];
            attention::write(keys, values, self.model.kv_width(), self.position + t, k, v);
        }
    }

    /// The query heads of KV head `head`: those of a group share each load. `next`: what they ask for meanwhile.
    fn attend<'o>(
        &self,
        own: &mut Own,
        head: usize,
        (tokens, next): (Range<usize>, &[u8]),
        cache: Cache<'_, E>,
        out: impl Fn(Range<usize>) -> &'o mut [f32],
    ) {
        let Config { n_heads, n_kv_heads, head_dim, .. } = self.model.config;
        let (all, [q_at, ..]) = (n_heads / n_kv_heads, self.head_offsets(head));
        let group = if self.without.leaves_out(Part::Group) { 1 } else { all };
        for first in (0..all).step_by(group) {
            self.attend_to(own, (q_at + first * head_dim, group), (tokens.clone(), next), cache, &out);
        }
    }

    /// `group` query heads from column `q_at` of qkv on.
    fn attend_to<'o>(
        &self,
        own: &mut Own,
        (q_at, group): (usize, usize),
        (tokens, next): (Range<usize>, &[u8]),
        cache: Cache<'_, E>,
        out: impl Fn(Range<usize>) -> &'o mut [f32],
    ) {
        let Config { n_heads, head_dim, .. } = self.model.config;
        let width = self.model.kv_width();
        let scale = 1.0 / (head_dim as f32).sqrt();
        own.rows.clear();
        for t in tokens.clone() {
            for q in self.qkv_row(t)[q_at..].chunks_exact(head_dim).take(group) {
                let at = own.rows.len();
                own.rows.extend_from_slice(q);
                self.rope.rotate(&mut own.rows[at..], self.angles(t));
                own.rows[at..].iter_mut().for_each(|q| *q *= scale);
                own.rows.resize(at + width, 0.0);
            }
        }
        let first = self.position + tokens.start;
        let stride = stride(n_heads * head_dim);
        let mut queries = Queries { rows: &mut own.rows, group, width, first, next };
        attention::attend(self.how.level, cache, &mut queries, &mut own.attention);
        for (i, row) in own.rows.chunks_exact(width).enumerate() {
            let at = (tokens.start + i / group) * stride + q_at + i % group * head_dim;
            out(at..at + head_dim).copy_from_slice(&row[..head_dim]);
        }
    }

    /// x += input · matrix + bias
    fn residual(&self, worker: &Worker<'_>, own: &mut Own, matrix: &Matrix, input: &Shared<'_, f32>) {
        let Own { forms, tile, .. } = own;
        let rows = self.rows(input, matrix.cols());
        let readers = [matrix.reads()].into_iter();
        let input = pass::prepare(self.how.level, worker, forms, &self.prepared, rows, None, readers);
        let multiply = |range, tile: &mut [f32]| matrix.matmul(self.how, range, input, tile);
        let to = self.to(&self.x, matrix.n_panels());
        pass::store_product(worker, tile, multiply, to, |x, y| {
            x.iter_mut().zip(y).for_each(|(x, y)| *x += y)
        });
    }

    /// hidden = silu(norm(x) · gate + bias) · (norm(x) · up + bias)
    fn gate_and_up(&self, worker: &Worker<'_>, own: &mut Own, layer: &Layer) {
        let norm = Norm { weight: &layer.ffn_norm, eps: self.model.eps };
        let Own { forms, tile, tile2, .. } = own;
        let x = self.rows(&self.x, self.model.config.width);
        let readers = [layer.gate.reads(), layer.up.reads()].into_iter();
        let input = pass::prepare(self.how.level, worker, forms, &self.prepared, x, Some(norm), readers);
        let (n_panels, tokens) = (layer.gate.n_panels(), self.tokens);
        for share in worker.chunks(n_panels, pass::chunk(tokens)) {
            let len = share.range().len() * tokens * PANEL_ROWS;
            let (gate, up) = (&mut tile[..len], &mut tile2[..len]);
            layer.gate.matmul(self.how, share.range(), input, gate);
            layer.up.matmul(self.how, share.range(), input, up);
            swiglu(self.how.level, gate, up);
            let columns = pass::columns(&share.range());
            for t in 0..tokens {
                let at = t * stride(self.model.config.ffn_width);
                let out = self.hidden.claim(&share, at + columns.start..at + columns.end);
                let rows = out.as_chunks_mut::<PANEL_ROWS>().0.iter_mut();
                rows.zip(pass::tile_row(gate, tokens, t)).for_each(|(out, hidden)| *out = *hidden);
            }
        }
    }

    /// logits = norm(x) · output, for the last `n_logits` tokens
    fn output(&self, worker: &Worker<'_>, own: &mut Own) {
        let norm = Norm { weight: &self.model.output_norm, eps: self.model.eps };
        let Own { forms, tile, .. } = own;
        let output = &self.model.output;
        let tokens = self.n_logits;
        let width = self.model.config.width;
        let x = Rows { tokens, first: self.tokens - tokens, ..self.rows(&self.x, width) };
        let readers = [output.reads()].into_iter();
        let input = pass::prepare(self.how.level, worker, forms, &self.prepared, x, Some(norm), readers);
        let multiply = |range, tile: &mut [f32]| output.matmul(self.how, range, input, tile);
        let n_panels = output.n_panels();
        let to = Destination { rows: &self.logits, n_panels, tokens, stride: n_panels * PANEL_ROWS };
        pass::store_product(worker, tile, multiply, to, |out, y| *out = *y);
    }

    fn rows<'b>(&self, data: &'b Shared<'b, f32>, cols: usize) -> Rows<'b> {
        Rows { data, tokens: self.tokens, cols, stride: stride(cols), first: 0 }
    }

    fn to<'b>(&self, rows: &'b Shared<'b, f32>, n_panels: usize) -> Destination<'b> {
        Destination { rows, n_panels, tokens: self.tokens, stride: stride(n_panels * PANEL_ROWS) }
    }
}
