//! What the gates saw, row by row.

use super::Row;
use crate::sample::{LaunchRecord, Outcome};
use std::collections::BTreeMap;

/// One gate of one row over all its launches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateTally {
    /// Name of the row.
    pub name: String,
    /// Index into the summary's rows.
    pub row: usize,
    /// The gate.
    pub gate: String,
    /// Launches in which it held.
    pub n_passed: usize,
    /// Launches in which it was asked.
    pub n_asked: usize,
    /// Wanted and seen: of the first launch in which it failed, else of the first.
    pub example: (String, String),
}

/// Tallies every gate, by row and then by name.
pub(super) fn tally(rows: &[Row], records: &[&LaunchRecord]) -> Vec<GateTally> {
    let mut ordered: Vec<&&LaunchRecord> = records.iter().collect();
    ordered.sort_by_key(|r| r.position);
    let mut tallies: BTreeMap<(usize, String), (GateTally, bool)> = BTreeMap::new();
    for record in ordered {
        let Outcome::Measured(measured) = &record.outcome else { continue };
        let Some(row) = rows.iter().position(|r| r.label == record.framework) else { continue };
        for gate in &measured.gates {
            let (tally, has_failed) = tallies.entry((row, gate.name.clone())).or_insert_with(|| {
                let tally = GateTally {
                    name: rows[row].name.clone(),
                    row,
                    gate: gate.name.clone(),
                    n_passed: 0,
                    n_asked: 0,
                    example: (gate.wanted.clone(), gate.seen.clone()),
                };
                (tally, false)
            });
            tally.n_asked += 1;
            tally.n_passed += usize::from(gate.passed);
            if !gate.passed && !*has_failed {
                *has_failed = true;
                tally.example = (gate.wanted.clone(), gate.seen.clone());
            }
        }
    }
    tallies.into_values().map(|(tally, _)| tally).collect()
}
