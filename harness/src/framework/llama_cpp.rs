//! llama.cpp through `llama-server`: prompt ids in, token ids out, one slot, nothing cached.
//!
//! Its defaults inflate memory (an 8 GiB prompt cache, four slots, the model's full context), so each is set.
//! Two things to know of its stream. It sends no chunk for a token that ends inside a UTF-8 character, only for
//! the one that completes it: `tokens_predicted` tells how many were held back, their ids stay unknown. And it
//! bans end-of-sequence tokens when told to ignore them, where runners generate past them.
//!
//! Runners take the largest logit. Temperature 0 alone would leave the server with its whole chain of samplers for
//! each token, so it is asked for top-k with k = 1 and nothing else. Its warm-up run at load is off: runners have none.

use super::llama_flags::resolve;
use super::server::{
    Answer, Asked, CompletionServer, Endpoint, Prompt, ServerTalk, StampedEvent, Told, Wanted, refusal,
};
use super::{Conversation, Failure, LaunchRequest, LaunchSpec, path_arg};
use crate::protocol::quote;
use crate::sample::{FailureKind, Reported, RequestSample, TOKEN_ID_NOT_TOLD};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// The micro-batch: llama.cpp's default, and at most the batch.
const MICRO_BATCH: u32 = 512;
/// Requests come one after the other.
const SLOTS: u32 = 1;

/// The dialect of `llama-server`.
#[derive(Debug)]
pub struct LlamaServer;

/// Describes a `llama-server` for one launch.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    describe_with(request, Arc::new(LlamaServer))
}

/// Describes a `llama-server` that speaks the dialect `api`.
pub(super) fn describe_with(
    request: &LaunchRequest,
    api: Arc<dyn CompletionServer>,
) -> Result<LaunchSpec, Failure> {
    let program = path_arg(request.needed_program()?)?;
    let mut argv = vec![program, "-m".into(), path_arg(request.model.path)?];
    let mut add = |text: &str| argv.extend(text.split_whitespace().map(str::to_string));
    add(&format!("-c {} -np {SLOTS}", request.workload.context));
    add(&format!("-t {0} -tb {0}", request.threads));
    add(&cache_and_batch(request));
    argv.extend(resolve(&request.options, request.flags)?.args);
    argv.extend(format!("--host 127.0.0.1 --port {}", request.port).split(' ').map(str::to_string));
    let conversation = Conversation::Server(Box::new(ServerTalk { api, ..talk(request)? }));
    Ok(LaunchSpec { argv, env: Default::default(), cpus: None, conversation })
}

/// What a server of this dialect is asked for in one launch.
pub(super) fn talk(request: &LaunchRequest) -> Result<ServerTalk, Failure> {
    let requests = request.prompts.iter().enumerate();
    Ok(ServerTalk {
        api: Arc::new(LlamaServer),
        endpoint: Endpoint::Child { port: request.port },
        opening: vec![],
        loading: vec![],
        closing: vec![],
        requests: requests.map(|(rep, ids)| (Prompt::of_ids(ids), request.n_generate(rep))).collect(),
        spares: vec![],
        has_cold: request.cold_generate > 0,
        verify: request.verify.clone(),
        verify_text: None,
        weights_class: request.entry.weights_class,
        program_version: request.program_version.map(str::to_string),
        wanted: Wanted {
            model_path: path_arg(request.model.path)?,
            model_sha256: request.model.sha256.to_string(),
            context: request.workload.context,
            slots: SLOTS,
        },
        features: vec![],
    })
}

/// Type of the KV cache and size of the batch, which every build of both programs is told alike.
pub(super) fn cache_and_batch(request: &LaunchRequest) -> String {
    let micro_batch = MICRO_BATCH.min(request.batch);
    let kv = request.kv_type;
    format!("-ctk {kv} -ctv {kv} -b {} -ub {micro_batch}", request.batch)
}

impl LlamaServer {
    /// A request to complete these ids.
    pub(crate) fn request_body(&self, prompt: &[u32], n_generate: u32, stream: bool) -> String {
        json!({
            "prompt": prompt,
            "n_predict": n_generate,
            "temperature": 0,
            "samplers": ["top_k"],
            "top_k": 1,
            "ignore_eos": true,
            "cache_prompt": false,
            "return_tokens": true,
            "stream": stream,
            "n_probs": 0,
        })
        .to_string()
    }
}

impl CompletionServer for LlamaServer {
    fn health_path(&self) -> &'static str {
        "/health"
    }

    fn about_paths(&self) -> Vec<String> {
        vec!["/props".into()]
    }

    fn parse_about(&self, bodies: &[String]) -> Result<Told, Failure> {
        let props: WireProps = parse(bodies.first().map_or("", String::as_str))?;
        Ok(Told {
            version: props.build_info,
            model_path: props.model_path,
            context: props.default_generation_settings.and_then(|settings| settings.n_ctx),
            slots: props.total_slots,
        })
    }

    fn completion_path(&self) -> &'static str {
        "/completion"
    }

    fn completion_body(&self, prompt: &Prompt, n_generate: u32, stream: bool) -> String {
        self.request_body(&prompt.ids, n_generate, stream)
    }

    fn parse_stream(&self, asked: Asked, events: &[StampedEvent]) -> Result<Answer, Failure> {
        let mut tokens = Tokens::default();
        let mut last = None;
        for event in events {
            if last.is_some() {
                return Err(Failure::garbage(format!("after the last event: {}", quote(&event.data))));
            }
            let wire: WireEvent = parse(&event.data)?;
            if let Some(error) = wire.error {
                return Err(Failure::new(FailureKind::Reported, error.message));
            }
            tokens.take(&wire, event)?;
            if wire.stop {
                last = Some((event.at_ns, End::of(&wire, &event.data)?));
            }
        }
        let Some((end_ns, end)) = last else {
            return Err(Failure::garbage("the stream ended before its last event"));
        };
        end.check(asked.n_generate)?;
        tokens.date_first(end_ns, &end.timings);
        Ok(end.answer(asked.rep, tokens))
    }

    fn parse_whole(&self, _prompt: &Prompt, n_generate: u32, body: &str) -> Result<Vec<u32>, Failure> {
        let wire: WireEvent = parse(body)?;
        End::of(&wire, body)?.check(n_generate)?;
        Ok(wire.tokens)
    }

    /// One token is generated, since probabilities come with tokens; which one does not matter. They are of the logits
    /// before any sampler, over the whole vocabulary (`post_sampling_probs` off). The cache holds what the request
    /// before has left there: the prompt in one batch, then token after token, as runners do it. The answers were seen to
    /// be the same to the bit without it, only slower.
    fn distribution_body(&self, prompt: &[u32], top_k: u32) -> Option<String> {
        let body = json!({
            "prompt": prompt,
            "n_predict": 1,
            "temperature": 0,
            "samplers": ["top_k"],
            "top_k": 1,
            "ignore_eos": true,
            "cache_prompt": true,
            "stream": false,
            "n_probs": top_k,
            "post_sampling_probs": false,
        });
        Some(body.to_string())
    }

    fn parse_distribution(&self, body: &str) -> Result<Option<Vec<(u32, f32)>>, Failure> {
        let wire: WireDistribution = parse(body)?;
        let first = wire.completion_probabilities.into_iter().next();
        let top = first.map(|token| token.top_logprobs.iter().map(|t| (t.id, t.logprob)).collect());
        Ok(top)
    }

    fn parse_refusal(&self, status: u16, body: &str) -> Failure {
        let told = serde_json::from_str::<WireEvent>(body).ok().and_then(|wire| wire.error);
        refusal(status, body, told.map(|error| error.message))
    }
}

/// Tokens of a request as the stream tells them.
#[derive(Default)]
struct Tokens {
    ids: Vec<u32>,
    at_ns: Vec<u64>,
    is_first_held_back: bool,
}

impl Tokens {
    /// Takes a chunk. Tokens held back until now could be handed over no sooner than now.
    fn take(&mut self, wire: &WireEvent, event: &StampedEvent) -> Result<(), Failure> {
        let n_known = self.ids.len();
        let n_new = (wire.tokens_predicted as usize).checked_sub(n_known);
        let n_held_back = n_new.and_then(|n| n.checked_sub(wire.tokens.len())).ok_or_else(|| {
            let told = format!("`tokens_predicted` {} after {n_known} tokens", wire.tokens_predicted);
            Failure::garbage(format!("{told}: {}", quote(&event.data)))
        })?;
        if n_known == 0 && n_held_back > 0 {
            self.is_first_held_back = true;
        }
        self.ids.extend(std::iter::repeat_n(TOKEN_ID_NOT_TOLD, n_held_back));
        self.ids.extend(&wire.tokens);
        self.at_ns.resize(self.ids.len(), event.at_ns);
        Ok(())
    }

    /// A first token that was held back is dated by the server's clock, which says how long before the end it was:
    /// dated by its chunk, the steps up to there would count as taking no time and decode come out too fast.
    fn date_first(&mut self, end_ns: u64, timings: &WireTimings) {
        if self.is_first_held_back
            && let Some(first) = self.at_ns.first_mut()
        {
            *first = (*first).min(end_ns.saturating_sub(ms_to_ns(timings.predicted_ms)));
        }
    }
}

/// The last event.
struct End {
    n_predicted: u32,
    stop_type: String,
    timings: WireTimings,
}

impl End {
    fn of(wire: &WireEvent, text: &str) -> Result<End, Failure> {
        match (&wire.timings, &wire.stop_type) {
            (Some(timings), Some(stop_type)) => Ok(End {
                n_predicted: wire.tokens_predicted,
                stop_type: stop_type.clone(),
                timings: *timings,
            }),
            _ => Err(Failure::garbage(format!("the last event lacks timings or stop_type: {}", quote(text)))),
        }
    }

    /// The gates that are this server's own: it stopped because of the limit. It says `truncated` where prompt and output fill
    /// the context to the last position; it cannot have shifted it, which is switched off.
    fn check(&self, n_wanted: u32) -> Result<(), Failure> {
        let wrong = |message: String| Err(Failure::new(FailureKind::WrongLength, message));
        if self.n_predicted != n_wanted || self.timings.predicted_n != n_wanted {
            let seen = self.n_predicted;
            return wrong(format!("{seen} tokens instead of {n_wanted} (stopped by {})", self.stop_type));
        }
        if self.stop_type != "limit" {
            return wrong(format!("stopped by {} instead of the limit", self.stop_type));
        }
        Ok(())
    }

    fn answer(&self, rep: u32, tokens: Tokens) -> Answer {
        let t = &self.timings;
        Answer {
            reported: rates(t.prompt_n, t.prompt_ms, t.predicted_n, t.predicted_ms),
            request: RequestSample {
                rep,
                n_prompt: t.prompt_n.saturating_add(t.cache_n),
                n_cached: Some(t.cache_n),
                prefill_ns: Some(ms_to_ns(t.prompt_ms)),
                token_ids: tokens.ids,
                token_at_ns: tokens.at_ns,
            },
        }
    }
}

/// Prefill and decode by the server's own clock: n − 1 steps, whatever the build's own `predicted_per_second` divides by.
pub(super) fn rates(prompt_n: u32, prompt_ms: f64, predicted_n: u32, predicted_ms: f64) -> Vec<Reported> {
    let rate = |n: u32, ms: f64| (n > 0 && ms > 0.0).then(|| f64::from(n) * 1e3 / ms);
    let figures = [
        ("prefill_tok_s", rate(prompt_n, prompt_ms)),
        ("decode_tok_s", rate(predicted_n.saturating_sub(1), predicted_ms)),
    ];
    let told = figures.into_iter().filter_map(|(name, value)| Some((name, value?)));
    told.map(|(name, value)| Reported { name: name.into(), values: vec![value] }).collect()
}

pub(super) fn ms_to_ns(ms: f64) -> u64 {
    (ms * 1e6).round() as u64
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::garbage(format!("not an answer of llama-server ({error}): {}", quote(text)))
    })
}

/// An event of the stream, or the whole answer; fields that are not needed are left out.
#[derive(Deserialize)]
struct WireEvent {
    error: Option<WireError>,
    #[serde(default)]
    tokens: Vec<u32>,
    #[serde(default)]
    stop: bool,
    #[serde(default)]
    tokens_predicted: u32,
    stop_type: Option<String>,
    timings: Option<WireTimings>,
}

#[derive(Deserialize)]
struct WireError {
    message: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct WireTimings {
    cache_n: u32,
    prompt_n: u32,
    prompt_ms: f64,
    predicted_n: u32,
    predicted_ms: f64,
}

/// The answer to a request for a distribution: one generated token with those that were likeliest in its place.
#[derive(Deserialize)]
struct WireDistribution {
    #[serde(default)]
    completion_probabilities: Vec<WireProbabilities>,
}

#[derive(Deserialize)]
struct WireProbabilities {
    top_logprobs: Vec<WireLogProbability>,
}

#[derive(Deserialize)]
struct WireLogProbability {
    id: u32,
    logprob: f32,
}

#[derive(Deserialize)]
struct WireProps {
    build_info: String,
    model_path: Option<String>,
    total_slots: Option<u32>,
    default_generation_settings: Option<WireSettings>,
}

#[derive(Deserialize)]
struct WireSettings {
    n_ctx: Option<u32>,
}

#[cfg(test)]
#[path = "llama_cpp_tests.rs"]
mod tests;
