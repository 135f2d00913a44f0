//! The program: every command, its JSON, its exit codes.

use crate::support::tiny;
use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;

fn engine(args: &[&str]) -> std::process::Output {
    Command::cargo_bin("engine").unwrap().args(args).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = engine(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn generate_by_text_and_by_ids() {
    let file = tiny("Q4_0");
    let all = json(&["generate", text(&file.path), "--prompt", "hello", "-n", "8", "--ignore-eos", "--json"]);
    assert_eq!((all["ids"].as_array().unwrap().len(), all["stop"].as_str()), (8, Some("length")));
    let prompt: Vec<_> = all["prompt_ids"].as_array().unwrap().iter().map(Value::to_string).collect();
    let same = [
        "generate",
        text(&file.path),
        "--prompt-ids",
        &prompt.join(","),
        "-n",
        "8",
        "--ignore-eos",
        "--json",
    ];
    assert_eq!(json(&same)["ids"], all["ids"]);
    for timing in ["load_ms", "ttft_ms", "prefill_tok_s", "decode_tok_s"] {
        assert!(all["timings"][timing].as_f64().unwrap() > 0.0, "{timing}");
    }
    assert!(cfg!(not(target_os = "linux")) || all["peak_rss_bytes"].as_u64().unwrap() > 1_000_000);
}

#[test]
fn seeds_repeat_and_a_stop_string_stops() {
    let file = tiny("Q4_0");
    let base = ["generate", text(&file.path), "--prompt", "hello", "-n", "20", "--ignore-eos", "--json"];
    let with = |more: &[&str]| json(&[&base[..], more].concat());
    let sampled = ["--temperature", "2", "--top-k", "50", "--top-p", "0.99", "--min-p", "0.001"];
    let seeded = |seed| with(&[&sampled[..], &["--repeat-penalty", "1.1", "--seed", seed]].concat());
    assert_eq!(seeded("3")["ids"], seeded("3")["ids"]);
    assert_ne!(seeded("3")["ids"], seeded("4")["ids"]);
    let whole = with(&[])["text"].as_str().unwrap().to_owned();
    let middle: String = whole.chars().skip(whole.chars().count() / 2).take(3).collect();
    let stopped = with(&["--stop", &middle]);
    assert_eq!(stopped["stop"], "stop");
    assert_eq!(stopped["text"].as_str().unwrap(), &whole[..whole.find(&middle).unwrap()]);
}

#[test]
fn bench_has_the_tests_asked_for() {
    let file = tiny("Q4_0");
    let all = json(&[
        "bench",
        text(&file.path),
        "-p",
        "8",
        "-n",
        "4",
        "-d",
        "0,16",
        "-t",
        "1,2",
        "-r",
        "2",
        "--json",
    ]);
    let names: Vec<_> = all.as_array().unwrap().iter().map(|t| t["test"].as_str().unwrap()).collect();
    assert_eq!(names, ["pp8", "tg4", "pp8@d16", "tg4@d16", "pp8", "tg4", "pp8@d16", "tg4@d16"]);
    for test in all.as_array().unwrap() {
        assert_eq!(test["samples_tok_s"].as_array().unwrap().len(), 2);
        assert!(test["median_tok_s"].as_f64().unwrap() > 0.0);
        // Too small a model to try others on.
        assert_eq!(test["prefetch_bytes"], 256);
    }
}

#[test]
fn tokenize_reads_stdin_as_bytes() {
    let file = tiny("Q4_0");
    let args = ["tokenize", text(&file.path), "--no-special", "--json"];
    let run = |bytes: &[u8]| {
        let out = Command::cargo_bin("engine").unwrap().args(args).write_stdin(bytes).output().unwrap();
        serde_json::from_slice::<Value>(&out.stdout).unwrap()["ids"].clone()
    };
    assert_eq!(run(b"hello\n"), json(&[&args[..], &["--text", "hello\n"]].concat())["ids"]);
    assert_ne!(run(b"hello"), run(b"hello\n"));
    assert!(!run(b"\xff\xfe").as_array().unwrap().is_empty());
}

#[test]
fn a_kl_base_of_our_own_agrees_with_itself() {
    let file = tiny("Q4_0");
    let dir = tempfile::tempdir().unwrap();
    let (words, base) = (dir.path().join("words.txt"), dir.path().join("base"));
    std::fs::write(&words, "some words and other words, again and again. ".repeat(20)).unwrap();
    let write = ["perplexity", text(&file.path), "--file", text(&words), "-c", "64"];
    let written = json(&[&write[..], &["--write-kl-base", text(&base), "--json"]].concat());
    assert!(written["ppl"].as_f64().unwrap() > 1.0 && written["mean_kl"].is_null());
    let compared = json(&["perplexity", text(&file.path), "--kl-base", text(&base), "--json"]);
    assert_eq!(compared["n_tokens"], written["n_tokens"]);
    // The file's 16 bits make ties of near-ties, and random weights have some.
    assert!(compared["same_top"].as_f64().unwrap() > 0.95, "{compared}");
    assert!(compared["mean_kl"].as_f64().unwrap().abs() < 1e-6, "{compared}");
    // Another model's distribution is another.
    let other = tiny("Q8_0");
    let compared = json(&["perplexity", text(&other.path), "--kl-base", text(&base), "--json"]);
    assert!(compared["mean_kl"].as_f64().unwrap() > 1e-6, "{compared}");
}

#[test]
fn damaged_kl_bases_are_refused() {
    let file = tiny("Q4_0");
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let head = |n_ctx: i32, n_vocab: i32, n_chunks: i32| {
        [&b"_logits_"[..], &n_ctx.to_le_bytes(), &n_vocab.to_le_bytes(), &n_chunks.to_le_bytes()].concat()
    };
    let cases = [
        (b"nonsense, and long enough".to_vec(), "magic"),
        (head(-1, 512, 1), "impossible counts"),
        (head(512, i32::MAX, 1), "impossible counts"),
        (head(i32::MAX, 512, i32::MAX), "impossible counts"),
        (head(64, 512, 100), "but its counts need"),
    ];
    for (bytes, message) in cases {
        std::fs::write(&base, bytes).unwrap();
        let out = engine(&["perplexity", text(&file.path), "--kl-base", text(&base)]);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && stderr.contains(message), "{message}: {stderr}");
    }
}

#[test]
fn inspect_and_synth() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    assert!(engine(&["synth", "tiny:Q5_1", text(&path), "--seed", "7"]).status.success());
    let all = json(&["inspect", text(&path), "--json"]);
    assert_eq!(all["architecture"], "llama");
    assert!(String::from_utf8_lossy(&engine(&["inspect", text(&path)]).stdout).contains("Q5_1"));
    let out = engine(&["synth", "gigantic", text(&path)]);
    assert!(out.status.code() == Some(2) && String::from_utf8_lossy(&out.stderr).contains("tinyllama"));
}

#[test]
fn variables_that_cannot_be_are_refused_by_name_with_what_can() {
    let file = tiny("Q4_0");
    let check = |variable: &str, value: &str, wanted: &str| {
        let mut engine = Command::cargo_bin("engine").unwrap();
        engine.args(["bench", text(&file.path), "-p", "4", "-n", "2", "-r", "1"]).env(variable, value);
        let output = engine.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), wanted.is_empty(), "{said}");
        assert!(said.contains(wanted), "{said}");
    };
    check(
        "ENGINE_WITHOUT",
        "tile",
        "ENGINE_WITHOUT: no part `tile` to leave out; write `none` or some of streams",
    );
    check("ENGINE_WITHOUT", "tiles+streams", "");
    check("ENGINE_SIMD", "fastest", "ENGINE_SIMD: no such level here: `fastest`; write `best`, or one that");
    check("ENGINE_SIMD", "best", "");
}

#[test]
fn failures_say_what_is_wrong_and_exit_with_2() {
    let file = tiny("Q4_0");
    let cases: [(&[&str], &str); 4] = [
        (&["generate", "no-such-file.gguf", "--prompt", "x"], "no-such-file.gguf"),
        (&["generate", text(&file.path), "--prompt-ids", "999999"], "outside the vocabulary"),
        (&["generate", text(&file.path), "--prompt", "x", "--top-p", "2"], "top_p"),
        (&["generate", text(&file.path)], "--prompt"),
    ];
    for (args, message) in cases {
        let out = engine(args);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && stderr.contains(message), "{args:?}: {stderr}");
        assert!(out.stdout.is_empty(), "{args:?}");
    }
}
