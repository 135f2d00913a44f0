//! A program `ollama` that is really started, by `harness run`: with a child of its own, as Ollama has since 0.30. Written
//! from its documentation (docs/api.md, docs/faq on OLLAMA_HOST and OLLAMA_MODELS); it computes nothing.

use crate::support::{Place, measured};
use harness::sample::PeakSince;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// This test program, started with this name, plays the server.
const PLAYER: &str = "ollama::serve_as_ollama";

/// A script that is `ollama` to the harness.
fn program(dir: &Path) -> PathBuf {
    let player = std::env::current_exe().expect("this program");
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in\n--version) echo 'ollama version is 0.30.1' ;;\nserve) exec {} --exact {PLAYER} \
         --ignored --nocapture ;;\nesac\n",
        player.display()
    );
    let path = dir.join("ollama");
    std::fs::write(&path, script).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

#[test]
fn its_whole_tree_is_measured_and_killed() {
    let place = Place::new(&[], 2);
    place.write_scenario("  - {id: fake, label: steady, options: {script: steady.yaml}}\n  - ollama\n", 2);
    place.edit_scenario("verify_tokens: 8", "verify_tokens: 0");
    place.edit_scenario("launch_timeout_s: 2", "launch_timeout_s: 60");
    let dir = tempfile::tempdir().expect("temporary directory");
    let program = program(dir.path()).display().to_string();
    // Somebody's own settings must not reach it, and neither must a key.
    let env = [
        ("HARNESS_OLLAMA", &program[..]),
        ("OLLAMA_NUM_PARALLEL", "8"),
        ("HARNESS_OLLAMA_KEY", "sk-not-for-children"),
    ];
    let status = place.start_with(&[], &env).wait();
    assert_eq!(status.code(), Some(0), "{}", place.stderr());
    let bundle = place.bundle();
    let launches = measured(&bundle, "ollama");
    assert_eq!(launches.len(), 2);
    for launch in &launches {
        assert!(launch.gates_passed(), "{:?}", launch.gates);
        assert_eq!(launch.version, "0.30.1");
        assert_eq!(launch.memory.n_processes_max, Some(2), "the server and its child");
        assert_eq!(launch.memory.peak_since, Some(PeakSince::ProcessStart));
        assert!(launch.load_ns.is_some() && launch.cold.is_some(), "a process of ours");
        assert!(launch.features.iter().any(|f| f == "OLLAMA_NUM_PARALLEL=1"), "{:?}", launch.features);
    }
    let record = bundle.records.iter().find(|r| r.framework == "ollama").expect("recorded");
    assert_eq!(record.argv[1..], ["serve"]);
    assert_eq!(place.processes(), [""; 0]);
    let uploads = place.read("cache/stores/ollama/models/uploads");
    assert_eq!(uploads.lines().count(), 1, "made once, and kept");
    let env = place.read("cache/stores/ollama/models/seen");
    assert!(
        !env.contains("sk-not-for-children") && env.contains("HOME=") && env.contains("/cache/stores/ollama")
    );
}

/// Not a test: the server itself, when [`program`] starts this file's program anew.
#[test]
#[ignore = "plays `ollama serve` for another test"]
fn serve_as_ollama() {
    let Ok(host) = std::env::var("OLLAMA_HOST") else { return };
    let models = PathBuf::from(std::env::var("OLLAMA_MODELS").expect("a directory"));
    std::fs::create_dir_all(&models).expect("made");
    let env: String = std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(models.join("seen"), env).expect("written");
    let listener = TcpListener::bind(&host).expect("the port is free");
    let mut server = Server { models, runner: None };
    for stream in listener.incoming() {
        server.answer(stream.expect("a connection"));
    }
}

struct Server {
    models: PathBuf,
    /// Stands for the llama-server that Ollama starts.
    runner: Option<Child>,
}

impl Server {
    fn answer(&mut self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request");
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            let Some((name, value)) = header.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let (method, path) = line.split_once(' ').expect("two words");
        let path = path.split(' ').next().expect("a path");
        let (status, text) = self.route(method, path, &body);
        let head =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
        let _ = stream.write_all((head + &text).as_bytes());
    }

    fn route(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let uploads = self.models.join("uploads");
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method, path) {
            ("HEAD", _) => (if uploads.exists() { 200 } else { 404 }, String::new()),
            ("POST", blob) if blob.starts_with("/api/blobs/sha256:") => {
                crate::support::append_line(&uploads, &body.len().to_string());
                (201, String::new())
            }
            (_, "/api/version") => (200, json!({"version": "0.30.1"}).to_string()),
            (_, "/api/ps") => (200, json!({"models": []}).to_string()),
            (_, "/api/create") => (200, json!({"status": "success"}).to_string()),
            (_, "/api/generate") => (200, self.generate(&json)),
            _ => (404, json!({"error": "not found"}).to_string()),
        }
    }

    fn generate(&mut self, body: &Value) -> String {
        let Some(prompt) = body["prompt"].as_str() else {
            let script = format!("sleep 300; : {}", self.models.display());
            match body["keep_alive"].as_i64() {
                Some(0) => {
                    if let Some(mut runner) = self.runner.take() {
                        runner.kill().and_then(|()| runner.wait()).expect("ended");
                    }
                }
                _ => self.runner = Some(Command::new("sh").args(["-c", &script]).spawn().expect("sh")),
            }
            return json!({"response": "", "done": true}).to_string();
        };
        let n = body["options"]["num_predict"].as_u64().expect("a limit");
        let piece = json!({"response": " the", "done": false}).to_string() + "\n";
        // A word is a token, and BOS one more.
        let n_prompt = prompt.split_whitespace().count() + 1;
        let last = json!({"response": "", "done": true, "done_reason": "length", "prompt_eval_count": n_prompt,
            "prompt_eval_duration": 1000, "eval_count": n, "eval_duration": 1000});
        piece.repeat(n as usize) + &last.to_string() + "\n"
    }
}
