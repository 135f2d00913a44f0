//! Against answers written from Ollama's documentation (docs/api.md) and source; none is recorded.

use super::*;
use crate::framework::LaunchSpec;
use crate::framework::server::ServerTalk;
use crate::framework::testing::{tiny_tokenizer, with_request};
use crate::framework::text::text_of;
use crate::sample::FEATURE_SHARED_BOS;
use engine::tokenizer::EncodeOptions;
use std::path::Path;

/// A launch with prompts that are texts.
fn described(change: impl FnOnce(&mut LaunchRequest)) -> Result<LaunchSpec, Failure> {
    let tokenizer = tiny_tokenizer();
    let ids = |text: &str| {
        tokenizer.encode(text.as_bytes(), EncodeOptions { add_special: true, parse_special: false })
    };
    let prompts = vec![ids("the of and"), ids("and the of")];
    let spares = vec![ids("of the and")];
    with_request("ollama", |request| {
        let program = Some(Path::new("/opt/bin/ollama"));
        let tokenizer = Some(&tokenizer);
        let mut request = LaunchRequest { prompts: &prompts, spares: &spares, tokenizer, program, ..request };
        change(&mut request);
        describe(&request)
    })
}

fn talk(spec: LaunchSpec) -> ServerTalk {
    let Conversation::Server(talk) = spec.conversation else { panic!("a server") };
    talk
}

/// Stamped 10 ms apart from 100 ms on.
fn events(lines: &[String]) -> Vec<StampedEvent> {
    let at_ns = |i: u64| 100_000_000 + i * 10_000_000;
    (0..).zip(lines).map(|(i, line)| StampedEvent { at_ns: at_ns(i), data: line.clone() }).collect()
}

fn piece(text: &str) -> String {
    json!({"model": "m", "created_at": "2026-08-01T00:00:00Z", "response": text, "done": false}).to_string()
}

fn done(more: Value) -> String {
    let mut last = json!({
        "model": "m", "created_at": "2026-08-01T00:00:00Z", "response": "", "done": true, "done_reason": "length",
        "total_duration": 90_000_000, "load_duration": 1_000_000, "prompt_eval_count": 12,
        "prompt_eval_duration": 60_000_000, "eval_count": 4, "eval_duration": 30_000_000,
    });
    for (key, value) in more.as_object().expect("an object") {
        match value.is_null() {
            true => drop(last.as_object_mut().expect("an object").remove(key)),
            false => last[key] = value.clone(),
        }
    }
    last.to_string()
}

const ASKED: Asked = Asked { rep: 1, n_prompt: 12, n_generate: 4 };

fn api() -> Ollama {
    Ollama { model: "harness-abc".into(), options: json!({"num_thread": 2}), tokenizer: tiny_tokenizer() }
}

fn four(last: Value) -> Vec<StampedEvent> {
    let mut lines: Vec<String> = [" a", " b", " c", " d"].map(piece).to_vec();
    lines.push(done(last));
    events(&lines)
}

#[test]
fn our_own_server_is_alone_and_keeps_to_its_store() {
    let spec = described(|_| ()).expect("describable");
    assert_eq!(spec.argv, ["/opt/bin/ollama", "serve"]);
    assert_eq!(spec.env["OLLAMA_HOST"], "127.0.0.1:4000");
    assert_eq!(spec.env["OLLAMA_MODELS"], "/cache/stores/x/models");
    assert_eq!((&spec.env["HOME"][..], &spec.env["OLLAMA_NO_CLOUD"][..]), ("/cache/stores/x", "1"));
    let talk = talk(spec);
    let dues: Vec<&str> = talk.loading.iter().map(|step| step.due).collect();
    let wanted =
        ["the model file to be taken", "the model to be made from its file", "the model to be loaded"];
    assert_eq!(dues, wanted);
    let is_load: Vec<bool> = talk.loading.iter().map(|step| step.is_load).collect();
    assert_eq!(is_load, [false, false, true], "what is made once and kept is no part of the load time");
    let Action::Post { path, body } = &talk.loading[1].action else { panic!("a request") };
    assert_eq!(path, "/api/create");
    assert_eq!(body, r#"{"files":{"model.gguf":"sha256:abc"},"model":"harness-abc","stream":false}"#);
    assert!(talk.features.iter().any(|f| f == "OLLAMA_NUM_PARALLEL=1"), "{:?}", talk.features);
    assert!(talk.features.iter().any(|f| f == FEATURE_SHARED_BOS), "{:?}", talk.features);
}

#[test]
fn a_running_server_is_emptied_first_and_gets_no_environment() {
    let url = |request: &mut LaunchRequest| {
        request.options.insert("url".into(), "http://localhost:11434".into());
        request.program = None;
    };
    let spec = described(url).expect("describable");
    assert_eq!((spec.argv.len(), spec.env.len()), (0, 0));
    let talk = talk(spec);
    let dues: Vec<&str> = talk.loading.iter().map(|step| step.due).collect();
    assert_eq!(dues[2..], ["the model to be unloaded", "the model to be loaded"]);
}

#[test]
fn what_cannot_be_had_is_said() {
    let check = |change: fn(&mut LaunchRequest), wanted: &str| {
        let message = described(change).expect_err("refused").message;
        assert!(message.contains(wanted), "{message}");
    };
    check(
        |r| r.tokenizer = None,
        "ollama takes only text, and the tokenizer of this model file is not known",
    );
    check(|r| r.kv_type = "f32", "no KV cache of type f32");
    check(|r| r.program = None, "ollama is not installed");
    check(|r| drop(r.options.insert("gpu_layers".into(), "many".into())), "a number is wanted (got many)");
    check(|r| drop(r.options.insert("url".into(), "http://10.0.0.1:1".into())), "--allow-remote");
    let remote = |r: &mut LaunchRequest| {
        r.options.insert("url".into(), "http://10.0.0.1:1".into());
        r.allow_remote = true;
        r.api_key = Some(crate::framework::server_url::Secret::new("sk-123456".into()));
    };
    assert!(described(remote).expect_err("refused").message.contains("readable on the way"));
}

#[test]
fn every_request_of_a_launch_has_the_same_settings_so_that_nothing_is_loaded_anew() {
    let talk = talk(described(|_| ()).expect("describable"));
    let (prompt, n) = &talk.requests[1];
    let body: Value = serde_json::from_str(&talk.api.completion_body(prompt, *n, true)).expect("JSON");
    assert_eq!(body["prompt"], text_of(&tiny_tokenizer(), &prompt.ids).expect("a text"));
    assert_eq!(
        (&body["raw"], &body["stream"], &body["keep_alive"]),
        (&json!(true), &json!(true), &json!(-1))
    );
    let Action::Post { body: load, .. } = &talk.loading[2].action else { panic!("a request") };
    let load: Value = serde_json::from_str(load).expect("JSON");
    let mut options = body["options"].clone();
    assert_eq!(options["num_predict"], 4);
    options.as_object_mut().expect("an object").remove("num_predict");
    assert_eq!(options, load["options"]);
    let wanted = json!({"num_thread": 2, "num_ctx": 32, "num_batch": 2048, "num_gpu": 0, "temperature": 0, "top_k": 1,
        "seed": 1, "repeat_penalty": 1.0});
    assert_eq!(options, wanted);
}

#[test]
fn durations_are_ns_and_n_tokens_take_n_minus_1_steps() {
    let Answer { request, reported } = api().parse_stream(ASKED, &four(json!({}))).expect("as asked");
    assert_eq!(request.token_at_ns, [100_000_000, 110_000_000, 120_000_000, 130_000_000]);
    assert_eq!(request.token_ids, [TOKEN_ID_NOT_TOLD; 4]);
    assert_eq!((request.n_prompt, request.n_cached, request.prefill_ns), (12, None, Some(60_000_000)));
    assert_eq!((&reported[0].name[..], reported[0].values[0]), ("prefill_tok_s", 200.0));
    assert_eq!((&reported[1].name[..], reported[1].values[0]), ("decode_tok_s", 100.0));
}

#[test]
fn pieces_of_several_tokens_are_dated_by_the_servers_clock() {
    let lines = [piece("🦊"), piece("é"), done(json!({"eval_count": 7, "eval_duration": 60_000_000}))];
    let asked = Asked { n_generate: 7, ..ASKED };
    let request = api().parse_stream(asked, &events(&lines)).expect("as asked").request;
    let at_ms: Vec<u64> = request.token_at_ns.iter().map(|ns| ns / 1_000_000).collect();
    assert_eq!(at_ms, [60, 70, 80, 90, 100, 110, 120]);
}

#[test]
fn a_prompt_from_the_cache_is_seen_by_its_count() {
    let cached = |last: Value| {
        let request = api().parse_stream(ASKED, &four(last)).expect("as asked").request;
        (request.n_prompt, request.n_cached)
    };
    assert_eq!(cached(json!({"prompt_eval_count": 3})), (3, Some(9)));
    assert_eq!(cached(json!({"prompt_eval_count": null})), (0, Some(12)), "0 is left out");
}

#[test]
fn requests_that_end_early_are_told_from_failures() {
    let early = |events: &[StampedEvent]| api().ended_early(ASKED, events);
    assert_eq!(early(&four(json!({}))), None);
    let stopped = events(&[piece(" a"), done(json!({"eval_count": 2, "done_reason": "stop"}))]);
    assert_eq!(early(&stopped).as_deref(), Some("ended by itself after 2 of 4 tokens"));
    assert_eq!(api().parse_stream(ASKED, &stopped).expect_err("short").message, "2 tokens instead of 4");
    let asked = Asked { n_generate: 64, ..ASKED };
    let again = std::iter::repeat_n([piece(" b"), piece("b ")], 16).flatten();
    let equal = events(&std::iter::once(piece(" a")).chain(again).collect::<Vec<_>>());
    let why = api().ended_early(asked, &equal);
    assert_eq!(why.as_deref(), Some("stopped after more than 30 equal pieces of 64 tokens"));
    assert_eq!(api().ended_early(asked, &equal[..20]), None, "a torn stream");
    let failed = events(&[piece(" a"), json!({"error": "boom"}).to_string()]);
    assert_eq!(early(&failed), None);
    assert_eq!(api().parse_stream(ASKED, &failed).expect_err("told").message, "boom");
}

#[test]
fn malformed_torn_and_doubled_streams_are_garbage() {
    let failure = |events: &[StampedEvent]| api().parse_stream(ASKED, events).expect_err("garbage").message;
    assert_eq!(failure(&[]), "the stream ended before its last line");
    let all = four(json!({}));
    assert_eq!(failure(&all[..4]), "the stream ended before its last line");
    assert!(failure(&[&all[..], &all[..1]].concat()).starts_with("after the last line: `{"));
    assert!(failure(&events(&["hello".into()])).starts_with("not an answer of Ollama (expected value"));
}

#[test]
fn version_and_context_are_told() {
    let told = |loaded: &str| api().parse_about(&[r#"{"version":"0.30.1"}"#.into(), loaded.into()]);
    let wanted = Told { version: "0.30.1".into(), context: Some(256), ..Told::default() };
    let loaded = r#"{"models":[{"name":"other:latest","context_length":4096},{"name":"harness-abc:latest","context_length":256}]}"#;
    assert_eq!(told(loaded), Ok(wanted));
    assert_eq!(told(r#"{"models":[{"name":"harness-abc:latest"}]}"#).expect("older").context, None);
    assert!(told("{").is_err());
}

#[test]
fn a_refusal_says_why() {
    assert_eq!(
        api().parse_refusal(404, r#"{"error":"model not found"}"#).message,
        "HTTP 404: model not found"
    );
    assert!(api().parse_refusal(302, "").message.contains("is not followed"));
}

#[test]
fn a_continuation_is_compared_by_its_text() {
    let prompt = Prompt { ids: vec![], text: Some("the of".into()) };
    let body = done(json!({"response": " and the"}));
    let ids = api().parse_whole(&prompt, 2, &body).expect("told");
    let text = tiny_tokenizer().decode(&ids);
    assert_eq!(String::from_utf8(text).expect("letters").trim(), "and the");
}
