//! The runner protocol, as this runner needs it: the job it reads, the events it writes.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;

/// The version spoken here.
pub(crate) const PROTOCOL_VERSION: u32 = 1;

/// The job; what candle cannot be told (KV type, batch) is not read.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    pub(crate) protocol: u32,
    pub(crate) model: Model,
    pub(crate) prompts: Vec<Vec<u32>>,
    pub(crate) cold_generate: u32,
    pub(crate) n_generate: u32,
    pub(crate) context: u32,
    pub(crate) threads: u32,
    pub(crate) verify: Option<Verify>,
}

/// The model file.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) path: String,
}

/// The verification request.
#[derive(Debug, Deserialize)]
pub(crate) struct Verify {
    pub(crate) prompt: Vec<u32>,
    pub(crate) n_tokens: u32,
    pub(crate) top_k: u32,
    #[serde(default)]
    pub(crate) forced: Vec<u32>,
}

/// What this runner says.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    Hello {
        framework: &'a str,
        version: &'a str,
        build: &'a str,
        weights_class: &'a str,
        features: &'a [String],
    },
    Ready {
        load_ns: u64,
        threads_used: u32,
        settings: Settings,
    },
    Phase {
        name: &'a str,
    },
    Sample(Sample),
    Verified {
        token_ids: Vec<u32>,
        top_logits: Vec<Vec<(u32, f32)>>,
        forced_top: Vec<Vec<(u32, f32)>>,
    },
    Bye,
    Error {
        kind: &'a str,
        message: &'a str,
    },
}

/// What candle works with. It has no batches: a prompt is computed at once.
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    /// The limit that this runner holds the cache to, which grows.
    pub(crate) context: u32,
    pub(crate) kv_type: &'static str,
    pub(crate) model_bytes: Option<u64>,
}

/// One request; times in nanoseconds from its start.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) rep: u32,
    pub(crate) n_prompt: u32,
    pub(crate) n_cached: u32,
    pub(crate) prefill_ns: u64,
    pub(crate) token_ids: Vec<u32>,
    pub(crate) token_at_ns: Vec<u64>,
}

/// A failure with the kind that its event carries.
#[derive(Debug)]
pub(crate) struct RunnerError {
    kind: &'static str,
    message: String,
}

impl RunnerError {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The kind of `error`, `internal` where nobody gave one.
    pub(crate) fn kind_of(error: &anyhow::Error) -> &'static str {
        error.downcast_ref::<Self>().map_or("internal", |e| e.kind)
    }
}

impl std::fmt::Display for RunnerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunnerError {}

/// Writes one event and its newline, at once.
pub(crate) fn send(event: &Event<'_>) -> Result<()> {
    let mut line = serde_json::to_vec(event).context("cannot encode an event")?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).and_then(|()| stdout.flush()).context("cannot write to stdout")
}
