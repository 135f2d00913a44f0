//! The runner protocol, version 1: one job as a JSON line on stdin, events as JSON lines on stdout.
//!
//! All times are monotonic nanoseconds taken in the runner. After `bye` the runner waits until its stdin is
//! closed, so that the launcher can read the process's high-water marks while it is still alive.
//! Fields that a reader does not know are ignored; a missing field is an error.

use serde::{Deserialize, Serialize};

/// The protocol version that this harness speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a runner is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The model file.
    pub model: JobModel,
    /// One prompt for each request, as token ids; all different, so that no cache can help.
    /// The first is the cold request when `cold_generate` is not zero.
    pub prompts: Vec<Vec<u32>>,
    /// Tokens to generate for the first, cold request, which doubles as warm-up. 0: no cold request.
    pub cold_generate: u32,
    /// Tokens to generate for every other request; end-of-sequence is ignored.
    pub n_generate: u32,
    /// KV positions to allocate.
    pub context: u32,
    /// Compute threads.
    pub threads: u32,
    /// KV cache element type: `f16`.
    pub kv_type: String,
    /// Prompt tokens per batch.
    pub batch: u32,
    /// Asks for the greedy continuation of a verification prompt after the samples, if present.
    pub verify: Option<Verify>,
}

/// The model file of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobModel {
    /// Absolute path.
    pub path: String,
    /// Lower-case hexadecimal sha256.
    pub sha256: String,
}

/// The verification request: a greedy continuation to be compared with the reference's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// Token ids of the prompt.
    pub prompt: Vec<u32>,
    /// Tokens to generate greedily.
    pub n_tokens: u32,
    /// Logits wanted for each token: the `top_k` largest. 0: none.
    pub top_k: u32,
}

/// How near a framework's weights are to the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord, Hash)]
pub enum WeightsClass {
    /// The same bytes.
    A,
    /// The same dequantized values.
    B,
    /// Requantized.
    C,
}

/// What a runner says. Order: hello, ready, samples with phases between them, verified, bye; or an error at any point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Who speaks.
    Hello {
        /// Framework id.
        framework: String,
        /// Its version.
        version: String,
        /// Build flags, as far as they matter for speed.
        build: String,
        /// See [`WeightsClass`].
        weights_class: WeightsClass,
        /// CPU features in use, and the like.
        features: Vec<String>,
    },
    /// The model is loaded and can take a prompt.
    Ready {
        /// From the start of loading to now.
        load_ns: u64,
        /// Compute threads in use.
        threads_used: u32,
    },
    /// A named moment, for the memory curve.
    Phase {
        /// `cold`, `sample`, `verify`, …
        name: String,
    },
    /// One request, finished.
    Sample(SampleEvent),
    /// The verification request, finished.
    Verified {
        /// The greedy continuation.
        token_ids: Vec<u32>,
        /// For each generated token the largest logits as (id, value), largest first; empty when not asked for.
        #[serde(default)]
        top_logits: Vec<Vec<(u32, f32)>>,
    },
    /// All done; the runner now waits for its stdin to close.
    Bye,
    /// The runner gives up.
    Error {
        /// `unsupported`, `model`, `memory`, `internal`, …
        kind: String,
        /// For a person.
        message: String,
    },
}

/// One request as the runner timed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleEvent {
    /// Index into the job's prompts.
    pub rep: u32,
    /// Prompt tokens processed.
    pub n_prompt: u32,
    /// Prompt tokens that came from a cache; must be 0.
    pub n_cached: u32,
    /// Time to process the prompt.
    pub prefill_ns: u64,
    /// Generated ids.
    pub token_ids: Vec<u32>,
    /// For each generated token, from the start of the request until it could be handed to the caller.
    pub token_at_ns: Vec<u64>,
}
