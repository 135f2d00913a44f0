//! Against answers recorded from llama.cpp b11434; see tests/golden/llama.cpp-b11434/README.md.

use super::*;
use crate::framework::sse::SseSplitter;
use crate::framework::testing::with_request;

const FOUR: &str = include_str!("../../tests/golden/llama.cpp-b11434/completion-4-tokens.sse");
const ONE: &str = include_str!("../../tests/golden/llama.cpp-b11434/completion-1-token.sse");
const HELD_BACK: &str = include_str!("../../tests/golden/llama.cpp-b11434/completion-held-back.sse");
const DISTRIBUTION: &str = include_str!("../../tests/golden/llama.cpp-b11434/distribution.json");
const PROPS: &str = include_str!("../../tests/golden/llama.cpp-b11434/props.json");

/// The events of a recorded stream, 10 ms apart from 100 ms on.
fn events(stream: &str) -> Vec<StampedEvent> {
    let data = SseSplitter::default().push(stream.as_bytes()).expect("recorded");
    (0..).zip(data).map(|(i, data)| StampedEvent { at_ns: 100_000_000 + i * 10_000_000, data }).collect()
}

fn answer(stream: &str, n_generate: u32) -> Result<Answer, Failure> {
    LlamaServer.parse_stream(Asked { rep: 1, n_prompt: 12, n_generate }, &events(stream))
}

fn failure(stream: &str, n_generate: u32) -> String {
    let failure = answer(stream, n_generate).expect_err("refused");
    format!("{:?}: {}", failure.kind, failure.message)
}

#[test]
fn the_command_line_pins_every_default_that_matters() {
    with_request("llama.cpp", |request| {
        let spec = describe(&request).expect("describable");
        assert_eq!(
            spec.argv.join(" "),
            "/opt/bin/llama-server -m /models/m.gguf -c 32 -np 1 -t 2 -tb 2 -ctk f16 -ctv f16 \
             -b 2048 -ub 512 -ngl 0 -dev none -fa auto -lm auto -fit off -cram 0 --no-cache-prompt -ctxcp 0 --no-warmup \
             --no-context-shift --offline --no-ui --host 127.0.0.1 --port 4000"
        );
        let Conversation::Server(talk) = spec.conversation else { panic!("a server") };
        let sent: Vec<_> = talk.requests.iter().map(|(prompt, n)| (&prompt.ids[..], *n)).collect();
        assert_eq!(sent, [(&[1, 2, 3][..], 2), (&[4, 5, 6][..], 4)]);
        assert!(talk.has_cold);
    });
    with_request("llama.cpp-metal", |mut request| {
        request.options.insert("repack".into(), "off".into());
        let argv = describe(&request).expect("describable").argv.join(" ");
        assert!(argv.contains("-ngl 99 -fa auto") && argv.contains("--no-repack"), "{argv}");
    });
}

#[test]
fn the_request_asks_for_greedy_ids_and_no_cache() {
    assert_eq!(
        LlamaServer.request_body(&[1, 2], 4, true),
        r#"{"cache_prompt":false,"ignore_eos":true,"n_predict":4,"n_probs":0,"prompt":[1,2],"return_tokens":true,"samplers":["top_k"],"stream":true,"temperature":0,"top_k":1}"#
    );
}

#[test]
fn a_recorded_stream_gives_ids_times_and_timings() {
    let Answer { request, reported } = answer(FOUR, 4).expect("as asked");
    assert_eq!(request.token_ids, [106, 198, 198, 67]);
    assert_eq!(request.token_at_ns, [100_000_000, 110_000_000, 120_000_000, 130_000_000]);
    assert_eq!((request.rep, request.n_prompt, request.n_cached), (1, 12, Some(0)));
    assert_eq!(request.prefill_ns, Some(42_449_000));
    assert_eq!(reported[0].name, "prefill_tok_s");
    assert_eq!(reported[0].values, [12.0 * 1e3 / 42.449]);
    assert_eq!(reported[1].name, "decode_tok_s");
    assert_eq!(reported[1].values, [3.0 * 1e3 / 32.354]);

    let Answer { request, reported } = answer(ONE, 1).expect("as asked");
    assert_eq!((request.token_ids, request.token_at_ns), (vec![106], vec![100_000_000]));
    assert_eq!(reported.len(), 1, "one token has no decode rate");
}

#[test]
fn tokens_held_back_are_counted_and_the_first_is_dated_by_the_server() {
    let request = answer(HELD_BACK, 8).expect("as asked").request;
    const N: u32 = TOKEN_ID_NOT_TOLD;
    assert_eq!(request.token_ids, [N, N, 243, N, N, 243, N, N]);
    let at_ms: Vec<u64> = request.token_at_ns.iter().map(|ns| ns / 1_000_000).collect();
    assert_eq!(at_ms[1..], [100, 100, 110, 110, 110, 120, 120]);
    let final_event = &events(HELD_BACK)[2].data;
    let predicted_ms = parse::<WireEvent>(final_event).expect("recorded").timings.expect("told").predicted_ms;
    assert_eq!(request.token_at_ns[0], 120_000_000 - ms_to_ns(predicted_ms).min(120_000_000));
}

#[test]
fn wrong_lengths_and_stops_are_named() {
    assert_eq!(failure(FOUR, 5), "WrongLength: 4 tokens instead of 5 (stopped by limit)");
    let eos = FOUR.replace("\"stop_type\":\"limit\"", "\"stop_type\":\"eos\"");
    assert_eq!(failure(&eos, 4), "WrongLength: stopped by eos instead of the limit");
}

#[test]
fn a_context_that_is_filled_to_its_end_is_no_failure() {
    assert!(FOUR.contains("\"truncated\":false"));
    let filled = FOUR.replace("\"truncated\":false", "\"truncated\":true");
    let asked = Asked { rep: 0, n_prompt: 2, n_generate: 4 };
    assert_eq!(
        LlamaServer.parse_stream(asked, &events(&filled)),
        LlamaServer.parse_stream(asked, &events(FOUR))
    );
}

#[test]
fn malformed_empty_and_cut_streams_are_garbage() {
    assert_eq!(failure("", 4), "Garbage: the stream ended before its last event");
    let cut = &FOUR[..FOUR.find("\"stop\":true").expect("recorded")];
    assert_eq!(failure(cut, 4), "Garbage: the stream ended before its last event");
    let doubled = format!("{FOUR}{FOUR}");
    assert!(
        failure(&doubled, 4).starts_with("Garbage: after the last event: `{"),
        "{}",
        failure(&doubled, 4)
    );
    assert!(
        failure("data: Hello!\n", 4).starts_with("Garbage: not an answer of llama-server (expected value")
    );
    let backwards = FOUR.replace("\"tokens_predicted\":2", "\"tokens_predicted\":0");
    assert!(
        failure(&backwards, 4).contains("`tokens_predicted` 0 after 1 tokens"),
        "{}",
        failure(&backwards, 4)
    );
    let without = FOUR.replace("\"timings\"", "\"clock\"");
    assert!(failure(&without, 4).contains("lacks timings or stop_type"));
}

#[test]
fn every_cut_of_a_recorded_stream_is_an_error_not_a_panic() {
    let end = FOUR.trim_end().len();
    for cut in (0..end).filter(|&i| FOUR.is_char_boundary(i)) {
        assert!(answer(&FOUR[..cut], 4).is_err(), "cut at {cut}");
    }
}

#[test]
fn errors_of_the_server_are_reported() {
    let told = "error: {\"code\":500,\"message\":\"boom\",\"type\":\"server_error\"}\n";
    assert_eq!(failure(told, 4), "Reported: boom");
    // Recorded: a prompt with an id beyond the vocabulary.
    let body =
        r#"{"error":{"code":400,"message":"Prompt contains invalid tokens","type":"invalid_request_error"}}"#;
    let refusal = LlamaServer.parse_refusal(400, body);
    assert_eq!(refusal.message, "HTTP 400: Prompt contains invalid tokens");
    assert_eq!(LlamaServer.parse_refusal(404, "nope").message, "HTTP 404: `nope`");
}

#[test]
fn the_version_is_in_the_properties() {
    let told = LlamaServer.parse_about(&[PROPS.to_owned()]).expect("golden");
    let model_path = Some("/models/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned());
    let wanted = Told { version: "b0-unknown".into(), model_path, context: Some(512), slots: Some(1) };
    assert_eq!(told, wanted);
    assert!(LlamaServer.parse_about(&["{}".to_owned()]).is_err());
}

#[test]
fn a_distribution_is_asked_for_before_any_sampler() {
    let body = LlamaServer.distribution_body(&[1, 2], 64).expect("it can");
    let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&value["n_predict"], &value["n_probs"]), (&json!(1), &json!(64)));
    assert_eq!(value["post_sampling_probs"], json!(false));
}

#[test]
fn a_recorded_distribution_is_read() {
    let top = LlamaServer.parse_distribution(DISTRIBUTION).expect("recorded").expect("told");
    assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [6354, 29, 22216, 314]);
    let forced = crate::sample::Forced::checked(vec![0], vec![top]).expect("a distribution");
    assert_eq!(forced.top[0][0], (6354, -0.033731844));
    assert_eq!(LlamaServer.parse_distribution("{\"content\":\"\"}"), Ok(None), "not told");
    assert!(LlamaServer.parse_distribution(r#"{"completion_probabilities":[{"id":1}]}"#).is_err());
}
