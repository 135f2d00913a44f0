//! The control pair: the baseline beside itself, launched under two labels in the same blocks. What differs between
//! the two is the machine's noise.

use super::{Summary, metric_key};
use crate::bundle::Manifest;
use crate::sample::{LaunchRecord, Metric, Outcome, Role};
use crate::stats::{self, Ratio};
use crate::verdict::{Judgement, judge};
use crate::withdrawal::{column_verdicts_withdrawn, session_verdicts_withdrawn};

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
    /// Second label / first, paired by block; `None` without an undisturbed block that has both.
    pub ratio: Option<Ratio>,
    /// What that would say of two different rows.
    pub judgement: Judgement,
}

/// Every comparison of the control pair, by workload, threads and metric; empty where the scenario has none.
pub(super) fn control(summary: &Summary, manifest: &Manifest, records: &[LaunchRecord]) -> Vec<ControlCheck> {
    let mut checks = Vec::new();
    let Some(baseline) = summary.rows.iter().position(|r| r.is_baseline) else { return checks };
    if !manifest.scenario.control {
        return checks;
    }
    for workload in &summary.workloads {
        let name = &workload.workload.name;
        for cell in workload.cells.iter().filter(|c| c.row == baseline) {
            for metric in METRICS {
                let Some(base) = cell.metrics.get(&metric) else { continue };
                let again = |block: u32| value(records, (name, cell.threads, block), metric);
                let both: Vec<(u32, (f64, f64))> = base
                    .samples
                    .iter()
                    .filter_map(|&(block, value)| Some((block, (again(block)?, value))))
                    .collect();
                let undisturbed = both.iter().filter(|(block, _)| !cell.withdrawn.contains(block));
                let pairs: Vec<(f64, f64)> = undisturbed.map(|(_, pair)| *pair).collect();
                let ratio = stats::paired_ratio(&pairs, manifest.seed);
                let judgement = match &ratio {
                    Some(ratio) => judge(metric, ratio, summary.margin),
                    None if both.is_empty() => Judgement::invalid("its second half was measured in no block"),
                    None => Judgement::invalid(
                        "something disturbed every block in which both halves were measured",
                    ),
                };
                let (workload, threads) = (name.clone(), cell.threads);
                checks.push(ControlCheck { workload, threads, metric, ratio, judgement });
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

/// Why those of one workload and thread count do not.
pub(super) fn unshown(checks: &[ControlCheck], workload: &str, threads: u32) -> Option<String> {
    let of_column = checks.iter().filter(|c| c.workload == workload && c.threads == threads);
    of_column.map(|check| &check.judgement).find_map(column_verdicts_withdrawn)
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
