//! `llama-server` as forks of mid-2024 still speak, seen with ik_llama.cpp: started as llama.cpp's is, in the flags that
//! it knows, and asked for the same.
//!
//! Its `/completion` tells neither token ids nor, in a chunk, how many tokens it has made so far; `cache_prompt` is
//! told only by the difference of two counts. A chunk is a token, unless one was held back because it ended inside a
//! UTF-8 character: then which chunk stands for more than one cannot be known, and only the first and the last token
//! are dated right. Decode, TTFT and end-to-end need no more. The verification takes `/v1/completions`, which
//! tells ids and log-probabilities, at the price of a pass over the vocabulary for each token.

use super::llama_cpp::{ms_to_ns, rates};
use super::server::{Answer, Asked, CompletionServer, Prompt, StampedEvent, Told, refusal};
use super::{Failure, LaunchRequest, LaunchSpec, llama_cpp};
use crate::protocol::quote;
use crate::sample::{FailureKind, RequestSample, TOKEN_ID_NOT_TOLD};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// The dialect.
#[derive(Debug)]
pub struct LlamaServerFork;

/// Describes a fork's `llama-server` for one launch.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    llama_cpp::describe_with(request, Arc::new(LlamaServerFork))
}

impl CompletionServer for LlamaServerFork {
    fn health_path(&self) -> &'static str {
        "/health"
    }

    fn about_paths(&self) -> Vec<String> {
        vec!["/props".into()]
    }

    /// It does not tell its build.
    fn parse_about(&self, bodies: &[String]) -> Result<Told, Failure> {
        let props: WireProps = parse(bodies.first().map_or("", String::as_str))?;
        Ok(Told {
            version: String::new(),
            model_path: props.model_path,
            context: props.n_ctx,
            slots: props.total_slots,
        })
    }

    fn completion_path(&self) -> &'static str {
        "/completion"
    }

    fn verify_path(&self) -> &'static str {
        "/v1/completions"
    }

    fn completion_body(&self, prompt: &Prompt, n_generate: u32, stream: bool) -> String {
        if stream {
            return completion(&prompt.ids, n_generate).to_string();
        }
        with_logprobs(&prompt.ids, n_generate, 1, false)
    }

    fn parse_stream(&self, asked: Asked, events: &[StampedEvent]) -> Result<Answer, Failure> {
        let mut at_ns = Vec::new();
        let mut last = None;
        for event in events {
            if last.is_some() {
                return Err(Failure::garbage(format!("after the last event: {}", quote(&event.data))));
            }
            let wire: WireEvent = parse(&event.data)?;
            if let Some(error) = wire.error {
                return Err(Failure::new(FailureKind::Reported, error.message));
            }
            if wire.stop {
                last = Some((event.at_ns, End::of(wire, &event.data)?));
            } else if wire.content.is_some_and(|text| !text.is_empty()) {
                at_ns.push(event.at_ns);
            }
        }
        let Some((end_ns, end)) = last else {
            return Err(Failure::garbage("the stream ended before its last event"));
        };
        end.check(asked.n_generate)?;
        end.answer(asked.rep, at_ns, end_ns)
    }

    fn parse_whole(&self, _prompt: &Prompt, n_generate: u32, body: &str) -> Result<Vec<u32>, Failure> {
        let ids: Vec<u32> = tokens(body)?.iter().map(|token| token.id).collect();
        if ids.len() != n_generate as usize {
            let message = format!("{} tokens instead of {n_generate}", ids.len());
            return Err(Failure::new(FailureKind::WrongLength, message));
        }
        Ok(ids)
    }

    fn distribution_body(&self, prompt: &[u32], top_k: u32) -> Option<String> {
        Some(with_logprobs(prompt, 1, top_k, true))
    }

    fn parse_distribution(&self, body: &str) -> Result<Option<Vec<(u32, f32)>>, Failure> {
        let first = tokens(body)?.into_iter().next();
        Ok(first.map(|token| token.top_logprobs.iter().map(|t| (t.id, t.logprob)).collect()))
    }

    /// It fails to write an answer whose text is cut inside a character, as random weights produce it.
    fn leaves_untold(&self, failure: &Failure) -> bool {
        failure.message.contains("invalid UTF-8 byte") || failure.message.contains("incomplete UTF-8 string")
    }

    fn parse_refusal(&self, status: u16, body: &str) -> Failure {
        let told = serde_json::from_str::<WireEvent>(body).ok().and_then(|wire| wire.error);
        refusal(status, body, told.map(|error| error.message))
    }
}

/// The largest logit, end of sequence banned, nothing cached: as llama.cpp is asked.
fn completion(prompt: &[u32], n_generate: u32) -> serde_json::Value {
    json!({
        "prompt": prompt,
        "n_predict": n_generate,
        "temperature": 0,
        "samplers": ["top_k"],
        "top_k": 1,
        "ignore_eos": true,
        "cache_prompt": false,
        "stream": true,
        "n_probs": 0,
    })
}

/// The same in one answer, with the `top_k` likeliest tokens in the place of each, before any sampler.
fn with_logprobs(prompt: &[u32], n_generate: u32, top_k: u32, may_use_cache: bool) -> String {
    let mut body = completion(prompt, n_generate);
    body["max_tokens"] = n_generate.into();
    body["stream"] = false.into();
    body["cache_prompt"] = may_use_cache.into();
    body["logprobs"] = top_k.into();
    body["post_sampling_probs"] = false.into();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("n_probs");
    }
    body.to_string()
}

/// The tokens of an answer of `/v1/completions`.
fn tokens(body: &str) -> Result<Vec<WireToken>, Failure> {
    let wire: WireCompletion = parse(body)?;
    let first = wire.choices.into_iter().next();
    first
        .and_then(|choice| choice.logprobs)
        .map(|logprobs| logprobs.content)
        .ok_or_else(|| Failure::garbage(format!("no token ids in the answer: {}", quote(body))))
}

/// The last event.
struct End {
    n_predicted: u32,
    n_prompt: u32,
    is_limit: bool,
    timings: WireTimings,
}

impl End {
    fn of(wire: WireEvent, text: &str) -> Result<End, Failure> {
        match (wire.timings, wire.tokens_predicted, wire.tokens_evaluated) {
            (Some(timings), Some(n_predicted), Some(n_prompt)) => {
                Ok(End { n_predicted, n_prompt, is_limit: wire.stopped_limit, timings })
            }
            _ => Err(Failure::garbage(format!("the last event lacks timings or counts: {}", quote(text)))),
        }
    }

    fn check(&self, n_wanted: u32) -> Result<(), Failure> {
        if self.n_predicted != n_wanted || !self.is_limit {
            let why = if self.is_limit { "stopped by the limit" } else { "not stopped by the limit" };
            let message = format!("{} tokens instead of {n_wanted} ({why})", self.n_predicted);
            return Err(Failure::new(FailureKind::WrongLength, message));
        }
        Ok(())
    }

    /// Tokens without a chunk are dated by the end, the first one, if any was held back, by the server's own clock.
    fn answer(&self, rep: u32, mut at_ns: Vec<u64>, end_ns: u64) -> Result<Answer, Failure> {
        let n = self.n_predicted as usize;
        let n_chunks = at_ns.len();
        if n_chunks > n {
            return Err(Failure::garbage(format!("{n_chunks} chunks for {n} tokens")));
        }
        let t = &self.timings;
        at_ns.resize(n, end_ns);
        if n_chunks < n
            && let Some(first) = at_ns.first_mut()
        {
            *first = (*first).min(end_ns.saturating_sub(ms_to_ns(t.predicted_ms)));
        }
        Ok(Answer {
            reported: rates(t.prompt_n, t.prompt_ms, t.predicted_n, t.predicted_ms),
            request: RequestSample {
                rep,
                n_prompt: self.n_prompt,
                n_cached: Some(self.n_prompt.saturating_sub(t.prompt_n)),
                prefill_ns: Some(ms_to_ns(t.prompt_ms)),
                token_ids: vec![TOKEN_ID_NOT_TOLD; n],
                token_at_ns: at_ns,
            },
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::garbage(format!("not an answer of a fork of llama-server ({error}): {}", quote(text)))
    })
}

#[derive(Deserialize)]
struct WireEvent {
    error: Option<WireError>,
    content: Option<String>,
    #[serde(default)]
    stop: bool,
    #[serde(default)]
    stopped_limit: bool,
    tokens_predicted: Option<u32>,
    tokens_evaluated: Option<u32>,
    timings: Option<WireTimings>,
}

#[derive(Deserialize)]
struct WireError {
    message: String,
}

#[derive(Deserialize)]
struct WireTimings {
    prompt_n: u32,
    prompt_ms: f64,
    predicted_n: u32,
    predicted_ms: f64,
}

#[derive(Deserialize)]
struct WireCompletion {
    choices: Vec<WireChoice>,
}

#[derive(Deserialize)]
struct WireChoice {
    logprobs: Option<WireLogprobs>,
}

#[derive(Deserialize)]
struct WireLogprobs {
    content: Vec<WireToken>,
}

#[derive(Deserialize)]
struct WireToken {
    id: u32,
    #[serde(default)]
    top_logprobs: Vec<WireLogprob>,
}

#[derive(Deserialize)]
struct WireLogprob {
    id: u32,
    logprob: f32,
}

#[derive(Deserialize)]
struct WireProps {
    model_path: Option<String>,
    total_slots: Option<u32>,
    n_ctx: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Conversation;
    use crate::framework::sse::SseSplitter;
    use crate::framework::testing::with_request;

    const FOUR: &str = include_str!("../../tests/golden/ik_llama.cpp-4840/completion-4-tokens.sse");
    const ONE: &str = include_str!("../../tests/golden/ik_llama.cpp-4840/completion-1-token.sse");
    const HELD_BACK: &str = include_str!("../../tests/golden/ik_llama.cpp-4840/completion-held-back.sse");
    const LOGPROBS: &str = include_str!("../../tests/golden/ik_llama.cpp-4840/completion-logprobs.json");
    const PROPS: &str = include_str!("../../tests/golden/ik_llama.cpp-4840/props.json");

    /// The events of a recorded stream, 10 ms apart from 100 ms on.
    fn answer(stream: &str, n_generate: u32) -> Result<Answer, Failure> {
        let data = SseSplitter::default().push(stream.as_bytes())?;
        let stamped =
            (0..).zip(data).map(|(i, data)| StampedEvent { at_ns: 100_000_000 + i * 10_000_000, data });
        let events: Vec<StampedEvent> = stamped.collect();
        LlamaServerFork.parse_stream(Asked { rep: 1, n_prompt: 12, n_generate }, &events)
    }

    #[test]
    fn a_recorded_stream_gives_counts_and_times_but_no_ids() {
        let Answer { request, reported } = answer(FOUR, 4).expect("as asked");
        assert_eq!(request.token_ids, [TOKEN_ID_NOT_TOLD; 4]);
        assert_eq!(request.token_at_ns, [100_000_000, 110_000_000, 120_000_000, 130_000_000]);
        assert_eq!(
            (request.n_prompt, request.n_cached, request.prefill_ns),
            (12, Some(0), Some(158_248_000))
        );
        assert_eq!(reported[1].values, [3.0 * 1e3 / 44.014]);
        assert_eq!(answer(ONE, 1).expect("as asked").request.token_at_ns, [100_000_000]);
    }

    #[test]
    fn tokens_held_back_are_dated_by_the_end_and_the_first_by_the_server() {
        let request = answer(HELD_BACK, 8).expect("as asked").request;
        // The end comes at 140 ms, and the server says that it generated for 90.4 ms.
        let wanted = [49_590_000, 110, 120, 130, 140, 140, 140, 140];
        let seen: Vec<u64> = request.token_at_ns.iter().map(|ns| ns / 1_000_000).collect();
        assert_eq!(seen[1..], wanted[1..]);
        assert!(request.token_at_ns[0] < 100_000_000 && request.token_at_ns.is_sorted(), "{seen:?}");
    }

    #[test]
    fn what_is_not_as_asked_is_refused() {
        let check = |stream: &str, n: u32, wanted: &str| {
            let seen = answer(stream, n).expect_err("refused").message;
            assert!(seen.starts_with(wanted), "{seen}");
        };
        check(FOUR, 5, "4 tokens instead of 5 (stopped by the limit)");
        let eos = FOUR.replace("\"stopped_limit\":true", "\"stopped_limit\":false");
        check(&eos, 4, "4 tokens instead of 4 (not stopped by the limit)");
        check(&FOUR[..FOUR.find("\"stop\":true").expect("recorded")], 4, "the stream ended before");
        check(&format!("{FOUR}{FOUR}"), 4, "after the last event");
        check(&FOUR.replace("\"tokens_predicted\":4", "\"tokens_predicted\":3"), 3, "4 chunks for 3 tokens");
        check("data: {\"error\":{\"message\":\"boom\"}}\n", 4, "boom");
        check("data: x\n", 4, "not an answer of a fork of llama-server");
        let cached = FOUR.replace("\"prompt_n\":12", "\"prompt_n\":2");
        assert_eq!(answer(&cached, 4).expect("measured").request.n_cached, Some(10), "for the gate");
    }

    #[test]
    fn the_verification_takes_the_path_that_tells_ids() {
        assert_eq!(LlamaServerFork.parse_whole(&Prompt::default(), 2, LOGPROBS), Ok(vec![6354, 16438]));
        assert!(LlamaServerFork.parse_whole(&Prompt::default(), 3, LOGPROBS).is_err());
        let top = LlamaServerFork.parse_distribution(LOGPROBS).expect("recorded").expect("told");
        assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [6354, 29, 22216]);
        assert!(LlamaServerFork.parse_whole(&Prompt::default(), 1, r#"{"choices":[{"text":"x"}]}"#).is_err());
        let body: serde_json::Value =
            serde_json::from_str(&LlamaServerFork.completion_body(&Prompt::of_ids(&[1, 2]), 4, false))
                .expect("JSON");
        assert_eq!(
            (&body["max_tokens"], &body["logprobs"], &body["cache_prompt"]),
            (&json!(4), &json!(1), &json!(false))
        );
        let told = LlamaServerFork.parse_about(&[PROPS.to_owned()]).expect("recorded");
        assert_eq!((told.context, told.slots), (Some(512), Some(1)));
    }

    #[test]
    fn an_answer_that_it_cannot_write_is_untold_and_no_failure() {
        // Recorded, on random weights.
        let body = r#"{"error":{"code":500,"message":"[json.exception.type_error.316] invalid UTF-8 byte at index 0: 0xBC","type":"server_error"}}"#;
        let failure = LlamaServerFork.parse_refusal(500, body);
        assert!(LlamaServerFork.leaves_untold(&failure), "{failure}");
        assert!(!LlamaServerFork.leaves_untold(&LlamaServerFork.parse_refusal(500, "boom")));
    }

    #[test]
    fn it_is_started_as_llama_cpp_is() {
        with_request("ik_llama.cpp", |request| {
            let spec = describe(&request).expect("describable");
            assert!(spec.argv.join(" ").contains("-m /models/m.gguf -c 32 -np 1 -t 2 -tb 2 -ctk f16"));
            let Conversation::Server(talk) = spec.conversation else { panic!("a server") };
            assert_eq!(talk.api.verify_path(), "/v1/completions");
        });
    }
}
