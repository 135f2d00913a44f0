//! What the frameworks have to make of the model file before anything is measured.

use super::frameworks::Row;
use super::missing;
use crate::bundle::Unavailable;
use crate::cache::Cache;
use crate::framework::registry::Entry;
use crate::framework::runner::{self, Values};
use crate::framework::{ModelRef, Registry};
use crate::sample::FailureKind;
use crate::setup::{Preparation, Prepared, prepare};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Digits of the model's sha256 in the name of a directory.
const SHA256_DIGITS: usize = 16;

/// Has it made for every row that can be measured; a row whose preparation fails cannot be.
pub(super) fn prepare_rows(
    rows: &mut [Row],
    registry: &Registry,
    model: ModelRef,
    cache: &Cache,
) -> Result<()> {
    let harness = std::env::current_exe().context("the path of this program")?;
    for row in rows.iter_mut().filter(|row| row.is_available()) {
        let Some(entry) = registry.get(&row.record.id).filter(|entry| !entry.prepare.is_empty()) else {
            continue;
        };
        match prepare_row(row, entry, &harness, model, cache) {
            Ok((dir, prepared)) => {
                row.prepared = Some(dir);
                row.record.prepared = Some(prepared);
            }
            Err(error) => {
                let reason = format!("the model could not be prepared for it: {error:#}");
                missing::say(&row.record.label, &reason);
                row.record.unavailable = Some(Unavailable { kind: FailureKind::Missing, reason });
                row.record.program = None;
            }
        }
    }
    Ok(())
}

fn prepare_row(
    row: &Row,
    entry: &Entry,
    harness: &Path,
    model: ModelRef,
    cache: &Cache,
) -> Result<(PathBuf, Prepared)> {
    let program = row.record.program.as_ref();
    let version = program.map_or("", |program| program.version.as_str());
    let dir = cache.prepared_dir(&entry.id, &dir_name(version, model.sha256, row, entry));
    let values = Values {
        id: &entry.id,
        harness,
        program: row.program.as_deref(),
        model: model.path,
        prepared: Some(&dir),
        options: &row.options,
        launch: None,
    };
    let argv = runner::preparation(entry, &values)?;
    let made_by = program.map_or_else(String::new, |p| format!("{} {} {}", p.version, p.build, p.sha256));
    let wanted = Preparation { id: &entry.id, dir: &dir, argv: &argv, made_by: &made_by };
    let prepared = prepare(&wanted, cache)?;
    Ok((dir, prepared))
}

/// `5.24.0-b179c9523d0e6a0f-float32`: version, model, and the options that matter to the preparation.
fn dir_name(version: &str, sha256: &str, row: &Row, entry: &Entry) -> String {
    let sha256: String = sha256.chars().take(SHA256_DIGITS).collect();
    let is_used =
        |name: &String| entry.prepare.iter().any(|part| part.contains(&format!("{{option.{name}}}")));
    let options = row.options.iter().filter(|(name, _)| is_used(name)).map(|(_, value)| value.clone());
    let version = Some(version.to_owned()).filter(|version| !version.is_empty());
    let name = version.into_iter().chain([sha256]).chain(options).collect::<Vec<_>>().join("-");
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}
