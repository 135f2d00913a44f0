//! One harness at a time measures or installs: a lock file in the cache directory, which the system frees when its holder ends, however it ends.

use super::{Finding, Severity};
use crate::locked::Locked;
use crate::units::rfc3339_utc;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Name of the lock file in the cache directory.
const LOCK_FILE: &str = "run.lock";

/// Held for as long as it lives. It keeps out runs with the same cache directory, which are those of one user as a rule.
#[derive(Debug)]
pub struct MachineLock {
    _file: Locked,
}

/// Who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// When it took the lock: UTC, RFC 3339.
    pub started_at: String,
}

/// Why the lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run or setup has it.
    #[error("another harness is measuring or installing on this machine{} ({})", by(holder), path.display())]
    Busy {
        /// Who, if it has said so by now.
        holder: Option<Holder>,
        /// The lock file.
        path: PathBuf,
    },
    /// The file cannot be made, written or locked.
    #[error("{}: cannot be locked: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

fn by(holder: &Option<Holder>) -> String {
    holder.as_ref().map(|h| format!(" (process {}, since {})", h.pid, h.started_at)).unwrap_or_default()
}

impl LockError {
    /// The same among the other findings: a run beside another one spoils both.
    pub fn finding(&self) -> Finding {
        let (what, remedy) = match self {
            LockError::Busy { .. } => ("another run", "wait for it, or end it"),
            LockError::Io { .. } => {
                ("machine lock", "set HARNESS_CACHE to a directory that can be written to")
            }
        };
        Finding {
            severity: Severity::Fatal,
            what: what.to_owned(),
            seen: self.to_string(),
            remedy: remedy.to_owned(),
        }
    }
}

impl MachineLock {
    /// Takes the lock in `cache_root`, which is created if need be. The file stays when the lock is given back: to remove
    /// it would let two runs hold two files of one name.
    ///
    /// # Errors
    /// If another process has the lock, or the file cannot be used.
    pub fn acquire(cache_root: &Path) -> Result<MachineLock, LockError> {
        let path = cache_root.join(LOCK_FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        std::fs::create_dir_all(cache_root).map_err(failed)?;
        let options = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Busy { holder: read(&mut file), path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        write(&mut file).map_err(failed)?;
        Ok(MachineLock { _file: Locked::holding(file) })
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(file: &mut File) -> std::io::Result<()> {
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let holder = Holder { pid: std::process::id(), started_at: rfc3339_utc(unix_s) };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(&holder)?.as_bytes())?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("cache");
        let lock = MachineLock::acquire(&root).unwrap();
        let error = MachineLock::acquire(&root).unwrap_err();
        let LockError::Busy { holder: Some(holder), .. } = &error else { panic!("{error:?}") };
        assert_eq!(holder.pid, std::process::id());
        let said = error.to_string();
        assert!(said.contains(&format!("(process {}, since 2", holder.pid)), "{said}");
        let finding = error.finding();
        assert_eq!((finding.severity, finding.what.as_str()), (Severity::Fatal, "another run"));
        drop(lock);
        MachineLock::acquire(&root).unwrap();
    }

    #[test]
    fn what_an_earlier_run_left_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        std::fs::write(
            &path,
            r#"{"pid":1,"started_at":"2026-11-23T16:20:09Z"} and more than will be written"#,
        )
        .unwrap();
        let _lock = MachineLock::acquire(dir.path()).unwrap();
        let holder: Holder = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }

    #[test]
    fn a_holder_that_has_not_said_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join(LOCK_FILE)).unwrap();
        file.try_lock().unwrap();
        let error = MachineLock::acquire(dir.path()).unwrap_err();
        assert!(matches!(error, LockError::Busy { holder: None, .. }), "{error:?}");
        assert!(
            error.to_string().starts_with("another harness is measuring or installing on this machine ("),
            "{error}"
        );
    }

    #[test]
    fn a_cache_that_is_a_file_is_an_error_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = MachineLock::acquire(file.path()).unwrap_err();
        assert!(matches!(&error, LockError::Io { path, .. } if path.starts_with(file.path())), "{error:?}");
    }
}
