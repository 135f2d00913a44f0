//! LM Studio: its server is started and its model loaded by `lms`, or it runs already. Text in, text out.
//!
//! Written from its documentation (the pages on the REST API v0 and on `lms`). The server belongs to the LM Studio
//! application, not to us, so neither load nor a cold start can be timed. Threads cannot be set by REST: what
//! runs is seen by the gate on threads. Its prompt cache cannot be seen at all: it is empty where `lms` has just loaded the
//! model, and unknown otherwise. Its figures are recorded as reported; all
//! rates are computed from the client's times.

use super::openai::{Streamed, WireChunk, parse, told_error};
use super::server::{
    Action, Answer, Asked, CompletionServer, Endpoint, Prompt, Reply, StampedEvent, Step, Told, refusal,
};
use super::server_url::ServerUrl;
use super::{Conversation, Failure, LaunchRequest, LaunchSpec, path_arg, spoken};
use crate::sample::{FEATURE_EMPTY_CACHE, Reported};
use engine::Tokenizer;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// Name of the loaded model, so that no other one is meant.
const IDENTIFIER: &str = "harness-bench";
/// Tokens of the probe.
const PROBE_TOKENS: u32 = 4;

/// The dialect, with what the server was found to compute with.
#[derive(Debug, Clone)]
struct LmStudio {
    model: String,
    tokenizer: Arc<Tokenizer>,
    probe: Prompt,
    runtime: Option<String>,
}

/// Describes a launch by way of `lms`, or of a server that runs already.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    let key = request.option("model")?;
    let mut spares = request.spares.to_vec();
    let probe = spares.pop().unwrap_or_default();
    let tokenizer = spoken::tokenizer(request)?;
    let probe = Prompt { text: Some(super::text::text_of(tokenizer, &probe)?), ids: probe };
    let (endpoint, by_lms) = match spoken::endpoint(request)? {
        Endpoint::Child { port } => {
            let url = ServerUrl::parse(&format!("http://127.0.0.1:{port}"), false)?;
            (spoken::running(url, request)?, Some(port))
        }
        running @ Endpoint::Running { .. } => (running, None),
    };
    let model = if by_lms.is_some() { IDENTIFIER.to_owned() } else { key.to_owned() };
    let api = LmStudio { model, tokenizer: tokenizer.clone(), probe, runtime: None };
    let with_spares = LaunchRequest { spares: &spares, ..request.clone() };
    let mut talk = spoken::talk(&with_spares, Arc::new(api), endpoint)?;
    if let Some(port) = by_lms {
        let lms = path_arg(request.needed_program()?)?;
        let command = |due, arguments: &str, is_load| {
            let words =
                arguments.split(' ').map(|word| if word == "KEY" { key.to_owned() } else { word.to_owned() });
            let argv = std::iter::once(lms.clone()).chain(words).collect();
            Step { due, action: Action::Command { argv }, is_load }
        };
        // It is loaded anew for the launch, and no two prompts begin alike.
        talk.features.push(FEATURE_EMPTY_CACHE.into());
        talk.opening = vec![command("LM Studio's server", &format!("server start --port {port}"), false)];
        let context = request.workload.context;
        let gpu = request.option("gpu")?;
        let load = format!("load KEY --gpu {gpu} --context-length {context} --identifier {IDENTIFIER} -y");
        talk.loading = vec![command("the model to be loaded", &load, true)];
        talk.closing = vec![
            command("the model to be unloaded", &format!("unload {IDENTIFIER}"), false),
            command("LM Studio's server to stop", "server stop", false),
        ];
    }
    Ok(LaunchSpec {
        argv: vec![],
        env: Default::default(),
        cpus: None,
        conversation: Conversation::Server(Box::new(talk)),
    })
}

impl CompletionServer for LmStudio {
    fn health_path(&self) -> &'static str {
        "/api/v0/models"
    }

    fn about_paths(&self) -> Vec<String> {
        vec![format!("/api/v0/models/{}", self.model)]
    }

    fn parse_about(&self, bodies: &[String]) -> Result<Told, Failure> {
        let model: WireModel = parse(bodies.first().map_or("", String::as_str))?;
        let version = self.runtime.clone().unwrap_or_else(|| "not told".into());
        Ok(Told { version, context: model.loaded_context_length, ..Told::default() })
    }

    fn probes(&self) -> Vec<String> {
        vec![self.completion_body(&self.probe, PROBE_TOKENS, false)]
    }

    fn informed(&self, answers: &[Reply]) -> Result<Option<Arc<dyn CompletionServer>>, Failure> {
        let Some(reply) = answers.first() else { return Ok(None) };
        if reply.status != 200 {
            return Err(self.parse_refusal(reply.status, &reply.body));
        }
        let runtime = parse::<WireChunk>(&reply.body)?.runtime.map(|r| format!("{} {}", r.name, r.version));
        Ok(Some(Arc::new(LmStudio { runtime, ..self.clone() })))
    }

    fn completion_path(&self) -> &'static str {
        "/api/v0/completions"
    }

    fn completion_body(&self, prompt: &Prompt, n_generate: u32, stream: bool) -> String {
        let mut body = json!({
            "model": self.model,
            "prompt": prompt.text(),
            "max_tokens": n_generate,
            "temperature": 0,
            "top_k": 1,
            "repeat_penalty": 1.0,
            "seed": 1,
            "stream": stream,
        });
        if stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body.to_string()
    }

    fn ended_early(&self, asked: Asked, events: &[StampedEvent]) -> Option<String> {
        Streamed::of(events).ok()?.ended_early(asked)
    }

    fn parse_stream(&self, asked: Asked, events: &[StampedEvent]) -> Result<Answer, Failure> {
        let streamed = Streamed::of(events)?;
        let stats = streamed.stats;
        let reported = stats.into_iter().flat_map(|s| {
            [
                ("own_tokens_per_second", s.tokens_per_second),
                ("own_time_to_first_token_s", s.time_to_first_token),
                ("own_generation_time_s", s.generation_time),
            ]
        });
        let reported =
            reported.filter_map(|(name, value)| Some(Reported { name: name.into(), values: vec![value?] }));
        Ok(Answer { reported: reported.collect(), request: streamed.request(asked, &self.tokenizer)? })
    }

    fn parse_whole(&self, prompt: &Prompt, _n_generate: u32, body: &str) -> Result<Vec<u32>, Failure> {
        let text = parse::<WireChunk>(body)?.choices.into_iter().next().map(|choice| choice.text);
        Ok(spoken::ids_of(&self.tokenizer, prompt, &text.unwrap_or_default()))
    }

    fn parse_refusal(&self, status: u16, body: &str) -> Failure {
        refusal(status, body, told_error(body))
    }
}

/// `GET /api/v0/models/{model}`; the context of a loaded model is told by later versions.
#[derive(Deserialize)]
struct WireModel {
    loaded_context_length: Option<u32>,
}

#[cfg(test)]
#[path = "lm_studio_tests.rs"]
mod tests;
