//! Reading a bundle: strictly, naming file and line, but for a last line that a killed run left torn.

use super::{BUNDLE_SCHEMA, Manifest};
use crate::agreement::add_distribution_gates;
use crate::sample::{LaunchRecord, SAMPLE_SCHEMA, add_right_output_gates};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A bundle, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Where it lies.
    pub dir: PathBuf,
    /// `manifest.json`
    pub manifest: Manifest,
    /// `samples.jsonl`, in the order written. Every gate is there, also `right_output` and `distribution`.
    pub records: Vec<LaunchRecord>,
}

impl Bundle {
    /// Ids of the launches that are recorded.
    pub fn finished(&self) -> BTreeSet<String> {
        self.records.iter().map(|r| r.launch_id.clone()).collect()
    }
}

/// What is wrong with a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with something else in it.
    #[error("{}{}: {reason}", path.display(), line.map(|n| format!(":{n}")).unwrap_or_default())]
    Content {
        /// The file.
        path: PathBuf,
        /// Its line, where it has lines.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// Written by a later version.
    #[error("{}: schema {schema} is newer than this harness, which reads up to {known}; use a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        schema: u32,
        /// The newest known.
        known: u32,
    },
    /// Another run is writing to it.
    #[error("{}: another run is using this bundle", path.display())]
    Locked {
        /// The bundle.
        path: PathBuf,
    },
    /// A resume that would mix two measurements.
    #[error("{}: cannot be resumed: {reason}", path.display())]
    Other {
        /// The bundle.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
}

impl BundleError {
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> BundleError {
        move |source| BundleError::Io { path: path.to_owned(), source }
    }
}

/// Reads the bundle at `dir`. A torn last line of `samples.jsonl` is left out.
pub fn read(dir: &Path) -> Result<Bundle, BundleError> {
    let manifest = read_manifest(&dir.join("manifest.json"))?;
    let (mut records, _) = read_samples(&dir.join("samples.jsonl"))?;
    add_right_output_gates(&mut records, &manifest.scenario.baseline);
    add_distribution_gates(&mut records, &manifest.scenario.baseline);
    Ok(Bundle { dir: dir.to_owned(), manifest, records })
}

fn read_manifest(path: &Path) -> Result<Manifest, BundleError> {
    let text = std::fs::read_to_string(path).map_err(BundleError::io(path))?;
    parse(&text, path, None, BUNDLE_SCHEMA)
}

/// The records, and the length in bytes of the lines that are whole.
pub(super) fn read_samples(path: &Path) -> Result<(Vec<LaunchRecord>, u64), BundleError> {
    let bytes = match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(), // killed before the first launch ended
        result => result.map_err(BundleError::io(path))?,
    };
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    let text = std::str::from_utf8(&bytes[..whole]).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        BundleError::Content { path: path.to_owned(), line: Some(line), reason: "is not UTF-8".into() }
    })?;
    let mut ids = BTreeSet::new();
    let mut records = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let record: LaunchRecord = parse(line, path, Some(index + 1), SAMPLE_SCHEMA)?;
        if !ids.insert(record.launch_id.clone()) {
            let reason = format!("launch {} is recorded twice", record.launch_id);
            return Err(BundleError::Content { path: path.to_owned(), line: Some(index + 1), reason });
        }
        records.push(record);
    }
    Ok((records, whole as u64))
}

/// Looks at the schema first, so that a newer file is refused as that and not for an unknown value.
fn parse<T: for<'a> Deserialize<'a>>(
    text: &str,
    path: &Path,
    line: Option<usize>,
    known: u32,
) -> Result<T, BundleError> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
    }
    let wrong = |error: serde_json::Error| BundleError::Content {
        path: path.to_owned(),
        line: line.or(Some(error.line())),
        reason: error.to_string(),
    };
    let head: Head = serde_json::from_str(text).map_err(wrong)?;
    if head.schema > known {
        return Err(BundleError::Newer { path: path.to_owned(), schema: head.schema, known });
    }
    serde_json::from_str(text).map_err(wrong)
}
