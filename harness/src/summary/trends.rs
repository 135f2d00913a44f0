//! What drifted from block to block, and what the harness itself took of the processors.

use super::Summary;
use crate::sample::{LaunchRecord, Metric, Outcome, Role};
use crate::stats::{self, Trend};

/// A cell whose figures rise or fall with the blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Index into [`Summary::rows`].
    pub row: usize,
    /// Workload.
    pub workload: String,
    /// Threads.
    pub threads: u32,
    /// Which figure.
    pub metric: Metric,
    /// The trend.
    pub trend: Trend,
    /// Its p, by Holm over all cells and both metrics.
    pub p_holm: f64,
}

/// The trends of prefill and decode of every cell over its blocks.
pub(super) fn drifts(summary: &Summary) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for workload in &summary.workloads {
        for cell in &workload.cells {
            for metric in [Metric::Prefill, Metric::Decode] {
                let values =
                    cell.metrics.get(&metric).map(|m| m.samples.iter().map(|s| s.1).collect::<Vec<_>>());
                let Some(trend) = values.and_then(|v| stats::trend(&v)) else { continue };
                let workload = workload.workload.name.clone();
                drifts.push(Drift {
                    row: cell.row,
                    workload,
                    threads: cell.threads,
                    metric,
                    trend,
                    p_holm: 1.0,
                });
            }
        }
    }
    let corrected = stats::holm(&drifts.iter().map(|d| d.trend.p).collect::<Vec<_>>());
    drifts.iter_mut().zip(corrected).for_each(|(drift, p)| drift.p_holm = p);
    drifts
}

/// The harness's own processor time while a row's launches were timed, as a share of one processor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HarnessShare {
    /// Index into [`Summary::rows`].
    pub row: usize,
    /// Median over launches.
    pub median: f64,
    /// Largest.
    pub max: f64,
    /// Launches.
    pub n: usize,
}

/// For every row whose launches tell.
pub(super) fn harness_shares(summary: &Summary, records: &[LaunchRecord]) -> Vec<HarnessShare> {
    let of_row = |(row, label): (usize, &str)| {
        let measured = records.iter().filter(|r| r.role == Role::Measure && r.framework == label);
        let shares: Vec<f64> = measured
            .filter_map(|r| match &r.outcome {
                Outcome::Measured(m) => m.cpu.window.as_ref()?.harness_share(),
                Outcome::Failed { .. } => None,
            })
            .collect();
        let max = shares.iter().copied().fold(0.0, f64::max);
        Some(HarnessShare { row, median: stats::median(&shares)?, max, n: shares.len() })
    };
    summary.rows.iter().map(|r| r.label.as_str()).enumerate().filter_map(of_row).collect()
}
