//! The llama network against a plain one in f64, written from the papers and sharing no code with the engine's.

use crate::support::{Parts, ids, rewritten, tiny};
use engine::gguf::{Gguf, Tensor, Value};
use engine::{Model, SessionOptions};
use std::path::Path;

struct Plain {
    gguf: Gguf,
    width: usize,
    heads: usize,
    kv_heads: usize,
    layers: usize,
    eps: f64,
    rope: PlainRope,
}

type Rows = Vec<Vec<f64>>;

struct Affine {
    weight: Rows,
    bias: Option<Vec<f64>>,
}

impl Affine {
    fn times(&self, x: &[f64]) -> Vec<f64> {
        let mut y = times(&self.weight, x);
        self.bias.iter().for_each(|bias| add(&mut y, bias));
        y
    }
}

impl Plain {
    /// For a session of `context` positions.
    fn open(path: &Path, context: usize) -> Self {
        let gguf = Gguf::open(path).unwrap();
        let count = |key: &str| gguf.require_u32(key).unwrap() as usize;
        Self {
            width: count("llama.embedding_length"),
            heads: count("llama.attention.head_count"),
            kv_heads: count("llama.attention.head_count_kv"),
            layers: count("llama.block_count"),
            eps: f64::from(gguf.require_f32("llama.attention.layer_norm_rms_epsilon").unwrap()),
            rope: PlainRope::of(&gguf, context),
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

    /// A matrix, and its bias if the file has one.
    fn affine(&self, name: &str) -> Affine {
        let bias = name.replace(".weight", ".bias");
        let bias = self.gguf.tensor(&bias).map(|_| self.tensor(&bias).remove(0));
        Affine { weight: self.tensor(name), bias }
    }

    fn norm(&self, x: &[f64], weight: &str) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + self.eps).sqrt();
        x.iter().zip(&self.tensor(weight)[0]).map(|(x, w)| x * scale * w).collect()
    }

    /// Logits of the last token.
    fn logits(&self, ids: &[u32]) -> Vec<f64> {
        let embedding = self.tensor("token_embd.weight");
        let mut x: Rows = ids.iter().map(|&id| embedding[id as usize].clone()).collect();
        for layer in 0..self.layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let attended = self.attention(&x, &name);
            let out = self.affine(&name("attn_output"));
            let (gate, up, down) = (
                self.affine(&name("ffn_gate")),
                self.affine(&name("ffn_up")),
                self.affine(&name("ffn_down")),
            );
            for (x, attended) in x.iter_mut().zip(attended) {
                add(x, &out.times(&attended));
                let normed = self.norm(x, &name("ffn_norm"));
                let hidden = gate.times(&normed).into_iter().zip(up.times(&normed));
                let hidden: Vec<f64> = hidden.map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                add(x, &down.times(&hidden));
            }
        }
        let normed = self.norm(x.last().unwrap(), "output_norm.weight");
        let tied = self.gguf.tensor("output.weight").is_none();
        times(&if tied { embedding } else { self.tensor("output.weight") }, &normed)
    }

    fn attention(&self, x: &Rows, name: &dyn Fn(&str) -> String) -> Rows {
        let head_dim = self.width / self.heads;
        let project = |part: &str, rotate: bool| -> Vec<Rows> {
            let weight = self.affine(&name(part));
            let token = |(position, x): (usize, &Vec<f64>)| {
                let all = weight.times(&self.norm(x, &name("attn_norm")));
                let mut heads: Rows = all.chunks(head_dim).map(<[f64]>::to_vec).collect();
                heads.iter_mut().filter(|_| rotate).for_each(|head| self.rope.rotate(head, position));
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

/// Rotation as llama.cpp computes it (`ggml_rope_ext`): per-frequency factors first, then a linear or a YaRN factor.
struct PlainRope {
    base: f64,
    /// Of each pair, \[n_rot / 2\]
    factors: Vec<f64>,
    factor: f64,
    /// Where each pair stands between kept (1) and interpolated (0); `None` without YaRN.
    kept: Option<Vec<f64>>,
    magnitude: f64,
}

impl PlainRope {
    fn of(gguf: &Gguf, context: usize) -> Self {
        let number =
            |key: &str, default| gguf.f32(&format!("llama.rope.{key}")).unwrap().map_or(default, f64::from);
        let n = gguf.require_u32("llama.rope.dimension_count").unwrap() as usize;
        let trained = f64::from(gguf.require_u32("llama.context_length").unwrap());
        let original = number("scaling.original_context_length", trained);
        let kind = gguf.str("llama.rope.scaling.type").unwrap().unwrap_or("linear");
        let name = match (kind, context as f64 > original) {
            ("longrope", true) => "rope_factors_long.weight",
            ("longrope", false) => "rope_factors_short.weight",
            _ => "rope_freqs.weight",
        };
        let factors = gguf.tensor(name).map(|tensor| {
            let mut bytes = vec![0; tensor.bytes as usize];
            gguf.read_exact_at(tensor, 0, &mut bytes).unwrap();
            let words = bytes.as_chunks().0.iter();
            words.map(|&word| f64::from(f32::from_le_bytes(word))).collect()
        });
        let base = number("freq_base", 10_000.0);
        let factor = if kind == "none" { 1.0 } else { number("scaling.factor", 1.0) };
        let kept = (kind == "yarn").then(|| {
            let turns =
                |beta: f64| n as f64 * (original / (beta * std::f64::consts::TAU)).ln() / (2.0 * base.ln());
            let (low, high) = (turns(32.0).floor().max(0.0), turns(1.0).ceil().min(n as f64 - 1.0));
            (0..n / 2).map(|i| 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0)).collect()
        });
        let yarn = if kept.is_some() { 1.0 + 0.1 * factor.ln() } else { 1.0 };
        let magnitude = number("scaling.attn_factor", 1.0) * yarn;
        Self { base, factors: factors.unwrap_or_else(|| vec![1.0; n / 2]), factor, kept, magnitude }
    }

    fn rotate(&self, head: &mut [f64], position: usize) {
        let n = head.len();
        for i in 0..n / 2 {
            let plain = position as f64 * self.base.powf(-2.0 * i as f64 / n as f64) / self.factors[i];
            let kept = self.kept.as_ref().map_or(0.0, |kept| kept[i]);
            let angle = plain / self.factor * (1.0 - kept) + plain * kept;
            let (sin, cos) = (angle.sin() * self.magnitude, angle.cos() * self.magnitude);
            let (x, y) = (head[2 * i], head[2 * i + 1]);
            head[2 * i] = x * cos - y * sin;
            head[2 * i + 1] = x * sin + y * cos;
        }
    }
}

/// Root mean square of the difference over that of the logits.
fn relative_error(path: &Path) -> f64 {
    relative_error_within(path, 16)
}

/// The same in a session of `context` positions.
fn relative_error_within(path: &Path, context: usize) -> f64 {
    let ids = ids(9);
    let model = Model::open(path).unwrap();
    let options = SessionOptions { context: Some(context), ..Default::default() };
    let mut session = model.session(options).unwrap();
    let got = session.prefill(&ids).unwrap();
    let want = Plain::open(path, context).logits(&ids);
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

#[test]
fn positions_are_scaled_as_llama_cpp_scales_them() {
    let mut wrong = Vec::new();
    let mut note = |name: String, error: f64| wrong.extend((error >= 1e-3).then_some((name, error)));
    let factors = |by: f32| (0..32).map(|i| 1.0 + by * i as f32).collect::<Vec<_>>();
    let scaled = |kind: &'static str, factor: f32| {
        move |parts: &mut Parts| {
            parts.set("llama.rope.scaling.type", Value::String(kind.as_bytes().into()));
            parts.set("llama.rope.scaling.factor", Value::F32(factor));
            parts.set("llama.rope.scaling.original_context_length", Value::U32(32));
            parts.set("llama.rope.scaling.attn_factor", Value::F32(1.2));
        }
    };
    for (kind, factor) in [("none", 4.0), ("linear", 1.0), ("linear", 4.0), ("yarn", 4.0)] {
        let plain = rewritten(&tiny("F32").path, scaled(kind, factor));
        let both = rewritten(&plain.path, |p| p.add_vector("rope_freqs.weight", &factors(0.3)));
        for (name, file) in [("alone", plain), ("beside rope_freqs", both)] {
            note(format!("{kind} {factor} {name}"), relative_error(&file.path));
        }
    }
    for factor in [1.0, 4.0] {
        let file = rewritten(&tiny("F32").path, |parts| {
            scaled("longrope", factor)(parts);
            parts.add_vector("rope_factors_short.weight", &factors(0.1));
            parts.add_vector("rope_factors_long.weight", &factors(1.0));
        });
        for context in [16, 32, 33, 64] {
            let name = format!("longrope {factor}, a session of {context}");
            note(name, relative_error_within(&file.path, context));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_bias_is_added() {
    let all = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];
    for biased in all.chunks(1).chain([&all[..]]) {
        let file = rewritten(&tiny("F32").path, |parts: &mut Parts| add_biases(parts, biased));
        let error = relative_error(&file.path);
        assert!(error < 1e-3, "{biased:?}: {error}");
    }
}

#[test]
fn biases_are_the_same_for_one_token_and_for_many() {
    let file = rewritten(&tiny("Q4_0").path, |parts: &mut Parts| {
        add_biases(parts, &["attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]);
    });
    let model = Model::open(&file.path).unwrap();
    let options = SessionOptions { context: Some(16), ..Default::default() };
    let (mut whole, mut single) = (model.session(options).unwrap(), model.session(options).unwrap());
    let last = ids(9).into_iter().map(|id| single.decode(id).unwrap().to_vec()).last().unwrap();
    assert_eq!(whole.prefill(&ids(9)).unwrap(), last);
}

/// Gives matrices of all layers a bias.
fn add_biases(parts: &mut Parts, biased: &[&str]) {
    let rows =
        |t: &Tensor| biased.iter().any(|b| t.name.ends_with(&format!(".{b}.weight"))).then(|| t.rows());
    let found = parts.tensors.iter().filter_map(|(t, _)| Some((t.name.clone(), rows(t)?)));
    for (name, rows) in found.collect::<Vec<_>>() {
        let bias: Vec<f32> = (0..rows).map(|i| (i as f32 * 0.7 + name.len() as f32).sin()).collect();
        parts.add_vector(&name.replace(".weight", ".bias"), &bias);
    }
}
