//! Written from OpenAI's API reference (completions; streaming with `stream_options.include_usage`), and for what many
//! servers add from the documentation of vLLM and llama-server.

use super::*;
use crate::framework::server_url::Secret;
use crate::sample::FEATURE_SHARED_BOS;
use serde_json::json;

/// How a server differs from the plainest one.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    takes_ids: bool,
    tells_ids: bool,
    /// Refuses fields that it does not know.
    is_strict: bool,
    /// Looks at its health that find it loading.
    n_loading: u32,
    starts_with_role: bool,
    tokens_per_chunk: u32,
    /// Counts one token less at the limit.
    counts_less: bool,
    tells_usage: bool,
    tells_cached: Option<u32>,
    /// The first timed request ends by itself after one token.
    ends_early_once: bool,
}

const PLAIN: Kind = Kind {
    takes_ids: false,
    tells_ids: false,
    is_strict: false,
    n_loading: 0,
    starts_with_role: false,
    tokens_per_chunk: 1,
    counts_less: false,
    tells_usage: true,
    tells_cached: None,
    ends_early_once: false,
};

fn server(kind: Kind) -> impl FnMut(&Seen) -> Played + Send {
    let mut n_loading = kind.n_loading;
    let mut ends_early = kind.ends_early_once;
    move |seen| {
        let error = |status, message: &str| Played::json(status, &json!({"error": {"message": message}}));
        if seen.is("GET", "/v1/models") {
            if n_loading > 0 {
                n_loading -= 1;
                return error(503, "Loading model");
            }
            return Played::json(200, &json!({"object": "list", "data": [{"id": "m"}]}));
        }
        let body = seen.json();
        let known = ["model", "prompt", "max_tokens", "temperature", "seed", "stream", "stream_options"];
        let is_unknown = |name: &String| !known.contains(&&name[..]);
        if kind.is_strict && body.as_object().expect("an object").keys().any(is_unknown) {
            return error(422, "unknown field");
        }
        let with_bos = EncodeOptions { add_special: true, parse_special: false };
        let n_prompt = match &body["prompt"] {
            Value::String(text) => tiny_tokenizer().encode(text.as_bytes(), with_bos).len(),
            Value::Array(ids) if kind.takes_ids => ids.len(),
            _ => return error(400, "prompt: a string is wanted"),
        };
        let n = body["max_tokens"].as_u64().expect("a limit") as u32;
        let is_timed = body["stream"] == true;
        let (n, reason) =
            if is_timed && std::mem::take(&mut ends_early) { (1, "stop") } else { (n, "length") };
        played(kind, n_prompt, n, reason, is_timed)
    }
}

fn played(kind: Kind, n_prompt: usize, n: u32, reason: &str, is_timed: bool) -> Played {
    let details = kind.tells_cached.map(|n| json!({"cached_tokens": n}));
    let n_told = if kind.counts_less && reason == "length" { n - 1 } else { n };
    let usage =
        json!({"prompt_tokens": n_prompt, "completion_tokens": n_told, "prompt_tokens_details": details});
    let ids = |from: u32, to: u32| kind.tells_ids.then(|| (from..to).collect::<Vec<u32>>());
    if !is_timed {
        let choice = json!({"index": 0, "text": " the of", "finish_reason": reason, "token_ids": ids(0, n)});
        let whole = json!({"choices": [choice], "usage": usage, "system_fingerprint": "fp_1 <b>|\u{1b}[31m"});
        return Played::json(200, &whole);
    }
    let event = |value: Value| format!("data: {value}\n\n").into_bytes();
    let chunk = |choice: Value| event(json!({"choices": [choice], "usage": null}));
    let mut pieces = Vec::new();
    if kind.starts_with_role {
        pieces.push(chunk(
            json!({"index": 0, "delta": {"role": "assistant"}, "text": "", "finish_reason": null}),
        ));
    }
    let mut from = 0;
    while from < n {
        let to = (from + kind.tokens_per_chunk).min(n);
        let text = " the".repeat((to - from) as usize);
        pieces.push(chunk(
            json!({"index": 0, "text": text, "finish_reason": null, "token_ids": ids(from, to)}),
        ));
        from = to;
    }
    pieces.push(chunk(json!({"index": 0, "text": "", "finish_reason": reason})));
    if kind.tells_usage {
        pieces.push(event(json!({"choices": [], "usage": usage})));
    }
    pieces.push(b"data: [DONE]\n\n".to_vec());
    Played::stream(pieces)
}

fn run_with(kind: Kind, change: impl FnOnce(&mut LaunchRequest)) -> (Launched, Vec<Seen>) {
    let (port, asked) = serve(server(kind));
    let options = [("url", &format!("http://127.0.0.1:{port}/v1")[..]), ("model", "m")];
    let launched = launch("openai-compatible", &options, change);
    let asked = asked.lock().expect("unbroken").clone();
    (launched, asked)
}

fn run(kind: Kind) -> Measured {
    measured(run_with(kind, |_| ()).0)
}

#[test]
fn the_plainest_server_gets_text_and_its_cache_cannot_be_seen() {
    let (launched, asked) = run_with(Kind { is_strict: true, ..PLAIN }, |r| r.verify = Some(verification()));
    let measured = measured(launched);
    assert_eq!(failed_gates(&measured), ["nothing_cached: 0, or 1 (BOS) / unavailable"]);
    assert!(has_feature(&measured, "prompts as text") && has_feature(&measured, FEATURE_SHARED_BOS));
    assert!(has_feature(&measured, "extensions not refused: none"), "{:?}", measured.features);
    let timed: Vec<Value> = asked.iter().map(Seen::json).filter(|body| body["stream"] == true).collect();
    assert_eq!(timed.len(), 3);
    assert!(timed.iter().all(|body| body["prompt"].is_string() && body.get("ignore_eos").is_none()));
    assert_eq!((measured.load_ns, measured.requests[0].prefill_ns), (None, None), "nobody tells");
    assert_eq!(measured.verify_token_ids.expect("asked for").len(), 2);
}

#[test]
fn ids_and_extensions_are_used_where_they_are_understood() {
    let kind = Kind { takes_ids: true, tells_ids: true, tells_cached: Some(0), ..PLAIN };
    let (launched, asked) = run_with(kind, |_| ());
    let measured = measured(launched);
    assert_eq!(failed_gates(&measured), [""; 0]);
    assert_eq!(measured.requests[1].token_ids, [0, 1, 2, 3]);
    let last = asked.iter().map(Seen::json).rfind(|body| body["stream"] == true).expect("timed");
    assert!(
        last["prompt"].is_array() && last["ignore_eos"] == true && last["cache_prompt"] == false,
        "{last}"
    );
}

#[test]
fn a_server_that_loads_is_waited_for() {
    let (launched, asked) = run_with(Kind { n_loading: 3, ..PLAIN }, |_| ());
    assert_eq!(measured(launched).requests.len(), 2);
    assert_eq!(asked.iter().filter(|seen| seen.path == "/v1/models").count(), 4);
}

#[test]
fn a_role_is_no_token_and_chunks_are_no_counts() {
    for tokens_per_chunk in [1, 2, 3, 9] {
        let kind = Kind { starts_with_role: true, tokens_per_chunk, ..PLAIN };
        let measured = run(kind);
        assert_eq!(failed_gates(&measured).len(), 1, "the cache alone");
        assert!(measured.requests.iter().all(|r| r.token_at_ns.len() == 4 && r.token_at_ns.is_sorted()));
    }
}

#[test]
fn one_less_at_the_limit_is_known_and_an_early_end_is_made_again() {
    assert_eq!(run(Kind { counts_less: true, ..PLAIN }).requests[0].token_ids.len(), 4);
    let measured = run(Kind { ends_early_once: true, ..PLAIN });
    assert_eq!(measured.requests.len(), 2);
}

#[test]
fn tokens_from_a_cache_are_seen_where_they_are_told() {
    let failed = |n| failed_gates(&run(Kind { tells_cached: Some(n), ..PLAIN }));
    assert_eq!(failed(2), ["nothing_cached: 0, or 1 (BOS) / 2"]);
    assert_eq!(failed(1), [""; 0], "the BOS, which all prompts share");
}

#[test]
fn a_server_without_counts_is_no_row() {
    let (kind, message) = failure(run_with(Kind { tells_usage: false, ..PLAIN }, |_| ()).0);
    assert_eq!(kind, FailureKind::Garbage);
    assert!(message.contains("told no `usage`"), "{message}");
}

#[test]
fn nobody_there_is_missing() {
    let port = free_port().expect("a port");
    let options = [("url", &format!("http://127.0.0.1:{port}")[..]), ("model", "m")];
    let (kind, message) = failure(launch("openai-compatible", &options, |_| ()));
    assert_eq!(kind, FailureKind::Missing);
    assert!(message.starts_with(&format!("no server answers at http://127.0.0.1:{port}: ")), "{message}");
}

#[test]
fn a_server_that_sends_elsewhere_is_not_followed() {
    let (other, asked_of_other) = serve(server(PLAIN));
    let to = format!("http://127.0.0.1:{other}/v1/models");
    let (port, _) = serve(move |_| Played::elsewhere(to.clone()));
    let options = [("url", &format!("http://127.0.0.1:{port}")[..]), ("model", "m")];
    let key = |r: &mut LaunchRequest| r.api_key = Some(Secret::new("sk-very-secret".into()));
    let (_, message) = failure(launch("openai-compatible", &options, key));
    assert_eq!(message, "HTTP 302: the server sends elsewhere, which is not followed");
    assert_eq!(asked_of_other.lock().expect("unbroken").len(), 0);
}

#[test]
fn a_key_goes_to_its_server_and_into_no_message() {
    let key = |r: &mut LaunchRequest| r.api_key = Some(Secret::new("sk-very-secret".into()));
    let (launched, asked) = run_with(PLAIN, key);
    let bearer = ("authorization".to_owned(), "Bearer sk-very-secret".to_owned());
    assert!(!asked.is_empty() && asked.iter().all(|seen| seen.headers.contains(&bearer)));
    assert!(!format!("{launched:?}").contains("sk-very-secret"));
    let (port, _) = serve(|seen| {
        let sent =
            seen.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.clone());
        Played::json(401, &json!({"error": {"message": format!("bad key: {}", sent.unwrap_or_default())}}))
    });
    let options = [("url", &format!("http://127.0.0.1:{port}")[..]), ("model", "m")];
    let (_, message) = failure(launch("openai-compatible", &options, key));
    assert_eq!(message, "HTTP 401: bad key: Bearer <key>");
}

#[test]
fn what_the_server_calls_itself_steers_no_terminal() {
    let measured = run(PLAIN);
    assert_eq!(measured.version, "fp_1 <b>|\u{fffd}[31m");
    assert_eq!(measured.build, measured.version);
}

#[test]
#[cfg(target_os = "linux")]
fn the_memory_is_that_of_the_process_that_listens() {
    let measured = run(PLAIN); // this process plays the server
    let name = std::fs::read_to_string("/proc/self/comm").expect("readable");
    let feature = format!("memory of `{}`, which listens there", name.trim());
    assert!(has_feature(&measured, &feature), "{:?}", measured.features);
    assert!(measured.memory.rss_peak_bytes.is_some());
}
