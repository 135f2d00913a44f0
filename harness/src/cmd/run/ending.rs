//! Ending an interrupted run with the launches that it has.

use super::Usage;
use crate::bundle::{self, BundleError, Writer, sha256_hex};
use crate::redact::Redactor;
use crate::summary::blocks_due;
use anyhow::Result;
use std::path::Path;

/// Ends the run of `scenario` whose bundle is at `dir`. The bundle says so unless nothing was left to be launched.
pub(super) fn end(scenario: &Path, dir: &Path) -> Result<()> {
    let refused = |e: BundleError| Usage(e.to_string());
    let text =
        std::fs::read(scenario).map_err(|e| Usage(format!("{}: cannot be read: {e}", scenario.display())))?;
    let bundle = bundle::read(dir).map_err(refused)?;
    if bundle.seal.complete.is_some() {
        return Err(Usage(format!("{}: this run has ended already", dir.display())).into());
    }
    let model = &bundle.manifest.model.sha256;
    let resumed = Writer::resume(dir, &sha256_hex(&text), model, Redactor::default());
    let (writer, bundle) = resumed.map_err(refused)?;
    let finished = bundle.finished();
    let due = |block| blocks_due(&bundle.manifest, &bundle.records, block);
    match bundle.manifest.plan.remaining(&finished).first() {
        Some(next) if next.block < due(next.block) => writer.finish_early()?,
        _ => writer.finish()?,
    }
    Ok(())
}
