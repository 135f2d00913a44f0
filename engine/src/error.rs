//! The engine's one error type: a kind, and the context that lets somebody mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// What went wrong, coarse enough to act upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused to open, read or write.
    Io,
    /// The file does not begin as a GGUF file of version 2 or 3.
    NotGguf,
    /// The file ends before what it announces.
    Truncated,
    /// A count, length or size that no honest file of this length can have.
    Bounds,
    /// Bytes that should be text are not UTF-8.
    Utf8,
    /// A value of another type than the key demands, or a type id that does not exist.
    Type,
    /// A key, tensor name or token that occurs twice.
    Duplicate,
    /// A key or tensor that must be there is not.
    Missing,
    /// Tensor data that is misaligned, overlaps, or lies outside the file.
    Layout,
    /// A tensor whose shape contradicts the hyperparameters.
    Shape,
    /// A value outside its meaning (zero heads, a token id beyond the vocabulary, …).
    Value,
    /// Well-formed, but not something that this engine runs.
    Unsupported,
    /// The caller asked for something impossible (an empty prompt, a full context, …).
    Request,
    /// A worker thread panicked; the session that saw it is unusable.
    Worker,
}

/// An error with the file, key and byte offset that it concerns, as far as they are known.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    file: Option<PathBuf>,
    key: Option<String>,
    offset: Option<u64>,
    source: Option<std::io::Error>,
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `message` says what is wrong and, where there is one, the remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), file: None, key: None, offset: None, source: None }
    }

    /// An operating-system error met while doing `what`.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self { source: Some(source), ..Self::new(ErrorKind::Io, what) }
    }

    /// Names the file.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file.get_or_insert_with(|| file.to_path_buf());
        self
    }

    /// Names the metadata key or tensor.
    #[must_use]
    pub fn at_key(mut self, key: impl Into<String>) -> Self {
        self.key.get_or_insert_with(|| key.into());
        self
    }

    /// Names the byte offset in the file.
    #[must_use]
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file that the error concerns.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The metadata key or tensor name that the error concerns.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The byte offset in the file at which the error was met.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(offset) = self.offset {
            write!(f, " (at byte {offset})")?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_file_key_offset_in_that_order() {
        let e = Error::new(ErrorKind::Bounds, "too many dimensions (9, at most 4)")
            .at_key("blk.0.attn_q.weight")
            .at_offset(1234)
            .in_file(Path::new("m.gguf"));
        assert_eq!(
            e.to_string(),
            "m.gguf: blk.0.attn_q.weight: too many dimensions (9, at most 4) (at byte 1234)"
        );
        assert_eq!((e.kind(), e.offset()), (ErrorKind::Bounds, Some(1234)));
    }

    #[test]
    fn first_context_wins() {
        let e = Error::new(ErrorKind::Type, "x").at_key("inner").at_key("outer");
        assert_eq!(e.key(), Some("inner"));
    }
}
