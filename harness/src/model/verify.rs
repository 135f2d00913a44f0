//! The hash of a file, computed once in a process for each state (size, time of change) of the file.

use super::{ModelError, OnProgress, Progress, Stage};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What tells one state of a file from another.
type State = (u64, Option<SystemTime>);

static SEEN: LazyLock<Mutex<HashMap<PathBuf, (State, String)>>> = LazyLock::new(Mutex::default);

fn state(meta: &Metadata) -> State {
    (meta.len(), meta.modified().ok())
}

/// sha256 of the file at `path` in lower-case hexadecimal.
pub(super) fn sha256(path: &Path, progress: OnProgress<'_>) -> Result<String, ModelError> {
    let mut file = File::open(path).map_err(ModelError::io("open", path))?;
    let before = state(&file.metadata().map_err(ModelError::io("read", path))?);
    let seen = || SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, hash)) = seen().get(path).filter(|(known, _)| *known == before && before.1.is_some()) {
        return Ok(hash.clone());
    }
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut done = 0;
    loop {
        let n = file.read(&mut chunk).map_err(ModelError::io("read", path))?;
        if n == 0 {
            break;
        }
        hasher.update(&chunk[..n]);
        done += n as u64;
        progress(Progress { stage: Stage::Verify, done, total: Some(before.0) });
    }
    let hash = hex(&hasher.finalize());
    seen().insert(path.to_owned(), (before, hash.clone()));
    Ok(hash)
}

/// Takes what is known of `from` along when it has become `to`.
pub(super) fn renamed(from: &Path, to: &Path) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = seen.remove(from) {
        seen.insert(to.to_owned(), known);
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
