//! A model: weights and tokenizer of a GGUF file, shared between threads and sessions.

use crate::ablation::{Part, Without};
use crate::arch::{self, Config, Loader, Network, Walks};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Gguf;
use crate::memory::Pages;
use crate::pool::{Hand, Pool};
use crate::session::{Session, SessionOptions};
use crate::simd::Level;
use crate::tensor::How;
use std::path::Path;
use std::sync::Arc;

/// Most worker threads that can be asked for.
pub const MAX_THREADS: usize = 1024;

/// How to open a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelOptions {
    /// Worker threads, the caller's included; the machine's processors where not given.
    pub threads: Option<usize>,
    /// Instructions to use; the best that the processor has (or [`crate::simd::LEVEL_VARIABLE`] says) where not given.
    pub level: Option<Level>,
    /// Parts to leave out; what [`crate::ablation::WITHOUT_VARIABLE`] says where not given.
    pub without: Option<Without>,
}

/// A loaded model. Cloning shares it; it is `Send + Sync`, and sessions on it are independent.
///
/// ```no_run
/// let model = engine::Model::open("model.gguf")?;
/// let mut session = model.session(engine::SessionOptions::default())?;
/// let logits = session.prefill(&[1, 2, 3])?;
/// let next = engine::sample::argmax(logits);
/// let logits = session.decode(next)?;
/// # let _ = logits;
/// # Ok::<(), engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Model(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) gguf: Gguf,
    pub(crate) network: Box<dyn Network>,
    pub(crate) pool: Pool,
    level: Level,
    walks: Walks,
    pub(crate) without: Without,
}

impl Inner {
    /// How matrices are multiplied on `threads` threads. The first time that so many are asked for, it is found out which way is fastest.
    pub(crate) fn how(&self, threads: usize) -> Result<How> {
        let Self { network, pool, level, without, .. } = self;
        Ok(How { level: *level, walk: self.walks.get(&**network, pool, threads, *level, *without)? })
    }
}

impl Model {
    /// Opens a GGUF file with the default options.
    ///
    /// # Errors
    /// If it cannot be read, is malformed, or is a model that this engine does not run.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, ModelOptions::default())
    }

    /// Opens a GGUF file.
    ///
    /// # Errors
    /// As [`Model::open`]; also if the options are impossible on this machine.
    pub fn open_with(path: impl AsRef<Path>, options: ModelOptions) -> Result<Self> {
        Self::open_with_progress(path, options, &|_, _| ())
    }

    /// Opens a GGUF file; `progress` hears bytes of tensors read and in all.
    ///
    /// # Errors
    /// As [`Model::open_with`].
    pub fn open_with_progress(
        path: impl AsRef<Path>,
        options: ModelOptions,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Self> {
        let path = path.as_ref();
        let span = tracing::info_span!("load", path = %path.display());
        let _entered = span.enter();
        let level = options.level.map_or_else(Level::detect, Ok)?;
        let without = options.without.map_or_else(Without::from_environment, Ok)?;
        let hand = if without.leaves_out(Part::Counter) { Hand::Even } else { Hand::Shared };
        let pool = Pool::handing_out(threads(options.threads)?, hand)?;
        let gguf = Gguf::open(path)?;
        let pages = if without.leaves_out(Part::HugePages) { Pages::Small } else { Pages::Huge };
        let network = arch::load(&gguf, &Loader::new(&gguf, &pool, pages, progress))?;
        let (threads, walks) = (pool.threads(), Walks::new(pool.threads()));
        let inner = Inner { gguf, network, pool, level, walks, without };
        // What most sessions use; others find theirs when they begin.
        inner.how(threads)?;
        Ok(Self(Arc::new(inner)))
    }

    /// A session: a KV cache and a position of its own. The first one with fewer threads than the model's takes longer, as it tries how far
    /// ahead weights are best asked for.
    ///
    /// # Errors
    /// If the options are impossible (a context of 0, more threads than the model has) or memory is short.
    pub fn session(&self, options: SessionOptions) -> Result<Session> {
        Session::new(Arc::clone(&self.0), options)
    }

    /// The hyperparameters.
    pub fn config(&self) -> &Config {
        self.0.network.config()
    }

    /// The file's metadata and tensor directory.
    pub fn gguf(&self) -> &Gguf {
        &self.0.gguf
    }

    /// Worker threads.
    pub fn threads(&self) -> usize {
        self.0.pool.threads()
    }

    /// Instructions in use.
    pub fn level(&self) -> Level {
        self.0.level
    }

    /// Parts that are left out.
    pub fn without(&self) -> Without {
        self.0.without
    }

    /// Bytes of weights in memory.
    pub fn weight_bytes(&self) -> usize {
        self.0.network.matrices().iter().map(|m| m.bytes()).sum()
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("path", &self.gguf().path()).field("config", self.config()).finish()
    }
}

fn threads(asked: Option<usize>) -> Result<usize> {
    let threads = asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if threads == 0 || threads > MAX_THREADS {
        let message = format!("threads must be between 1 and {MAX_THREADS} (asked for {threads})");
        return Err(Error::new(ErrorKind::Request, message));
    }
    Ok(threads)
}
