//! The rows of a scenario: which of them can be measured here, with which program.

use crate::bundle::{FrameworkRecord, ProgramRecord, Unavailable};
use crate::cache::Cache;
use crate::framework::registry::Entry;
use crate::framework::{Failure, Registry};
use crate::sample::FailureKind;
use crate::scenario::{FrameworkSpec, Scenario};
use crate::setup::{self, Located};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A row of the scenario, as found here.
pub(super) struct Row {
    /// For the manifest.
    pub(super) record: FrameworkRecord,
    /// Settings, defaults included.
    pub(super) options: BTreeMap<String, String>,
    /// Where its program is.
    pub(super) program: Option<PathBuf>,
    /// Where what it made of the model file is.
    pub(super) prepared: Option<PathBuf>,
}

impl Row {
    pub(super) fn is_available(&self) -> bool {
        self.record.unavailable.is_none()
    }
}

/// Looks for every row's program; with `install`, what is missing is installed first.
pub(super) fn find(
    scenario: &Scenario,
    registry: &Registry,
    cache: &Cache,
    base_dir: &Path,
    install: bool,
) -> Result<Vec<Row>> {
    if install {
        let wanted: Vec<&Entry> = registry.entries().iter().filter(|e| is_wanted(e, scenario)).collect();
        for (id, outcome) in setup::ensure(&wanted, false, cache) {
            if let Err(error) = outcome {
                eprintln!("{id}: {error:#}"); // becomes a row: the program is looked for again below
            }
        }
    }
    let row = |spec: &FrameworkSpec| {
        let entry = registry.get(&spec.id).with_context(|| format!("no framework {}", spec.id))?;
        Ok(match provide(entry, spec, cache, base_dir) {
            Ok((options, program, found)) => Row {
                record: FrameworkRecord { program: Some(found), ..described(entry, &spec.label) },
                options,
                program: Some(program),
                prepared: None,
            },
            Err(failure) => Row {
                record: FrameworkRecord {
                    unavailable: Some(Unavailable { kind: failure.kind, reason: failure.message }),
                    ..described(entry, &spec.label)
                },
                options: BTreeMap::new(),
                program: None,
                prepared: None,
            },
        })
    };
    scenario.frameworks.iter().map(row).collect()
}

/// Whether setup has something to do with it.
fn is_wanted(entry: &Entry, scenario: &Scenario) -> bool {
    let is_row = scenario.frameworks.iter().any(|f| f.id == entry.id);
    is_row && setup::can_install(&entry.id) && why_not_here(entry).is_none()
}

fn why_not_here(entry: &Entry) -> Option<String> {
    entry.unsupported_reason(std::env::consts::OS, std::env::consts::ARCH)
}

type Provided = (BTreeMap<String, String>, PathBuf, ProgramRecord);

fn provide(entry: &Entry, spec: &FrameworkSpec, cache: &Cache, base_dir: &Path) -> Result<Provided, Failure> {
    if let Some(reason) = why_not_here(entry) {
        return Err(Failure::new(FailureKind::Unsupported, reason));
    }
    let options = entry.options_of(&spec.options, base_dir)?;
    let missing = |reason: String| Failure::new(FailureKind::Missing, reason);
    let located = setup::locate(entry, cache).map_err(|e| missing(e.to_string()))?;
    let sha256 = sha256_of(&located.program)
        .map_err(|e| missing(format!("{}: cannot be read: {e}", located.program.display())))?;
    let record = ProgramRecord {
        path: located.program.display().to_string(),
        version: version_of(entry, &located),
        sha256,
        build: located.build.clone().unwrap_or_default(),
    };
    Ok((options, located.program, record))
}

/// What is known from the installation, else what the program says of itself, else nothing: the launch may tell.
fn version_of(entry: &Entry, located: &Located) -> String {
    if let Some(version) = &located.version {
        return version.clone();
    }
    let args: Vec<&str> = entry.version_command.iter().skip(1).map(String::as_str).collect();
    let asked = (!args.is_empty()).then(|| setup::ask_version(&located.program, &args));
    asked.and_then(Result::ok).unwrap_or_default()
}

fn described(entry: &Entry, label: &str) -> FrameworkRecord {
    FrameworkRecord {
        label: label.to_owned(),
        id: entry.id.clone(),
        display_name: entry.display_name.clone(),
        language: entry.language.clone(),
        implementation: entry.implementation.clone(),
        notes: entry.notes.clone(),
        licence: entry.licence.clone(),
        home_page: entry.home_page.clone(),
        program: None,
        unavailable: None,
        prepared: None,
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}
