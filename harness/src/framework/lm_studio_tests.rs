//! Against the answers in LM Studio's documentation (REST API v0); none is recorded.

use super::*;
use crate::framework::testing::{tiny_tokenizer, with_request};
use crate::sample::TOKEN_ID_NOT_TOLD;
use engine::tokenizer::EncodeOptions;
use serde_json::Value;
use std::path::Path;

fn described(change: impl FnOnce(&mut LaunchRequest)) -> Result<LaunchSpec, Failure> {
    let tokenizer = tiny_tokenizer();
    let ids = |text: &str| {
        tokenizer.encode(text.as_bytes(), EncodeOptions { add_special: true, parse_special: false })
    };
    let (prompts, spares) =
        (vec![ids("the of and"), ids("and the of")], vec![ids("of the and"), ids("of of")]);
    with_request("lm-studio", |request| {
        let program = Some(Path::new("/opt/bin/lms"));
        let tokenizer = Some(&tokenizer);
        let mut request = LaunchRequest { prompts: &prompts, spares: &spares, tokenizer, program, ..request };
        request.options.insert("model".into(), "smollm2".into());
        change(&mut request);
        describe(&request)
    })
}

fn commands(steps: &[Step]) -> Vec<String> {
    let command = |step: &Step| match &step.action {
        Action::Command { argv } => argv.join(" "),
        other => panic!("{other:?}"),
    };
    steps.iter().map(command).collect()
}

fn api() -> LmStudio {
    LmStudio { model: "m".into(), tokenizer: tiny_tokenizer(), probe: Prompt::default(), runtime: None }
}

#[test]
fn lms_starts_loads_unloads_and_stops() {
    let spec = described(|_| ()).expect("describable");
    let Conversation::Server(talk) = spec.conversation else { panic!("a server") };
    assert_eq!(talk.endpoint.base(), "http://127.0.0.1:4000");
    assert!(talk.endpoint.is_running(), "its process is LM Studio's");
    assert_eq!(commands(&talk.opening), ["/opt/bin/lms server start --port 4000"]);
    let load = "/opt/bin/lms load smollm2 --gpu off --context-length 32 --identifier harness-bench -y";
    assert_eq!(commands(&talk.loading), [load]);
    assert_eq!(commands(&talk.closing), ["/opt/bin/lms unload harness-bench", "/opt/bin/lms server stop"]);
    let body: Value =
        serde_json::from_str(&talk.api.completion_body(&talk.requests[0].0, 4, true)).expect("JSON");
    assert_eq!((&body["model"], &body["repeat_penalty"]), (&"harness-bench".into(), &1.0.into()));
    assert_eq!(talk.spares.len(), 1, "one is the probe's");
}

#[test]
fn a_running_server_is_used_as_it_is() {
    let url = |request: &mut LaunchRequest| {
        request.options.insert("url".into(), "http://127.0.0.1:1234/v1".into());
        request.program = None;
    };
    let Conversation::Server(talk) = described(url).expect("describable").conversation else {
        panic!("a server")
    };
    assert_eq!((talk.opening.len(), talk.loading.len(), talk.closing.len()), (0, 0, 0));
    assert_eq!(talk.endpoint.base(), "http://127.0.0.1:1234");
    let body: Value =
        serde_json::from_str(&talk.api.completion_body(&talk.requests[0].0, 4, true)).expect("JSON");
    assert_eq!(body["model"], "smollm2");
    assert!(described(|r| r.program = None).expect_err("no lms").message.contains("not installed"));
}

/// The documented answer to a completion of ten tokens, which counts nine.
const DOCUMENTED: &str = r#"{"id":"cmpl-p9rtxv6fky2v9k8jrd8cc","object":"text_completion","created":1731990488,
"model":"granite-3.0-2b-instruct","choices":[{"index":0,"text":" to find your purpose, and once you have","logprobs":null,
"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":9,"total_tokens":14},"stats":
{"tokens_per_second":57.69230769230769,"time_to_first_token":0.299,"generation_time":0.156,"stop_reason":
"maxPredictedTokensReached"},"model_info":{"arch":"granite","quant":"Q4_K_M","format":"gguf","context_length":4096},
"runtime":{"name":"llama.cpp-mac-arm64-apple-metal-advsimd","version":"1.3.0","supported_formats":["gguf"]}}"#;

#[test]
fn its_figures_are_recorded_and_the_rates_are_the_clients() {
    // As one event of a stream: it holds what the last one of a stream does.
    let events = [StampedEvent { at_ns: 300_000_000, data: DOCUMENTED.replace('\n', "") }];
    let answer =
        api().parse_stream(Asked { rep: 0, n_prompt: 5, n_generate: 10 }, &events).expect("nine are ten");
    let told: Vec<(&str, f64)> = answer.reported.iter().map(|r| (&r.name[..], r.values[0])).collect();
    let wanted = [
        ("own_tokens_per_second", 57.692_307_692_307_69),
        ("own_time_to_first_token_s", 0.299),
        ("own_generation_time_s", 0.156),
    ];
    assert_eq!(told, wanted);
    assert_eq!(answer.request.token_ids, [TOKEN_ID_NOT_TOLD; 10]);
    assert_eq!((answer.request.n_cached, answer.request.prefill_ns), (None, None));
    assert_eq!(answer.request.decode_tok_s(), None, "one piece has no window");
}

#[test]
fn the_runtime_is_the_version() {
    let reply = Reply { status: 200, body: DOCUMENTED.to_owned() };
    let informed = api().informed(&[reply]).expect("read").expect("informed");
    let about = r#"{"id":"m","state":"loaded","max_context_length":32768,"loaded_context_length":256}"#;
    let told = informed.parse_about(&[about.into()]).expect("read");
    assert_eq!(told.version, "llama.cpp-mac-arm64-apple-metal-advsimd 1.3.0");
    assert_eq!(told.context, Some(256));
    let older = api().parse_about(&[r#"{"id":"m","state":"loaded","max_context_length":32768}"#.into()]);
    assert_eq!(older.expect("read"), Told { version: "not told".into(), ..Told::default() });
    let refused = api().informed(&[Reply { status: 404, body: r#"{"error":"no model"}"#.into() }]);
    assert_eq!(refused.expect_err("refused").message, "HTTP 404: no model");
}
