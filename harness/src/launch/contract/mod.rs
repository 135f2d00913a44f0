//! Servers in the tests that behave as their documentation says, traps included: what the harness makes of each.
//!
//! None of them computes anything, and none is a recording: each file names what it was written from. They answer in
//! this process, one connection after the other; no test waits for a time to pass.

mod lm_studio;
mod ollama;
mod openai;

use super::*;
use crate::framework::testing::{tiny_tokenizer, with_request};
use crate::framework::text::Words;
use crate::framework::{LaunchRequest, describe};
use crate::prompts::{LaunchIdx, ordinary_ids, word_prompts};
use crate::protocol::Verify;
use engine::tokenizer::EncodeOptions;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    /// Lower-case names.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    fn read(stream: &TcpStream) -> Option<Seen> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        Some(Seen { method, path, headers, body })
    }
}

/// An answer, in pieces that are sent one by one.
pub(super) struct Played {
    status: u16,
    location: Option<String>,
    pieces: Vec<Vec<u8>>,
}

impl Played {
    pub(super) fn json(status: u16, body: &Value) -> Played {
        Played { status, location: None, pieces: vec![body.to_string().into_bytes()] }
    }

    pub(super) fn stream(pieces: Vec<Vec<u8>>) -> Played {
        Played { status: 200, location: None, pieces }
    }

    pub(super) fn elsewhere(url: String) -> Played {
        Played { status: 302, location: Some(url), pieces: vec![] }
    }
}

/// A server that answers by `answer` until the test ends, and what it was asked.
pub(super) fn serve(
    mut answer: impl FnMut(&Seen) -> Played + Send + 'static,
) -> (u16, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let Some(seen) = Seen::read(&stream) else { continue };
            let played = answer(&seen);
            kept.lock().expect("unbroken").push(seen);
            let location = played.location.map_or(String::new(), |url| format!("Location: {url}\r\n"));
            let head = format!("HTTP/1.1 {} X\r\n{location}Connection: close\r\n\r\n", played.status);
            let mut all = std::iter::once(head.into_bytes()).chain(played.pieces);
            // Whoever asked may have gone.
            let _ = all.try_for_each(|piece| stream.write_all(&piece).and_then(|()| stream.flush()));
        }
    });
    (port, asked)
}

pub(super) fn launcher() -> (tempfile::TempDir, Launcher) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let launcher = Launcher {
        shim: None,
        logs_dir: dir.path().to_path_buf(),
        timeout: Duration::from_secs(60),
        interrupted: Arc::default(),
        redactor: Redactor::default().with_secret("sk-very-secret"),
        hidden_variables: vec![],
    };
    (dir, launcher)
}

/// A launch of `id` with these options: a cold request of 2 tokens and two warm ones of 4, after prompts of 3.
pub(super) fn launch(
    id: &str,
    options: &[(&str, &str)],
    change: impl FnOnce(&mut LaunchRequest),
) -> Launched {
    let tokenizer = tiny_tokenizer();
    let words = Words::of(&tokenizer, ordinary_ids(512)).expect("enough words");
    let idx = LaunchIdx { block: 0, threads_idx: 0, n_threads: 1, is_control: false };
    let (dir, launcher) = launcher();
    let model = dir.path().join("model.gguf");
    std::fs::write(&model, "the model").expect("written");
    let spec = with_request(id, |request| {
        let mut prompts = word_prompts(1, request.workload, idx, 13, &tokenizer, &words);
        let spares = prompts.split_off(3);
        let mut options_of_row = request.options.clone();
        options_of_row.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut request = LaunchRequest {
            options: options_of_row,
            prompts: &prompts,
            spares: &spares,
            tokenizer: Some(&tokenizer),
            model: crate::framework::ModelRef { path: &model, sha256: "abc" },
            program_version: None,
            ..request
        };
        change(&mut request);
        describe(&request).expect("describable")
    });
    launcher.launch("b00-x", 2, &spec).expect("not interrupted")
}

/// A verification whose prompt is a text.
pub(super) fn verification() -> Verify {
    let options = EncodeOptions { add_special: true, parse_special: false };
    Verify { prompt: tiny_tokenizer().encode(b"the of and", options), n_tokens: 2, top_k: 0, forced: vec![] }
}

pub(super) fn measured(launched: Launched) -> Measured {
    match launched.outcome {
        Outcome::Measured(measured) => *measured,
        Outcome::Failed { kind, message, .. } => panic!("{kind:?}: {message}"),
    }
}

/// Kind and message of a launch that failed.
pub(super) fn failure(launched: Launched) -> (FailureKind, String) {
    match launched.outcome {
        Outcome::Failed { kind, message, .. } => (kind, message),
        Outcome::Measured(measured) => panic!("measured: {:?}", measured.gates),
    }
}

/// The gates that failed, as `name: wanted / seen`.
pub(super) fn failed_gates(measured: &Measured) -> Vec<String> {
    let failed = measured.gates.iter().filter(|gate| !gate.passed);
    failed.map(|gate| format!("{}: {} / {}", gate.name, gate.wanted, gate.seen)).collect()
}

pub(super) fn has_feature(measured: &Measured, feature: &str) -> bool {
    measured.features.iter().any(|f| f == feature)
}
