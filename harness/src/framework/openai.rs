//! Any server with OpenAI's `/v1/completions`, by its address.
//!
//! The format is that of OpenAI's API reference (completions, streaming, `stream_options`). It says nothing of ids, of
//! end of sequence or of how many tokens a chunk holds, so the server is probed once in a launch for what many add:
//! `ignore_eos`, `min_tokens`, `return_token_ids` and `cache_prompt` (those of vLLM and llama-server), and prompts that
//! are arrays of ids. Lengths are those of `usage`; times are stamped before anything is parsed.

use super::server::{Answer, Asked, CompletionServer, Prompt, StampedEvent, Told, refusal};
use super::spoken::{self, Piece};
use super::{Conversation, Failure, LaunchRequest, LaunchSpec};
use crate::framework::server::Reply;
use crate::protocol::quote;
use crate::sample::{FailureKind, RequestSample, TOKEN_ID_NOT_TOLD};
use engine::Tokenizer;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Tokens of a probe.
const PROBE_TOKENS: u32 = 4;
/// Extensions that are tried one by one, with their values for a request of `n` tokens.
const EXTENSIONS: [Extension; 4] = [
    Extension { name: "ignore_eos", value: |_| json!(true) },
    Extension { name: "min_tokens", value: |n| json!(n) },
    Extension { name: "return_token_ids", value: |_| json!(true) },
    Extension { name: "cache_prompt", value: |_| json!(false) },
];

/// A field of a request that OpenAI's own API has not.
struct Extension {
    name: &'static str,
    value: fn(u32) -> Value,
}

/// The dialect, as one server speaks it.
#[derive(Debug, Clone)]
pub(super) struct OpenAi {
    model: String,
    tokenizer: Arc<Tokenizer>,
    probe: Prompt,
    takes_ids: bool,
    tells_ids: bool,
    extensions: Vec<usize>,
    is_probed: bool,
    version: Option<String>,
}

/// Describes a launch of a running server.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    let endpoint = spoken::endpoint(request)?;
    let mut spares = request.spares.to_vec();
    let probe = spares.pop().unwrap_or_default();
    let tokenizer = spoken::tokenizer(request)?;
    let probe = Prompt { text: Some(super::text::text_of(tokenizer, &probe)?), ids: probe };
    let api = OpenAi {
        model: request.option("model")?.to_owned(),
        tokenizer: tokenizer.clone(),
        probe,
        takes_ids: false,
        tells_ids: false,
        extensions: vec![],
        is_probed: false,
        version: None,
    };
    let talk = spoken::talk(&LaunchRequest { spares: &spares, ..request.clone() }, Arc::new(api), endpoint)?;
    Ok(LaunchSpec {
        argv: vec![],
        env: Default::default(),
        cpus: None,
        conversation: Conversation::Server(Box::new(talk)),
    })
}

impl OpenAi {
    fn body(&self, prompt: Value, n_generate: u32, stream: bool, extensions: &[usize]) -> Value {
        let mut body = json!({
            "model": self.model,
            "prompt": prompt,
            "max_tokens": n_generate,
            "temperature": 0,
            "seed": 1,
            "stream": stream,
        });
        if stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        for &idx in extensions {
            let Extension { name, value } = EXTENSIONS[idx];
            body[name] = value(n_generate);
        }
        body
    }
}

impl CompletionServer for OpenAi {
    fn health_path(&self) -> &'static str {
        "/v1/models"
    }

    fn about_paths(&self) -> Vec<String> {
        vec![]
    }

    fn parse_about(&self, _bodies: &[String]) -> Result<Told, Failure> {
        let version = self.version.clone().unwrap_or_else(|| "not told".into());
        Ok(Told { version, ..Told::default() })
    }

    /// A plain request, one with ids, and one with each extension.
    fn probes(&self) -> Vec<String> {
        let text = || json!(self.probe.text());
        let extended = (0..EXTENSIONS.len()).map(|idx| self.body(text(), PROBE_TOKENS, false, &[idx]));
        let first = [
            self.body(text(), PROBE_TOKENS, false, &[]),
            self.body(json!(self.probe.ids), PROBE_TOKENS, false, &[]),
        ];
        first.into_iter().chain(extended).map(|body| body.to_string()).collect()
    }

    fn informed(&self, answers: &[Reply]) -> Result<Option<Arc<dyn CompletionServer>>, Failure> {
        let [plain, by_ids, extended @ ..] = answers else { return Ok(None) };
        if plain.status != 200 {
            return Err(self.parse_refusal(plain.status, &plain.body));
        }
        let whole = |reply: &Reply| serde_json::from_str::<WireChunk>(&reply.body).ok();
        let n_sent = self.probe.ids.len() as u32;
        let n_read = |reply: &Reply| whole(reply).and_then(|w| w.usage).map(|usage| usage.prompt_tokens);
        let extensions: Vec<usize> =
            (0..).zip(extended).filter(|(_, reply)| reply.status == 200).map(|(idx, _)| idx).collect();
        let tells_ids = extended
            .iter()
            .filter(|reply| reply.status == 200)
            .filter_map(whole)
            .any(|whole| whole.choices.first().is_some_and(|choice| !choice.token_ids.is_empty()));
        Ok(Some(Arc::new(OpenAi {
            takes_ids: by_ids.status == 200 && n_read(by_ids) == Some(n_sent),
            tells_ids,
            extensions,
            is_probed: true,
            version: whole(plain).and_then(|w| w.system_fingerprint),
            ..self.clone()
        })))
    }

    fn notes(&self) -> Vec<String> {
        let taken: Vec<&str> = self.extensions.iter().map(|&idx| EXTENSIONS[idx].name).collect();
        let mut notes = vec![format!("prompts as {}", if self.takes_ids { "ids" } else { "text" })];
        if self.is_probed {
            let taken = if taken.is_empty() { "none".to_owned() } else { taken.join(" ") };
            notes.push(format!("extensions not refused: {taken}"));
            notes.push(format!("token ids {}", if self.tells_ids { "told" } else { "not told" }));
        }
        notes
    }

    fn completion_path(&self) -> &'static str {
        "/v1/completions"
    }

    fn completion_body(&self, prompt: &Prompt, n_generate: u32, stream: bool) -> String {
        let sent = if self.takes_ids { json!(prompt.ids) } else { json!(prompt.text()) };
        self.body(sent, n_generate, stream, &self.extensions).to_string()
    }

    fn ended_early(&self, asked: Asked, events: &[StampedEvent]) -> Option<String> {
        Streamed::of(events).ok()?.ended_early(asked)
    }

    fn parse_stream(&self, asked: Asked, events: &[StampedEvent]) -> Result<Answer, Failure> {
        let streamed = Streamed::of(events)?;
        Ok(Answer { request: streamed.request(asked, &self.tokenizer)?, reported: vec![] })
    }

    fn parse_whole(&self, prompt: &Prompt, _n_generate: u32, body: &str) -> Result<Vec<u32>, Failure> {
        let whole: WireChunk = parse(body)?;
        let Some(choice) = whole.choices.into_iter().next() else {
            return Err(Failure::garbage(format!("an answer without a choice: {}", quote(body))));
        };
        Ok(spoken::ids_of(&self.tokenizer, prompt, &choice.text))
    }

    fn parse_refusal(&self, status: u16, body: &str) -> Failure {
        refusal(status, body, told_error(body))
    }
}

/// A streamed answer, put together.
pub(super) struct Streamed {
    pieces: Vec<Piece>,
    /// Ids in each piece, where they are told for all.
    ids: Vec<Vec<u32>>,
    end_ns: u64,
    finish_reason: Option<String>,
    usage: WireUsage,
    /// LM Studio's own figures.
    pub(super) stats: Option<WireStats>,
}

impl Streamed {
    /// # Errors
    /// If the server told an error, did not finish, or told no counts.
    pub(super) fn of(events: &[StampedEvent]) -> Result<Streamed, Failure> {
        let (mut pieces, mut ids, mut usage, mut stats) = (Vec::new(), Vec::new(), None, None);
        let mut finish: Option<(u64, String)> = None;
        for event in events.iter().filter(|event| event.data.trim() != "[DONE]") {
            if let Some(message) = told_error(&event.data) {
                return Err(Failure::new(FailureKind::Reported, message));
            }
            let chunk: WireChunk = parse(&event.data)?;
            usage = chunk.usage.or(usage);
            stats = chunk.stats.or(stats);
            let Some(choice) = chunk.choices.into_iter().next() else { continue };
            // A chunk with a role, or with nothing, is no token.
            if !choice.text.is_empty() || !choice.token_ids.is_empty() {
                pieces.push(Piece { at_ns: event.at_ns, text: choice.text });
                ids.push(choice.token_ids);
            }
            if let Some(reason) = choice.finish_reason {
                finish = Some((event.at_ns, reason));
            }
        }
        let last_ns = pieces.last().map(|piece| piece.at_ns);
        let Some((finish_ns, finish_reason)) = finish else {
            return Err(Failure::garbage("the stream ended before it was finished"));
        };
        let usage = usage.ok_or_else(|| {
            Failure::garbage("the stream told no `usage`, without which tokens cannot be counted")
        })?;
        let end_ns = last_ns.map_or(finish_ns, |last_ns| last_ns.max(finish_ns));
        Ok(Streamed { pieces, ids, end_ns, finish_reason: Some(finish_reason), usage, stats })
    }

    /// Whether it was the limit that ended it. LM Studio then counts one token less than it was asked for.
    fn is_at_limit(&self) -> bool {
        self.finish_reason.as_deref() == Some("length")
    }

    pub(super) fn ended_early(&self, asked: Asked) -> Option<String> {
        let (n_seen, n_wanted) = (self.usage.completion_tokens, asked.n_generate);
        (!self.is_at_limit() && n_seen < n_wanted)
            .then(|| format!("ended by itself after {n_seen} of {n_wanted} tokens"))
    }

    /// The request as it went. `usage` says how many tokens there were; on a stop by the limit one less than asked for is
    /// a known way to count, and means as many as asked for.
    pub(super) fn request(self, asked: Asked, tokenizer: &Tokenizer) -> Result<RequestSample, Failure> {
        let n = asked.n_generate;
        let n_told = self.usage.completion_tokens;
        if n_told != n && !(self.is_at_limit() && n_told + 1 == n) {
            let reason = self.finish_reason.as_deref().unwrap_or("nothing");
            let message = format!("{n_told} tokens instead of {n} (stopped by {})", quote(reason));
            return Err(Failure::new(FailureKind::WrongLength, message));
        }
        let told: Vec<u32> = self.ids.concat();
        let are_told = told.len() == n as usize;
        let n_in_first = match self.ids.first() {
            Some(first) if are_told => first.len() as u32,
            _ => spoken::n_in_first(tokenizer, self.pieces.first(), self.pieces.len(), n),
        };
        Ok(RequestSample {
            rep: asked.rep,
            n_prompt: self.usage.prompt_tokens,
            n_cached: self.usage.prompt_tokens_details.and_then(|details| details.cached_tokens),
            prefill_ns: None,
            token_at_ns: spoken::token_times(&self.pieces, self.end_ns, n, n_in_first),
            token_ids: if are_told { told } else { vec![TOKEN_ID_NOT_TOLD; n as usize] },
        })
    }
}

/// The error that a body tells: `{"error": {"message": …}}` or `{"error": …}`.
pub(super) fn told_error(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    let error = value.get("error").filter(|error| !error.is_null())?;
    let message = error.get("message").unwrap_or(error);
    Some(message.as_str().map_or_else(|| message.to_string(), str::to_owned))
}

pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::garbage(format!("not an answer to a completion ({error}): {}", quote(text)))
    })
}

/// A chunk of the stream, or the whole answer; fields that are not needed are left out.
#[derive(Deserialize)]
pub(super) struct WireChunk {
    #[serde(default)]
    pub(super) choices: Vec<WireChoice>,
    pub(super) usage: Option<WireUsage>,
    pub(super) stats: Option<WireStats>,
    pub(super) runtime: Option<WireRuntime>,
    /// "The backend configuration": where a server has a version, it is here.
    system_fingerprint: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireChoice {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) text: String,
    #[serde(default, deserialize_with = "or_default")]
    token_ids: Vec<u32>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireUsage {
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<WireDetails>,
}

#[derive(Deserialize)]
struct WireDetails {
    cached_tokens: Option<u32>,
}

/// LM Studio's figures of a request: tok/s, s, s.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct WireStats {
    pub(super) tokens_per_second: Option<f64>,
    pub(super) time_to_first_token: Option<f64>,
    pub(super) generation_time: Option<f64>,
}

/// What LM Studio computes with.
#[derive(Deserialize)]
pub(super) struct WireRuntime {
    pub(super) name: String,
    pub(super) version: String,
}

/// `null` as if it were left out.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
#[path = "openai_tests.rs"]
mod tests;
