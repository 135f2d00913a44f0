//! Written from LM Studio's documentation: the REST API v0 (completions with `stats` and `runtime`, models) and the pages
//! on `lms load`, `lms server start`, `lms unload`. That `completion_tokens` is one less at the limit is in the
//! documented example itself.

use super::*;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn server(seen: &Seen) -> Played {
    match &seen.path[..] {
        "/api/v0/models" => Played::json(200, &json!({"object": "list", "data": []})),
        "/api/v0/completions" => completion(&seen.json()),
        path if path.starts_with("/api/v0/models/") => {
            Played::json(200, &json!({"id": "m", "state": "loaded", "loaded_context_length": 32}))
        }
        _ => Played::json(404, &json!({"error": "Unexpected endpoint or method."})),
    }
}

fn completion(body: &Value) -> Played {
    let n = body["max_tokens"].as_u64().expect("a limit");
    let with_bos = EncodeOptions { add_special: true, parse_special: false };
    let prompt = body["prompt"].as_str().expect("a text");
    let n_prompt = tiny_tokenizer().encode(prompt.as_bytes(), with_bos).len();
    let stats = json!({"tokens_per_second": 57.7, "time_to_first_token": 0.299, "generation_time": 0.156,
        "stop_reason": "maxPredictedTokensReached"});
    let mut last = json!({
        "object": "text_completion",
        "choices": [{"index": 0, "text": "", "logprobs": null, "finish_reason": "length"}],
        "usage": {"prompt_tokens": n_prompt, "completion_tokens": n - 1, "total_tokens": 0},
        "stats": stats,
        "runtime": {"name": "llama.cpp-linux-x86_64-avx2", "version": "1.3.0"},
    });
    if body["stream"] == false {
        last["choices"][0]["text"] = " the of".into();
        return Played::json(200, &last);
    }
    let event = |value: &Value| format!("data: {value}\n\n").into_bytes();
    let chunk = event(&json!({"choices": [{"index": 0, "text": " the", "finish_reason": null}]}));
    let mut pieces = vec![chunk; n as usize];
    pieces.extend([event(&last), b"data: [DONE]\n\n".to_vec()]);
    Played::stream(pieces)
}

/// An `lms` that writes down what it is asked, and fails at `fails_at`.
fn lms(dir: &Path, fails_at: &str) -> PathBuf {
    let path = dir.join("lms");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {}\ncase \"$*\" in {fails_at}*) echo \"no such model\" >&2; exit 1;; esac\n",
        dir.join("calls").display()
    );
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

fn calls(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("calls")).expect("called");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn lms_brings_the_model_and_takes_it_away() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let program = lms(dir.path(), "nothing");
    let (port, _) = serve(server);
    let launched = launch("lm-studio", &[("model", "smollm2")], |request| {
        request.port = port;
        request.program = Some(Box::leak(program.into_boxed_path()));
        request.verify = Some(verification());
    });
    let measured = measured(launched);
    let wanted = [
        format!("server start --port {port}"),
        "load smollm2 --gpu off --context-length 32 --identifier harness-bench -y".into(),
        "unload harness-bench".into(),
        "server stop".into(),
    ];
    assert_eq!(calls(dir.path()), wanted);
    assert_eq!(measured.version, "llama.cpp-linux-x86_64-avx2 1.3.0");
    assert_eq!(measured.requests[0].token_ids.len(), 4, "three were counted, at the limit of four");
    assert_eq!(failed_gates(&measured), [""; 0], "it was loaded for this launch, so its cache was empty");
    let own = measured.reported.iter().find(|r| r.name == "own_tokens_per_second").expect("told");
    assert_eq!(own.values, [57.7, 57.7], "as reported; the rates are the client's");
    assert_eq!(measured.load_ns, None, "the process is not ours");
    assert!(measured.gates.iter().all(|gate| gate.name != "threads"), "REST tells no threads");
}

#[test]
fn an_lms_that_fails_says_why_and_the_server_is_stopped() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let program = lms(dir.path(), "load");
    let (port, _) = serve(server);
    let launched = launch("lm-studio", &[("model", "smollm2")], |request| {
        request.port = port;
        request.program = Some(Box::leak(program.into_boxed_path()));
    });
    let (kind, message) = failure(launched);
    assert_eq!(kind, FailureKind::Reported);
    assert!(message.ends_with("lms ended with exit code 1: no such model"), "{message}");
    assert_eq!(calls(dir.path())[2..], ["unload harness-bench", "server stop"]);
}

#[test]
fn a_running_server_needs_no_lms() {
    let (port, asked) = serve(server);
    let url = format!("http://127.0.0.1:{port}");
    let launched =
        launch("lm-studio", &[("model", "smollm2"), ("url", &url)], |request| request.program = None);
    let measured = measured(launched);
    assert_eq!(measured.requests.len(), 2);
    let failed = failed_gates(&measured);
    assert_eq!(failed, ["nothing_cached: 0, or 1 (BOS) / unavailable"], "not seen is not passed");
    let bodies: Vec<Value> = asked.lock().expect("unbroken").iter().map(Seen::json).collect();
    assert!(
        bodies
            .iter()
            .filter(|b| b.is_object())
            .all(|b| b["model"] == "smollm2" && b["repeat_penalty"] == 1.0)
    );
}
