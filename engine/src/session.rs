//! A session: tokens in, logits out, with a KV cache of its own.

use crate::ablation::Part;
use crate::arch::{Logits, Pass, Scratch};
use crate::error::{Error, ErrorKind, Result};
use crate::kv::{KvCache, KvType, Shape};
use crate::model::Inner;
use crate::quant::pack::PANEL_ROWS;
use crate::tensor::How;
use std::num::NonZero;
use std::sync::Arc;

/// Prompt tokens passed at once where nothing else is asked for. The result does not depend on it.
pub const DEFAULT_BATCH: usize = 128;
/// Most prompt tokens that can be passed at once.
pub const MAX_BATCH: usize = 4096;

/// How to run a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// KV positions to allocate; the model's trained context, at most 4096, where not given. LongRoPE has other factors in a
    /// session longer than the model's original context, as in llama.cpp.
    pub context: Option<usize>,
    /// Threads to use, at most the model's; all of them where not given.
    pub threads: Option<usize>,
    /// Prompt tokens passed at once; [`DEFAULT_BATCH`] where not given.
    pub batch: Option<usize>,
    /// Element type of the KV cache.
    pub kv_type: KvType,
}

/// Tokens in, logits out. Independent of other sessions on the same model, which it may outlive.
pub struct Session {
    model: Arc<Inner>,
    kv: KvCache,
    scratch: Scratch,
    how: How,
    threads: usize,
    batch: usize,
    context: usize,
    /// Tokens in the cache.
    len: usize,
}

impl Session {
    pub(crate) fn new(model: Arc<Inner>, options: SessionOptions) -> Result<Self> {
        let config = model.network.config();
        let context = options.context.unwrap_or_else(|| config.n_context.min(4096));
        let threads = options.threads.unwrap_or_else(|| model.pool.threads());
        let batch = match model.without.leaves_out(Part::Tiles) {
            true => 1,
            false => options.batch.unwrap_or(DEFAULT_BATCH).min(context),
        };
        let kv_type = match model.without.leaves_out(Part::HalfCache) {
            true => KvType::F32,
            false => options.kv_type,
        };
        let refuse = |message: String| Err(Error::new(ErrorKind::Request, message));
        if context == 0 || context > config.n_context {
            let trained = config.n_context;
            return refuse(format!(
                "context must be between 1 and the model's {trained} (asked for {context})"
            ));
        }
        if threads == 0 || threads > model.pool.threads() {
            let most = model.pool.threads();
            return refuse(format!("threads must be between 1 and the model's {most} (asked for {threads})"));
        }
        if batch == 0 || batch > MAX_BATCH {
            return refuse(format!("batch must be between 1 and {MAX_BATCH} (asked for {batch})"));
        }
        let (n_layers, n_kv_heads, width) = (config.n_layers, config.n_kv_heads, model.network.kv_width());
        let kv = KvCache::new(kv_type, Shape { n_layers, n_kv_heads, width, context })?;
        let scratch = model.network.scratch(batch, threads);
        let how = model.how(threads)?;
        Ok(Self { model, kv, scratch, how, threads, batch, context, len: 0 })
    }

    /// Processes `ids` after what is already there; returns the logits of the last, \[n_vocab\].
    ///
    /// # Errors
    /// If `ids` is empty, has an id outside the vocabulary, or does not fit the context; nothing is changed then.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<&[f32]> {
        let span = tracing::info_span!("prefill", tokens = ids.len(), position = self.len);
        let _entered = span.enter();
        self.check(ids)?;
        let last = ids.len().div_ceil(self.batch) - 1;
        for (i, chunk) in ids.chunks(self.batch).enumerate() {
            self.pass(chunk, if i == last { Logits::Last } else { Logits::None })?;
        }
        Ok(&self.scratch.logits[..self.model.network.config().n_vocab])
    }

    /// Processes one token; returns its logits, \[n_vocab\].
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn decode(&mut self, id: u32) -> Result<&[f32]> {
        let span = tracing::trace_span!("decode", position = self.len);
        let _entered = span.enter();
        self.check(&[id])?;
        self.pass(&[id], Logits::Last)?;
        Ok(&self.scratch.logits[..self.model.network.config().n_vocab])
    }

    /// Processes `ids` and hands each token's index and logits to `each`: teacher forcing.
    ///
    /// # Errors
    /// As [`Session::prefill`]; an error of `each` ends it.
    pub fn prefill_each(
        &mut self,
        ids: &[u32],
        mut each: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        self.check(ids)?;
        let n_vocab = self.model.network.config().n_vocab;
        // Logits of a whole batch can be large: 32 rows of 128k are 16 MB.
        let batch = self.batch.min(32);
        for (i, chunk) in ids.chunks(batch).enumerate() {
            self.pass(chunk, Logits::All)?;
            let rows = self.scratch.logits.chunks_exact(n_vocab.next_multiple_of(PANEL_ROWS));
            for (t, row) in rows.take(chunk.len()).enumerate() {
                each(i * batch + t, &row[..n_vocab])?;
            }
        }
        Ok(())
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is in the cache.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Positions allocated.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Prompt tokens passed at once.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// How many bytes ahead decode asks for weights, if it does: what was fastest on this machine with so many threads.
    pub fn prefetch_bytes(&self) -> Option<usize> {
        self.how.walk.ahead.map(NonZero::get)
    }

    /// Element type of the KV cache.
    pub fn kv_type(&self) -> KvType {
        self.kv.kind()
    }

    /// Bytes of the KV cache.
    pub fn kv_bytes(&self) -> usize {
        self.kv.bytes()
    }

    /// Forgets all but the first `len` tokens; no effect if there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        let n_vocab = self.model.network.config().n_vocab;
        let refuse = |message: String| Err(Error::new(ErrorKind::Request, message));
        if ids.is_empty() {
            return refuse("there are no tokens to process".into());
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= n_vocab) {
            return refuse(format!("token {id} is outside the vocabulary of {n_vocab}"));
        }
        if ids.len() > self.context() - self.len {
            let (n, len, context) = (ids.len(), self.len, self.context());
            return refuse(format!("{n} more tokens after {len} do not fit the context of {context}"));
        }
        Ok(())
    }

    fn pass(&mut self, ids: &[u32], logits: Logits) -> Result<()> {
        let model = &self.model;
        let mut pass = Pass {
            gguf: &model.gguf,
            pool: &model.pool,
            threads: self.threads,
            how: self.how,
            ids,
            position: self.len,
            context: self.context,
            logits,
            without: model.without,
            scratch: &mut self.scratch,
        };
        model.network.forward(&mut pass, &mut self.kv)?;
        self.len += ids.len();
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("len", &self.len).field("context", &self.context()).finish()
    }
}
