//! The bytes of a streamed answer, stamped as they come and looked at later.

use crate::framework::Failure;
use crate::framework::server::StampedEvent;
use crate::framework::sse::{Framing, SseSplitter};

/// What one read may take.
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes that may wait to be split: some hundreds of tokens.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// A stream whose reads are stamped when they come and split when many have come, or at its end.
#[derive(Debug)]
pub(super) struct StampedStream {
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
    pub(super) fn new(framing: Framing, n_reads: usize) -> StampedStream {
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
    pub(super) fn room(&mut self) -> Result<&mut [u8], Failure> {
        if self.bytes.len() - self.n_waiting < READ_BYTES_MAX {
            self.split()?;
        }
        Ok(&mut self.bytes[self.n_waiting..][..READ_BYTES_MAX])
    }

    /// `n_bytes` of the room were read at `at_ns`.
    pub(super) fn took(&mut self, n_bytes: usize, at_ns: u64) {
        self.n_waiting += n_bytes;
        self.reads.push((self.n_waiting, at_ns));
    }

    /// The events of the whole stream.
    ///
    /// # Errors
    /// As [`SseSplitter::push`].
    pub(super) fn into_events(mut self) -> Result<Vec<StampedEvent>, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
