//! Downloads that survive interruptions: what has come stays in a `.part` file, and the next try asks for the rest.

use super::{Entry, ModelError, OnProgress, Progress, Stage};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 17;
/// A connection that is silent for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// Tries in all, however many of them made headway.
const MAX_TRIES: u32 = 100;

/// How often a download is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in a row that bring nothing before it is given up.
    pub tries: u32,
    /// Pause after the first of them; it doubles from one to the next.
    pub pause: Duration,
}

impl Default for Retry {
    /// Five tries over about 15 s.
    fn default() -> Self {
        Self { tries: 5, pause: Duration::from_secs(1) }
    }
}

/// A file to be had.
pub(super) struct Download<'a> {
    pub(super) url: &'a str,
    /// Its size, where the scenario says it.
    pub(super) bytes: Option<u64>,
    pub(super) retry: Retry,
    /// Its place.
    pub(super) entry: &'a Entry,
}

/// What came of one try.
enum Failure {
    /// Another try may do better.
    Transient { reason: String, made_headway: bool },
    /// It will not.
    Final(ModelError),
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Failure::Final(error)
    }
}

/// Downloads, verifies, and puts the file in its place.
pub(super) fn fetch(d: &Download<'_>, progress: OnProgress<'_>) -> Result<(), ModelError> {
    let was_begun = part_len(d) > 0;
    fetch_part(d, progress)?;
    match d.entry.accept(d.url, progress) {
        // The old part may have been of another file: once more, from the start.
        Err(ModelError::Hash { .. }) if was_begun => {
            fetch_part(d, progress)?;
            d.entry.accept(d.url, progress)
        }
        result => result,
    }
}

fn part_len(d: &Download<'_>) -> u64 {
    std::fs::metadata(d.entry.part()).map_or(0, |m| m.len())
}

fn fetch_part(d: &Download<'_>, progress: OnProgress<'_>) -> Result<(), ModelError> {
    let agent = agent();
    let mut in_vain = 0;
    for tries in 1.. {
        match attempt(d, &agent, progress) {
            Ok(()) => break,
            Err(Failure::Final(e)) => return Err(e),
            Err(Failure::Transient { reason, made_headway }) => {
                in_vain = if made_headway { 1 } else { in_vain + 1 };
                if in_vain >= d.retry.tries || tries >= MAX_TRIES {
                    let reason = format!("{reason} (given up after {tries} tries)");
                    return Err(ModelError::Download { url: d.url.to_owned(), reason });
                }
                std::thread::sleep(d.retry.pause * 2u32.pow((in_vain - 1).min(6)));
            }
        }
    }
    Ok(())
}

/// Asks for what is missing and appends it to the part.
fn attempt(d: &Download<'_>, agent: &Agent, progress: OnProgress<'_>) -> Result<(), Failure> {
    let transient = |reason: String| Failure::Transient { reason, made_headway: false };
    let part = d.entry.part();
    let mut have = part_len(d);
    if d.bytes.is_some_and(|bytes| have > bytes) {
        truncate(&part)?;
        have = 0;
    }
    if have > 0 && d.bytes == Some(have) {
        return Ok(());
    }
    let mut request = agent.get(d.url);
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|e| refused(d, e))?;
    let total = match response.status().as_u16() {
        200 => {
            truncate(&part)?;
            have = 0;
            number(&response, "content-length")
        }
        206 => match content_range(&response) {
            Some((start, total)) if start == have => total,
            _ => {
                truncate(&part)?;
                return Err(transient("answered with another range than was asked for".into()));
            }
        },
        416 => {
            truncate(&part)?;
            return Err(transient("says that the file is shorter than what had come".into()));
        }
        status @ (408 | 425 | 429 | 500..=599) => {
            return Err(transient(format!("answered with status {status}")));
        }
        status => {
            let reason = format!("answered with status {status}; is the address right?");
            return Err(Failure::Final(ModelError::Download { url: d.url.to_owned(), reason }));
        }
    };
    if let (Some(wanted), Some(got)) = (d.bytes, total)
        && wanted != got
    {
        return Err(Failure::Final(ModelError::Size { what: d.url.to_owned(), wanted, got }));
    }
    append(d, &part, have, total.or(d.bytes), response.body_mut().as_reader(), progress)
}

fn append(
    d: &Download<'_>,
    part: &Path,
    have: u64,
    total: Option<u64>,
    mut body: impl Read,
    progress: OnProgress<'_>,
) -> Result<(), Failure> {
    let mut file =
        OpenOptions::new().create(true).append(true).open(part).map_err(ModelError::io("write", part))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut done = have;
    let broken = |done, why: String| {
        let of = total.map_or_else(String::new, |t| format!(" of {t}"));
        Failure::Transient {
            reason: format!("broke off after {done}{of} bytes: {why}"),
            made_headway: done > have,
        }
    };
    loop {
        progress(Progress { stage: Stage::Download, done, total });
        let n = match body.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) => return Err(broken(done, e.to_string())),
        };
        done += n as u64;
        if let Some(wanted) = total.filter(|&t| done > t) {
            return Err(Failure::Final(ModelError::Size { what: d.url.to_owned(), wanted, got: done }));
        }
        file.write_all(&chunk[..n]).map_err(ModelError::io("write", part))?;
    }
    file.sync_all().map_err(ModelError::io("write", part))?;
    if total.is_some_and(|t| done < t) {
        Err(broken(done, "the connection was closed".into()))
    } else {
        Ok(())
    }
}

fn truncate(part: &Path) -> Result<(), ModelError> {
    File::create(part).map(drop).map_err(ModelError::io("write", part))
}

/// What an error without an answer means.
fn refused(d: &Download<'_>, error: ureq::Error) -> Failure {
    use ureq::Error::{BadUri, Http, RedirectFailed, TooManyRedirects};
    let reason = format!("cannot be reached: {error}");
    match error {
        BadUri(_) | Http(_) | RedirectFailed | TooManyRedirects => {
            Failure::Final(ModelError::Download { url: d.url.to_owned(), reason })
        }
        _ => Failure::Transient { reason, made_headway: false },
    }
}

fn number(response: &Response<Body>, header: &str) -> Option<u64> {
    response.headers().get(header)?.to_str().ok()?.trim().parse().ok()
}

/// Start and total of `bytes 5-9/10`.
fn content_range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let value = response.headers().get("content-range")?.to_str().ok()?;
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

fn agent() -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("harness/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE));
    if let Some(roots) = certificates_of_environment() {
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    config.build().into()
}

/// The certificates in `SSL_CERT_FILE`, as other programs honour it; a network may have an authority of its own.
fn certificates_of_environment() -> Option<RootCerts> {
    let pem = std::fs::read(std::env::var_os("SSL_CERT_FILE")?).ok()?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(c)) => Some(c),
        _ => None,
    };
    let certificates: Vec<_> = parse_pem(&pem).filter_map(certificate).collect();
    (!certificates.is_empty()).then(|| RootCerts::Specific(Arc::new(certificates)))
}
