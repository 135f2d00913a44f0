//! The control pair: the baseline beside itself, launched under two labels in the same blocks. What differs between
//! the two is the machine's noise.

use super::{Summary, metric_key};
use crate::sample::{LaunchRecord, Metric, Outcome, Role};
use crate::stats::{self, Ratio};
use crate::verdict::{Judgement, judge};
use crate::withdrawal::session_verdicts_withdrawn;

/// The metrics that the control pair is compared in: those that rank.
const METRICS: [Metric; 2] = [Metric::Prefill, Metric::Decode];

/// One comparison of the baseline with itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlCheck {
    /// Workload.
    pub workload: String,
    /// Threads.
    pub threads: u32,
    /// What was compared.
    pub metric: Metric,
    /// Second label / first, paired by block.
    pub ratio: Ratio,
    /// What that would say of two different rows.
    pub judgement: Judgement,
}

/// Every comparison of the control pair, by workload, threads and metric; empty without one.
pub(super) fn control(summary: &Summary, records: &[LaunchRecord], seed: u64) -> Vec<ControlCheck> {
    let mut checks = Vec::new();
    let Some(baseline) = summary.rows.iter().position(|r| r.is_baseline) else { return checks };
    for workload in &summary.workloads {
        let name = &workload.workload.name;
        for cell in workload.cells.iter().filter(|c| c.row == baseline) {
            for metric in METRICS {
                let Some(base) = cell.metrics.get(&metric) else { continue };
                let again = |block: u32| value(records, (name, cell.threads, block), metric);
                let pairs: Vec<(f64, f64)> = base
                    .samples
                    .iter()
                    .filter(|(block, _)| !cell.withdrawn.contains(block))
                    .filter_map(|&(block, value)| Some((again(block)?, value)))
                    .collect();
                let Some(ratio) = stats::paired_ratio(&pairs, seed) else { continue };
                let judgement = judge(metric, &ratio, summary.margin);
                checks.push(ControlCheck {
                    workload: name.clone(),
                    threads: cell.threads,
                    metric,
                    ratio,
                    judgement,
                });
            }
        }
    }
    checks
}

/// Why the session's verdicts do not stand, if the control pair says so.
pub(super) fn noise(checks: &[ControlCheck]) -> Option<String> {
    checks.iter().find_map(|check| {
        let what = format!("{} of {}, threads {}", metric_key(check.metric), check.workload, check.threads);
        session_verdicts_withdrawn(&what, &check.judgement)
    })
}

fn value(
    records: &[LaunchRecord],
    (workload, threads, block): (&str, u32, u32),
    metric: Metric,
) -> Option<f64> {
    let is_it = |r: &&LaunchRecord| {
        r.role == Role::Control && r.block == block && r.threads == threads && r.workload == workload
    };
    match &records.iter().find(is_it)?.outcome {
        Outcome::Measured(measured) => measured.metric(metric).filter(|v| v.is_finite()),
        Outcome::Failed { .. } => None,
    }
}
