//! A buffered reader that knows where it is and how much is left, and allocates only what it has read.

use std::io::{BufRead, ErrorKind as IoKind};

use super::caps::MAX_HEADER_BYTES;
use crate::{Error, ErrorKind, Result};

/// A forward reader over a header; every error names the byte at which the refused item begins.
pub(super) struct Source<R> {
    inner: R,
    pos: u64,
    file_bytes: u64,
}

impl<R: BufRead> Source<R> {
    /// Reads `inner`, positioned at the start of a file of `file_bytes` bytes.
    pub(super) fn new(inner: R, file_bytes: u64) -> Self {
        Self { inner, pos: 0, file_bytes }
    }

    /// The offset in the file of the next byte.
    pub(super) fn pos(&self) -> u64 {
        self.pos
    }

    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.claim(N as u64)?;
        let mut out = [0; N];
        self.inner.read_exact(&mut out).map_err(|e| self.io(e))?;
        self.pos += N as u64;
        Ok(out)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `min_bytes` each: at most `cap`, and no more than the file has room for.
    pub(super) fn count(&mut self, what: &str, cap: u64, min_bytes: u64) -> Result<u64> {
        let at = self.pos;
        let count = self.u64()?;
        let remaining = self.file_bytes - self.pos;
        let refuse = |why: String| Err(Error::new(ErrorKind::Bounds, why).at_offset(at));
        if count > cap {
            return refuse(format!("{count} {what}, at most {cap}"));
        }
        if count.checked_mul(min_bytes).is_none_or(|bytes| bytes > remaining) {
            return refuse(format!("{count} {what}, but only {remaining} bytes of file remain"));
        }
        Ok(count)
    }

    /// Appends a length-prefixed string of at most `cap` bytes to `out`.
    pub(super) fn string_into(&mut self, what: &str, cap: u64, out: &mut Vec<u8>) -> Result<()> {
        let mut left = self.count(what, cap, 1)?;
        self.claim(left)?;
        while left > 0 {
            let chunk = match self.inner.fill_buf() {
                Ok([]) => return Err(self.ended()),
                Ok(chunk) => &chunk[..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX))],
                Err(e) if e.kind() == IoKind::Interrupted => continue,
                Err(e) => return Err(self.io(e)),
            };
            out.extend_from_slice(chunk);
            let taken = chunk.len();
            self.inner.consume(taken);
            self.pos += taken as u64;
            left -= taken as u64;
        }
        Ok(())
    }

    /// A key or name: 1 to `cap` bytes of UTF-8 without control characters.
    pub(super) fn text(&mut self, what: &str, cap: u64) -> Result<String> {
        let at = self.pos;
        let mut bytes = Vec::new();
        self.string_into(&format!("bytes of {what}"), cap, &mut bytes)?;
        let refuse = |kind, why: &str, key: String| {
            Err(Error::new(kind, format!("{what} {why}")).at_key(key).at_offset(at))
        };
        match String::from_utf8(bytes) {
            Err(e) => refuse(
                ErrorKind::Utf8,
                "is not UTF-8",
                String::from_utf8_lossy(e.as_bytes()).escape_debug().to_string(),
            ),
            Ok(text) if text.is_empty() => refuse(ErrorKind::Value, "is empty", text),
            Ok(text) if text.contains(char::is_control) => {
                refuse(ErrorKind::Value, "has control characters", text.escape_debug().to_string())
            }
            Ok(text) => Ok(text),
        }
    }

    /// Refuses to read `n` bytes that the file or the cap on headers does not have.
    fn claim(&self, n: u64) -> Result<()> {
        if n > self.file_bytes - self.pos {
            return Err(self.ended());
        }
        if self.pos + n > MAX_HEADER_BYTES {
            let why = format!("the header is longer than {MAX_HEADER_BYTES} bytes");
            return Err(Error::new(ErrorKind::Bounds, why).at_offset(self.pos));
        }
        Ok(())
    }

    fn ended(&self) -> Error {
        let why = format!("the file ends within its header, after {} bytes", self.file_bytes);
        Error::new(ErrorKind::Truncated, why).at_offset(self.pos)
    }

    fn io(&self, e: std::io::Error) -> Error {
        match e.kind() {
            IoKind::UnexpectedEof => self.ended(),
            _ => Error::io("cannot read the header", e).at_offset(self.pos),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_at_its_cap_however_long_the_file() {
        let mut source = Source { inner: &[0_u8; 8][..], pos: MAX_HEADER_BYTES - 4, file_bytes: 1 << 40 };
        assert_eq!(source.u32().unwrap(), 0);
        let error = source.u32().unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Bounds, Some(MAX_HEADER_BYTES)));
    }

    #[test]
    fn a_file_shorter_than_it_said_is_truncated() {
        let inner = [&4_u64.to_le_bytes()[..], b"ab"].concat();
        let mut source = Source::new(&inner[..], 100);
        let error = source.string_into("bytes", 100, &mut Vec::new()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Truncated, Some(10)));
    }
}
