//! Servers that complete prompts over HTTP: what the launcher needs to know of their dialect.

use super::Failure;
use crate::sample::{Reported, RequestSample};

/// A dialect of completing prompts over HTTP. Pure: bodies in, values out.
pub trait CompletionServer: std::fmt::Debug + Sync {
    /// Answers 200 once the model is loaded.
    fn health_path(&self) -> &'static str;
    /// Tells the version and the settings.
    fn about_path(&self) -> &'static str;
    /// What the body of `about_path` tells.
    fn parse_about(&self, body: &str) -> Result<Told, Failure>;
    /// Takes completion requests by POST.
    fn completion_path(&self) -> &'static str;
    /// Takes the requests of the verification by POST: those that are not streamed, and those for distributions.
    fn verify_path(&self) -> &'static str {
        self.completion_path()
    }
    /// A request to complete `prompt` with `n_generate` greedy tokens; streamed, or in one answer.
    fn request_body(&self, prompt: &[u32], n_generate: u32, stream: bool) -> String;
    /// What a streamed request yielded, from its server-sent events.
    fn parse_stream(&self, asked: Asked, events: &[StampedEvent]) -> Result<Answer, Failure>;
    /// The token ids of an answer that was not streamed.
    fn parse_whole(&self, n_generate: u32, body: &str) -> Result<Vec<u32>, Failure>;
    /// A request for the `top_k` likeliest tokens after `prompt`; `None` where the dialect has none. Such requests
    /// follow one another with prompts that grow, untimed, and may use what the server has cached.
    fn distribution_body(&self, _prompt: &[u32], _top_k: u32) -> Option<String> {
        None
    }
    /// The tokens of such an answer with their natural log-probabilities over the whole vocabulary, largest first;
    /// `None` where the server does not tell them.
    fn parse_distribution(&self, _body: &str) -> Result<Option<Vec<(u32, f32)>>, Failure> {
        Ok(None)
    }
    /// The error that the body of a refused request tells.
    fn parse_refusal(&self, status: u16, body: &str) -> Failure;
}

/// What a server tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Its version, or build.
    pub version: String,
    /// Path of the model file that it has loaded.
    pub model_path: Option<String>,
    /// KV positions of a sequence.
    pub context: Option<u32>,
    /// Sequences that it can hold at once.
    pub slots: Option<u32>,
}

/// What a server should tell of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Path of the model file that it was given.
    pub model_path: String,
    /// The file's sha256.
    pub model_sha256: String,
    /// KV positions asked for.
    pub context: u32,
    /// Sequences asked for.
    pub slots: u32,
}

/// What a request asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Index of the prompt.
    pub rep: u32,
    /// Tokens sent.
    pub n_prompt: u32,
    /// Tokens wanted.
    pub n_generate: u32,
}

/// A server-sent event with the time at which its last byte was read, counted from the start of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampedEvent {
    /// Stamped before the event was looked at.
    pub at_ns: u64,
    /// The event's data.
    pub data: String,
}

/// What a streamed request yielded.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Times by the client's clock, except for `prefill_ns`.
    pub request: RequestSample,
    /// The server's own figures, one value each.
    pub reported: Vec<Reported>,
}
