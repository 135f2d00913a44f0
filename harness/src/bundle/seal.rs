//! What vouches for a bundle: the chain through its samples, and `complete.json` once the run has ended.

use super::chain::{self, Break};
use super::{BUNDLE_SCHEMA, Manifest};
use crate::plan::{Cell, PlannedLaunch};
use crate::sample::{LaunchRecord, Role};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Schema from which on manifest and samples are bound by the chain.
pub const SEALED_SCHEMA: u32 = 2;

/// `complete.json`: written once every launch of the plan has its line, or the run was ended before that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// [`BUNDLE_SCHEMA`].
    pub schema: u32,
    /// Lines of `samples.jsonl`.
    pub lines: usize,
    /// The chain's value after the last of them.
    pub chain: String,
    /// Of `manifest.json`.
    pub manifest_sha256: String,
    /// sha256 of each file in `logs/`, by name.
    #[serde(default)]
    pub logs: BTreeMap<String, String>,
    /// Launches of the plan were left out by its owner's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended_early: bool,
}

/// The state of a bundle's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Of `manifest.json`, lower-case hexadecimal.
    pub manifest_sha256: String,
    /// Whole lines of `samples.jsonl`.
    pub lines: usize,
    /// The chain's value after the last of them.
    pub head: String,
    /// Whether there is a chain: older versions wrote none.
    pub is_chained: bool,
    /// Whether `samples.jsonl` ends in the middle of a line, which is left out.
    pub has_torn_line: bool,
    /// `complete.json`; `None` for a run that did not end, and for older versions.
    pub complete: Option<Complete>,
}

/// What is wrong with a bundle that can be read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File within the bundle.
    pub file: &'static str,
    /// Its line, from 1, where it has lines.
    pub line: Option<usize>,
    /// What it is.
    pub kind: FaultKind,
    /// The whole sentence, without the place.
    pub reason: String,
}

/// The kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A line is not as it was written.
    LineChanged,
    /// Lines are gone.
    LinesMissing,
    /// Lines stand in another order than they were written in.
    LinesReordered,
    /// A line was never written to this file.
    LineInserted,
    /// A line stands there twice.
    LineRepeated,
    /// The manifest is not as it was written.
    ManifestChanged,
    /// The first line does not follow the manifest: one of the two was changed.
    ManifestOrFirstLine,
    /// A line without a chain value.
    NoChain,
    /// The last line of a finished run is torn.
    TornLine,
    /// `complete.json` does not agree with the rest.
    CompleteChanged,
}

impl Manifest {
    /// The lines that stand for rows that could not be launched: one for each cell, numbered after the plan's, and
    /// written before them.
    pub fn unavailable_launches(&self) -> Vec<PlannedLaunch> {
        let mut launches = Vec::new();
        for framework in self.frameworks.iter().filter(|f| f.unavailable.is_some()) {
            for workload in &self.scenario.workloads {
                for &threads in &self.scenario.threads {
                    launches.push(PlannedLaunch {
                        launch_id: format!("b00-{}-{}-t{threads}", framework.label, workload.name),
                        position: (self.plan.launches.len() + launches.len()) as u32,
                        block: 0,
                        role: Role::Measure,
                        cell: Cell {
                            framework: framework.label.clone(),
                            workload: workload.name.clone(),
                            threads,
                        },
                    });
                }
            }
        }
        launches
    }

    /// Every line that a finished run has, in the order in which they are written.
    pub fn expected_launches(&self) -> Vec<PlannedLaunch> {
        let mut launches = self.unavailable_launches();
        launches.extend(self.plan.launches.iter().cloned());
        launches
    }
}

/// Checks the chain of `lines`, which are `records`; fills in the chain's part of the [`Seal`].
pub(super) fn check(
    manifest: &Manifest,
    records: &[LaunchRecord],
    lines: &[&str],
    seal: &mut Seal,
) -> Vec<Fault> {
    let is_sealed = manifest.schema >= SEALED_SCHEMA;
    let may_lack: Vec<bool> = records.iter().map(|r| !is_sealed && r.schema < SEALED_SCHEMA).collect();
    seal.is_chained = is_sealed || may_lack.contains(&false);
    let mut faults = Vec::new();
    let mut start = seal.manifest_sha256.clone();
    if let Some(complete) = seal.complete.as_ref().filter(|c| c.manifest_sha256 != start) {
        let reason = format!(
            "manifest changed: its sha256 was {} when the run ended, and is {start}",
            complete.manifest_sha256
        );
        faults.push(Fault { file: "manifest.json", line: None, kind: FaultKind::ManifestChanged, reason });
        start.clone_from(&complete.manifest_sha256);
    }
    let (breaks, head) = chain::check(&start, lines, &may_lack);
    seal.head = head;
    faults.extend(repeated_ids(records, &breaks));
    faults.extend(breaks.iter().map(|b| fault(b, manifest, records, seal)));
    faults.extend(end_faults(manifest, records, &breaks, seal));
    faults
}

/// Launches recorded twice that the chain does not already tell.
fn repeated_ids(records: &[LaunchRecord], breaks: &[Break]) -> Vec<Fault> {
    let told: BTreeSet<usize> = breaks.iter().map(Break::line).collect();
    let mut ids = BTreeSet::new();
    let mut faults = Vec::new();
    for (line, record) in (1..).zip(records) {
        if !ids.insert(&record.launch_id) && !told.contains(&line) {
            let reason = format!("launch {} is recorded twice", record.launch_id);
            faults.push(samples(Some(line), FaultKind::LineRepeated, reason));
        }
    }
    faults
}

fn samples(line: Option<usize>, kind: FaultKind, reason: String) -> Fault {
    Fault { file: "samples.jsonl", line, kind, reason }
}

fn fault(at: &Break, manifest: &Manifest, records: &[LaunchRecord], seal: &Seal) -> Fault {
    let id = |line: usize| records[line - 1].launch_id.as_str();
    let (kind, reason) = match at {
        Break::Changed { line, expected, found } => {
            let missing = missing_before(manifest, records, *line);
            let values = format!("chain should be {expected} and is {found}");
            if !missing.is_empty() {
                let reason = format!("line missing before {}: {}; {values}", id(*line), missing.join(", "));
                (FaultKind::LinesMissing, reason)
            } else if *line == 1 && seal.complete.is_none() {
                let reason = format!("manifest.json changed, or this line ({}): {values}", id(1));
                (FaultKind::ManifestOrFirstLine, reason)
            } else {
                (FaultKind::LineChanged, format!("line changed: {}; {values}", id(*line)))
            }
        }
        Break::Value { line, expected, found } => {
            let reason =
                format!("line changed: {}; its chain alone: should be {expected} and is {found}", id(*line));
            (FaultKind::LineChanged, reason)
        }
        Break::Moved { first, last } => {
            let reason = format!("lines reordered: {first} to {last} were written in another order");
            (FaultKind::LinesReordered, reason)
        }
        Break::Inserted { line } => {
            (FaultKind::LineInserted, format!("line inserted: {} was not written here", id(*line)))
        }
        Break::Repeated { line, of } => {
            (FaultKind::LineRepeated, format!("line repeated: {} stands in line {of} already", id(*line)))
        }
        Break::NoValue { line } => {
            (FaultKind::NoChain, format!("line changed: {} has no `chain` as its last key", id(*line)))
        }
    };
    samples(Some(at.line()), kind, reason)
}

/// Launches that should have their lines just before `line` and have none anywhere.
fn missing_before(manifest: &Manifest, records: &[LaunchRecord], line: usize) -> Vec<String> {
    let expected = manifest.expected_launches();
    let there: BTreeSet<&str> = records.iter().map(|r| r.launch_id.as_str()).collect();
    let Some(at) = expected.iter().position(|l| l.launch_id == records[line - 1].launch_id) else {
        return Vec::new();
    };
    let gap = expected[..at].iter().rev().take_while(|l| !there.contains(&*l.launch_id));
    let mut missing: Vec<String> = gap.map(|l| l.launch_id.clone()).collect();
    missing.reverse();
    missing
}

/// What `complete.json` says of the end.
fn end_faults(manifest: &Manifest, records: &[LaunchRecord], breaks: &[Break], seal: &Seal) -> Vec<Fault> {
    let Some(complete) = &seal.complete else { return Vec::new() };
    let mut faults = Vec::new();
    if seal.has_torn_line {
        let reason = "the run has ended, but the last line has no end: it was cut".to_owned();
        faults.push(samples(Some(seal.lines + 1), FaultKind::TornLine, reason));
    }
    let is_moved = breaks.iter().any(|b| matches!(b, Break::Moved { .. }));
    if seal.lines < complete.lines && seal.head != complete.chain && !is_moved {
        let there: BTreeSet<&str> = records.iter().map(|r| r.launch_id.as_str()).collect();
        let expected = manifest.expected_launches();
        let gone = expected.iter().rev().take_while(|l| !there.contains(&*l.launch_id));
        let mut gone: Vec<&str> = gone.map(|l| l.launch_id.as_str()).collect();
        gone.reverse();
        let reason = format!(
            "lines missing from the end: {} of {} are there; {}",
            seal.lines,
            complete.lines,
            if gone.is_empty() { "which ones the plan does not tell".to_owned() } else { gone.join(", ") }
        );
        faults.push(samples(Some(seal.lines + 1), FaultKind::LinesMissing, reason));
    } else if breaks.is_empty() && (seal.lines, &seal.head) != (complete.lines, &complete.chain) {
        let reason = format!(
            "says {} lines and chain {}; samples.jsonl has {} and {}: lines were added, or this file was changed",
            complete.lines, complete.chain, seal.lines, seal.head
        );
        faults.push(Fault { file: "complete.json", line: None, kind: FaultKind::CompleteChanged, reason });
    }
    faults
}

impl Complete {
    /// For a run whose samples are `lines` lines long and end in `chain`.
    pub(super) fn new(
        lines: usize,
        chain: String,
        manifest_sha256: String,
        logs: BTreeMap<String, String>,
        ended_early: bool,
    ) -> Complete {
        Complete { schema: BUNDLE_SCHEMA, lines, chain, manifest_sha256, logs, ended_early }
    }
}
