//! What disturbed the launches of a session, by the scenario's limits.

use super::Disturbance;
use crate::bundle::Manifest;
use crate::sample::LaunchRecord;
use crate::withdrawal::{Disturbed, Limits, Seen, canary_medians, reasons, withdrawn_blocks};
use std::collections::BTreeMap;

/// By workload, threads and block. A launch that failed, or that is a cross-check, counts as well: what disturbed it ran beside the others.
pub(super) fn disturbances(manifest: &Manifest, records: &[LaunchRecord]) -> Vec<Disturbance> {
    let limits = limits(manifest);
    let seen: Vec<Seen> = records.iter().map(seen).collect();
    let medians = canary_medians(&seen);
    let mut columns: BTreeMap<(String, u32), Vec<Disturbed>> = BTreeMap::new();
    for (record, seen) in records.iter().zip(&seen) {
        let launch = Disturbed {
            launch_id: record.launch_id.clone(),
            block: record.block,
            reasons: reasons(seen, &medians, &limits),
        };
        columns.entry((record.workload.clone(), record.threads)).or_default().push(launch);
    }
    let of_column = |((workload, threads), launches): ((String, u32), Vec<Disturbed>)| {
        withdrawn_blocks(&launches).into_iter().map(move |withdrawn| Disturbance {
            workload: workload.clone(),
            threads,
            block: withdrawn.block,
            reasons: withdrawn.reasons.into_iter().map(|(id, reason)| (id, reason.sentence)).collect(),
        })
    };
    columns.into_iter().flat_map(of_column).collect()
}

fn limits(manifest: &Manifest) -> Limits {
    let asked = &manifest.scenario.limits;
    Limits {
        canary_drift: asked.canary_drift,
        steal_share: asked.steal,
        other_cpu_cores: asked.other_cpu,
        involuntary_switches_per_s: asked.involuntary_switches_per_s,
        ..Limits::default()
    }
}

fn seen(_record: &LaunchRecord) -> Seen {
    Seen::default()
}
