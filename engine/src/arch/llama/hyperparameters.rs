//! What a file says of its model, within bounds.

use crate::arch::{Config, Loader, refuse};
use crate::error::{ErrorKind, Result};
use crate::gguf::caps::MAX_VOCAB;
use crate::kernels::rope::{Pairs, Rope, Scaling, Yarn};

/// Bounds that no model of this architecture comes near.
const MAX_LAYERS: u64 = 1024;
const MAX_WIDTH: u64 = 1 << 17;
const MAX_HEADS: u64 = 1024;
pub(super) const MAX_HEAD_DIM: u64 = 1024;
const MAX_CONTEXT: u64 = 1 << 24;

/// The hyperparameters.
pub(super) fn config(loader: &Loader<'_>) -> Result<Config> {
    let gguf = loader.gguf;
    if gguf.u64("llama.expert_count")?.unwrap_or(0) > 0 {
        let message = "mixtures of experts are not supported";
        return Err(refuse(gguf, "llama.expert_count", ErrorKind::Unsupported, message));
    }
    let width = loader.count("llama.embedding_length", MAX_WIDTH, None)?;
    let n_heads = loader.count("llama.attention.head_count", MAX_HEADS, None)?;
    let kv_key = "llama.attention.head_count_kv";
    let n_kv_heads = loader.count(kv_key, MAX_HEADS, Some(n_heads))?;
    if !n_heads.is_multiple_of(n_kv_heads) {
        let message = format!("{n_heads} heads cannot share {n_kv_heads} evenly");
        return Err(refuse(gguf, kv_key, ErrorKind::Value, message));
    }
    let key_length = "llama.attention.key_length";
    if gguf.u64(key_length)?.is_none() && !width.is_multiple_of(n_heads) {
        let message = format!("missing, and the width {width} is not a multiple of {n_heads} heads");
        return Err(refuse(gguf, key_length, ErrorKind::Missing, message));
    }
    let head_dim = loader.count(key_length, MAX_HEAD_DIM, Some(width / n_heads))?;
    let value_length = loader.count("llama.attention.value_length", MAX_HEAD_DIM, Some(head_dim))?;
    if value_length != head_dim || head_dim > MAX_HEAD_DIM as usize {
        let message = format!("values of {value_length} beside keys of {head_dim} are not supported");
        return Err(refuse(gguf, "llama.attention.value_length", ErrorKind::Unsupported, message));
    }
    let embedding = gguf.require_tensor("token_embd.weight")?;
    let n_vocab = embedding.rows();
    if n_vocab > MAX_VOCAB {
        let message = format!("{n_vocab} rows; at most {MAX_VOCAB} are supported");
        return Err(refuse(gguf, "token_embd.weight", ErrorKind::Bounds, message));
    }
    Ok(Config {
        architecture: "llama".into(),
        n_layers: loader.count("llama.block_count", MAX_LAYERS, None)?,
        width,
        n_heads,
        n_kv_heads,
        head_dim,
        ffn_width: loader.count("llama.feed_forward_length", MAX_WIDTH * 4, None)?,
        n_vocab: n_vocab as usize,
        n_context: loader.count("llama.context_length", MAX_CONTEXT, None)?,
    })
}

/// How positions are encoded: for LongRoPE otherwise in a session longer than the context that the model had first.
pub(super) struct Ropes {
    short: Rope,
    long: Option<Rope>,
    original_context: usize,
}

impl Ropes {
    /// In a session of `context` positions.
    pub(super) fn within(&self, context: usize) -> &Rope {
        self.long.as_ref().filter(|_| context > self.original_context).unwrap_or(&self.short)
    }

    /// Elements rotated in each head.
    pub(super) fn n_rot(&self) -> usize {
        self.short.n_rot
    }
}

/// How positions are encoded, by llama.cpp's rules.
pub(super) fn ropes(loader: &Loader<'_>, config: &Config) -> Result<Ropes> {
    let gguf = loader.gguf;
    let key = "llama.rope.dimension_count";
    let n_rot = loader.count(key, config.head_dim as u64, Some(config.head_dim))?;
    if n_rot % 2 == 1 {
        return Err(refuse(gguf, key, ErrorKind::Value, format!("must be even (is {n_rot})")));
    }
    let base = f64::from(loader.positive("llama.rope.freq_base", Some(10_000.0))?);
    let original_context =
        loader.count("llama.rope.scaling.original_context_length", MAX_CONTEXT, Some(config.n_context))?;
    let attention_factor = f64::from(loader.positive("llama.rope.scaling.attn_factor", Some(1.0))?);
    let legacy = loader.positive("llama.rope.scale_linear", Some(1.0))?;
    let factor = f64::from(loader.positive("llama.rope.scaling.factor", Some(legacy))?);
    let kind_key = "llama.rope.scaling.type";
    let kind = gguf.str(kind_key)?.unwrap_or("linear");
    if !["none", "linear", "yarn", "longrope"].contains(&kind) {
        let message = format!("`{kind}` is not supported; none, linear, yarn and longrope are");
        return Err(refuse(gguf, kind_key, ErrorKind::Unsupported, message));
    }
    let factor = if kind == "none" { 1.0 } else { factor };
    let yarn = Yarn {
        original_context: original_context as f64,
        beta_fast: f64::from(loader.positive("llama.rope.scaling.yarn_beta_fast", Some(32.0))?),
        beta_slow: f64::from(loader.positive("llama.rope.scaling.yarn_beta_slow", Some(1.0))?),
    };
    let yarn = (kind == "yarn").then_some(yarn);
    let rope = |factors: Option<Vec<f32>>| {
        Rope::new(Pairs::Adjacent, n_rot, base, &Scaling { factors, factor, yarn, attention_factor })
    };
    let (short, long) = if kind == "longrope" {
        let factors = |name| loader.vector(name, n_rot / 2);
        (Some(factors("rope_factors_short.weight")?), Some(factors("rope_factors_long.weight")?))
    } else {
        (loader.optional_vector("rope_freqs.weight", n_rot / 2)?, None)
    };
    Ok(Ropes { short: rope(short), long: long.map(|long| rope(Some(long))), original_context })
}
