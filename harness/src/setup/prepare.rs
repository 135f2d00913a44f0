//! What a framework has to make of a model file once, before anything is timed: dequantized weights, another format.
//!
//! It is kept in the cache, by framework, version and file, and counts only with the marker that is written last.

use super::marker::Lock;
use super::step::Steps;
use crate::cache::Cache;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Schema of the marker; what was made under another one is made anew.
const SCHEMA: u32 = 1;
const MARKER_FILE: &str = "prepared.json";

/// Something to be made, unless it is there.
#[derive(Debug)]
pub struct Preparation<'a> {
    /// The framework.
    pub id: &'a str,
    /// Where it is made: see [`Cache::prepared_dir`].
    pub dir: &'a Path,
    /// Program and arguments.
    pub argv: &'a [String],
    /// What made it, beyond the version in `dir`'s name: something made by another is made anew.
    pub made_by: &'a str,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// On the disk.
    pub bytes: u64,
    /// How long it took, ns.
    pub wall_ns: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    schema: u32,
    made_by: String,
    prepared: Prepared,
}

/// Makes it, with its progress on stderr and all that is said in `prepare-<id>.log`; or finds it made.
///
/// # Errors
/// If the program fails, or the directory cannot be written.
pub fn prepare(wanted: &Preparation, cache: &Cache) -> Result<Prepared> {
    let dir = wanted.dir;
    let _lock = Lock::take(dir)?;
    if let Some(made) = found(wanted) {
        return Ok(made);
    }
    let program = wanted.argv.first().with_context(|| format!("{}: `prepare` is empty", wanted.id))?;
    let mut steps = Steps::logged(wanted.id, &cache.logs_dir(), &format!("prepare-{}.log", wanted.id))?;
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("{}: cannot remove", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot create", dir.display()))?;
    let started = Instant::now();
    steps.run("preparing the model, once", Command::new(program).args(&wanted.argv[1..]))?;
    let wall_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let prepared = Prepared { bytes: bytes_in(dir)?, wall_ns };
    let marker = Marker { schema: SCHEMA, made_by: wanted.made_by.to_owned(), prepared };
    write(&marker, dir)?;
    Ok(marker.prepared)
}

fn found(wanted: &Preparation) -> Option<Prepared> {
    let text = std::fs::read(wanted.dir.join(MARKER_FILE)).ok()?;
    let marker: Marker = serde_json::from_slice(&text).ok()?;
    (marker.schema == SCHEMA && marker.made_by == wanted.made_by).then_some(marker.prepared)
}

/// The marker appears at once or not at all.
fn write(marker: &Marker, dir: &Path) -> Result<()> {
    let (path, temporary) = (dir.join(MARKER_FILE), dir.join(format!(".{MARKER_FILE}")));
    let text = serde_json::to_string(marker).context("cannot encode the marker")?;
    std::fs::write(&temporary, text + "\n")
        .and_then(|()| std::fs::rename(&temporary, &path))
        .with_context(|| format!("{}: cannot write", path.display()))
}

fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in entries(dir).with_context(|| format!("{}: cannot list", dir.display()))? {
        bytes += match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&path)?,
            Ok(metadata) => metadata.len(),
            Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", path.display())),
        };
    }
    Ok(bytes)
}

fn entries(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a shell makes a file of four bytes, and counts how often it did.
    struct Place {
        dir: tempfile::TempDir,
        cache: Cache,
    }

    impl Place {
        fn new() -> Place {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::at(dir.path().join("cache"));
            Place { dir, cache }
        }

        fn target(&self) -> PathBuf {
            self.cache.prepared_dir("x", "1.0-abc")
        }

        fn prepare(&self, script: &str, made_by: &str) -> Result<Prepared> {
            let script = format!("echo made >> {}; {script}", self.dir.path().join("count").display());
            let target = self.target();
            let argv = ["sh", "-c", &script, "sh", target.to_str().unwrap()].map(str::to_owned);
            prepare(&Preparation { id: "x", dir: &target, argv: &argv, made_by }, &self.cache)
        }

        fn n_made(&self) -> usize {
            std::fs::read_to_string(self.dir.path().join("count")).unwrap_or_default().lines().count()
        }
    }

    const GOOD: &str = "mkdir $1/a && printf 1234 > $1/a/file";

    #[test]
    fn it_is_made_once_for_each_maker() {
        let place = Place::new();
        let made = place.prepare(GOOD, "v1").unwrap();
        assert_eq!(made.bytes, 4);
        assert_eq!(place.prepare(GOOD, "v1").unwrap(), made);
        assert_eq!(place.n_made(), 1);
        // A leftover of the first would make `mkdir` fail.
        place.prepare(GOOD, "v2").unwrap();
        assert_eq!(place.n_made(), 2);
    }

    #[test]
    fn what_is_not_whole_does_not_count() {
        let place = Place::new();
        let error =
            format!("{:#}", place.prepare("touch $1/half; echo no room >&2; exit 3", "v1").unwrap_err());
        assert!(error.contains("no room") && error.contains("prepare-x.log"), "{error}");
        assert!(place.target().join("half").exists());
        assert_eq!(place.prepare(GOOD, "v1").unwrap().bytes, 4);
        assert!(!place.target().join("half").exists());
        std::fs::write(place.target().join(MARKER_FILE), "{").unwrap();
        place.prepare(GOOD, "v1").unwrap();
        assert_eq!(place.n_made(), 3);
    }
}
