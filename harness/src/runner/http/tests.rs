//! Over real loopback sockets: the engine on the tiny model, and backends that count or wait.

use super::wire::{BODY_BYTES_MAX, HEAD_BYTES_MAX};
use super::*;
use crate::framework::llama_cpp::LlamaServer;
use crate::framework::server::{Answer as Told, Asked, CompletionServer, Prompt, StampedEvent};
use crate::framework::sse::SseSplitter;
use crate::protocol::{JobModel, PROTOCOL_VERSION, Verify, WeightsClass, parse_event};
use crate::runner::engine::EngineBackend;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// So that what is missing fails a test and does not hang it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says the sum of the prompt and counts upwards; waits before each token after the first where it has a gate.
#[derive(Default)]
struct Counter {
    gate: Option<Receiver<()>>,
}

impl Backend for Counter {
    fn hello(&self) -> Event {
        Event::Hello {
            framework: "counter".into(),
            version: "1".into(),
            build: "debug".into(),
            weights_class: WeightsClass::A,
            features: vec!["none".into()],
        }
    }

    fn load(&mut self, job: &Job) -> Result<u32, RunnerError> {
        Ok(job.threads)
    }

    fn clear(&mut self) {}

    fn prefill(&mut self, ids: &[u32]) -> Result<u32, RunnerError> {
        match ids.iter().sum() {
            666 => Err(RunnerError::new("model", "a worker died")),
            sum => Ok(sum),
        }
    }

    fn decode(&mut self, id: u32) -> Result<u32, RunnerError> {
        match &self.gate {
            Some(gate) => gate.recv_timeout(PATIENCE).map_err(|e| RunnerError::new("internal", e))?,
            None if id == 41 => return Err(RunnerError::new("model", "a worker died")),
            None => {}
        }
        Ok(id + 1)
    }

    fn logits(&self) -> &[f32] {
        // Natural logarithms of 1, 3 and 1.
        &[0.0, 1.098_612_3, 0.0]
    }
}

fn job(model: &str) -> Job {
    Job {
        protocol: PROTOCOL_VERSION,
        model: JobModel { path: model.into(), sha256: String::new() },
        prompts: vec![vec![5, 6, 7, 8], vec![30, 20, 10]],
        cold_generate: 2,
        n_generate: 6,
        context: 32,
        threads: 1,
        kv_type: "f16".into(),
        batch: 512,
        verify: Some(Verify { prompt: vec![9, 8, 7], n_tokens: 8, top_k: 0, forced: vec![] }),
    }
}

/// Answers with `backend` in a thread that ends with the tests; returns the port.
fn start(mut backend: impl Backend + Send + 'static, job: Job) -> u16 {
    let (said, port) = channel();
    std::thread::spawn(move || {
        let mut slot = Slot::load(&mut backend, &job).expect("loaded");
        let listener = listen(0).expect("a free port");
        said.send(listener.local_addr().expect("bound").port()).expect("waited for");
        slot.answer_all(&listener)
    });
    port.recv_timeout(PATIENCE).expect("listening")
}

fn start_counter() -> u16 {
    start(Counter::default(), job("/m"))
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("listening");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// Sends bytes as they are and returns the status and the body.
fn send(port: u16, request: &str) -> (u16, String) {
    let mut stream = connect(port);
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect("a status");
    (status.parse().expect("a number"), body.to_string())
}

fn get(port: u16, path: &str) -> (u16, String) {
    send(port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn completion(body: &str) -> String {
    format!("POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn post(port: u16, body: &str) -> (u16, String) {
    send(port, &completion(body))
}

/// The data of each chunk of a chunked body.
fn chunks(body: &str) -> Vec<String> {
    let mut reader = body.as_bytes();
    std::iter::from_fn(|| next_chunk(&mut reader)).collect()
}

/// The next chunk; `None` at the last, empty one.
fn next_chunk(reader: &mut impl BufRead) -> Option<String> {
    let mut size = String::new();
    reader.read_line(&mut size).expect("a size");
    let n_bytes = usize::from_str_radix(size.trim_end(), 16).expect("hexadecimal");
    let mut data = vec![0; n_bytes + 2];
    reader.read_exact(&mut data).expect("a whole chunk");
    assert!(data.ends_with(b"\r\n"));
    data.truncate(n_bytes);
    (n_bytes > 0).then(|| String::from_utf8(data).expect("text"))
}

/// A streamed request as the launcher makes it, its chunks dated by their number.
fn streamed(port: u16, rep: u32, prompt: &[u32], n_generate: u32) -> Told {
    let (status, body) = post(port, &LlamaServer.request_body(prompt, n_generate, true));
    assert_eq!(status, 200, "{body}");
    let mut splitter = SseSplitter::default();
    let mut events = Vec::new();
    for (at_ns, chunk) in (0..).zip(chunks(&body)) {
        let data = splitter.push(chunk.as_bytes()).expect("events");
        events.extend(data.into_iter().map(|data| StampedEvent { at_ns, data }));
    }
    LlamaServer
        .parse_stream(Asked { rep, n_prompt: prompt.len() as u32, n_generate }, &events)
        .expect("as the dialect says")
}

/// What the runner protocol yields for the job: the ids of each request, then those of the verification.
fn ids_by_runner(job: &Job) -> Vec<Vec<u32>> {
    let mut output = Vec::new();
    let input = serde_json::to_string(job).expect("writable") + "\n";
    crate::runner::serve(&mut EngineBackend::new(), input.as_bytes(), &mut output).expect("carried out");
    let text = String::from_utf8(output).expect("text");
    let events = text.lines().map(|line| parse_event(line).expect("an event"));
    events
        .filter_map(|event| match event {
            Event::Sample(sample) => Some(sample.token_ids),
            Event::Verified { token_ids, .. } => Some(token_ids),
            _ => None,
        })
        .collect()
}

#[test]
fn the_engines_ids_are_those_of_its_runner() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("tiny.gguf");
    crate::model::synthesize("tiny", &path, 1, &mut |_| ()).expect("made");
    let job = job(path.to_str().expect("UTF-8"));
    let wanted = ids_by_runner(&job);
    let port = start(EngineBackend::new(), job.clone());
    // Twice over: nothing may be left of a request when the next one comes.
    for _ in 0..2 {
        for (rep, n_generate) in [(0, 2), (1, 6)] {
            let prompt = &job.prompts[rep];
            let Told { request, reported } = streamed(port, rep as u32, prompt, n_generate);
            assert_eq!(request.token_ids, wanted[rep]);
            assert_eq!((request.n_prompt, request.n_cached), (prompt.len() as u32, Some(0)));
            assert!(request.prefill_ns.is_some_and(|ns| ns > 0));
            let names: Vec<&str> = reported.iter().map(|r| r.name.as_str()).collect();
            assert_eq!(names, ["prefill_tok_s", "decode_tok_s"]);
        }
        let verify = job.verify.as_ref().expect("asked for");
        let (status, body) = post(port, &LlamaServer.request_body(&verify.prompt, verify.n_tokens, false));
        assert_eq!(status, 200, "{body}");
        assert_eq!(
            LlamaServer.parse_whole(&Prompt::default(), verify.n_tokens, &body).as_ref(),
            Ok(&wanted[2])
        );
    }
    // Along the greedy continuation the likeliest token is the next one, from the cache and without it.
    let mut text = job.prompts[1].clone();
    for &next in &wanted[1] {
        assert_eq!(likeliest(port, &likeliest_body(&text, 3, true)).0[0].0, next);
        text.push(next);
    }
    let (status, body) = post(port, &LlamaServer.request_body(&[4_000_000], 2, true));
    assert_eq!(status, 400);
    assert!(LlamaServer.parse_refusal(status, &body).message.contains("outside the vocabulary"), "{body}");
}

#[test]
fn health_and_properties_are_told() {
    let port = start_counter();
    assert_eq!(get(port, LlamaServer.health_path()), (200, r#"{"status":"ok"}"#.to_string()));
    let (status, body) = get(port, &format!("{}?x=1", LlamaServer.about_paths()[0]));
    assert_eq!(status, 200);
    let told = LlamaServer.parse_about(std::slice::from_ref(&body)).expect("readable");
    assert_eq!((told.version.as_str(), told.context, told.slots), ("1 (debug, none)", Some(32), Some(1)));
    assert!(body.contains("\"total_slots\":1") && body.contains("\"n_ctx\":32"), "{body}");
}

#[test]
fn each_token_is_a_chunk_of_its_own_and_leaves_before_the_next_is_computed() {
    let (open, gate): (Sender<()>, _) = channel();
    let port = start(Counter { gate: Some(gate) }, job("/m"));
    let mut stream = connect(port);
    let request = completion(&LlamaServer.request_body(&[10, 20], 4, true));
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reader = BufReader::new(stream);
    let head: Vec<String> =
        reader.by_ref().lines().map(|l| l.expect("told")).take_while(|l| !l.is_empty()).collect();
    assert!(head.contains(&"Transfer-Encoding: chunked".to_string()), "{head:?}");
    for n in 1..=4 {
        let chunk = next_chunk(&mut reader).expect("a token");
        assert_eq!(chunk.matches("data: ").count(), 1, "{chunk}");
        let wanted =
            format!("\"tokens\":[{}],\"stop\":false,\"id_slot\":0,\"tokens_predicted\":{n},", 29 + n);
        assert!(chunk.contains(&wanted), "{chunk}");
        // Only now may the backend compute the next one.
        open.send(()).expect("the server runs");
    }
    assert!(next_chunk(&mut reader).expect("an end").contains("\"stop_type\":\"limit\""));
    assert_eq!(next_chunk(&mut reader), None);
}

#[test]
fn requests_for_other_work_are_refused_with_the_reason() {
    let port = start_counter();
    let good = LlamaServer.request_body(&[1, 2], 4, true);
    assert_eq!(post(port, &good).0, 200);
    let check = |old: &str, new: &str, wanted: &str| {
        assert!(good.contains(old), "{old}: {good}");
        let (status, body) = post(port, &good.replace(old, new));
        let refusal = LlamaServer.parse_refusal(status, &body).message;
        assert!(status == 400 && refusal.contains(wanted), "{new}: {status} {body}");
    };
    check("\"temperature\":0", "\"temperature\":0.8", "only greedy: temperature 0");
    check("\"top_k\":1", "\"top_k\":40", "only greedy");
    check("[\"top_k\"]", "[\"min_p\"]", "only greedy");
    check("\"cache_prompt\":false", "\"cache_prompt\":true", "cache_prompt false");
    check("\"ignore_eos\":true", "\"ignore_eos\":false", "ignore_eos true");
    check("\"n_probs\":0", "\"n_probs\":3", "or n_probs, n_predict 1, stream false");
    check("\"return_tokens\":true", "\"return_tokens\":false", "return_tokens true");
    check("\"n_predict\":4", "\"n_predict\":0", "at least one token each");
    check("\"n_predict\":4", "\"n_predict\":-1", "invalid value: integer `-1`");
    check("\"n_predict\":4", "\"n_predict\":32", "33 positions do not fit the context of 32");
    check("\"n_predict\":4,", "", "missing field `n_predict`");
    check("[1,2]", "[]", "at least one token each");
    check("[1,2]", "\"text\"", "invalid type: string");
    check("\"stream\"", "\"grammar\":\"\",\"stream\"", "unknown field `grammar`");
    check("{", "", "not a request that is understood here");
    let limit = good.replace("\"n_predict\":4", "\"n_predict\":31");
    assert_eq!(post(port, &limit).0, 200, "the last token needs no position");
}

/// A request for the `n_probs` likeliest tokens after `prompt`, as the launcher makes it.
fn likeliest_body(prompt: &[u32], n_probs: u32, cache_prompt: bool) -> String {
    let body = LlamaServer.distribution_body(prompt, n_probs).expect("it can");
    body.replace("\"cache_prompt\":true", &format!("\"cache_prompt\":{cache_prompt}"))
}

/// The answer's likeliest tokens with their log-probabilities, and how many of the prompt came from the cache.
fn likeliest(port: u16, body: &str) -> (Vec<(u32, f32)>, u64) {
    let (status, body) = post(port, body);
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let top = LlamaServer.parse_distribution(&body).expect("as the dialect says").expect("told");
    (top, answer["timings"]["cache_n"].as_u64().expect("told"))
}

#[test]
fn the_likeliest_tokens_are_told_and_the_cache_is_used_for_them_alone() {
    let port = start_counter();
    let (top, _) = likeliest(port, &likeliest_body(&[1, 2], 2, true));
    assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 0]);
    assert!(
        (f64::from(top[0].1).exp() - 0.6).abs() < 1e-6 && (f64::from(top[1].1).exp() - 0.2).abs() < 1e-6,
        "{top:?}"
    );
    let n_cached = |prompt: &[u32], may: bool| likeliest(port, &likeliest_body(prompt, 2, may)).1;
    assert_eq!(n_cached(&[1, 2, 3], true), 2);
    assert_eq!(n_cached(&[1, 2, 3], true), 0, "nothing new to process");
    assert_eq!(n_cached(&[1, 2, 3, 4], false), 0, "not allowed");
    assert_eq!(n_cached(&[1, 9, 3, 4, 5], true), 0, "another prompt");
    assert_eq!(n_cached(&[1, 9, 3, 4, 5, 6], true), 5);
    let request = streamed(port, 0, &[1, 9, 3, 4, 5, 6, 7], 2).request;
    assert_eq!((request.n_prompt, request.n_cached, &request.token_ids[..]), (7, Some(0), &[35, 36][..]));
    assert_eq!(n_cached(&[1, 9, 3, 4, 5, 6, 7], true), 0, "forgotten with the completion");
}

#[test]
fn errors_of_the_backend_are_told_before_and_within_a_stream() {
    let port = start_counter();
    let (status, body) = post(port, &LlamaServer.request_body(&[666], 4, true));
    assert_eq!(LlamaServer.parse_refusal(status, &body).message, "HTTP 500: a worker died");
    let (status, body) = post(port, &LlamaServer.request_body(&[40], 4, false));
    assert_eq!(LlamaServer.parse_refusal(status, &body).message, "HTTP 500: a worker died");
    let (status, body) = post(port, &LlamaServer.request_body(&[40], 4, true));
    let chunks = chunks(&body);
    assert_eq!((status, chunks.len()), (200, 3), "two tokens and the error");
    let data = SseSplitter::default().push(chunks.concat().as_bytes()).expect("events");
    let events: Vec<_> = data.into_iter().map(|data| StampedEvent { at_ns: 0, data }).collect();
    let asked = Asked { rep: 0, n_prompt: 1, n_generate: 4 };
    assert_eq!(LlamaServer.parse_stream(asked, &events).expect_err("told").message, "a worker died");
}

#[test]
fn requests_that_are_not_http_or_too_long_are_refused() {
    let port = start_counter();
    let check = |request: &str, status: u16, wanted: &str| {
        let (seen, body) = send(port, request);
        assert!(seen == status && body.contains(wanted), "{status}: {seen} {body}");
    };
    check("GET /nothing HTTP/1.1\r\n\r\n", 404, "there is no /nothing here");
    check("POST /health HTTP/1.1\r\n\r\n", 405, "/health is asked for with GET");
    check("GET /completion HTTP/1.1\r\n\r\n", 405, "/completion is asked for with POST");
    check("GET /health HTTP/1.0\r\n\r\n", 505, "only HTTP/1.1");
    check("\0\0\0\0\r\n\r\n", 400, "not a request of HTTP/1.1");
    check("GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "not one number");
    check("GET /health HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400, "not one number");
    check("POST /completion HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501, "content-length instead");
    let length = |n: usize| format!("POST /completion HTTP/1.1\r\nContent-Length: {n}\r\n\r\n");
    check(&length(BODY_BYTES_MAX + 1), 413, "at most 16777216 are taken");
    let beyond = format!("POST /completion HTTP/1.1\r\nContent-Length: {}0\r\n\r\n", u64::MAX);
    check(&beyond, 413, "at most 16777216 are taken");
    // Its body comes all the same, and the refusal still arrives.
    check(&(length(BODY_BYTES_MAX + 1) + &"x".repeat(1 << 20)), 413, "at most 16777216 are taken");
    let long = format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES_MAX));
    check(&long, 431, "the head is longer than 16384 bytes");
    assert_eq!(get(port, "/health").0, 200, "and goes on");
}

#[test]
fn a_client_that_leaves_takes_nobody_with_it() {
    let port = start_counter();
    drop(connect(port));
    let mut half = connect(port);
    half.write_all(b"POST /completion HTTP/1.1\r\nContent-Length: 10\r\n\r\n{").expect("sent");
    drop(half);
    let mut deaf = connect(port);
    let request = completion(&LlamaServer.request_body(&[1], 30, true));
    deaf.write_all(request.as_bytes()).expect("sent");
    drop(deaf);
    assert_eq!(get(port, "/health").0, 200);
}

#[test]
fn it_listens_on_127_0_0_1_alone() {
    let listener = listen(0).expect("a free port");
    let address = listener.local_addr().expect("bound");
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    assert!(TcpStream::connect(address).is_ok());
    // All of 127.0.0.0/8 is this machine on Linux: a listener on every address would be reached.
    if cfg!(target_os = "linux") {
        assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), address.port())).is_err());
    }
    let taken = listen(address.port()).expect_err("taken").to_string();
    assert!(taken.starts_with(&format!("io: port {} of 127.0.0.1: ", address.port())), "{taken}");
}
