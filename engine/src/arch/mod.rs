//! Model architectures: one file each, one line each in `ARCHITECTURES`.

mod llama;
mod load;
mod pass;
mod tune;

pub(crate) use load::Loader;
pub(crate) use pass::{Logits, Pass, Scratch};
pub(crate) use tune::Walks;

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Gguf;
use crate::kv::KvCache;
use crate::tensor::Matrix;

/// An architecture, by the name in `general.architecture`.
struct Architecture {
    name: &'static str,
    load: fn(&Loader<'_>) -> Result<Box<dyn Network>>,
}

static ARCHITECTURES: &[&Architecture] = &[&llama::ARCHITECTURE];

/// The hyperparameters that every architecture has.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// `general.architecture`
    pub architecture: String,
    /// Transformer blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; each serves `n_heads / n_kv_heads` query heads.
    pub n_kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Hidden width of the feed-forward part.
    pub ffn_width: usize,
    /// Tokens in the vocabulary.
    pub n_vocab: usize,
    /// Positions that the model was trained for.
    pub n_context: usize,
}

/// A loaded model: weights and how to run them.
pub(crate) trait Network: Send + Sync {
    fn config(&self) -> &Config;
    /// Elements of a head in the KV cache.
    fn kv_width(&self) -> usize;
    /// The matrices, in the order in which a pass reads them.
    fn matrices(&self) -> Vec<&Matrix>;
    /// Space for a session that passes at most `batch` tokens at once.
    fn scratch(&self, batch: usize, threads: usize) -> Scratch;
    /// Runs the pass's tokens through the network: the KV cache grows by them, and the logits asked for are in the scratch.
    fn forward(&self, pass: &mut Pass<'_>, kv: &mut KvCache) -> Result<()>;
}

/// Loads the model of `gguf` with the architecture that it names, which must have a place for every tensor.
pub(crate) fn load(gguf: &Gguf, loader: &Loader<'_>) -> Result<Box<dyn Network>> {
    let key = "general.architecture";
    let name = gguf.require_str(key)?;
    let known = || ARCHITECTURES.iter().map(|a| a.name).collect::<Vec<_>>().join(", ");
    let architecture = ARCHITECTURES.iter().find(|a| a.name == name).ok_or_else(|| {
        let message = format!("architecture `{name}` is not supported; this engine runs {}", known());
        gguf.value_error(key, ErrorKind::Unsupported, message)
    })?;
    let network = (architecture.load)(loader)?;
    loader.finish()?;
    Ok(network)
}

/// An error about a value of the model file.
pub(crate) fn refuse(gguf: &Gguf, key: &str, kind: ErrorKind, message: impl Into<String>) -> Error {
    gguf.value_error(key, kind, message)
}
