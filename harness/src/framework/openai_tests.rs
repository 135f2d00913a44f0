//! Against answers recorded from llama.cpp b11434 (see tests/golden/llama.cpp-b11434/README.md), and against ones
//! written from OpenAI's API reference where it has a trap that llama-server has not.

use super::*;
use crate::framework::sse::SseSplitter;
use crate::framework::testing::tiny_tokenizer;

const FOUR: &str = include_str!("../../tests/golden/llama.cpp-b11434/openai-4-tokens.sse");
const HELD_BACK: &str = include_str!("../../tests/golden/llama.cpp-b11434/openai-held-back.sse");
const ENDED_EARLY: &str = include_str!("../../tests/golden/llama.cpp-b11434/openai-ended-early.sse");
const WHOLE: &str = include_str!("../../tests/golden/llama.cpp-b11434/openai-whole.json");
const REFUSAL: &str = include_str!("../../tests/golden/llama.cpp-b11434/openai-refusal.json");

fn api() -> OpenAi {
    OpenAi {
        model: "m".into(),
        tokenizer: tiny_tokenizer(),
        probe: Prompt { ids: vec![1, 2, 3, 4, 5, 6, 7], text: Some("the of".into()) },
        takes_ids: false,
        tells_ids: false,
        extensions: vec![],
        is_probed: false,
        version: None,
    }
}

/// 10 ms apart from 100 ms on.
fn events(stream: &str) -> Vec<StampedEvent> {
    let data = SseSplitter::default().push(stream.as_bytes()).expect("UTF-8");
    (0..).zip(data).map(|(i, data)| StampedEvent { at_ns: 100_000_000 + i * 10_000_000, data }).collect()
}

fn asked(n_generate: u32) -> Asked {
    Asked { rep: 1, n_prompt: 7, n_generate }
}

fn request(stream: &str, n_generate: u32) -> Result<RequestSample, Failure> {
    api().parse_stream(asked(n_generate), &events(stream)).map(|answer| answer.request)
}

/// Chunks as OpenAI writes them, the last one with `usage`.
fn stream(choices: &[Value], usage: Value) -> String {
    let line = |choices: Value, usage: Value| {
        format!("data: {}\n\n", json!({"object": "text_completion", "choices": choices, "usage": usage}))
    };
    let mut all: String = choices.iter().map(|choice| line(json!([choice]), Value::Null)).collect();
    all += &line(json!([]), usage);
    all + "data: [DONE]\n\n"
}

fn text(text: &str) -> Value {
    json!({"index": 0, "text": text, "finish_reason": null})
}

fn finish(reason: &str) -> Value {
    json!({"index": 0, "text": "", "finish_reason": reason})
}

#[test]
fn a_recorded_stream_gives_times_and_counts() {
    let request = request(FOUR, 4).expect("as asked");
    assert_eq!(request.token_at_ns, [100_000_000, 110_000_000, 120_000_000, 130_000_000]);
    assert_eq!(request.token_ids, [TOKEN_ID_NOT_TOLD; 4]);
    assert_eq!((request.n_prompt, request.n_cached, request.prefill_ns), (7, Some(0), None));
}

#[test]
fn a_recorded_character_of_several_tokens_leaves_the_ends_certain() {
    // Eight tokens in two pieces: what the first one holds lies before it, at the pace of the others.
    let request = request(HELD_BACK, 8).expect("as asked");
    let times = &request.token_at_ns;
    assert_eq!((times.len(), times[7]), (8, 120_000_000));
    let n_first = spoken::n_in_first(&tiny_tokenizer(), Some(&Piece { at_ns: 0, text: "🦊".into() }), 2, 8);
    assert_eq!(n_first, 4, "four bytes, each a token of the tiny vocabulary");
    assert_eq!(times[0], 100_000_000 - 3 * (20_000_000 / 4));
    assert!(times.is_sorted());
}

#[test]
fn a_recorded_end_of_sequence_is_an_early_end() {
    let why = api().ended_early(asked(40), &events(ENDED_EARLY));
    assert_eq!(why.as_deref(), Some("ended by itself after 13 of 40 tokens"));
    let failure = request(ENDED_EARLY, 40).expect_err("short");
    assert_eq!(failure.message, "13 tokens instead of 40 (stopped by `stop`)");
    assert_eq!(api().ended_early(asked(4), &events(FOUR)), None);
}

#[test]
fn a_first_chunk_with_a_role_or_nothing_is_no_token() {
    let role = json!({"index": 0, "delta": {"role": "assistant"}, "text": null, "finish_reason": null});
    let chunks = [role, text(""), text(" a"), text(" b"), finish("length")];
    let request = request(&stream(&chunks, json!({"prompt_tokens": 7, "completion_tokens": 2})), 2);
    let request = request.expect("as asked");
    assert_eq!(request.token_at_ns, [120_000_000, 130_000_000], "the third chunk is the first token");
    assert_eq!(request.n_cached, None, "not told");
}

#[test]
fn several_tokens_in_a_chunk_count_by_usage() {
    let chunks = [text("the"), text(" of and"), text(" the of"), finish("length")];
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 5});
    let times = request(&stream(&chunks, usage), 5).expect("as asked").token_at_ns;
    assert_eq!((times.len(), times[0], times[4]), (5, 100_000_000, 130_000_000));
    // Ids tell it exactly.
    let ids = |ids: &[u32]| json!({"index": 0, "text": "x", "token_ids": ids, "finish_reason": null});
    let chunks = [ids(&[1, 2]), ids(&[3, 4, 5]), finish("length")];
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 5});
    let request = request(&stream(&chunks, usage), 5).expect("as asked");
    assert_eq!(request.token_ids, [1, 2, 3, 4, 5]);
    assert_eq!(request.token_at_ns[0], 100_000_000 - 20_000_000 / 3);
}

#[test]
fn one_token_less_is_counted_by_some_on_a_stop_by_the_limit_only() {
    let chunks = |reason| [text(" a"), text(" b"), text(" c"), text(" d"), finish(reason)];
    let usage = |n: u32| json!({"prompt_tokens": 7, "completion_tokens": n});
    assert_eq!(request(&stream(&chunks("length"), usage(3)), 4).expect("at the limit").token_ids.len(), 4);
    assert!(request(&stream(&chunks("stop"), usage(3)), 4).is_err());
    let failure = request(&stream(&chunks("length"), usage(2)), 4).expect_err("two less");
    assert_eq!(failure.kind, FailureKind::WrongLength);
}

#[test]
fn streams_without_counts_end_or_sense_are_garbage() {
    let chunks = [text(" a"), finish("length")];
    let failure = |text: &str| request(text, 1).expect_err("garbage").message;
    assert!(failure(&stream(&chunks, Value::Null)).contains("told no `usage`"));
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 1});
    assert!(failure(&stream(&chunks[..1], usage)).contains("before it was finished"));
    assert!(failure("data: hello\n").starts_with("not an answer to a completion (expected value"));
    assert!(failure("").contains("before it was finished"));
    assert_eq!(failure("data: {\"error\":{\"message\":\"boom\"}}\n"), "boom");
    assert_eq!(failure("data: {\"error\":\"boom\"}\n"), "boom");
    let end = FOUR.find("\"finish_reason\":\"length\"").expect("recorded");
    for cut in (0..end).filter(|&i| FOUR.is_char_boundary(i)) {
        assert!(request(&FOUR[..cut], 4).is_err(), "cut at {cut}");
    }
}

#[test]
fn the_server_is_asked_what_it_understands() {
    assert_eq!(api().probes().len(), 2 + EXTENSIONS.len());
    let reply = |status: u16, body: &str| Reply { status, body: body.to_owned() };
    let by_ids = r#"{"choices":[{"text":"x"}],"usage":{"prompt_tokens":7,"completion_tokens":4}}"#;
    let told_ids = r#"{"choices":[{"text":"x","token_ids":[1]}],"usage":{"prompt_tokens":7}}"#;
    let no = reply(422, r#"{"error":{"message":"extra fields not permitted"}}"#);
    let all = [
        reply(200, WHOLE),
        reply(200, by_ids),
        reply(200, WHOLE),
        no.clone(),
        reply(200, told_ids),
        no.clone(),
    ];
    let informed = api().informed(&all).expect("it answers").expect("informed");
    let wanted = ["prompts as ids", "extensions not refused: ignore_eos return_token_ids", "token ids told"];
    assert_eq!(informed.notes(), wanted);
    assert_eq!(informed.parse_about(&[]).expect("known").version, "b11434-unknown");
    let body: Value = serde_json::from_str(&informed.completion_body(&api().probe, 9, true)).expect("JSON");
    assert_eq!(body["prompt"], json!([1, 2, 3, 4, 5, 6, 7]));
    assert_eq!((&body["ignore_eos"], body.get("min_tokens")), (&json!(true), None));
    assert_eq!(body["stream_options"]["include_usage"], json!(true));

    // Ids are read as something else, or not taken: text is sent.
    let other = r#"{"choices":[{"text":"x"}],"usage":{"prompt_tokens":21}}"#;
    for by_ids in [reply(200, other), no.clone()] {
        let all = [reply(200, WHOLE), by_ids, no.clone(), no.clone(), no.clone(), no.clone()];
        let informed = api().informed(&all).expect("it answers").expect("informed");
        assert_eq!(informed.notes()[..2], ["prompts as text", "extensions not refused: none"]);
        let body: Value =
            serde_json::from_str(&informed.completion_body(&api().probe, 9, true)).expect("JSON");
        assert_eq!(body["prompt"], json!("the of"));
    }
    let refused = api().informed(&[no.clone(), no.clone()]).expect_err("not even a plain request");
    assert_eq!(refused.message, "HTTP 422: extra fields not permitted");
}

#[test]
fn recorded_answers_of_one_piece_and_refusals_are_read() {
    let ids =
        api().parse_whole(&Prompt { ids: vec![], text: Some("the".into()) }, 4, WHOLE).expect("recorded");
    assert_eq!(String::from_utf8(tiny_tokenizer().decode(&ids)).expect("text").trim_start(), "board.\n\n");
    assert_eq!(api().parse_refusal(400, REFUSAL).message, "HTTP 400: Prompt contains invalid tokens");
    assert_eq!(api().parse_refusal(500, "<html>").message, "HTTP 500: `<html>`");
}
