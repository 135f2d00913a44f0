//! `summary.csv`: the summary, one line for each cell and metric, unrounded.

use super::{CellSummary, MetricSummary, Summary, metric_key};
use crate::escape::csv_text;
use crate::stats::Interval;

const HEADER: [&str; 20] = [
    "framework",
    "workload",
    "threads",
    "metric",
    "value",
    "lo",
    "hi",
    "n",
    "n_failed",
    "outliers",
    "ratio",
    "ratio_lo",
    "ratio_hi",
    "ratio_n",
    "p",
    "p_holm",
    "verdict",
    "weights_class",
    "simulated",
    "reason",
];

/// The summary as CSV.
pub fn to_csv(summary: &Summary) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut lines = vec![HEADER.map(str::to_owned)];
    for workload in &summary.workloads {
        for cell in &workload.cells {
            let line = |metric: &str, m: Option<&MetricSummary>| {
                line(summary, &workload.workload.name, cell, metric, m)
            };
            if cell.metrics.is_empty() {
                lines.push(line("", None));
            }
            lines.extend(cell.metrics.iter().map(|(&metric, m)| line(metric_key(metric), Some(m))));
        }
    }
    for line in lines {
        writer
            .write_record(line)
            .expect("writing to memory succeeds, and every line has the header's length");
    }
    let bytes = writer.into_inner().expect("writing to memory succeeds");
    String::from_utf8(bytes).expect("every field is text")
}

fn line(
    summary: &Summary,
    workload: &str,
    cell: &CellSummary,
    metric: &str,
    m: Option<&MetricSummary>,
) -> [String; 20] {
    let row = &summary.rows[cell.row];
    let estimate = m.map(|m| m.estimate);
    let comparison = m.and_then(|m| m.comparison.as_ref());
    let ratio = comparison.and_then(|c| c.ratio);
    let reason = comparison
        .and_then(|c| c.judgement.reason.clone())
        .or_else(|| cell.failure.clone())
        .or_else(|| cell.not_ranked.as_ref().map(|n| n.reason().to_owned()));
    let (lo, hi) = ends(estimate.and_then(|e| e.interval));
    let (ratio_lo, ratio_hi) = ends(ratio.and_then(|r| r.interval));
    [
        csv_text(&row.label),
        csv_text(workload),
        cell.threads.to_string(),
        metric.to_owned(),
        number(estimate.map(|e| e.value)),
        lo,
        hi,
        cell.n_measured.to_string(),
        cell.n_failed.to_string(),
        m.map_or(0, |m| m.outliers.len()).to_string(),
        number(ratio.map(|r| r.value)),
        ratio_lo,
        ratio_hi,
        ratio.map(|r| r.n.to_string()).unwrap_or_default(),
        number(ratio.map(|r| r.p)),
        number(comparison.and_then(|c| c.p_holm)),
        comparison.map(|c| c.judgement.verdict.word().to_owned()).unwrap_or_default(),
        cell.weights_class.map(|c| format!("{c:?}")).unwrap_or_default(),
        row.is_simulated.to_string(),
        csv_text(&reason.unwrap_or_default()),
    ]
}

fn ends(interval: Option<Interval>) -> (String, String) {
    (number(interval.map(|i| i.lo)), number(interval.map(|i| i.hi)))
}

fn number(value: Option<f64>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}
