//! What disturbed the launches of a session, by the scenario's limits.

use super::Disturbance;
use crate::bundle::Manifest;
use crate::conditions::Conditions;
use crate::sample::{CpuSpan, LaunchRecord, Outcome, Role};
use crate::scenario::SIMULATED_ID;
use crate::units::ns_to_s;
use crate::withdrawal::{
    Disturbed, Kind, Reason, Seen, canary_medians, reasons, unavailable, withdrawn_blocks,
};
use std::collections::BTreeMap;

/// By workload, threads and block, then by what disturbed itself. A launch that failed, or that is a cross-check, counts as well: what
/// disturbed it ran beside the others. What is a launch's own ([`Kind::is_own`]) counts for its row alone; of either half of the
/// control pair for the baseline, and so for every comparison.
pub(super) fn disturbances(manifest: &Manifest, records: &[LaunchRecord]) -> Vec<Disturbance> {
    let is_played =
        |r: &LaunchRecord| manifest.scenario.framework(&r.framework).is_some_and(|f| f.id == SIMULATED_ID);
    // What was played from a script cannot be disturbed.
    let seen_at = |(i, record): (usize, &LaunchRecord)| match is_played(record) {
        true => Seen::default(),
        false => {
            Seen { pause_s: i.checked_sub(1).and_then(|i| pause_s(record, &records[i])), ..seen(record) }
        }
    };
    let seen: Vec<Seen> = records.iter().enumerate().map(seen_at).collect();
    let medians = canary_medians(&seen);
    let mut columns: BTreeMap<(String, u32, Option<String>), Vec<Disturbed>> = BTreeMap::new();
    for (record, seen) in records.iter().zip(&seen) {
        let found = reasons(seen, &medians, &manifest.scenario.limits);
        let (own, machine): (Vec<Reason>, Vec<Reason>) = found.into_iter().partition(|r| r.kind.is_own());
        let row = match record.role {
            Role::Measure => Some(&record.framework),
            Role::Control => Some(&manifest.scenario.baseline),
            Role::CrossCheck => None,
        };
        let mut add = |row: Option<String>, reasons: Vec<Reason>| {
            let launch = Disturbed { launch_id: record.launch_id.clone(), block: record.block, reasons };
            columns.entry((record.workload.clone(), record.threads, row)).or_default().push(launch);
        };
        add(None, machine);
        if let Some(row) = row {
            add(Some(row.clone()), own);
        }
    }
    let of_column =
        |((workload, threads, row), launches): ((String, u32, Option<String>), Vec<Disturbed>)| {
            withdrawn_blocks(&launches).into_iter().map(move |withdrawn| Disturbance {
                row: row.clone(),
                workload: workload.clone(),
                threads,
                block: withdrawn.block,
                reasons: withdrawn.reasons.into_iter().map(|(id, reason)| (id, reason.sentence)).collect(),
            })
        };
    columns.into_iter().flat_map(of_column).collect()
}

/// What none of the measured launches tells.
pub(super) fn unseen(records: &[LaunchRecord]) -> Vec<Kind> {
    let measured = records.iter().filter(|r| matches!(r.outcome, Outcome::Measured(_)));
    let each: Vec<Vec<Kind>> = measured.map(|r| unavailable(&seen(r))).collect();
    let Some(first) = each.first() else { return Vec::new() };
    first.iter().copied().filter(|kind| each.iter().all(|kinds| kinds.contains(kind))).collect()
}

fn seen(record: &LaunchRecord) -> Seen {
    let conditions = &record.conditions;
    let canary = conditions.canary.map(|c| {
        [("arithmetic", c.compute_ns), ("read", c.read_ns)].map(|(name, ns)| (name.to_owned(), ns as f64))
    });
    let swapped = conditions.pages_swapped_in.zip(conditions.pages_swapped_out);
    let window = match &record.outcome {
        Outcome::Measured(measured) => measured.cpu.window.as_ref(),
        Outcome::Failed { .. } => None,
    };
    let seconds = conditions.duration_ns.map(ns_to_s).filter(|&s| s > 0.0);
    Seen {
        canary: canary.into_iter().flatten().collect(),
        steal_share: stolen(conditions),
        other_cpu_cores: conditions.other_cpu_s.zip(seconds).map(|(cpu_s, s)| cpu_s / s),
        involuntary_switches_per_s: window.and_then(|w| switches(w, record.threads)),
        swapped_pages: swapped.map(|(read, written)| read + written),
        major_faults: window.and_then(|w| w.major_faults),
        throttle_events: conditions.throttled,
        pause_s: None,
    }
}

/// Of the processor time that was wanted, used or not: idle processors lose none, however many there are. Where a bundle does not have the
/// parts, the share of all time stands.
fn stolen(conditions: &Conditions) -> Option<f64> {
    let share =
        |(steal_s, busy_s): (f64, f64)| (steal_s + busy_s > 0.0).then(|| steal_s / (steal_s + busy_s));
    conditions.steal_s.zip(conditions.busy_cpu_s).and_then(share).or(conditions.steal_share)
}

/// Since the launch on the line before, if the two are compared. A cross-check is in no pair.
fn pause_s(record: &LaunchRecord, before: &LaunchRecord) -> Option<f64> {
    let column = |r: &LaunchRecord| (r.block, r.workload.clone(), r.threads);
    let is_paired = |r: &LaunchRecord| r.role != Role::CrossCheck;
    let is_one = is_paired(record) && is_paired(before) && column(record) == column(before);
    is_one.then(|| record.pause_s(before)).flatten()
}

/// Shorter windows have no rate: one switch would be too many.
const WINDOW_S_MIN: f64 = 0.1;

/// Per second and thread.
fn switches(window: &CpuSpan, threads: u32) -> Option<f64> {
    let wall_s = window.wall_s.filter(|&s| s >= WINDOW_S_MIN)?;
    Some(window.involuntary_switches? as f64 / wall_s / f64::from(threads.max(1)))
}
