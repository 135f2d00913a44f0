//! The file of a history: read whole, only ever appended to.

use super::parse::parse;
use super::record::{HISTORY_SCHEMA, Line};
use super::{Collected, History, Remark};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Why a history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read, locked or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is something else.
    #[error("{}:{line}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// A line was written by a later version.
    #[error(
        "{}:{line}: schema {schema} is newer than this harness, which reads up to {HISTORY_SCHEMA}; use a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// Its schema.
        schema: u32,
    },
}

/// What an append did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Lines written; 0 where all were there already.
    pub new: usize,
    /// Lines that were there already.
    pub known: usize,
    /// Set where a torn last line was cut off first.
    pub repaired: Option<Remark>,
}

/// Reads the history at `path`; one that does not exist is empty.
///
/// # Errors
/// If it cannot be read, or a whole line is not one of a history, with its number.
pub fn read(path: &Path) -> Result<History, HistoryError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(History::default()),
        result => result.map_err(io(path))?,
    };
    let mut kept = Collected::default();
    let end = parse(path, file, |line| kept.add(line))?;
    let mut history = kept.history();
    history.remarks.extend(end.torn_bytes.map(Remark::TornLine));
    Ok(history)
}

/// Appends those of `lines` that the history at `path` does not have, all by one write, under a lock that keeps other
/// writers out. The torn last line that a crash left is cut off first.
///
/// # Errors
/// If the file cannot be read, locked or written, or what is in it is no history: nothing is written then.
pub fn append(path: &Path, lines: &[Line]) -> Result<Appended, HistoryError> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(io(path))?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io(path))?;
    // The system frees it when the file is closed, however this process ends.
    file.lock().map_err(io(path))?;
    let mut known = HashSet::new();
    let end = parse(path, &file, |line| known.extend([line.id()]))?;
    if let Some(torn_bytes) = end.torn_bytes {
        let length = file.metadata().map_err(io(path))?.len();
        file.set_len(length - torn_bytes as u64).map_err(io(path))?;
    }
    let new: Vec<&Line> = lines.iter().filter(|line| !known.contains(&line.id())).collect();
    let mut text = if end.lacks_newline { "\n".to_owned() } else { String::new() };
    for line in &new {
        text.push_str(&line.to_json());
        text.push('\n');
    }
    if !text.is_empty() || end.torn_bytes.is_some() {
        file.write_all(text.as_bytes()).map_err(io(path))?;
        file.sync_all().map_err(io(path))?;
    }
    let repaired = end.torn_bytes.map(Remark::Repaired);
    Ok(Appended { new: new.len(), known: lines.len() - new.len(), repaired })
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> HistoryError {
    move |source| HistoryError::Io { path: path.to_owned(), source }
}
