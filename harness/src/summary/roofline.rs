//! The share of what memory alone would allow: decode against the measured read bandwidth.

use super::{Summary, WorkloadSummary};
use crate::bundle::Manifest;
use crate::sample::Metric;

/// A row's decode against the bandwidth at its thread count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Bytes that a token reads at the middle of the generation: every weight once, and the keys and values up to there.
    pub bytes_per_token: f64,
    /// Best measured read bandwidth at this thread count, 10⁹ bytes per second.
    pub read_gb_s: f64,
    /// Decode × bytes / bandwidth.
    pub share: f64,
}

/// Adds the share to every cell that has a decode rate; nothing where the bandwidth was not measured.
pub(super) fn add(summary: &mut Summary, manifest: &Manifest) {
    let Some(reads) = manifest.model.read_per_token else { return };
    for workload in &mut summary.workloads {
        let WorkloadSummary { workload, cells, .. } = workload;
        let depth = f64::from(workload.prompt_tokens) + f64::from(workload.generate_tokens) / 2.0;
        let bytes_per_token = reads.weights_bytes as f64 + reads.kv_bytes_per_position as f64 * depth;
        for cell in cells {
            let found = manifest.machine.read_bandwidth.iter().find(|b| b.threads == cell.threads);
            let decode = cell.estimate(Metric::Decode).map(|e| e.value);
            cell.roofline = found.zip(decode).map(|(found, decode)| Roofline {
                bytes_per_token,
                read_gb_s: found.best_gb_s,
                share: decode * bytes_per_token / (found.best_gb_s * 1e9),
            });
        }
    }
}
