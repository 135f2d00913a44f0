//! What `harness setup` has put into the cache, and removing it: installations of every version, build directories, files
//! prepared for a framework, logs. Nothing outside the cache directory is ever touched.

use super::marker::{self, Lock, Marker, State};
use super::{Provider, remedy_of};
use crate::cache::Cache;
use crate::framework::registry::Entry;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Something in the cache that belongs to a framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The framework, as its directory is called: one directory serves llama.cpp and its row for Metal.
    pub id: String,
    /// For people: `version 0.11.1`, `version 0.11.0, of an older harness`, `build directory`.
    pub what: String,
    /// Where it is.
    pub path: PathBuf,
    /// What its files hold; links count nothing.
    pub bytes: u64,
    is_installation: bool,
}

/// Everything of the frameworks `ids`, or of every framework if there are none, in order of their names.
pub fn pieces(cache: &Cache, ids: &[String]) -> Vec<Piece> {
    let mut names: BTreeSet<String> = ids.iter().map(|id| directory_of(id)).collect();
    if ids.is_empty() {
        let dirs = [cache.frameworks_dir(), cache.builds_dir(), cache.all_prepared_dir(), cache.stores_dir()];
        names = dirs.iter().flat_map(|dir| children(dir)).filter_map(|path| name_of(&path)).collect();
    }
    names.iter().filter(|name| is_plain(name)).flat_map(|name| pieces_of(cache, name)).collect()
}

/// Removes everything that [`pieces`] finds. All locks are taken before anything is removed; the lock files stay, because two
/// setups with two files of one name would not keep each other out.
///
/// # Errors
/// If a setup is at work, a directory leads out of the cache, or something cannot be removed. What was removed until then
/// is gone; an installation that was begun on counts as interrupted.
pub fn remove(cache: &Cache, ids: &[String]) -> Result<Vec<Piece>> {
    let pieces = pieces(cache, ids);
    let mut locks = Vec::new();
    for piece in &pieces {
        check_inside(cache, &piece.path)?;
        if piece.is_installation {
            locks.push(Lock::take(&piece.path)?);
        }
    }
    for piece in &pieces {
        if piece.is_installation {
            Marker::remove(&piece.path)?;
        }
        let removed = match std::fs::symlink_metadata(&piece.path) {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&piece.path),
            _ => std::fs::remove_file(&piece.path),
        };
        removed.with_context(|| format!("{}: cannot remove", piece.path.display()))?;
    }
    Ok(pieces)
}

/// What to do where nothing of ours was found: it came from elsewhere.
pub fn removed_by_hand(entry: &Entry) -> Option<String> {
    (Provider::of(&entry.id).is_none() && !entry.programs.is_empty())
        .then(|| format!("`harness setup` did not install it ({})", remedy_of(entry)))
}

fn directory_of(id: &str) -> String {
    Provider::of(id).map_or(id, |provider| provider.ids[0]).to_owned()
}

/// One name of a file, and no way out of its directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\'])
}

fn pieces_of(cache: &Cache, id: &str) -> Vec<Piece> {
    let piece = |what: String, path: PathBuf, is_installation: bool| {
        let bytes = bytes_of(&path);
        Piece { id: id.to_owned(), what, path, bytes, is_installation }
    };
    let current = Provider::of(id).map(|provider| provider.version);
    let mut found: Vec<Piece> = children(&cache.frameworks_dir().join(id))
        .into_iter()
        .filter(|path| path.is_dir())
        .map(|path| {
            let version = name_of(&path).unwrap_or_default();
            let age = if current == Some(version.as_str()) { "" } else { ", of another harness" };
            let state = match marker::state(&path) {
                State::Whole(_) => "",
                State::Absent { .. } => ", interrupted",
            };
            piece(format!("version {version}{age}{state}"), path, true)
        })
        .collect();
    let others = [
        ("build directory", cache.build_dir(id)),
        ("prepared files", cache.all_prepared_dir().join(id)),
        ("what it keeps", cache.store_dir(id)),
        ("log of its setup", cache.logs_dir().join(format!("setup-{id}.log"))),
    ];
    let there = others.into_iter().filter(|(_, path)| path.symlink_metadata().is_ok());
    found.extend(there.map(|(what, path)| piece(what.to_owned(), path, false)));
    found
}

/// Links are removed, never followed; but a directory above may be one.
fn check_inside(cache: &Cache, path: &Path) -> Result<()> {
    let real =
        |path: &Path| path.canonicalize().with_context(|| format!("{}: cannot be resolved", path.display()));
    let parent = path.parent().unwrap_or(path);
    if !real(parent)?.starts_with(real(cache.root())?) {
        bail!("{}: a link leads out of the cache directory; remove it by hand", path.display());
    }
    Ok(())
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

fn bytes_of(path: &Path) -> u64 {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => children(path).iter().map(|child| bytes_of(child)).sum(),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn put(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A cache with two versions of candle, one of them interrupted, and what belongs to them; a model; and llama.cpp.
    fn cache(dir: &Path) -> Cache {
        let cache = Cache::at(dir.join("cache"));
        put(cache.framework_dir("candle", "0.11.1").join("candle-runner"), "12345");
        Marker::new("0.11.1", String::new(), String::new())
            .write(&cache.framework_dir("candle", "0.11.1"))
            .unwrap();
        put(cache.framework_dir("candle", "0.10.0").join("half"), "123");
        put(cache.framework_dir("llama.cpp", "1").join("bin"), "1");
        put(cache.build_dir("candle").join("release/x"), "1234567");
        put(cache.all_prepared_dir().join("candle/0.11.1-abc/graph"), "12");
        put(cache.logs_dir().join("setup-candle.log"), "1");
        put(cache.models_dir().join("m.gguf"), "weights");
        cache
    }

    fn said(pieces: &[Piece]) -> Vec<String> {
        pieces.iter().map(|p| format!("{} {}: {}", p.id, p.what, p.bytes)).collect()
    }

    #[test]
    fn everything_of_a_framework_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let marker =
            std::fs::metadata(cache.framework_dir("candle", "0.11.1").join("installed.json")).unwrap().len();
        let removed = remove(&cache, &["candle".to_owned()]).unwrap();
        let wanted = [
            "candle version 0.10.0, of another harness, interrupted: 3".to_owned(),
            format!("candle version 0.11.1: {}", 5 + marker),
            "candle build directory: 7".to_owned(),
            "candle prepared files: 2".to_owned(),
            "candle log of its setup: 1".to_owned(),
        ];
        assert_eq!(said(&removed), wanted);
        assert!(removed.iter().all(|piece| !piece.path.exists()));
        assert!(cache.models_dir().join("m.gguf").exists());
        assert_eq!(said(&pieces(&cache, &[])), ["llama.cpp version 1, of another harness, interrupted: 1"]);
        assert_eq!(remove(&cache, &["candle".to_owned()]).unwrap(), []);
        // The directory is shared.
        assert_eq!(remove(&cache, &["llama.cpp-metal".to_owned()]).unwrap().len(), 1);
        assert_eq!(pieces(&cache, &[]), []);
    }

    #[test]
    fn nothing_goes_while_a_setup_is_at_work() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let _held = Lock::take(&cache.framework_dir("candle", "0.11.1")).unwrap();
        let refused = remove(&cache, &["candle".to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("another `harness setup` is at work"), "{refused}");
        assert_eq!(pieces(&cache, &["candle".to_owned()]).len(), 5);
    }

    #[test]
    fn links_and_names_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let outside = dir.path().join("outside");
        put(outside.join("1/precious"), "x");
        std::os::unix::fs::symlink(&outside, cache.frameworks_dir().join("linked")).unwrap();
        let refused = remove(&cache, &["linked".to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("a link leads out of the cache"), "{refused}");
        // A link inside goes; what it points at stays.
        std::os::unix::fs::symlink(&outside, cache.framework_dir("candle", "0.11.1").join("link")).unwrap();
        std::os::unix::fs::symlink(&outside, cache.all_prepared_dir().join("llama.cpp")).unwrap();
        remove(&cache, &["candle".to_owned(), "llama.cpp".to_owned()]).unwrap();
        assert!(outside.join("1/precious").exists());
        for name in ["..", "../../outside", "", ".hidden"] {
            assert_eq!(pieces(&cache, &[name.to_owned()]), [], "{name}");
        }
    }
}
