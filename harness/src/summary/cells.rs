//! Cells: launches of one framework on one workload at one thread count, gathered.

use super::failures::kind_words;
use super::{CellSummary, Clock, MemorySummary, MetricSummary, NotRanked, Row, WorkloadSummary};
use crate::bundle::Manifest;
use crate::protocol::WeightsClass;
use crate::sample::{LaunchRecord, Measured, Memory, Metric, Outcome, Role};
use crate::scenario::Workload;
use crate::stats;
use std::collections::BTreeMap;

/// Gathers a workload's cells; comparisons are added later.
pub(super) fn workload(
    manifest: &Manifest,
    records: &[LaunchRecord],
    rows: &[Row],
    clocks: &BTreeMap<u32, Clock>,
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
            cells.push(cell(manifest, index, row, count, &launches, clocks.get(&count)));
        }
    }
    WorkloadSummary {
        workload: workload.clone(),
        threads,
        cells,
        standings: Vec::new(),
        leanest: Vec::new(),
        choices: Vec::new(),
    }
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
        withdrawn: Default::default(),
        scaling: None,
        roofline: None,
        energy_j_per_token: energy(&measured),
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

fn energy(launches: &[(u32, &Measured)]) -> Option<f64> {
    let of_launch = |(_, m): &(u32, &Measured)| {
        let requests = m.cold.iter().map(|c| &c.request).chain(&m.requests);
        let n_tokens: usize = requests.map(|r| r.n_prompt as usize + r.token_ids.len()).sum();
        let energy_j = m.cpu.window.as_ref()?.energy_j?;
        (n_tokens > 0).then(|| energy_j / n_tokens as f64)
    };
    stats::median(&launches.iter().filter_map(of_launch).collect::<Vec<_>>())
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
        footprint_bytes: over(|m| m.footprint_peak_bytes),
        overhead_bytes: peak.map(|p| p.estimate.value - model_bytes as f64),
    }
}
