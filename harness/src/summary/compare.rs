//! Comparisons: each row against the baseline, and each thread count against one thread, paired by block.

use super::control::unshown;
use super::{CellSummary, Comparison, Leanness, Row, Standing, Summary, WorkloadSummary};
use crate::sample::Metric;
use crate::stats::{self, Ratio};
use crate::verdict::{Judgement, Verdict, judge};
use std::collections::BTreeMap;

/// How ratios are judged at one workload and thread count.
struct Judge {
    margin: f64,
    /// Why none ranks.
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
    let Summary { margin, noise, control, rows, workloads, .. } = summary;
    for workload in workloads {
        add_scaling(workload, seed);
        for threads in workload.threads.clone() {
            let noise = noise.clone().or_else(|| unshown(control, &workload.workload.name, threads));
            let judge = &Judge { margin: *margin, noise };
            workload.standings.extend(standing(workload, rows, threads, Metric::Decode, judge, seed));
            if let Some(subject) = subject {
                workload.leanest.extend(leanness(workload, threads, subject, judge, seed));
            }
            if let Some(baseline) = baseline {
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
    /// Why no verdict stands at a workload and thread count, by the control pair; `None` where they stand.
    pub fn noise_at(&self, workload: &str, threads: u32) -> Option<String> {
        self.noise.clone().or_else(|| unshown(&self.control, workload, threads))
    }

    /// Which row is best in `metric` at a thread count, and whether that can be told; `None` where no row may be ranked.
    /// `seed`: the run's.
    pub fn standing_in(
        &self,
        workload: &WorkloadSummary,
        metric: Metric,
        threads: u32,
        seed: u64,
    ) -> Option<Standing> {
        let judge = Judge { margin: self.margin, noise: self.noise_at(&workload.workload.name, threads) };
        standing(workload, &self.rows, threads, metric, &judge, seed)
    }
}

/// Among the rows of the main tables: a framework does not lead over a variant of its own. The two largest medians are compared; where the
/// undisturbed blocks say that the second is the better one, it leads.
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
    let leader = *ranked.first()?;
    let entry = |c: &CellSummary| rows[c.row].variant.as_ref().map_or(&rows[c.row].label, |v| &v.of);
    let Some(second) = ranked.into_iter().find(|c| entry(c) != entry(leader)) else {
        let judgement = Judgement::invalid("no second row to compare with");
        return Some(Standing { threads, leader: leader.row, second: None, ratio: None, judgement });
    };
    let standing = |leader: &CellSummary, second: &CellSummary| {
        let ratio = ratio(leader, second, metric, seed);
        let none = || Judgement::unresolved("they share no undisturbed block");
        let judgement = ratio.map_or_else(none, |ratio| judge.judge(metric, &ratio));
        Standing { threads, leader: leader.row, second: Some(second.row), ratio, judgement }
    };
    let by_median = standing(leader, second);
    Some(if by_median.judgement.verdict == Verdict::Slower { standing(second, leader) } else { by_median })
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
        None if !cell.withdrawn.is_empty() || !base.withdrawn.is_empty() => {
            Judgement::unresolved("something disturbed every block in which both were measured")
        }
        None => Judgement::invalid("no block in which both have this figure"),
    }
}

/// a / b over the blocks in which both have the metric.
pub(crate) fn ratio(a: &CellSummary, b: &CellSummary, metric: Metric, seed: u64) -> Option<Ratio> {
    stats::paired_ratio(&pairs(a, b, metric), seed)
}

/// The metric of both in each block in which both have it and nothing disturbed either.
pub(crate) fn pairs(a: &CellSummary, b: &CellSummary, metric: Metric) -> Vec<(f64, f64)> {
    let samples =
        |cell: &CellSummary| cell.metrics.get(&metric).map(|m| m.samples.clone()).unwrap_or_default();
    let denominators: BTreeMap<u32, f64> = samples(b).into_iter().collect();
    let undisturbed = |(block, _): &(u32, f64)| !a.withdrawn.contains(block) && !b.withdrawn.contains(block);
    let pair = |(block, value)| Some((value, *denominators.get(&block)?));
    samples(a).into_iter().filter(undisturbed).filter_map(pair).collect()
}
