//! The part of llama-server's dialect that the harness speaks. Only that: a setting that would ask for other work
//! than greedy ids, and a field that is not known, are refused and never ignored.

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
    return_tokens: bool,
    stream: bool,
    n_probs: u32,
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
        if !wire.ignore_eos || wire.cache_prompt || !wire.return_tokens || wire.n_probs != 0 {
            let wanted = "ignore_eos true, cache_prompt false, return_tokens true, n_probs 0";
            return refuse(format!("no other settings than {wanted}"));
        }
        if wire.prompt.is_empty() || wire.n_predict == 0 {
            return refuse("prompt and n_predict: at least one token each".into());
        }
        // The last token is told and not processed.
        let n_positions = wire.prompt.len() as u64 + u64::from(wire.n_predict) - 1;
        if n_positions > u64::from(n_context) {
            return refuse(format!("{n_positions} positions do not fit the context of {n_context}"));
        }
        Ok(Completion { prompt: wire.prompt, n_predict: wire.n_predict, is_streamed: wire.stream })
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
        }
    }
}

/// The server's own figures.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Timings {
    pub(super) cache_n: u32,
    /// Tokens of the prompt that were processed.
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
