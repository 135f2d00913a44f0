//! Telling a whole installation from a half one: a marker written last, and a lock against two setups at once.

use crate::locked::Locked;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Schema of [`Marker`]; an installation with another one is set up anew.
const MARKER_SCHEMA: u32 = 1;
const MARKER_FILE: &str = "installed.json";

/// Written beside an installation once it is whole and has been seen to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    schema: u32,
    /// Version, for people: `b11434`, `0.11.1`.
    pub(super) version: String,
    /// Hash over what it was built from; empty where the version says it all.
    pub(super) sources: String,
    /// The processor that it was built for: native code may not run on another. Empty: it runs on any.
    pub(super) cpu: String,
    /// How it was built, for the manifest.
    pub(super) build: String,
}

/// What stands in a framework's directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing, or something without a marker: an interrupted setup.
    Absent { half_installed: bool },
    /// Whole.
    Whole(Marker),
}

impl Marker {
    pub(super) fn new(version: &str, sources: String, build: String) -> Self {
        Self { schema: MARKER_SCHEMA, version: version.to_owned(), sources, cpu: cpu_identity(), build }
    }

    /// Of an installation that is the same on every processor.
    pub(super) fn portable(version: &str, sources: String, build: String) -> Self {
        Self { cpu: String::new(), ..Self::new(version, sources, build) }
    }

    /// Declares the installation in `dir` whole. The marker appears at once or not at all.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MARKER_FILE);
        let temporary = dir.join(format!(".{MARKER_FILE}.{}", std::process::id()));
        let mut text = serde_json::to_string_pretty(self).context("cannot encode the marker")?;
        text.push('\n');
        std::fs::write(&temporary, text).with_context(|| format!("{}: cannot write", temporary.display()))?;
        std::fs::rename(&temporary, &path).with_context(|| format!("{}: cannot write", path.display()))
    }

    /// Withdraws the declaration, before the installation is touched.
    pub(super) fn remove(dir: &Path) -> Result<()> {
        let path = dir.join(MARKER_FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{}: cannot remove", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// What stands in `dir`. A marker that cannot be read, or of another schema, is none.
pub(super) fn state(dir: &Path) -> State {
    let marker = std::fs::read(dir.join(MARKER_FILE)).ok();
    let marker = marker.and_then(|bytes| serde_json::from_slice::<Marker>(&bytes).ok());
    match marker.filter(|m| m.schema == MARKER_SCHEMA) {
        Some(marker) => State::Whole(marker),
        None => State::Absent { half_installed: dir.exists() },
    }
}

/// Held while a framework is set up; released when dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Locked,
}

impl Lock {
    /// Takes the lock beside `dir`, or says who seems to hold it.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let path = lock_path(dir);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("{}: cannot create", parent.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("{}: cannot create", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Locked::holding(file) }),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another `harness setup` is at work on it ({} is locked): wait for it to end",
                    path.display()
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{}: cannot lock", path.display()))
            }
        }
    }
}

fn lock_path(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    dir.with_file_name(name)
}

/// Model and features of this processor, as far as native code depends on them.
pub(super) fn cpu_identity() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
    };
    let features = line("flags").or_else(|| line("Features")).unwrap_or_default();
    let model = line("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{model} {}", &super::sha256_hex(features.as_bytes())[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_marker_makes_it_whole() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("llama.cpp").join("1");
        assert_eq!(state(&home), State::Absent { half_installed: false });
        std::fs::create_dir_all(home.join("bin")).unwrap();
        assert_eq!(state(&home), State::Absent { half_installed: true });

        let marker = Marker::new("b1", String::new(), "native".to_owned());
        marker.write(&home).unwrap();
        assert_eq!(state(&home), State::Whole(marker));
        std::fs::write(home.join(MARKER_FILE), "{\"schema\": 1").unwrap();
        assert_eq!(state(&home), State::Absent { half_installed: true });
        Marker::remove(&home).unwrap();
        Marker::remove(&home).unwrap();
        assert_eq!(state(&home), State::Absent { half_installed: true });
    }

    #[test]
    fn another_schema_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let marker = Marker { schema: 99, ..Marker::new("b1", String::new(), String::new()) };
        marker.write(dir.path()).unwrap();
        assert_eq!(state(dir.path()), State::Absent { half_installed: true });
    }

    #[test]
    fn one_setup_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("candle/0.1");
        let held = Lock::take(&home).unwrap();
        assert!(Lock::take(&home).unwrap_err().to_string().contains("another `harness setup`"));
        drop(held);
        Lock::take(&home).unwrap();
    }
}
