//! What was to be measured and was not, with the reasons.

use super::{Failure, Row};
use crate::bundle::Manifest;
use crate::sample::{FailureKind, LaunchRecord, Outcome, Role};
use std::collections::BTreeSet;

/// Rows that could not be launched, failed launches, those of the control pair's second half, and failed cross-checks; equal failures of one cell are one entry.
pub(super) fn failures(rows: &[Row], manifest: &Manifest, records: &[LaunchRecord]) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for row in rows {
        let found = manifest.frameworks.iter().find(|f| f.label == row.label);
        if let Some(reason) = &row.unavailable {
            failures.push(Failure {
                label: row.label.clone(),
                name: row.name.clone(),
                cell: None,
                blocks: Vec::new(),
                kind: found.and_then(|f| f.unavailable.as_ref()).map_or(FailureKind::Missing, |u| u.kind),
                message: reason.clone(),
            });
        }
        let launches = records.iter().filter(|r| r.role == Role::Measure && r.framework == row.label);
        add_launches(&mut failures, &row.name, row.unavailable.as_deref(), launches.collect());
    }
    let of_baseline = rows.iter().find(|row| row.is_baseline).and_then(|row| row.unavailable.as_deref());
    for (role, what, known) in
        [(Role::Control, "control pair", of_baseline), (Role::CrossCheck, "cross-check", None)]
    {
        let of_role = records.iter().filter(|r| r.role == role);
        let labels: BTreeSet<&str> = of_role.clone().map(|r| r.framework.as_str()).collect();
        for label in labels {
            let launches = of_role.clone().filter(|r| r.framework == label).collect();
            add_launches(&mut failures, &format!("{label} ({what})"), known, launches);
        }
    }
    failures
}

/// Adds the failed ones among `launches`, all of one row; those that only repeat `known` are left out.
fn add_launches(
    failures: &mut Vec<Failure>,
    name: &str,
    known: Option<&str>,
    mut launches: Vec<&LaunchRecord>,
) {
    launches.sort_by_key(|r| (r.workload.clone(), r.threads, r.block, r.position));
    for record in launches {
        let Outcome::Failed { kind, message, .. } = &record.outcome else { continue };
        if known == Some(message) {
            continue;
        }
        let cell = Some((record.workload.clone(), record.threads));
        let same =
            |f: &&mut Failure| f.name == name && f.cell == cell && f.kind == *kind && f.message == *message;
        match failures.iter_mut().find(same) {
            Some(failure) => failure.blocks.push(record.block),
            None => failures.push(Failure {
                label: record.framework.clone(),
                name: name.to_owned(),
                cell,
                blocks: vec![record.block],
                kind: *kind,
                message: message.clone(),
            }),
        }
    }
}

/// A kind of failure, in words.
pub(crate) fn kind_words(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Missing => "missing",
        FailureKind::Unsupported => "not supported",
        FailureKind::Spawn => "could not be started",
        FailureKind::Crashed => "crashed",
        FailureKind::OutOfMemory => "ran out of memory",
        FailureKind::TimedOut => "timed out",
        FailureKind::Garbage => "broke the protocol",
        FailureKind::Reported => "reported an error",
        FailureKind::WrongLength => "wrong number of tokens",
    }
}
