//! Reading what a child prints, however much it prints.

use crate::escape::printable;
use crate::redact::Redactor;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::path::PathBuf;
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

/// A longer line of stdout is not the protocol: a sample of 100,000 tokens has about 2 MB.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Lines that may wait for the launcher.
const LINES_WAITING_MAX: usize = 8;
/// A longer line of stderr is cut.
const LOG_LINE_BYTES_MAX: usize = 4096;
/// What is written of one child's stderr; the rest is dropped, and the log says so.
const LOG_BYTES_MAX: usize = 4 << 20;
/// Lines of stderr kept for the record of a failure.
const TAIL_LINES: usize = 20;

/// A line of stdout.
pub(super) struct Line {
    /// When its end was read.
    pub(super) at: Instant,
    /// Without the line's end; bytes that are not UTF-8 are replaced, which no JSON survives.
    pub(super) text: String,
    /// Whether the stream ended before the line did.
    pub(super) is_torn: bool,
}

/// Where a child's stderr goes.
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) redactor: Redactor,
}

/// Reads stdout in a thread; the channel ends with it. A line that is too long is handed over in part, which is
/// garbage to the reader, and ends the reading.
pub(super) fn read_lines(stdout: ChildStdout) -> Receiver<Line> {
    let (sender, receiver) = sync_channel(LINES_WAITING_MAX);
    std::thread::spawn(move || forward_lines(BufReader::new(stdout), &sender));
    receiver
}

fn forward_lines(mut reader: impl BufRead, sender: &SyncSender<Line>) {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        match reader.by_ref().take(limit).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let at = Instant::now();
        let is_whole = bytes.ends_with(b"\n");
        let is_too_long = bytes.len() > LINE_BYTES_MAX && !is_whole;
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_string();
        if sender.send(Line { at, text, is_torn: !is_whole && !is_too_long }).is_err() || is_too_long {
            return;
        }
    }
}

/// Drains stderr into the log file in a thread, which hands over its last lines at its end.
pub(super) fn spawn_drain(stderr: PipeReader, log: Log) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || sender.send(drain(BufReader::new(stderr), &log)));
    receiver
}

fn drain(mut reader: impl BufRead, log: &Log) -> String {
    let mut file: Option<File> = None;
    let mut n_written = 0;
    let mut tail: VecDeque<String> = VecDeque::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader.by_ref().take(LOG_LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let line = printable(String::from_utf8_lossy(&bytes).trim_end());
        if n_written == 0 {
            file = File::create(&log.path).ok();
        }
        if n_written < LOG_BYTES_MAX {
            let line = log.redactor.text(&line);
            n_written += line.len() + 1;
            let end = if n_written < LOG_BYTES_MAX { "" } else { "\n(the rest was dropped)" };
            if let Some(file) = &mut file {
                let _ = writeln!(file, "{line}{end}");
            }
        }
        tail.push_back(line);
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    }
    log.redactor.text(&tail.into_iter().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: impl Read) -> Vec<String> {
        let (sender, receiver) = sync_channel(1000);
        forward_lines(BufReader::new(input), &sender);
        drop(sender);
        receiver.iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_split_and_the_last_needs_no_end() {
        assert_eq!(lines(&b"a\r\n\nb"[..]), ["a", "", "b"]);
        assert_eq!(lines(&b"\xff\n"[..]), ["\u{fffd}"]);
        assert_eq!(lines(&b""[..]), [""; 0]);
    }

    #[test]
    fn an_endless_line_is_cut_and_ends_the_reading() {
        let seen = lines(std::io::repeat(b'x'));
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].len(), LINE_BYTES_MAX + 1);
    }

    #[test]
    fn stderr_is_kept_within_bounds() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let log = Log { path: dir.path().join("x.log"), redactor: Redactor::default() };
        let text = format!("first\n{}", "noise\n".repeat(1_000_000));
        let tail = drain(text.as_bytes(), &log);
        assert_eq!(tail.lines().count(), TAIL_LINES);
        let written = std::fs::read_to_string(&log.path).expect("written");
        assert!(written.starts_with("first\nnoise\n") && written.ends_with("(the rest was dropped)\n"));
        assert!(written.len() < LOG_BYTES_MAX + 100);
        let quiet = Log { path: dir.path().join("quiet.log"), ..log };
        assert_eq!(drain(&b""[..], &quiet), "");
        assert!(!quiet.path.exists(), "nothing said, no file");
    }
}
