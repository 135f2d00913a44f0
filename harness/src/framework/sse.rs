//! Server-sent events, or lines of JSON, from bytes as they come.

use super::Failure;
use super::server::StampedEvent;

/// A line longer than this is not an answer. The last event of llama-server repeats the whole prompt as text.
const LINE_BYTES_MAX: usize = 16 << 20;

/// How a stream is cut into events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// Only `data:` and, for servers that tell errors so, `error:` lines count; each is an event of its own, as every
    /// LLM server sends them.
    #[default]
    ServerSentEvents,
    /// Each line that is not empty is an event: newline-delimited JSON.
    Lines,
}

/// Splits a stream into the data of its events.
#[derive(Debug, Default)]
pub struct SseSplitter {
    framing: Framing,
    line: Vec<u8>,
}

impl SseSplitter {
    /// For a stream of this framing.
    pub fn new(framing: Framing) -> SseSplitter {
        SseSplitter { framing, line: Vec::new() }
    }

    /// Takes bytes and returns the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, Failure> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&b| b == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            events.extend(data_of(self.framing, &self.line)?);
            self.line.clear();
            rest = &rest[end + 1..];
        }
        self.line.extend_from_slice(rest);
        if self.line.len() > LINE_BYTES_MAX {
            return Err(Failure::garbage(format!("an event of more than {LINE_BYTES_MAX} bytes")));
        }
        Ok(events)
    }

    /// Whether the stream stopped inside a line.
    pub fn is_inside_line(&self) -> bool {
        !self.line.is_empty()
    }
}

/// What one read may take.
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes that may wait to be split: some hundreds of tokens.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// A stream whose reads are stamped when they come and split when many have come, or at its end.
#[derive(Debug)]
pub struct StampedStream {
    splitter: SseSplitter,
    /// `n_waiting` bytes to be split, then room.
    bytes: Vec<u8>,
    n_waiting: usize,
    /// Of each read whose bytes wait: where it ends in `bytes`, and its time.
    reads: Vec<(usize, u64)>,
    events: Vec<StampedEvent>,
}

impl StampedStream {
    /// For a stream of this framing, with room for so many reads.
    pub fn new(framing: Framing, n_reads: usize) -> StampedStream {
        StampedStream {
            splitter: SseSplitter::new(framing),
            bytes: vec![0; WAITING_BYTES_MAX],
            n_waiting: 0,
            reads: Vec::with_capacity(n_reads),
            events: Vec::new(),
        }
    }

    /// Where the next read puts its bytes.
    ///
    /// # Errors
    /// As [`SseSplitter::push`], of bytes that waited.
    pub fn room(&mut self) -> Result<&mut [u8], Failure> {
        if self.bytes.len() - self.n_waiting < READ_BYTES_MAX {
            self.split()?;
        }
        Ok(&mut self.bytes[self.n_waiting..][..READ_BYTES_MAX])
    }

    /// `n_bytes` of the room were read at `at_ns`.
    pub fn took(&mut self, n_bytes: usize, at_ns: u64) {
        self.n_waiting += n_bytes;
        self.reads.push((self.n_waiting, at_ns));
    }

    /// The events of the whole stream.
    ///
    /// # Errors
    /// As [`SseSplitter::push`].
    pub fn into_events(mut self) -> Result<Vec<StampedEvent>, Failure> {
        self.split()?;
        Ok(self.events)
    }

    fn split(&mut self) -> Result<(), Failure> {
        let mut start = 0;
        for (end, at_ns) in self.reads.drain(..) {
            let data = self.splitter.push(&self.bytes[start..end])?;
            self.events.extend(data.into_iter().map(|data| StampedEvent { at_ns, data }));
            start = end;
        }
        self.n_waiting = 0;
        Ok(())
    }
}

fn data_of(framing: Framing, line: &[u8]) -> Result<Option<String>, Failure> {
    let text = std::str::from_utf8(line)
        .map_err(|_| Failure::garbage("an event that is not UTF-8".to_string()))?
        .trim_end_matches('\r');
    if framing == Framing::Lines {
        return Ok((!text.trim().is_empty()).then(|| text.to_string()));
    }
    if let Some(data) = text.strip_prefix("data:") {
        return Ok(Some(data.trim_start().to_string()));
    }
    if let Some(error) = text.strip_prefix("error:") {
        return Ok(Some(format!("{{\"error\":{}}}", error.trim_start())));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_are_split_wherever_the_bytes_break() {
        let stream = "data: {\"a\":\"é\"}\r\n\r\n: comment\nevent: x\ndata:2\n\nerror: {\"code\":1}\n";
        for cut in 0..stream.len() {
            let mut splitter = SseSplitter::default();
            let mut events = splitter.push(&stream.as_bytes()[..cut]).expect("valid");
            events.extend(splitter.push(&stream.as_bytes()[cut..]).expect("valid"));
            assert_eq!(events, ["{\"a\":\"é\"}", "2", "{\"error\":{\"code\":1}}"], "cut at {cut}");
            assert!(!splitter.is_inside_line());
        }
    }

    #[test]
    fn an_event_has_the_time_of_the_read_that_completes_it() {
        let mut stream = StampedStream::new(Framing::Lines, 0);
        let mut read = |bytes: &[u8], at_ns| {
            stream.room().expect("valid")[..bytes.len()].copy_from_slice(bytes);
            stream.took(bytes.len(), at_ns);
        };
        read(b"1\n2", 10);
        read(b"", 20);
        read(b"2\n3\n", 30);
        // More than may wait: what came before is split meanwhile.
        let n_long = 3 * WAITING_BYTES_MAX / READ_BYTES_MAX;
        (0..n_long).for_each(|_| read(&[b'4'; READ_BYTES_MAX], 40));
        read(b"\n5\n6", 50);
        let events = stream.into_events().expect("valid");
        let seen: Vec<(u64, usize, &str)> =
            events.iter().map(|event| (event.at_ns, event.data.len(), &event.data[..1])).collect();
        assert_eq!(
            seen,
            [(10, 1, "1"), (30, 2, "2"), (30, 1, "3"), (50, n_long * READ_BYTES_MAX, "4"), (50, 1, "5")]
        );
    }

    #[test]
    fn an_endless_line_is_refused_before_the_stream_ends() {
        let mut stream = StampedStream::new(Framing::ServerSentEvents, 0);
        let refused = (0..1000).find_map(|_| match stream.room() {
            Ok(room) => {
                let n_bytes = room.len();
                room.fill(b'x');
                stream.took(n_bytes, 0);
                None
            }
            Err(failure) => Some(failure.message),
        });
        assert!(refused.expect("refused").contains("more than 16777216 bytes"));
    }

    #[test]
    fn lines_of_json_are_split_wherever_the_bytes_break() {
        let stream = "{\"a\":\"é\"}\n\n{\"b\":2}\r\n";
        for cut in 0..stream.len() {
            let mut splitter = SseSplitter::new(Framing::Lines);
            let mut events = splitter.push(&stream.as_bytes()[..cut]).expect("valid");
            events.extend(splitter.push(&stream.as_bytes()[cut..]).expect("valid"));
            assert_eq!(events, ["{\"a\":\"é\"}", "{\"b\":2}"], "cut at {cut}");
        }
    }

    #[test]
    fn endless_lines_and_invalid_text_are_refused() {
        let mut splitter = SseSplitter::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..20).find_map(|_| splitter.push(&chunk).err()).expect("refused");
        assert!(refused.message.contains("more than 16777216 bytes"));
        let refused = SseSplitter::default().push(b"data: \xff\n").expect_err("not UTF-8");
        assert_eq!(refused.message, "an event that is not UTF-8");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = SseSplitter::default().push(&bytes);
        }
    }
}
