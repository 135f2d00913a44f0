//! The part of llama-server's dialect that the harness speaks. Only that: a setting that would ask for other work
//! than greedy ids or the likeliest tokens, and a field that is not known, are refused and never ignored.

use super::wire::Refusal;
use serde::{Deserialize, Serialize};

/// A request for a completion, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// At least one id; whether they are in the vocabulary the backend says.
    pub(super) prompt: Vec<u32>,
    /// At least one token, and room for all of them in the context.
    pub(super) n_predict: u32,
    pub(super) is_streamed: bool,
    /// How many of the likeliest tokens to tell instead of ids, after the prompt; 0: none.
    pub(super) n_probs: u32,
    /// Whether what the cache holds may be used.
    pub(super) may_use_cache: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCompletion {
    prompt: Vec<u32>,
    n_predict: u32,
    temperature: f64,
    samplers: Vec<String>,
    top_k: u32,
    ignore_eos: bool,
    cache_prompt: bool,
    #[serde(default)]
    return_tokens: bool,
    stream: bool,
    n_probs: u32,
    #[serde(default)]
    post_sampling_probs: bool,
}

impl Completion {
    /// Reads the body of a request to a server whose slot has `n_context` positions.
    pub(super) fn parse(body: &[u8], n_context: u32) -> Result<Completion, Refusal> {
        let refuse = |message: String| Err(Refusal::new(400, message));
        let wire: WireCompletion = match serde_json::from_slice(body) {
            Ok(wire) => wire,
            Err(error) => return refuse(format!("not a request that is understood here: {error}")),
        };
        if wire.temperature != 0.0 || wire.top_k != 1 || wire.samplers != ["top_k"] {
            return refuse("only greedy: temperature 0, samplers [\"top_k\"], top_k 1".into());
        }
        let asks_for_ids = wire.n_probs == 0 && wire.return_tokens && !wire.cache_prompt;
        let asks_for_probabilities = wire.n_probs > 0 && wire.n_predict == 1 && !wire.stream;
        if !wire.ignore_eos || wire.post_sampling_probs || !(asks_for_ids || asks_for_probabilities) {
            let ids = "return_tokens true, cache_prompt false and n_probs 0";
            let probabilities = "n_probs, n_predict 1, stream false and post_sampling_probs false";
            return refuse(format!("ignore_eos true, with either {ids}, or {probabilities}"));
        }
        if wire.prompt.is_empty() || wire.n_predict == 0 {
            return refuse("prompt and n_predict: at least one token each".into());
        }
        // The last token is told and not processed.
        let n_positions = wire.prompt.len() as u64 + u64::from(wire.n_predict) - 1;
        if n_positions > u64::from(n_context) {
            return refuse(format!("{n_positions} positions do not fit the context of {n_context}"));
        }
        Ok(Completion {
            prompt: wire.prompt,
            n_predict: wire.n_predict,
            is_streamed: wire.stream,
            n_probs: wire.n_probs,
            may_use_cache: wire.cache_prompt,
        })
    }
}

/// One token of a stream. The server has no text: token ids are all that the harness reads.
#[derive(Serialize)]
pub(super) struct Chunk {
    index: u32,
    content: &'static str,
    tokens: [u32; 1],
    stop: bool,
    id_slot: i32,
    tokens_predicted: usize,
    tokens_evaluated: usize,
}

impl Chunk {
    /// Token number `n_predicted`, counted from 1.
    pub(super) fn new(token_id: u32, n_predicted: usize, n_prompt: usize) -> Chunk {
        Chunk {
            index: 0,
            content: "",
            tokens: [token_id],
            stop: false,
            id_slot: 0,
            tokens_predicted: n_predicted,
            tokens_evaluated: n_prompt,
        }
    }
}

/// The last event of a stream, without ids; or a whole answer, with all of them.
#[derive(Serialize)]
pub(super) struct End<'a> {
    index: u32,
    content: &'static str,
    tokens: &'a [u32],
    id_slot: i32,
    stop: bool,
    tokens_predicted: u32,
    tokens_evaluated: u32,
    truncated: bool,
    stop_type: &'static str,
    timings: Timings,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    completion_probabilities: Vec<Probabilities>,
}

impl<'a> End<'a> {
    /// What ended by its limit, with the ids that were not streamed.
    pub(super) fn new(tokens: &'a [u32], timings: Timings) -> End<'a> {
        End {
            index: 0,
            content: "",
            tokens,
            id_slot: 0,
            stop: true,
            tokens_predicted: timings.predicted_n,
            tokens_evaluated: timings.prompt_n,
            truncated: false,
            stop_type: "limit",
            timings,
            completion_probabilities: vec![],
        }
    }

    /// One token that could follow, as the likeliest ids in its place with their log-probabilities.
    pub(super) fn with_probabilities(top: &[(u32, f32)], timings: Timings) -> End<'a> {
        let told = |&(id, logprob): &(u32, f32)| Probability { id, token: "", bytes: [], logprob };
        let top_logprobs = top.iter().map(told).collect();
        End { completion_probabilities: vec![Probabilities { top_logprobs }], ..End::new(&[], timings) }
    }
}

/// The likeliest tokens in one place, largest first.
#[derive(Serialize)]
struct Probabilities {
    top_logprobs: Vec<Probability>,
}

#[derive(Serialize)]
struct Probability {
    id: u32,
    token: &'static str,
    bytes: [u8; 0],
    /// Natural, over the whole vocabulary.
    logprob: f32,
}

/// The server's own figures.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Timings {
    pub(super) cache_n: u32,
    /// Tokens of the prompt that were processed, besides the `cache_n` that did not have to be.
    pub(super) prompt_n: u32,
    /// From the first of them until the first token of the answer was chosen.
    pub(super) prompt_ms: f64,
    /// Tokens of the answer.
    pub(super) predicted_n: u32,
    /// From the first of them to the last.
    pub(super) predicted_ms: f64,
}

/// As JSON.
pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts can be written")
}

/// The body of a refusal.
pub(super) fn error_text(refusal: &Refusal) -> String {
    let kind = if refusal.status < 500 { "invalid_request_error" } else { "server_error" };
    let error = serde_json::json!({ "code": refusal.status, "message": refusal.message, "type": kind });
    serde_json::json!({ "error": error }).to_string()
}
