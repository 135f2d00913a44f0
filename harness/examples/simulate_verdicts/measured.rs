//! The noise of committed runs: what the simulated one is to be held against.

use harness::bundle::Bundle;
use harness::sample::Metric;
use harness::summary::{CellSummary, summarize};
use std::collections::BTreeMap;

/// How much a row's figures vary in a bundle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spread {
    pub(crate) metric: Metric,
    pub(crate) threads: u32,
    pub(crate) row: String,
    pub(crate) blocks: usize,
    /// Standard deviation of the logarithm of a launch's figure.
    pub(crate) launch_sd: f64,
    /// That of the log ratio to the baseline, by block.
    pub(crate) ratio_sd: f64,
}

/// Decode and prefill of every row but the baseline.
pub(crate) fn spreads(bundle: &Bundle) -> Vec<Spread> {
    let summary = summarize(&bundle.manifest, &bundle.records);
    let baseline = summary.rows.iter().position(|r| r.is_baseline);
    let mut spreads = Vec::new();
    for workload in &summary.workloads {
        for metric in [Metric::Prefill, Metric::Decode] {
            for cell in workload.cells.iter().filter(|c| Some(c.row) != baseline) {
                let base = baseline.and_then(|row| workload.cell(row, cell.threads));
                let logs = base.and_then(|base| Some((logs(cell, metric)?, logs(base, metric)?)));
                let Some((own, base)) = logs else { continue };
                let ratios: Vec<f64> =
                    own.iter().filter_map(|(block, log)| Some(log - base.get(block)?)).collect();
                spreads.push(Spread {
                    metric,
                    threads: cell.threads,
                    row: summary.rows[cell.row].label.clone(),
                    blocks: ratios.len(),
                    launch_sd: sd(&own.into_values().collect::<Vec<_>>()),
                    ratio_sd: sd(&ratios),
                });
            }
        }
    }
    spreads
}

fn logs(cell: &CellSummary, metric: Metric) -> Option<BTreeMap<u32, f64>> {
    Some(cell.metrics.get(&metric)?.samples.iter().map(|&(block, value)| (block, value.ln())).collect())
}

fn sd(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}
