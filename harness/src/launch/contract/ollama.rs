//! Written from Ollama's docs/api.md (generate, create a model from GGUF, push a blob, load and unload a model, list
//! running models, version) and, for the stop after equal pieces and what is left out, from its source
//! (llm/llama_server.go, api/types.go), August 2026.

use super::*;
use serde_json::json;

/// How a request with a prompt goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Trap {
    None,
    /// End of sequence after so many tokens.
    EndsAfter(u32),
    /// More than 30 equal pieces: the stream ends without a last line.
    Repeats,
    /// So many prompt tokens are counted; 0 are left out.
    Counts(u32),
    /// Tokens come in pieces of two.
    Pairs,
    /// A character of three bytes, cut after the first.
    CutCharacter,
}

/// The server: what it has, and how its requests go, one after the other; the last trap goes on for ever.
pub(super) struct Ollama {
    pub(super) traps: Vec<Trap>,
    blobs: Vec<String>,
    models: Vec<String>,
    /// Settings with which a model is in memory.
    loaded: Option<Value>,
    pub(super) n_loads: Arc<Mutex<u32>>,
}

impl Ollama {
    pub(super) fn new(traps: &[Trap]) -> Ollama {
        let traps = traps.iter().rev().copied().collect();
        Ollama { traps, blobs: vec![], models: vec![], loaded: None, n_loads: Arc::default() }
    }

    pub(super) fn answer(&mut self, seen: &Seen) -> Played {
        let body = seen.json();
        if let Some(digest) = seen.path.strip_prefix("/api/blobs/") {
            let is_there = self.blobs.iter().any(|blob| blob == digest);
            return match &seen.method[..] {
                "HEAD" => Played { status: if is_there { 200 } else { 404 }, location: None, pieces: vec![] },
                _ => {
                    self.blobs.push(digest.to_owned());
                    Played { status: 201, location: None, pieces: vec![] }
                }
            };
        }
        let refused = |status, error: &str| Played::json(status, &json!({"error": error}));
        match &seen.path[..] {
            "/api/version" => Played::json(200, &json!({"version": "0.30.1"})),
            "/api/ps" => {
                let context = self.loaded.as_ref().map(|settings| settings["num_ctx"].clone());
                let models = context
                    .map(|n| json!({"name": format!("{}:latest", self.models[0]), "context_length": n}));
                Played::json(200, &json!({"models": models.into_iter().collect::<Vec<_>>()}))
            }
            "/api/create" => {
                let digest = body["files"].as_object().and_then(|files| files.values().next()?.as_str());
                if !digest.is_some_and(|digest| self.blobs.iter().any(|blob| blob == digest)) {
                    return refused(400, "blob does not exist");
                }
                self.models.push(body["model"].as_str().expect("a name").to_owned());
                Played::json(200, &json!({"status": "success"}))
            }
            "/api/generate" if !self.models.iter().any(|model| body["model"] == model[..]) => {
                refused(404, "model not found")
            }
            "/api/generate" => self.generate(&body),
            _ => refused(404, "not found"),
        }
    }

    fn generate(&mut self, body: &Value) -> Played {
        if body["keep_alive"] == 0 && body.get("prompt").is_none() {
            self.loaded = None;
            return Played::json(200, &json!({"response": "", "done": true, "done_reason": "unload"}));
        }
        let options = &body["options"];
        let settings = json!({"num_thread": options["num_thread"], "num_ctx": options["num_ctx"]});
        if self.loaded.as_ref() != Some(&settings) {
            self.loaded = Some(settings);
            *self.n_loads.lock().expect("unbroken") += 1;
        }
        let Some(prompt) = body["prompt"].as_str() else {
            return Played::json(200, &json!({"response": "", "done": true, "done_reason": "load"}));
        };
        let with_bos = EncodeOptions { add_special: true, parse_special: false };
        let n_prompt = tiny_tokenizer().encode(prompt.as_bytes(), with_bos).len() as u32;
        let n = options["num_predict"].as_u64().expect("a limit") as u32;
        if body["stream"] == false {
            let last = last_line(" the of", n_prompt, n, "length");
            return Played::json(200, &last);
        }
        let trap = if self.traps.len() > 1 { self.traps.pop() } else { self.traps.first().copied() };
        played(trap.unwrap_or(Trap::None), n_prompt, n)
    }
}

fn last_line(response: &str, n_prompt: u32, n: u32, reason: &str) -> Value {
    let mut last = json!({
        "model": "m", "response": response, "done": true, "done_reason": reason, "load_duration": 1_000,
        "total_duration": 500_000, "prompt_eval_count": n_prompt, "prompt_eval_duration": 300_000,
        "eval_count": n, "eval_duration": 30_000,
    });
    // Go's `omitempty`.
    if n_prompt == 0 {
        last.as_object_mut().expect("an object").remove("prompt_eval_count");
    }
    last
}

fn played(trap: Trap, n_prompt: u32, n: u32) -> Played {
    let line = |value: Value| format!("{value}\n").into_bytes();
    let piece = |text: &str| line(json!({"model": "m", "response": text, "done": false}));
    let word = |i: u32| piece(if i % 2 == 0 { " the" } else { " of" });
    let end = |n_prompt, n, reason| line(last_line("", n_prompt, n, reason));
    let whole: Vec<Vec<u8>> = (0..n).map(word).collect();
    Played::stream(match trap {
        Trap::None => [whole, vec![end(n_prompt, n, "length")]].concat(),
        Trap::EndsAfter(k) => [(0..k).map(word).collect(), vec![end(n_prompt, k, "stop")]].concat(),
        Trap::Repeats => vec![piece(" no"); 31],
        Trap::Counts(told) => [whole, vec![end(told, n, "length")]].concat(),
        Trap::Pairs => [vec![piece(" the of"); n as usize / 2], vec![end(n_prompt, n, "length")]].concat(),
        Trap::CutCharacter => {
            let text = piece("€");
            let at = text.iter().position(|&byte| byte == 0xe2).expect("not escaped") + 1;
            let (first, second) = (text[..at].to_vec(), text[at..].to_vec());
            [vec![first, second], vec![end(n_prompt, n, "length")]].concat()
        }
    })
}

/// A launch against a running server, and what it was asked.
fn run(ollama: Ollama, change: impl FnOnce(&mut LaunchRequest)) -> (Launched, Vec<Seen>) {
    let mut ollama = ollama;
    let (port, asked) = serve(move |seen| ollama.answer(seen));
    let launched = launch("ollama", &[("url", &format!("http://127.0.0.1:{port}"))], change);
    let asked = asked.lock().expect("unbroken").clone();
    (launched, asked)
}

/// Prompts of the requests that were timed.
fn prompts(asked: &[Seen]) -> Vec<String> {
    let timed = asked.iter().map(Seen::json).filter(|body| body["stream"] == true);
    timed.filter_map(|body| body["prompt"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_launch_makes_loads_asks_and_unloads() {
    let ollama = Ollama::new(&[Trap::None]);
    let n_loads = ollama.n_loads.clone();
    let (launched, asked) = run(ollama, |request| request.verify = Some(verification()));
    let measured = measured(launched);
    let paths: Vec<String> = asked.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    let wanted = [
        "GET /api/version",
        "HEAD /api/blobs/sha256:abc",
        "POST /api/blobs/sha256:abc",
        "POST /api/create",
        "POST /api/generate", // unload
        "POST /api/generate", // load
        "POST /api/generate", // cold
        "POST /api/generate",
        "POST /api/generate",
        "POST /api/generate", // verification
        "GET /api/version",
        "GET /api/ps",
        "POST /api/generate", // unload
    ];
    assert_eq!(paths, wanted);
    assert_eq!(asked[2].body, b"the model");
    assert_eq!(asked[12].json()["keep_alive"], 0);
    assert_eq!(*n_loads.lock().expect("unbroken"), 1, "other settings would have loaded it anew");
    assert_eq!(failed_gates(&measured), [""; 0]);
    assert_eq!((&measured.version[..], measured.requests.len(), measured.requests[0].rep), ("0.30.1", 2, 0));
    assert_eq!((measured.load_ns, measured.cold.is_none()), (None, true), "it ran before");
    let gate = measured.gates.iter().find(|gate| gate.name == "nothing_cached").expect("asked");
    assert_eq!(gate.seen, "not told; the cache was empty");
    let tiny = tiny_tokenizer();
    let ids = measured.verify_token_ids.expect("asked for");
    assert_eq!(
        ids,
        [tiny.id_of("▁the".as_bytes()), tiny.id_of("▁of".as_bytes())].map(|id| id.expect("a word"))
    );
}

#[test]
fn threads_of_another_number_load_the_model_once_in_their_launch() {
    let mut ollama = Ollama::new(&[Trap::None]);
    let n_loads = ollama.n_loads.clone();
    let (port, _) = serve(move |seen| ollama.answer(seen));
    let url = format!("http://127.0.0.1:{port}");
    for (threads, n_wanted) in [(1, 1), (2, 2), (2, 3)] {
        let launched = launch("ollama", &[("url", &url)], |request| request.threads = threads);
        assert_eq!(failed_gates(&measured(launched)), [""; 0]);
        assert_eq!(*n_loads.lock().expect("unbroken"), n_wanted, "{threads} threads");
    }
}

#[test]
fn a_request_that_ends_early_is_made_again_with_another_prompt() {
    for trap in [Trap::EndsAfter(2), Trap::Repeats] {
        let (launched, asked) = run(Ollama::new(&[Trap::None, trap, Trap::None]), |_| ());
        let measured = measured(launched);
        assert_eq!(failed_gates(&measured), [""; 0], "{trap:?}");
        assert!(has_feature(&measured, "1 requests made again, ended early"), "{:?}", measured.features);
        let sent = prompts(&asked);
        let different: std::collections::BTreeSet<&str> =
            sent.iter().filter_map(|prompt| prompt.split(' ').next()).collect();
        assert_eq!((sent.len(), different.len()), (4, 4), "no two begin alike: {sent:?}");
        assert_eq!(measured.requests[0].n_prompt, 3, "another prompt of the same length");
    }
}

#[test]
fn a_row_that_ends_early_again_and_again_says_so() {
    let (launched, asked) = run(Ollama::new(&[Trap::None, Trap::EndsAfter(1)]), |_| ());
    let (kind, message) = failure(launched);
    assert_eq!(kind, FailureKind::WrongLength);
    assert_eq!(message, "request 1: ended by itself after 1 of 4 tokens; so did 3 other prompts before");
    assert_eq!(prompts(&asked).len(), 1 + 4);
    assert_eq!(asked.last().expect("asked").json()["keep_alive"], 0, "unloaded all the same");
}

#[test]
fn a_cold_request_that_ends_early_begins_the_launch_anew() {
    let (launched, asked) = run(Ollama::new(&[Trap::EndsAfter(1), Trap::None]), |_| ());
    assert_eq!(failed_gates(&measured(launched)), [""; 0]);
    let loads =
        asked.iter().map(Seen::json).filter(|body| body["keep_alive"] == -1 && body.get("prompt").is_none());
    assert_eq!((loads.count(), prompts(&asked).len()), (2, 4));
    let (launched, _) = run(Ollama::new(&[Trap::EndsAfter(1)]), |_| ());
    let wanted = "request 0: ended by itself after 1 of 2 tokens; so did 3 other prompts before";
    assert_eq!(failure(launched), (FailureKind::WrongLength, wanted.to_owned()));
}

#[test]
fn a_prompt_from_the_cache_fails_its_gates() {
    for (told, seen) in [(1, "2, 2"), (0, "3, 3")] {
        let (launched, _) = run(Ollama::new(&[Trap::None, Trap::Counts(told), Trap::Counts(told)]), |_| ());
        let failed = failed_gates(&measured(launched));
        let n_cached = seen.split(',').next().expect("one");
        let wanted =
            [format!("prompt_count: 3 / {told}"), format!("nothing_cached: 0, or 1 (BOS) / {n_cached}")];
        assert_eq!(failed, wanted);
    }
}

#[test]
fn pieces_of_two_tokens_and_cut_characters_are_counted_by_the_server() {
    for trap in [Trap::Pairs, Trap::CutCharacter] {
        let measured = measured(run(Ollama::new(&[trap]), |_| ()).0);
        assert_eq!(failed_gates(&measured), [""; 0], "{trap:?}");
        let times = &measured.requests[1].token_at_ns;
        assert_eq!(times.len(), 4);
        assert!(times[3] - times[0] >= 30_000, "the server's own duration of the three steps: {times:?}");
    }
}

#[test]
fn what_the_server_refuses_is_said() {
    let (port, _) = serve(|seen| match &seen.path[..] {
        "/api/version" => Played::json(200, &json!({"version": "0.30.1"})),
        path if path.starts_with("/api/blobs") => Played { status: 200, location: None, pieces: vec![] },
        _ => Played::json(400, &json!({"error": "invalid model \u{1b}[2Jfile"})),
    });
    let launched = launch("ollama", &[("url", &format!("http://127.0.0.1:{port}"))], |_| ());
    let wanted = "HTTP 400: invalid model \u{fffd}[2Jfile";
    assert_eq!(failure(launched), (FailureKind::Reported, wanted.to_owned()), "and steers no terminal");
}
