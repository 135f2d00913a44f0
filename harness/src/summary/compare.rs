//! Comparisons: each row against the baseline, and each thread count against one thread, paired by block.

use super::{CellSummary, Comparison, Leanness, Row, Standing, Summary, WorkloadSummary};
use crate::sample::Metric;
use crate::stats::{self, Ratio};
use crate::verdict::{Judgement, Verdict, judge};
use std::collections::BTreeMap;

/// How ratios are judged in this session.
struct Judge {
    margin: f64,
    noise: Option<String>,
}

impl Judge {
    fn judge(&self, metric: Metric, ratio: &Ratio) -> Judgement {
        match &self.noise {
            Some(noise) => Judgement::unresolved(noise.clone()),
            None => judge(metric, ratio, self.margin),
        }
    }
}

/// Adds scaling and comparisons with the baseline to every cell.
pub(super) fn compare(summary: &mut Summary, seed: u64) {
    let baseline = summary.rows.iter().position(|r| r.is_baseline);
    let subject = summary.rows.iter().position(|r| r.is_subject);
    let judge = &Judge { margin: summary.margin, noise: summary.noise.clone() };
    let rows = &summary.rows;
    for workload in &mut summary.workloads {
        add_scaling(workload, seed);
        let threads = workload.threads.iter();
        workload.standings =
            threads.filter_map(|&t| standing(workload, rows, t, Metric::Decode, judge, seed)).collect();
        if let Some(subject) = subject {
            let leanness = |&t: &u32| leanness(workload, t, subject, judge, seed);
            workload.leanest = workload.threads.iter().filter_map(leanness).collect();
        }
        if let Some(baseline) = baseline {
            for threads in workload.threads.clone() {
                add_comparisons(workload, threads, baseline, judge, seed);
            }
        }
    }
}

fn add_scaling(workload: &mut WorkloadSummary, seed: u64) {
    let single: BTreeMap<usize, CellSummary> = workload.at(1).map(|c| (c.row, c.clone())).collect();
    for cell in workload.cells.iter_mut().filter(|c| c.threads > 1) {
        cell.scaling = single.get(&cell.row).and_then(|one| ratio(cell, one, Metric::Decode, seed));
    }
}

impl Summary {
    /// Which row is best in `metric` at a thread count, and whether that can be told; `None` where no row may be ranked.
    /// `seed`: the run's.
    pub fn standing_in(
        &self,
        workload: &WorkloadSummary,
        metric: Metric,
        threads: u32,
        seed: u64,
    ) -> Option<Standing> {
        let judge = Judge { margin: self.margin, noise: self.noise.clone() };
        standing(workload, &self.rows, threads, metric, &judge, seed)
    }
}

/// Among the rows of the main tables: a framework does not lead over a variant of its own.
fn standing(
    workload: &WorkloadSummary,
    rows: &[Row],
    threads: u32,
    metric: Metric,
    judge: &Judge,
    seed: u64,
) -> Option<Standing> {
    let value = |c: &CellSummary| c.estimate(metric).map_or(0.0, |e| e.value);
    let mut ranked: Vec<&CellSummary> =
        workload.shown_at(rows, threads).filter(|c| c.is_ranked() && value(c) > 0.0).collect();
    ranked.sort_by(|a, b| match metric.higher_is_better() {
        true => value(b).total_cmp(&value(a)),
        false => value(a).total_cmp(&value(b)),
    });
    let (leader, second) = (ranked.first()?, ranked.get(1));
    let ratio = second.and_then(|second| ratio(leader, second, metric, seed));
    let judgement = match ratio {
        Some(ratio) => judge.judge(metric, &ratio),
        None => Judgement::invalid("no second row to compare with"),
    };
    Some(Standing { threads, leader: leader.row, second: second.map(|c| c.row), ratio, judgement })
}

fn leanness(
    workload: &WorkloadSummary,
    threads: u32,
    subject: usize,
    judge: &Judge,
    seed: u64,
) -> Option<Leanness> {
    let peak = |c: &CellSummary| c.estimate(Metric::PeakRss).map(|e| e.value);
    let ours = workload.cell(subject, threads).filter(|c| c.is_ranked() && peak(c).is_some())?;
    let mut less: Option<(usize, f64)> = None;
    let (mut n_others, mut n_larger) = (0, 0);
    let others = workload.at(threads).filter(|c| c.is_ranked() && c.row != subject);
    for (other, bytes) in others.filter_map(|c| Some((c, peak(c)?))) {
        n_others += 1;
        let ratio = ratio(ours, other, Metric::PeakRss, seed);
        match ratio.map(|ratio| judge.judge(Metric::PeakRss, &ratio).verdict) {
            Some(Verdict::Faster) => n_larger += 1,
            Some(Verdict::Slower) if less.is_none_or(|(_, least)| bytes < least) => {
                less = Some((other.row, bytes))
            }
            _ => {}
        }
    }
    Some(Leanness { threads, less: less.map(|(row, _)| row), is_least: n_others > 0 && n_larger == n_others })
}

fn add_comparisons(workload: &mut WorkloadSummary, threads: u32, baseline: usize, judge: &Judge, seed: u64) {
    let Some(base) = workload.cell(baseline, threads).cloned() else { return };
    for metric in Metric::ALL {
        let mut cells: Vec<&mut CellSummary> = workload
            .cells
            .iter_mut()
            .filter(|c| c.threads == threads && c.row != baseline && c.metrics.contains_key(&metric))
            .collect();
        let ratios: Vec<Option<Ratio>> = cells.iter().map(|c| ratio(c, &base, metric, seed)).collect();
        let comparable: Vec<bool> = cells.iter().map(|c| c.is_ranked() && base.is_ranked()).collect();
        let family: Vec<usize> = (0..cells.len()).filter(|&i| comparable[i] && ratios[i].is_some()).collect();
        let p_values: Vec<f64> = family.iter().filter_map(|&i| Some(ratios[i]?.p)).collect();
        let corrected: BTreeMap<usize, f64> = family.into_iter().zip(stats::holm(&p_values)).collect();
        for (i, cell) in cells.iter_mut().enumerate() {
            let judgement = judgement(cell, &base, metric, ratios[i].as_ref(), judge);
            let comparison = Comparison { ratio: ratios[i], p_holm: corrected.get(&i).copied(), judgement };
            if let Some(summary) = cell.metrics.get_mut(&metric) {
                summary.comparison = Some(comparison);
            }
        }
    }
}

fn judgement(
    cell: &CellSummary,
    base: &CellSummary,
    metric: Metric,
    ratio: Option<&Ratio>,
    judge: &Judge,
) -> Judgement {
    if let Some(reason) = &cell.not_ranked {
        return Judgement::invalid(reason.reason());
    }
    if let Some(reason) = &base.failure {
        return Judgement::invalid(format!("the baseline was not measured: {reason}"));
    }
    if let Some(reason) = &base.not_ranked {
        return Judgement::invalid(format!("the baseline: {}", reason.reason()));
    }
    match ratio {
        Some(ratio) => judge.judge(metric, ratio),
        None if !cell.withdrawn.is_empty() => {
            Judgement::unresolved("something disturbed every block in which both were measured")
        }
        None => Judgement::invalid("no block in which both have this figure"),
    }
}

/// a / b over the blocks in which both have the metric.
pub(crate) fn ratio(a: &CellSummary, b: &CellSummary, metric: Metric, seed: u64) -> Option<Ratio> {
    let denominators: BTreeMap<u32, f64> = b.metrics.get(&metric)?.samples.iter().copied().collect();
    let pairs: Vec<(f64, f64)> = a
        .metrics
        .get(&metric)?
        .samples
        .iter()
        .filter(|(block, _)| !a.withdrawn.contains(block) && !b.withdrawn.contains(block))
        .filter_map(|(block, value)| Some((*value, *denominators.get(block)?)))
        .collect();
    stats::paired_ratio(&pairs, seed)
}
