//! Models that the engine makes: the right shape, random weights. The one place that calls `engine::synth`.

use super::{ModelError, OnProgress, Progress, Stage, lock, verify};
use crate::cache::Cache;
use std::path::{Path, PathBuf};

/// The synthetic model of `shape`, made now or found in the cache and still what was made.
pub(super) fn ensure(
    cache: &Cache,
    shape: &str,
    seed: u64,
    progress: OnProgress<'_>,
) -> Result<PathBuf, ModelError> {
    let shape = canonical(shape)?;
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let dir = cache.models_dir().join("synthetic").join(version).join(format!("{shape}-{seed}"));
    let path = dir.join(format!("{shape}.gguf"));
    let hash_path = dir.join("sha256");
    let _lock = lock(&dir)?;
    let wanted = std::fs::read_to_string(&hash_path).unwrap_or_default();
    if path.is_file() && verify::sha256(&path, progress)? == wanted.trim() {
        return Ok(path);
    }
    make(&shape, &path, seed, progress)?;
    let hash = verify::sha256(&path, progress)?;
    std::fs::write(&hash_path, hash + "\n").map_err(ModelError::io("write", &hash_path))?;
    Ok(path)
}

/// Writes the synthetic model of `shape` to `out`.
///
/// # Errors
/// If there is no such shape, or `out` cannot be written.
pub fn make(shape: &str, out: &Path, seed: u64, progress: OnProgress<'_>) -> Result<(), ModelError> {
    let mut on_bytes =
        |done, total| progress(Progress { stage: Stage::Synthesize, done, total: Some(total) });
    Ok(engine::synth::synth(shape, out, seed, &mut on_bytes)?)
}

/// The full name of a shape, which is a file name too.
fn canonical(shape: &str) -> Result<String, ModelError> {
    Ok(engine::synth::Shape::parse(shape)?.to_string())
}
