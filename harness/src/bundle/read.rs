//! Reading a bundle: strictly, naming file and line, but for a last line that a killed run left torn.

use super::chain::sha256_hex;
use super::seal::{self, Complete, Fault, Seal};
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
    /// The hash chain that binds the two.
    pub seal: Seal,
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

    pub(super) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> BundleError {
        move |error| BundleError::Content { path: path.to_owned(), line: None, reason: error.to_string() }
    }
}

/// Reads the bundle at `dir`, strictly: a broken chain is an error. A torn last line of `samples.jsonl` is left out
/// where the run did not end.
pub fn read(dir: &Path) -> Result<Bundle, BundleError> {
    let (bundle, faults) = inspect(dir)?;
    match faults.into_iter().next() {
        None => Ok(bundle),
        Some(fault) => Err(BundleError::Content {
            path: dir.join(fault.file),
            line: fault.line,
            reason: format!("{}; restore it, or measure again", fault.reason),
        }),
    }
}

/// Reads the bundle at `dir` and says what in it is not as it was written. An error is what cannot be read at all.
pub fn inspect(dir: &Path) -> Result<(Bundle, Vec<Fault>), BundleError> {
    let path = dir.join("manifest.json");
    let text = std::fs::read_to_string(&path).map_err(BundleError::io(&path))?;
    let manifest: Manifest = parse(&text, &path, None, BUNDLE_SCHEMA)?;
    let manifest_sha256 = sha256_hex(text.as_bytes());
    drop(text);
    let path = dir.join("samples.jsonl");
    let (samples, has_torn_line) = read_samples(&path)?;
    let lines: Vec<&str> = samples.lines().collect();
    // With its size known it does not grow: a long run has hundreds of megabytes.
    let mut records: Vec<LaunchRecord> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        records.push(parse(line, &path, Some(index + 1), SAMPLE_SCHEMA)?);
    }
    let mut seal = Seal {
        manifest_sha256,
        lines: lines.len(),
        head: String::new(),
        is_chained: false,
        has_torn_line,
        complete: read_complete(&dir.join("complete.json"))?,
    };
    let faults = seal::check(&manifest, &records, &lines, &mut seal);
    add_right_output_gates(&mut records, &manifest.scenario.baseline);
    add_distribution_gates(&mut records, &manifest.scenario.baseline);
    Ok((Bundle { dir: dir.to_owned(), manifest, records, seal }, faults))
}

fn read_complete(path: &Path) -> Result<Option<Complete>, BundleError> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None), // the run did not end, or is of an older version
        result => parse(&result.map_err(BundleError::io(path))?, path, None, BUNDLE_SCHEMA).map(Some),
    }
}

/// The lines that are whole, and whether a torn one follows.
pub(super) fn read_samples(path: &Path) -> Result<(String, bool), BundleError> {
    let mut bytes = match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(), // killed before the first launch ended
        result => result.map_err(BundleError::io(path))?,
    };
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    let has_torn_line = whole < bytes.len();
    bytes.truncate(whole);
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        BundleError::Content { path: path.to_owned(), line: Some(line), reason: "is not UTF-8".into() }
    })?;
    Ok((text, has_torn_line))
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
