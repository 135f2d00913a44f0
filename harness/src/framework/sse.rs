//! Server-sent events, or lines of JSON, from bytes as they come.

use super::Failure;

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
