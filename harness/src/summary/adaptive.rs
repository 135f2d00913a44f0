//! How many blocks a session takes. A pure function of its samples, so that anybody can see why it ended where it did.

use super::{Summary, summarize};
use crate::bundle::Manifest;
use crate::sample::{LaunchRecord, Metric};
use crate::stats::{Schedule, blocks_wanted, relative_width};
use crate::verdict::Verdict;

/// The metrics whose ratios must be known well enough.
const METRICS: [Metric; 2] = [Metric::Prefill, Metric::Decode];

/// Blocks that the session takes as far as `records` tell: the scenario's number, or more where it names a width that is not
/// reached. `records` hold every launch of the first blocks; of a later, unfinished one they may hold some.
pub fn blocks_due(manifest: &Manifest, records: &[LaunchRecord], n_complete: u32) -> u32 {
    let scenario = &manifest.scenario;
    let Some(target_ci) = scenario.target_ci else { return scenario.blocks };
    let schedule = Schedule { initial: scenario.blocks, max: scenario.blocks_max, target_ci };
    let mut due = scenario.blocks;
    while due <= n_complete {
        let so_far: Vec<LaunchRecord> = records.iter().filter(|r| r.block < due).cloned().collect();
        let wanted = blocks_wanted(&schedule, due, &widths(&summarize(manifest, &so_far)));
        if wanted == due {
            break;
        }
        due = wanted;
    }
    due
}

/// Relative widths of the intervals of all ratios that may be ranked; `None` for one that has no interval, or that is missing because something
/// disturbed its blocks.
fn widths(summary: &Summary) -> Vec<Option<f64>> {
    let cells = summary.workloads.iter().flat_map(|w| &w.cells).filter(|c| c.is_ranked());
    let comparisons = cells.flat_map(|c| METRICS.into_iter().filter_map(|metric| c.comparison(metric)));
    let due = comparisons.filter(|c| c.ratio.is_some() || c.judgement.verdict == Verdict::Unresolved);
    due.map(|c| relative_width(c.ratio.as_ref()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Speed, manifest, measured};

    /// Six to twelve blocks of two rows; from block `calm_from` on both vary by a fraction of a percent only.
    fn due(target_ci: Option<f64>, n_complete: u32, wobble: f64) -> u32 {
        due_with(target_ci, n_complete, wobble, |_| ())
    }

    fn due_with(
        target_ci: Option<f64>,
        n_complete: u32,
        wobble: f64,
        disturb: impl Fn(&mut LaunchRecord),
    ) -> u32 {
        let mut manifest = manifest(&["llama.cpp", "engine"], 20);
        (manifest.scenario.blocks, manifest.scenario.blocks_max) = (6, 20);
        manifest.scenario.target_ci = target_ci;
        let workload = manifest.scenario.workloads[0].clone();
        let launches = manifest.plan.launches.iter().filter(|l| l.block < n_complete);
        let records: Vec<LaunchRecord> = launches
            .map(|l| {
                let sign = if l.block % 2 == 0 { 1.0 } else { -1.0 };
                let factor = if l.cell.framework == "engine" { 1.0 + sign * wobble } else { 1.0 };
                let speed = Speed { decode_tok_s: 90.0 * factor, parallel_share: 0.9, anon_mb: 40 };
                let mut record = measured(l, speed, &workload);
                disturb(&mut record);
                record
            })
            .collect();
        blocks_due(&manifest, &records, n_complete)
    }

    #[test]
    fn blocks_are_added_while_an_interval_is_wide() {
        assert_eq!(due(None, 6, 0.2), 6);
        assert_eq!(due(Some(0.05), 0, 0.2), 6);
        assert_eq!(due(Some(0.1), 6, 0.001), 6);
        assert_eq!(due(Some(0.05), 6, 0.2), 10);
        assert_eq!(due(Some(0.05), 10, 0.2), 14);
        assert_eq!(due(Some(0.05), 20, 0.2), 20);
    }

    #[test]
    fn blocks_that_were_all_disturbed_are_made_up_for() {
        let from = |first_undisturbed: u32| {
            due_with(Some(0.1), 6, 0.001, move |record| {
                record.conditions.pages_swapped_in = Some(u64::from(record.block < first_undisturbed));
                record.conditions.pages_swapped_out = Some(0);
            })
        };
        assert_eq!(from(0), 6);
        assert_eq!(from(5), 10, "one pair has no interval");
        assert_eq!(from(6), 10, "none is left");
    }
}
