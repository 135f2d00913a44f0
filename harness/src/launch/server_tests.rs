//! The conversation with a server, played by a thread that answers with recorded texts.

use super::talk;
use crate::framework::server::{Endpoint, Prompt};
use crate::framework::testing::server_talk;
use crate::framework::{Conversation, LaunchSpec, ServerTalk};
use crate::launch::Limits;
use crate::launch::child::{ChildProcess, Pipes};
use crate::launch::lines::Log;
use crate::protocol::Verify;
use crate::redact::Redactor;
use crate::sample::Measured;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const STREAM: &str = include_str!("../../tests/golden/llama.cpp-b11434/completion-1-token.sse");
const DISTRIBUTION: &str = include_str!("../../tests/golden/llama.cpp-b11434/distribution.json");
const PROPS: &str = include_str!("../../tests/golden/llama.cpp-b11434/props.json");

/// Path and body of a request.
fn read_request(stream: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request line");
    let path = line.split(' ').nth(1).expect("a path").to_owned();
    let mut n_bytes = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            n_bytes = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; n_bytes];
    reader.read_exact(&mut body).expect("a body");
    (path, String::from_utf8(body).expect("text"))
}

fn answer_to(path: &str, body: &str, tells: bool) -> String {
    match path {
        "/health" => "{}".into(),
        "/props" => PROPS.into(),
        _ if body.contains("\"stream\":true") => STREAM.into(),
        _ if body.contains("\"n_probs\":0") => DISTRIBUTION.replace("\"tokens\":[]", "\"tokens\":[6354]"),
        _ if tells => DISTRIBUTION.into(),
        _ => DISTRIBUTION.replace("completion_probabilities", "something_else"),
    }
}

/// Answers on a free port until the test ends; keeps the bodies of what it was asked.
fn play(tells: bool) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = bodies.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let (path, body) = read_request(&stream);
            let text = answer_to(&path, &body, tells);
            if !body.is_empty() {
                kept.lock().expect("unbroken").push(body);
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
            stream.write_all((head + &text).as_bytes()).expect("sent");
        }
    });
    (port, bodies)
}

/// The server is this test: the child only stands for its process, so the launcher, which would look for a free port, is left out.
fn measured(port: u16) -> Measured {
    let dir = tempfile::tempdir().expect("temporary directory");
    let server = ServerTalk {
        requests: vec![(Prompt::of_ids(&(1..=12).collect::<Vec<u32>>()), 1)],
        verify: Some(Verify { prompt: vec![5, 6], n_tokens: 1, top_k: 4, forced: vec![7, 8] }),
        ..server_talk(Endpoint::Child { port })
    };
    let argv = ["sleep", "120"].map(str::to_string).to_vec();
    let conversation = Conversation::Server(server.clone());
    let spec = LaunchSpec { argv, env: Default::default(), cpus: None, conversation };
    let log = Log { path: dir.path().join("log"), redactor: Redactor::default() };
    let mut child = ChildProcess::spawn(&spec, None, Pipes::None, log, &[]).expect("started");
    let (started, timeout) = (Instant::now(), Duration::from_secs(60));
    let interrupted = AtomicBool::new(false);
    let limits =
        Limits { deadline: started + timeout, timeout, interrupted: &interrupted, hidden_variables: &[] };
    talk(&server, Some(&mut child), &limits, started).expect("measured")
}

#[test]
fn each_position_of_the_forced_text_is_a_request_of_its_own() {
    let (port, bodies) = play(true);
    let measured = measured(port);
    assert_eq!(measured.verify_token_ids, Some(vec![6354]));
    let forced = measured.forced.expect("asked for");
    assert_eq!((&forced.token_ids[..], forced.top.len()), (&[7, 8][..], 2));
    assert_eq!(forced.top[1][1], (29, -5.552_971_4));
    let bodies = bodies.lock().expect("unbroken");
    let is_of = |prompt: &str| bodies.iter().filter(|b| b.contains(&format!("\"prompt\":{prompt},"))).count();
    // The continuation and position 0, then position 1; the last token's own successor is not asked for.
    assert_eq!((bodies.len(), is_of("[5,6]"), is_of("[5,6,7]")), (4, 2, 1));
    assert_eq!(bodies.iter().filter(|b| b.contains("\"cache_prompt\":true")).count(), 2, "{bodies:?}");
}

#[test]
fn a_server_that_does_not_tell_probabilities_is_measured_all_the_same() {
    let (port, bodies) = play(false);
    let forced = measured(port).forced.expect("asked for");
    assert!(!forced.is_told());
    assert_eq!(bodies.lock().expect("unbroken").len(), 3, "asked once");
}
