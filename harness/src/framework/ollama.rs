//! Ollama through its REST API: a server of ours with a store of its own, or one that runs already. Text in, text out.
//!
//! Written from its documentation (docs/api.md of its repository, August 2026) and, for what that leaves out, its source
//! (llm/llama_server.go). The model is made from the local file, never pulled. What to know of its answers:
//! durations are ns; `eval_count` counts N tokens, but `eval_duration` the N − 1 steps after the first; a request ends
//! at end of sequence whatever is asked, and after more than 30 equal pieces, then without a last line; prompts are
//! cached and since 0.30 `prompt_eval_count` counts what came from the cache too; other values of `num_thread` or
//! `num_ctx` load the model anew, so every request of a launch has the same ones.

use super::server::{
    Action, Answer, Asked, CompletionServer, Endpoint, Prompt, StampedEvent, Step, Told, refusal,
};
use super::spoken::{self, Piece};
use super::sse::Framing;
use super::{Conversation, Failure, LaunchRequest, LaunchSpec, path_arg};
use crate::protocol::quote;
use crate::sample::{FEATURE_EMPTY_CACHE, FailureKind, Reported, RequestSample, TOKEN_ID_NOT_TOLD};
use engine::Tokenizer;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Equal pieces after which Ollama stops a request.
const EQUAL_PIECES_MAX: usize = 30;

/// The dialect, with what every request of a launch says.
#[derive(Debug)]
pub(super) struct Ollama {
    model: String,
    options: Value,
    tokenizer: Arc<Tokenizer>,
}

/// Describes an `ollama serve`, or a running one, for one launch.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    let endpoint = spoken::endpoint(request)?;
    let api = Ollama {
        model: format!("harness-{}", request.model.sha256.chars().take(16).collect::<String>()),
        options: json!({
            "num_thread": request.threads,
            "num_ctx": request.workload.context,
            "num_batch": request.batch,
            "num_gpu": gpu_layers(request)?,
            "temperature": 0,
            "top_k": 1,
            "seed": 1,
            "repeat_penalty": 1.0,
        }),
        tokenizer: spoken::tokenizer(request)?.clone(),
    };
    let unload = Step { due: "the model to be unloaded", action: api.keep(0), is_load: false };
    let load = Step { due: "the model to be loaded", action: api.keep(-1), is_load: true };
    let create = api.create(request);
    let mut talk = spoken::talk(request, Arc::new(api), endpoint.clone())?;
    talk.loading.extend(create);
    let (mut argv, mut env) = (vec![], BTreeMap::new());
    match endpoint {
        Endpoint::Child { port } => {
            argv = vec![path_arg(request.needed_program()?)?, "serve".into()];
            env = environment(request, port)?;
            let settings = env.iter().filter(|(name, _)| name.starts_with("OLLAMA_"));
            let told = settings.filter(|(name, _)| *name != "OLLAMA_HOST" && *name != "OLLAMA_MODELS");
            talk.features.extend(told.map(|(name, value)| format!("{name}={value}")));
        }
        // Whatever it has in memory, with the cache of another launch.
        Endpoint::Running { .. } => talk.loading.push(unload.clone()),
    }
    talk.loading.push(load);
    talk.closing.push(unload);
    talk.features.push(FEATURE_EMPTY_CACHE.into());
    Ok(LaunchSpec { argv, env, cpus: None, conversation: Conversation::Server(Box::new(talk)) })
}

fn gpu_layers(request: &LaunchRequest) -> Result<u32, Failure> {
    let text = request.option("gpu_layers")?;
    text.parse().map_err(|_| {
        let message = format!("{}: gpu_layers: a number is wanted (got {text})", request.entry.id);
        Failure::new(FailureKind::Unsupported, message)
    })
}

/// The server's settings. Its files, keys included, are below the store; nothing is fetched, pruned or told to anybody.
fn environment(request: &LaunchRequest, port: u16) -> Result<BTreeMap<String, String>, Failure> {
    let kv_type = match request.kv_type {
        kv @ ("f16" | "q8_0") => kv,
        other => {
            let message = format!("Ollama has no KV cache of type {other}; it has f16 and q8_0");
            return Err(Failure::new(FailureKind::Unsupported, message));
        }
    };
    let mut variables = vec![
        ("HOME", path_arg(request.store)?),
        ("OLLAMA_HOST", format!("127.0.0.1:{port}")),
        ("OLLAMA_MODELS", path_arg(&request.store.join("models"))?),
        ("OLLAMA_KV_CACHE_TYPE", kv_type.into()),
        ("OLLAMA_KEEP_ALIVE", "-1".into()),
        ("OLLAMA_MAX_LOADED_MODELS", "1".into()),
        ("OLLAMA_NOPRUNE", "1".into()),
        ("OLLAMA_NO_CLOUD", "1".into()),
        ("OLLAMA_NUM_PARALLEL", "1".into()),
    ];
    match request.option("flash_attention")? {
        "on" => variables.push(("OLLAMA_FLASH_ATTENTION", "1".into())),
        "off" => variables.push(("OLLAMA_FLASH_ATTENTION", "0".into())),
        _ => {}
    }
    Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Ollama {
    /// Makes the model from the local file; what is there already is left alone.
    fn create(&self, request: &LaunchRequest) -> [Step; 2] {
        let digest = format!("sha256:{}", request.model.sha256);
        let body = json!({ "model": self.model, "files": { "model.gguf": digest }, "stream": false });
        let upload =
            Action::Upload { path: format!("/api/blobs/{digest}"), file: request.model.path.to_owned() };
        let create = Action::Post { path: "/api/create".into(), body: body.to_string() };
        [
            Step { due: "the model file to be taken", action: upload, is_load: false },
            Step { due: "the model to be made from its file", action: create, is_load: false },
        ]
    }

    /// A request without a prompt loads the model, or with 0 unloads it.
    fn keep(&self, keep_alive: i32) -> Action {
        let options = if keep_alive == 0 { json!({}) } else { self.options.clone() };
        let body = json!({
            "model": self.model,
            "stream": false,
            "keep_alive": keep_alive,
            "options": options,
        });
        Action::Post { path: "/api/generate".into(), body: body.to_string() }
    }
}

impl CompletionServer for Ollama {
    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn health_path(&self) -> &'static str {
        "/api/version"
    }

    fn about_paths(&self) -> Vec<String> {
        vec!["/api/version".into(), "/api/ps".into()]
    }

    fn parse_about(&self, bodies: &[String]) -> Result<Told, Failure> {
        let body = |idx: usize| bodies.get(idx).map_or("", String::as_str);
        let version: WireVersion = parse(body(0))?;
        let loaded: WireLoaded = parse(body(1))?;
        let is_ours = |m: &WireModel| m.name.split(':').next() == Some(self.model.as_str());
        let context = loaded.models.into_iter().find(is_ours).and_then(|m| m.context_length);
        Ok(Told { version: version.version, context, ..Told::default() })
    }

    fn completion_path(&self) -> &'static str {
        "/api/generate"
    }

    fn completion_body(&self, prompt: &Prompt, n_generate: u32, stream: bool) -> String {
        let mut options = self.options.clone();
        options["num_predict"] = json!(n_generate);
        json!({
            "model": self.model,
            "prompt": prompt.text(),
            "raw": true,
            "stream": stream,
            "keep_alive": -1,
            "options": options,
        })
        .to_string()
    }

    fn ended_early(&self, asked: Asked, events: &[StampedEvent]) -> Option<String> {
        let lines: Vec<WireLine> = events.iter().filter_map(|e| serde_json::from_str(&e.data).ok()).collect();
        let last = lines.last().filter(|last| last.error.is_none())?;
        let n_wanted = asked.n_generate;
        if last.done {
            let is_short = last.eval_count < n_wanted && last.done_reason.as_deref() != Some("length");
            return is_short
                .then(|| format!("ended by itself after {} of {n_wanted} tokens", last.eval_count));
        }
        let equal = lines.iter().rev().take_while(|line| line.response.trim() == last.response.trim());
        (equal.count() >= EQUAL_PIECES_MAX)
            .then(|| format!("stopped after more than {EQUAL_PIECES_MAX} equal pieces of {n_wanted} tokens"))
    }

    fn parse_stream(&self, asked: Asked, events: &[StampedEvent]) -> Result<Answer, Failure> {
        let mut pieces = Vec::new();
        let mut last = None;
        for event in events {
            if last.is_some() {
                return Err(Failure::garbage(format!("after the last line: {}", quote(&event.data))));
            }
            let line: WireLine = parse(&event.data)?;
            if let Some(error) = line.error {
                return Err(Failure::new(FailureKind::Reported, error));
            }
            if !line.response.is_empty() {
                pieces.push(Piece { at_ns: event.at_ns, text: line.response.clone() });
            }
            if line.done {
                last = Some((event.at_ns, line));
            }
        }
        let (end_ns, last) = last.ok_or_else(|| Failure::garbage("the stream ended before its last line"))?;
        if last.eval_count != asked.n_generate {
            let message = format!("{} tokens instead of {}", last.eval_count, asked.n_generate);
            return Err(Failure::new(FailureKind::WrongLength, message));
        }
        Ok(answer(asked, &pieces, end_ns, &last))
    }

    fn parse_whole(&self, prompt: &Prompt, _n_generate: u32, body: &str) -> Result<Vec<u32>, Failure> {
        let line: WireLine = parse(body)?;
        match line.error {
            Some(error) => Err(Failure::new(FailureKind::Reported, error)),
            None => Ok(spoken::ids_of(&self.tokenizer, prompt, &line.response)),
        }
    }

    fn parse_refusal(&self, status: u16, body: &str) -> Failure {
        let told = serde_json::from_str::<WireLine>(body).ok().and_then(|line| line.error);
        refusal(status, body, told)
    }
}

/// Tokens that share a piece, or came with none, are dated by the server's clock, as a llama.cpp row's are.
fn answer(asked: Asked, pieces: &[Piece], end_ns: u64, last: &WireLine) -> Answer {
    let n = last.eval_count;
    let token_at_ns = if pieces.len() == n as usize {
        spoken::token_times(pieces, end_ns, n, 1)
    } else {
        let first_ns = pieces.first().map_or(end_ns, |piece| piece.at_ns);
        spoken::spread(first_ns.min(end_ns.saturating_sub(last.eval_duration)), end_ns, n)
    };
    let rate = |n: u32, ns: u64| (n > 0 && ns > 0).then(|| f64::from(n) * 1e9 / ns as f64);
    let reported = [
        ("prefill_tok_s", rate(last.prompt_eval_count, last.prompt_eval_duration)),
        // n − 1 steps, where its own documentation divides n by the duration.
        ("decode_tok_s", rate(n.saturating_sub(1), last.eval_duration)),
    ];
    let reported = reported
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| Reported { name: name.into(), values: vec![value] }));
    // All of them: what came from the cache is counted too, and not told. Fewer: the others came from there.
    let n_missing = asked.n_prompt.saturating_sub(last.prompt_eval_count);
    Answer {
        reported: reported.collect(),
        request: RequestSample {
            rep: asked.rep,
            n_prompt: last.prompt_eval_count,
            n_cached: (n_missing > 0).then_some(n_missing),
            prefill_ns: Some(last.prompt_eval_duration),
            token_ids: vec![TOKEN_ID_NOT_TOLD; n as usize],
            token_at_ns,
        },
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::garbage(format!("not an answer of Ollama ({error}): {}", quote(text))))
}

/// A line of the stream, or the whole answer. Counts of 0 are left out by Ollama; durations are ns.
#[derive(Deserialize)]
struct WireLine {
    error: Option<String>,
    #[serde(default)]
    response: String,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: u32,
    #[serde(default)]
    prompt_eval_duration: u64,
    #[serde(default)]
    eval_count: u32,
    #[serde(default)]
    eval_duration: u64,
}

#[derive(Deserialize)]
struct WireVersion {
    version: String,
}

#[derive(Deserialize)]
struct WireLoaded {
    #[serde(default)]
    models: Vec<WireModel>,
}

#[derive(Deserialize)]
struct WireModel {
    name: String,
    context_length: Option<u32>,
}

#[cfg(test)]
#[path = "ollama_tests.rs"]
mod tests;
