//! Cells: launches of one framework on one workload at one thread count, gathered.

use super::{CellSummary, Clock, Failure, MemorySummary, MetricSummary, NotRanked, Row, WorkloadSummary};
use crate::bundle::Manifest;
use crate::protocol::WeightsClass;
use crate::sample::{FailureKind, LaunchRecord, Measured, Memory, Metric, Outcome, Role};
use crate::scenario::Workload;
use crate::stats;
use std::collections::BTreeMap;

/// Gathers a workload's cells; comparisons are added later.
pub(super) fn workload(
    manifest: &Manifest,
    records: &[LaunchRecord],
    rows: &[Row],
    clock: Option<&Clock>,
    workload: &Workload,
) -> WorkloadSummary {
    let threads = manifest.scenario.threads.clone();
    let mut cells = Vec::new();
    for &count in &threads {
        for (index, row) in rows.iter().enumerate() {
            let mut launches: Vec<&LaunchRecord> = records
                .iter()
                .filter(|r| r.role == Role::Measure && r.framework == row.label)
                .filter(|r| r.workload == workload.name && r.threads == count)
                .collect();
            launches.sort_by_key(|r| (r.block, r.position));
            cells.push(cell(manifest, index, row, count, &launches, clock));
        }
    }
    WorkloadSummary { workload: workload.clone(), threads, cells, standings: Vec::new() }
}

fn cell(
    manifest: &Manifest,
    index: usize,
    row: &Row,
    threads: u32,
    launches: &[&LaunchRecord],
    clock: Option<&Clock>,
) -> CellSummary {
    let measured: Vec<(u32, &Measured)> = launches.iter().filter_map(|r| measured(r)).collect();
    let metrics: BTreeMap<Metric, MetricSummary> = Metric::ALL
        .into_iter()
        .filter_map(|metric| Some((metric, metric_summary(metric, &measured, manifest.seed)?)))
        .collect();
    let decode = metrics.get(&Metric::Decode).map(|m| m.estimate.value);
    CellSummary {
        row: index,
        threads,
        n_measured: measured.len(),
        n_failed: launches.len() - measured.len(),
        failure: measured.is_empty().then(|| failure(row, launches)),
        not_ranked: not_ranked(&measured),
        // The worst of them: one requantized launch is enough.
        weights_class: measured.iter().map(|(_, m)| m.weights_class).max(),
        scaling: None,
        memory: memory(&measured, metrics.get(&Metric::PeakRss), manifest.model.bytes),
        decode_per_ghz_core: clock.zip(decode).map(|(c, d)| d / (c.ghz * f64::from(threads))),
        metrics,
    }
}

fn measured(record: &LaunchRecord) -> Option<(u32, &Measured)> {
    match &record.outcome {
        Outcome::Measured(measured) => Some((record.block, measured)),
        Outcome::Failed { .. } => None,
    }
}

fn metric_summary(metric: Metric, launches: &[(u32, &Measured)], seed: u64) -> Option<MetricSummary> {
    let samples: Vec<(u32, f64)> = launches
        .iter()
        .filter_map(|(block, m)| Some((*block, m.metric(metric).filter(|v| v.is_finite())?)))
        .collect();
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    Some(MetricSummary {
        estimate: stats::estimate(&values, seed)?,
        outliers: stats::tukey_outliers(&values),
        samples,
        comparison: None,
    })
}

fn failure(row: &Row, launches: &[&LaunchRecord]) -> String {
    let first = launches.iter().find_map(|r| match &r.outcome {
        Outcome::Failed { kind, message, .. } => Some(format!("{}: {message}", kind_words(*kind))),
        Outcome::Measured(_) => None,
    });
    first.or_else(|| row.unavailable.clone()).unwrap_or_else(|| "not run".to_owned())
}

fn not_ranked(launches: &[(u32, &Measured)]) -> Option<NotRanked> {
    let failed: Vec<_> = launches.iter().filter(|(_, m)| !m.gates_passed()).collect();
    if let Some(gate) = failed.iter().flat_map(|(_, m)| &m.gates).find(|g| !g.passed) {
        return Some(NotRanked::Gate(format!(
            "gate {} failed in {} of {} launches: wanted {}, saw {}",
            gate.name,
            failed.len(),
            launches.len(),
            gate.wanted,
            gate.seen
        )));
    }
    launches
        .iter()
        .any(|(_, m)| m.weights_class == WeightsClass::C)
        .then(|| NotRanked::Requantized("requantized weights (class C) are never ranked".to_owned()))
}

fn memory(launches: &[(u32, &Measured)], peak: Option<&MetricSummary>, model_bytes: u64) -> MemorySummary {
    let over = |part: fn(&Memory) -> Option<u64>| {
        let values: Vec<f64> =
            launches.iter().filter_map(|(_, m)| part(&m.memory)).map(|b| b as f64).collect();
        stats::median(&values)
    };
    MemorySummary {
        anon_bytes: over(|m| m.rss_anon_bytes),
        file_bytes: over(|m| m.rss_file_bytes),
        pss_bytes: over(|m| m.pss_bytes),
        overhead_bytes: peak.map(|p| p.estimate.value - model_bytes as f64),
    }
}

/// Everything that was to be measured and was not; equal failures of one cell are one entry.
pub(super) fn failures(rows: &[Row], manifest: &Manifest, records: &[&LaunchRecord]) -> Vec<Failure> {
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
        let mut launches: Vec<_> = records.iter().filter(|r| r.framework == row.label).collect();
        launches.sort_by(|a, b| {
            (&a.workload, a.threads, a.block, a.position).cmp(&(&b.workload, b.threads, b.block, b.position))
        });
        for record in launches {
            let Outcome::Failed { kind, message, .. } = &record.outcome else { continue };
            if row.unavailable.as_ref() == Some(message) {
                continue;
            }
            let cell = Some((record.workload.clone(), record.threads));
            let same = |f: &&mut Failure| {
                f.label == row.label && f.cell == cell && f.kind == *kind && f.message == *message
            };
            match failures.iter_mut().find(same) {
                Some(failure) => failure.blocks.push(record.block),
                None => failures.push(Failure {
                    label: row.label.clone(),
                    name: row.name.clone(),
                    cell,
                    blocks: vec![record.block],
                    kind: *kind,
                    message: message.clone(),
                }),
            }
        }
    }
    failures
}

/// A kind of failure, in words.
pub(crate) fn kind_words(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Missing => "missing",
        FailureKind::Unsupported => "not supported",
        FailureKind::Spawn => "could not be started",
        FailureKind::Crashed => "crashed",
        FailureKind::TimedOut => "timed out",
        FailureKind::Garbage => "broke the protocol",
        FailureKind::Reported => "reported an error",
        FailureKind::WrongLength => "wrong number of tokens",
    }
}
