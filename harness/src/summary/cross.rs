//! Cross-checks: another program's figures, or a framework's own, beside those of the harness.

use super::{Summary, WorkloadSummary};
use crate::sample::{LaunchRecord, Metric, Outcome, Role};
use crate::scenario::{CROSS_CHECK_FRAMEWORK, CROSS_CHECK_LABEL};
use crate::stats;
use std::collections::BTreeMap;

/// One figure beside ours.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossCheck {
    /// Row label.
    pub label: String,
    /// Name of the row.
    pub name: String,
    /// Program that gave the figure; `None` where it is the framework's own clock in our launches.
    pub program: Option<String>,
    /// Workload.
    pub workload: String,
    /// Threads.
    pub threads: u32,
    /// What it is a figure of.
    pub metric: Metric,
    /// Its median.
    pub theirs: f64,
    /// Values behind it.
    pub n: usize,
    /// Our median for the same cell, where there is one.
    pub ours: Option<f64>,
}

/// Row, workload, threads, program and metric of one comparison.
type Key = (usize, String, u32, Option<String>, Metric);

impl CrossCheck {
    /// theirs / ours − 1.
    pub fn difference(&self) -> Option<f64> {
        self.ours.filter(|&o| o > 0.0).map(|ours| self.theirs / ours - 1.0)
    }
}

/// All cross-checks, by workload, threads, row, program and metric.
pub(super) fn cross_checks(summary: &Summary, records: &[LaunchRecord]) -> Vec<CrossCheck> {
    let mut values: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    for record in records {
        let Outcome::Measured(measured) = &record.outcome else { continue };
        let Some(row) = row_of(summary, record) else { continue };
        let program = (record.role == Role::CrossCheck).then(|| program_name(&record.argv));
        let mut add = |metric, new: &[f64]| {
            let key = (row, record.workload.clone(), record.threads, program.clone(), metric);
            values.entry(key).or_default().extend(new.iter().filter(|v| v.is_finite()));
        };
        for reported in &measured.reported {
            if let Some(metric) = metric_of(&reported.name) {
                add(metric, &reported.values);
            }
        }
        if record.role == Role::CrossCheck && measured.reported.is_empty() {
            for metric in [Metric::Prefill, Metric::Decode] {
                add(metric, measured.metric(metric).as_slice());
            }
        }
    }
    values.into_iter().filter_map(|(key, values)| cross_check(summary, key, &values)).collect()
}

/// The row that a record's figures belong beside: llama-bench's stand beside llama.cpp's.
fn row_of(summary: &Summary, record: &LaunchRecord) -> Option<usize> {
    let own = summary.rows.iter().position(|r| r.label == record.framework);
    if record.role == Role::CrossCheck && record.framework == CROSS_CHECK_LABEL {
        return own.or_else(|| summary.rows.iter().position(|r| r.id == CROSS_CHECK_FRAMEWORK));
    }
    own
}

fn cross_check(summary: &Summary, key: Key, values: &[f64]) -> Option<CrossCheck> {
    let (row, workload, threads, program, metric) = key;
    let ours = summary
        .workloads
        .iter()
        .find(|w| w.workload.name == workload)
        .and_then(|w: &WorkloadSummary| w.cell(row, threads)?.estimate(metric));
    Some(CrossCheck {
        label: summary.rows[row].label.clone(),
        name: summary.rows[row].name.clone(),
        program,
        workload,
        threads,
        metric,
        theirs: stats::median(values)?,
        n: values.len(),
        ours: ours.map(|e| e.value),
    })
}

fn metric_of(name: &str) -> Option<Metric> {
    Some(match name {
        "prefill_tok_s" => Metric::Prefill,
        "decode_tok_s" => Metric::Decode,
        "load_s" => Metric::Load,
        "ttft_ms" => Metric::TtftWarm,
        _ => return None,
    })
}

/// The program's file name, without the directory.
fn program_name(argv: &[String]) -> String {
    let path = argv.first().map_or("", String::as_str);
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.strip_suffix(".exe").unwrap_or(name);
    if name.is_empty() { "another program".to_owned() } else { name.to_owned() }
}
