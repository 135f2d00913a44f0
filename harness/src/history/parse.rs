//! The text of a history as lines: by several threads where it is long.

use super::HistoryError;
use super::record::{HISTORY_SCHEMA, Line};
use super::store::io;
use std::io::Read;
use std::path::Path;
use std::thread::{available_parallelism, scope};

/// Lines that only a merge that was not finished leaves.
const CONFLICT_MARKS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];
/// A part of a file that is worth a thread.
const BYTES_PER_THREAD_MIN: usize = 1 << 20;

/// So much of a file is held at once.
const BATCH_BYTES: u64 = 16 << 20;

/// How a file ends.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Length of a last line that a crash left torn; it is not among the lines.
    pub(super) torn_bytes: Option<usize>,
    /// The last line is whole but for its end.
    pub(super) lacks_newline: bool,
}

/// Parses what `reader` gives of the file at `path`; `each` gets the lines, in their order.
pub(super) fn parse(
    path: &Path,
    mut reader: impl Read,
    mut each: impl FnMut(Line),
) -> Result<End, HistoryError> {
    let (mut buffer, mut n_lines) = (Vec::new(), 0);
    while reader.by_ref().take(BATCH_BYTES).read_to_end(&mut buffer).map_err(io(path))? > 0 {
        let whole = buffer.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
        let batch = &buffer[..whole];
        let parts = parse_parts(batch).map_err(|wrong| wrong.at(path, n_lines, batch))?;
        parts.into_iter().flatten().for_each(&mut each);
        n_lines += newlines(batch);
        buffer.drain(..whole);
    }
    // Somebody's editor may have removed the last end of line, which tears nothing.
    match parse_line(&buffer) {
        Ok(None) => Ok(End::default()),
        Ok(Some(line)) => {
            each(line);
            Ok(End { lacks_newline: true, ..End::default() })
        }
        Err(wrong @ Wrong { what: What::Newer(_) | What::Conflict, .. }) => {
            Err(wrong.at(path, n_lines, &buffer))
        }
        Err(_) => Ok(End { torn_bytes: Some(buffer.len()), ..End::default() }),
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b == b'\n').count()
}

/// What is wrong with a line, and where it begins.
struct Wrong {
    offset: usize,
    what: What,
}

enum What {
    Newer(u32),
    Conflict,
    Other(String),
}

impl Wrong {
    /// As an error of a file of which `bytes` come after so many lines.
    fn at(self, path: &Path, lines_before: usize, bytes: &[u8]) -> HistoryError {
        let (path, line) = (path.to_owned(), lines_before + newlines(&bytes[..self.offset]) + 1);
        let content = |reason: String| HistoryError::Content { path: path.clone(), line, reason };
        match self.what {
            What::Newer(schema) => HistoryError::Newer { path, line, schema },
            What::Conflict => content(
                "a merge was left unfinished: keep the lines of both sides and delete the lines that begin with <<<<<<<, |||||||, \
                 ======= and >>>>>>>; `merge=union` in .gitattributes keeps git from writing them"
                    .to_owned(),
            ),
            What::Other(reason) => content(format!("{reason}; restore the line from git, or delete it")),
        }
    }
}

/// The lines of whole `bytes`, which end with an end of line, in parts.
fn parse_parts(bytes: &[u8]) -> Result<Vec<Vec<Line>>, Wrong> {
    let n_threads =
        available_parallelism().map_or(1, usize::from).min(bytes.len() / BYTES_PER_THREAD_MIN).max(1);
    let mut parts = Vec::new();
    let mut start = 0;
    for part in 1..=n_threads {
        let end = bytes.len() * part / n_threads;
        let end = bytes[end..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| end + at + 1);
        parts.push((start, &bytes[start..end]));
        start = end;
    }
    scope(|scope| {
        let threads: Vec<_> =
            parts.iter().map(|&(offset, part)| scope.spawn(move || parse_part(offset, part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("parsing does not panic")).collect()
    })
}

fn parse_part(offset: usize, bytes: &[u8]) -> Result<Vec<Line>, Wrong> {
    let mut lines = Vec::new();
    let mut at = offset;
    for text in bytes.split_inclusive(|&b| b == b'\n') {
        lines.extend(parse_line(text).map_err(|wrong| Wrong { offset: at, ..wrong })?);
        at += text.len();
    }
    Ok(lines)
}

/// A line; `None` for an empty one.
fn parse_line(text: &[u8]) -> Result<Option<Line>, Wrong> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |what| Err(Wrong { offset: 0, what });
    match serde_json::from_slice::<Line>(text) {
        Ok(line) if line.schema() > HISTORY_SCHEMA => wrong(What::Newer(line.schema())),
        Ok(line) => Ok(Some(line)),
        Err(_) if CONFLICT_MARKS.iter().any(|mark| text.starts_with(mark.as_bytes())) => {
            wrong(What::Conflict)
        }
        // What a later version writes need not have today's keys.
        Err(error) => match schema_of(text) {
            Some(schema) if schema > HISTORY_SCHEMA => wrong(What::Newer(schema)),
            _ => wrong(What::Other(format!("not a line of a history: {error}"))),
        },
    }
}

fn schema_of(text: &[u8]) -> Option<u32> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let inner = value.as_object()?.values().next()?;
    u32::try_from(inner.get("schema")?.as_u64()?).ok()
}
