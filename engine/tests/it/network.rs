//! The llama network against a plain one in f64, written from the papers and sharing no code with the engine's.

use crate::support::{Parts, ids, rewritten, tiny};
use engine::gguf::{Gguf, Value};
use engine::{Model, SessionOptions};
use std::path::Path;

struct Plain {
    gguf: Gguf,
    width: usize,
    heads: usize,
    kv_heads: usize,
    layers: usize,
    eps: f64,
    base: f64,
}

type Rows = Vec<Vec<f64>>;

impl Plain {
    fn open(path: &Path) -> Self {
        let gguf = Gguf::open(path).unwrap();
        let count = |key: &str| gguf.require_u32(key).unwrap() as usize;
        Self {
            width: count("llama.embedding_length"),
            heads: count("llama.attention.head_count"),
            kv_heads: count("llama.attention.head_count_kv"),
            layers: count("llama.block_count"),
            eps: f64::from(gguf.require_f32("llama.attention.layer_norm_rms_epsilon").unwrap()),
            base: f64::from(gguf.require_f32("llama.rope.freq_base").unwrap()),
            gguf,
        }
    }

    fn tensor(&self, name: &str) -> Rows {
        let tensor = self.gguf.require_tensor(name).unwrap();
        let mut bytes = vec![0; tensor.bytes as usize];
        self.gguf.read_exact_at(tensor, 0, &mut bytes).unwrap();
        let mut values = vec![0.0; (tensor.rows() * tensor.cols()) as usize];
        (tensor.format.decode)(&bytes, &mut values);
        values.chunks(tensor.cols() as usize).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect()
    }

    fn norm(&self, x: &[f64], weight: &str) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + self.eps).sqrt();
        x.iter().zip(&self.tensor(weight)[0]).map(|(x, w)| x * scale * w).collect()
    }

    fn rope(&self, head: &mut [f64], position: usize) {
        let n = head.len();
        for i in 0..n / 2 {
            let angle = position as f64 * self.base.powf(-2.0 * i as f64 / n as f64);
            let (x, y) = (head[2 * i], head[2 * i + 1]);
            head[2 * i] = x * angle.cos() - y * angle.sin();
            head[2 * i + 1] = x * angle.sin() + y * angle.cos();
        }
    }

    /// Logits of the last token.
    fn logits(&self, ids: &[u32]) -> Vec<f64> {
        let embedding = self.tensor("token_embd.weight");
        let mut x: Rows = ids.iter().map(|&id| embedding[id as usize].clone()).collect();
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let attended = self.attention(&x, &name);
            let out = self.tensor(&name("attn_output"));
            let (gate, up, down) = (
                self.tensor(&name("ffn_gate")),
                self.tensor(&name("ffn_up")),
                self.tensor(&name("ffn_down")),
            );
            for (x, attended) in x.iter_mut().zip(attended) {
                add(x, &times(&out, &attended));
                let normed = self.norm(x, &name("ffn_norm"));
                let hidden = times(&gate, &normed).into_iter().zip(times(&up, &normed));
                let hidden: Vec<f64> = hidden.map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                add(x, &times(&down, &hidden));
            }
        }
        let normed = self.norm(x.last().unwrap(), "output_norm.weight");
        let tied = self.gguf.tensor("output.weight").is_none();
        times(&if tied { embedding } else { self.tensor("output.weight") }, &normed)
    }

    fn attention(&self, x: &Rows, name: &dyn Fn(&str) -> String) -> Rows {
        let head_dim = self.width / self.heads;
        let project = |part: &str, rotate: bool| -> Vec<Rows> {
            let weight = self.tensor(&name(part));
            let token = |(position, x): (usize, &Vec<f64>)| {
                let all = times(&weight, &self.norm(x, &name("attn_norm")));
                let mut heads: Rows = all.chunks(head_dim).map(<[f64]>::to_vec).collect();
                heads.iter_mut().filter(|_| rotate).for_each(|head| self.rope(head, position));
                heads
            };
            x.iter().enumerate().map(token).collect()
        };
        let (q, k, v) = (project("attn_q", true), project("attn_k", true), project("attn_v", false));
        let attend = |t: usize, head: usize| {
            let kv = head / (self.heads / self.kv_heads);
            let score = |p: usize| dot(&q[t][head], &k[p][kv]) / (head_dim as f64).sqrt();
            let weights: Vec<f64> = (0..=t).map(|p| score(p).exp()).collect();
            let total: f64 = weights.iter().sum();
            (0..head_dim).map(|i| (0..=t).map(|p| weights[p] * v[p][kv][i]).sum::<f64>() / total).collect()
        };
        (0..x.len()).map(|t| (0..self.heads).flat_map(|h| -> Vec<f64> { attend(t, h) }).collect()).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
fn times(matrix: &Rows, x: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, x)).collect()
}
fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Root mean square of the difference over that of the logits.
fn relative_error(path: &Path) -> f64 {
    let ids = ids(9);
    let model = Model::open(path).unwrap();
    let mut session = model.session(SessionOptions { context: Some(16), ..Default::default() }).unwrap();
    let got = session.prefill(&ids).unwrap();
    let want = Plain::open(path).logits(&ids);
    let error: f64 = got.iter().zip(&want).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum();
    (error / want.iter().map(|w| w * w).sum::<f64>()).sqrt()
}

#[test]
fn logits_are_those_of_the_plain_network() {
    // In f32 only the KV cache rounds (f16); quantized, the activations have eight bits.
    for (format, limit) in [("F32", 1e-3), ("F16", 1e-3), ("Q8_0", 2e-2), ("Q4_0", 2e-2), ("Q4_K", 2e-2)] {
        let error = relative_error(&tiny(format).path);
        assert!(error < limit, "{format}: {error}");
    }
}

#[test]
fn a_tied_output_is_the_embedding_table() {
    let tied = rewritten(&tiny("F32").path, |parts: &mut Parts| parts.remove_tensor("output.weight"));
    let error = relative_error(&tied.path);
    assert!(error < 2e-2, "{error}");
}

#[test]
fn an_odd_number_of_layers_and_every_head_its_own_kv_head() {
    // Keys and values of four heads instead of two: rows repeated.
    let file = rewritten(&tiny("F32").path, |parts: &mut Parts| {
        parts.set("llama.attention.head_count_kv", Value::U32(4));
        for (tensor, bytes) in &mut parts.tensors {
            if tensor.name.contains("attn_k.") || tensor.name.contains("attn_v.") {
                let missing = tensor.dims[0] / tensor.dims[1];
                let copy = bytes.clone();
                (1..missing).for_each(|_| bytes.extend(&copy));
                tensor.dims[1] *= missing;
            }
        }
    });
    let error = relative_error(&file.path);
    assert!(error < 1e-3, "{error}");
}
