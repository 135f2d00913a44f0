//! What commands share: opening a model with progress, and printing JSON.

use engine::{Error, ErrorKind, Model, ModelOptions, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// A bar on stderr; indicatif hides it where that is no terminal.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix} {wide_bar} {percent}% {eta}").expect("a valid template");
    ProgressBar::new(0).with_style(style).with_prefix(what)
}

/// Opens a model; the time it took.
pub(super) fn open(path: &Path, options: ModelOptions) -> Result<(Model, Duration)> {
    let started = std::time::Instant::now();
    let bar = bar("loading");
    let model = Model::open_with_progress(path, options, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    Ok((model, started.elapsed()))
}

/// One JSON document on stdout.
pub(super) fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    print(&format!("{text}\n"))
}

/// Text on stdout; a reader that has gone away is not an error.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("cannot write to stdout", e)),
        _ => Ok(()),
    }
}

/// High-water mark of this process's resident set in bytes, where the system tells it.
pub(super) fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
