//! HTTP/1.1 on one loopback connection: one request in, one answer out, then closed. `httparse` reads the head.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Limit for a request's line and headers.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
/// Limit for a request's body: over a million token ids.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;
const HEADERS_MAX: usize = 64;
const READ_BYTES: usize = 16 << 10;
/// How long a client may keep the one slot waiting for its bytes, or for room for ours.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for what a refused client still sends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const DRAIN_BYTES_MAX: u64 = 2 * BODY_BYTES_MAX as u64;
const JSON: &str = "application/json; charset=utf-8";

/// A request, whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// A request that is not answered as asked: an HTTP status and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }
}

/// Why there is no request to answer.
#[derive(Debug)]
pub(super) enum ReadError {
    Refused(Refusal),
    Io(io::Error),
}

impl From<Refusal> for ReadError {
    fn from(refusal: Refusal) -> ReadError {
        ReadError::Refused(refusal)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

/// A connection with one request.
pub(super) struct Connection {
    stream: TcpStream,
    /// Written and not yet handed to the system.
    out: Vec<u8>,
}

impl Connection {
    /// Small writes leave at once: a token must not wait until the client has acknowledged the one before.
    pub(super) fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CLIENT_TIMEOUT))?;
        stream.set_write_timeout(Some(CLIENT_TIMEOUT))?;
        Ok(Connection { stream, out: Vec::with_capacity(1024) })
    }

    pub(super) fn read_request(&mut self) -> Result<Request, ReadError> {
        let mut bytes = Vec::with_capacity(READ_BYTES);
        let head = loop {
            self.read_more(&mut bytes)?;
            if let Some(head) = Head::parse(&bytes)? {
                break head;
            }
            if bytes.len() > HEAD_BYTES_MAX {
                let message = format!("the head is longer than {HEAD_BYTES_MAX} bytes");
                return Err(Refusal::new(431, message).into());
            }
        };
        let mut body = bytes.split_off(head.n_bytes);
        while body.len() < head.body_bytes {
            self.read_more(&mut body)?;
        }
        body.truncate(head.body_bytes);
        Ok(Request { method: head.method, path: head.path, body })
    }

    fn read_more(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let n_before = bytes.len();
        bytes.resize(n_before + READ_BYTES, 0);
        let n = self.stream.read(&mut bytes[n_before..])?;
        bytes.truncate(n_before + n);
        if n == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// A whole answer.
    pub(super) fn respond(&mut self, status: u16, json: &str) -> io::Result<()> {
        self.put_head(status, JSON, &format!("Content-Length: {}", json.len()));
        self.out.extend_from_slice(json.as_bytes());
        self.flush()
    }

    /// Begins a stream of events. Its head leaves together with the first of them.
    pub(super) fn start_stream(&mut self) {
        self.put_head(200, "text/event-stream", "Transfer-Encoding: chunked");
    }

    /// One event, one chunk, handed to the system before this returns.
    pub(super) fn send_event(&mut self, json: &str) -> io::Result<()> {
        let n_bytes = "data: ".len() + json.len() + "\n\n".len();
        write!(self.out, "{n_bytes:x}\r\ndata: {json}\n\n\r\n")?;
        self.flush()
    }

    pub(super) fn end_stream(&mut self) -> io::Result<()> {
        self.out.extend_from_slice(b"0\r\n\r\n");
        self.flush()
    }

    /// Takes what a refused client still sends: closed with bytes unread, a connection is reset, and the client may
    /// never see the answer.
    pub(super) fn drain(&mut self) {
        let is_set = self.stream.shutdown(Shutdown::Write).is_ok()
            && self.stream.set_read_timeout(Some(DRAIN_TIMEOUT)).is_ok();
        if is_set {
            // It has its answer; how it leaves is its own affair.
            let _ = io::copy(&mut (&self.stream).take(DRAIN_BYTES_MAX), &mut io::sink());
        }
    }

    fn put_head(&mut self, status: u16, content_type: &str, framing: &str) {
        let reason = reason(status);
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{framing}\r\nConnection: close\r\n\r\n"
        );
        self.out.extend_from_slice(head.as_bytes());
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

/// A request's line and headers.
struct Head {
    n_bytes: usize,
    method: String,
    path: String,
    body_bytes: usize,
}

impl Head {
    /// `None`: it does not end in these bytes.
    fn parse(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let n_bytes = match request.parse(bytes) {
            Ok(httparse::Status::Complete(n)) => n,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(Refusal::new(400, format!("not a request of HTTP/1.1: {error}"))),
        };
        if request.version != Some(1) {
            return Err(Refusal::new(505, "only HTTP/1.1 is spoken here"));
        }
        let path = request.path.unwrap_or_default();
        Ok(Some(Head {
            n_bytes,
            method: request.method.unwrap_or_default().to_string(),
            path: path.split('?').next().unwrap_or(path).to_string(),
            body_bytes: body_bytes(request.headers)?,
        }))
    }
}

fn body_bytes(headers: &[httparse::Header]) -> Result<usize, Refusal> {
    let named = |name: &'static str| headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name));
    if named("transfer-encoding").next().is_some() {
        return Err(Refusal::new(
            501,
            "send the body whole, with content-length instead of transfer-encoding",
        ));
    }
    let mut lengths = named("content-length");
    let (length, more) = (lengths.next(), lengths.next());
    let Some(header) = length else { return Ok(0) };
    let text = std::str::from_utf8(header.value).unwrap_or_default();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number || more.is_some() {
        return Err(Refusal::new(400, "content-length is not one number"));
    }
    match text.parse::<usize>() {
        Ok(n) if n <= BODY_BYTES_MAX => Ok(n),
        _ => Err(Refusal::new(413, format!("a body of {text} bytes; at most {BODY_BYTES_MAX} are taken"))),
    }
}
