//! Two bundles side by side: what differs between two sessions, and whether that can be told. Pure.
//!
//! The launches of two sessions are paired with nothing, and a machine drifts from one to the other. So the plain
//! ratio B / A decides nothing. Where both sessions measured the same baseline program, the ratio of the ratios to
//! that baseline does: each is paired by block within its session, and drift cancels.

mod check;
mod table;

pub use table::markdown;

use crate::bundle::Manifest;
use crate::sample::{LaunchRecord, Metric};
use crate::stats::{Estimate, IndependentRatio, independent_ratio};
use crate::summary::{CellSummary, Summary, WorkloadSummary, metric_key, pairs, summarize};
use crate::verdict::{BLOCKS_TO_RANK, Judgement, Verdict, judge_interval};
use serde::Serialize;

/// One of the two bundles.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Its launches.
    pub records: &'a [LaunchRecord],
}

/// Two bundles, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// [`Manifest::id`] of the bundle that is compared with.
    pub id_a: String,
    /// Of the bundle that is compared.
    pub id_b: String,
    /// What is not the same and need not be.
    pub differs: Vec<Difference>,
    /// The baseline that both share, by label; `None`: nothing can be told from drift.
    pub common_baseline: Option<String>,
    /// δ of B: ratios within 1 ± δ are equivalent.
    pub margin: f64,
    /// Two machines are compared, so there are no verdicts.
    pub across_machines: bool,
    /// Why no verdict ranks, where the control pair of one of the two withdraws those of its session.
    pub noise: Option<String>,
    /// Every (framework, workload, threads, metric) of both, in the order of B.
    pub lines: Vec<Line>,
    /// Cells that were measured in one of the two only, with the reason why not in the other.
    pub only_in_one: Vec<OnlyInOne>,
}

/// A cell that was measured in one of the two bundles only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OnlyInOne {
    /// Row label.
    pub framework: String,
    /// Workload name.
    pub workload: String,
    /// Threads.
    pub threads: u32,
    /// Whether the row is the subject of B.
    pub is_subject: bool,
    /// `A` or `B`: where it was not measured.
    pub missing_in: &'static str,
    /// Why.
    pub reason: String,
}

/// Something that is not the same in both bundles and need not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is: `kernel`, `version of engine`.
    pub what: String,
    /// In A.
    pub a: String,
    /// In B.
    pub b: String,
}

/// One metric of one cell in both bundles.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Row label.
    pub framework: String,
    /// Workload name.
    pub workload: String,
    /// Threads.
    pub threads: u32,
    /// Name with unit, as in `summary.csv`.
    pub metric: &'static str,
    /// Whether the row is the subject of B.
    pub is_subject: bool,
    /// A's median over launches.
    pub a: Figure,
    /// B's.
    pub b: Figure,
    /// B / A, of independent samples.
    pub ratio: Option<Quotient>,
    /// (B / baseline in B) / (A / baseline in A).
    pub relative: Option<Quotient>,
    /// The verdict on B against A; it rests on `relative` alone. `None` for the baseline and across machines.
    pub verdict: Option<&'static str>,
    /// Why there is none, or none that ranks.
    pub reason: Option<String>,
    /// The subject got worse by more than the margin.
    pub is_regression: bool,
    #[serde(skip)]
    pub(crate) kind: Metric,
}

/// A median with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// In the metric's unit.
    pub value: f64,
    /// Lower end of the 95% interval.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// Launches.
    pub n: usize,
}

/// A ratio of two independent samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quotient {
    /// Quotient of geometric means.
    pub value: f64,
    /// Lower end of the 95% interval, see [`independent_ratio`].
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// Values in A: launches, or blocks.
    pub n_a: usize,
    /// Values in B.
    pub n_b: usize,
}

impl From<Estimate> for Figure {
    fn from(e: Estimate) -> Figure {
        Figure { value: e.value, lo: e.interval.map(|i| i.lo), hi: e.interval.map(|i| i.hi), n: e.n }
    }
}

impl From<IndependentRatio> for Quotient {
    fn from(r: IndependentRatio) -> Quotient {
        let (lo, hi) = (r.interval.map(|i| i.lo), r.interval.map(|i| i.hi));
        Quotient { value: r.value, lo, hi, n_a: r.n_a, n_b: r.n_b }
    }
}

impl Comparison {
    /// Lines in which the subject got worse by more than the margin.
    pub fn regressions(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.is_regression)
    }

    /// Why a regression of the subject could have gone unseen, if so.
    pub fn blind_spot(&self) -> Option<String> {
        let lost = self.only_in_one.iter().find(|cell| cell.is_subject && cell.missing_in == "B");
        if let Some(OnlyInOne { framework, workload, threads, reason, .. }) = lost {
            return Some(format!(
                "{framework} was not measured in B ({workload}, {threads} threads): {reason}"
            ));
        }
        let subject = || self.lines.iter().filter(|line| line.is_subject);
        if let Some(line) = subject().find(|line| line.verdict == Some(Verdict::Invalid.word())) {
            let reason = line.reason.clone().unwrap_or_default();
            return Some(format!(
                "{} ({}, {} threads): {reason}",
                line.framework, line.workload, line.threads
            ));
        }
        if let Some(noise) = &self.noise {
            return Some(noise.clone());
        }
        let is_judged = |line: &Line| line.verdict.is_some() && line.relative.is_some_and(enough);
        (!subject().any(is_judged)).then(|| {
            let reason = subject().find_map(|line| line.reason.clone());
            let none = || "it is the baseline, or was measured in neither".to_owned();
            format!("no figure of the subject could be judged: {}", reason.unwrap_or_else(none))
        })
    }
}

/// Compares B with A.
///
/// # Errors
/// Every reason why the two cannot be compared. Two machines are no reason if `across_machines`, but leave no verdict.
pub fn compare(a: Side, b: Side, across_machines: bool) -> Result<Comparison, Vec<String>> {
    let reasons = check::reasons(a, b, across_machines);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let is_other_machine = a.manifest.machine.unlike(&b.manifest.machine).is_some();
    let (sum_a, sum_b) = (summarize(a.manifest, a.records), summarize(b.manifest, b.records));
    let pair = Pair {
        a: &sum_a,
        b: &sum_b,
        baseline: check::common_baseline(a.manifest, b.manifest),
        seed: b.manifest.seed,
        has_verdicts: !is_other_machine,
    };
    Ok(Comparison {
        id_a: a.manifest.id.clone(),
        id_b: b.manifest.id.clone(),
        differs: check::differences(a.manifest, b.manifest),
        margin: sum_b.margin,
        across_machines: is_other_machine,
        noise: pair.noise(),
        lines: pair.lines(),
        only_in_one: pair.only_in_one(),
        common_baseline: pair.baseline.ok().map(str::to_owned),
    })
}

struct Pair<'a> {
    a: &'a Summary,
    b: &'a Summary,
    /// The baseline that both share, or why there is none.
    baseline: Result<&'a str, String>,
    seed: u64,
    has_verdicts: bool,
}

/// A cell and its baseline's cell, where the two sessions share a baseline.
struct Cell<'a> {
    own: &'a CellSummary,
    base: Option<&'a CellSummary>,
}

impl Pair<'_> {
    fn noise(&self) -> Option<String> {
        let of = |(side, summary): (&str, &Summary)| Some(format!("in {side}, {}", summary.noise.as_ref()?));
        [("A", self.a), ("B", self.b)].into_iter().find_map(of)
    }

    fn lines(&self) -> Vec<Line> {
        let line = |(label, workload, in_a, in_b): (&str, &str, Cell, Cell)| {
            let metrics = Metric::ALL.into_iter();
            metrics.filter_map(|m| self.line(m, label, workload, &in_a, &in_b)).collect::<Vec<_>>()
        };
        self.cells().into_iter().flat_map(line).collect()
    }

    fn only_in_one(&self) -> Vec<OnlyInOne> {
        let mut missing = Vec::new();
        for (label, workload, in_a, in_b) in self.cells() {
            let (missing_in, reason) = match (&in_a.own.failure, &in_b.own.failure) {
                (Some(reason), None) => ("A", reason),
                (None, Some(reason)) => ("B", reason),
                _ => continue,
            };
            missing.push(OnlyInOne {
                framework: label.to_owned(),
                workload: workload.to_owned(),
                threads: in_b.own.threads,
                is_subject: self.b.subject().is_some_and(|row| row.label == label),
                missing_in,
                reason: reason.clone(),
            });
        }
        missing
    }

    /// Label and workload of every cell that both have, with the cell in A and in B, in the order of B.
    fn cells(&self) -> Vec<(&str, &str, Cell<'_>, Cell<'_>)> {
        let mut cells = Vec::new();
        for workload in &self.b.workloads {
            let name = workload.workload.name.as_str();
            let Some(other) = self.a.workloads.iter().find(|w| w.workload.name == name) else { continue };
            for cell in &workload.cells {
                let label = self.b.rows[cell.row].label.as_str();
                let in_a = self.cell(self.a, other, label, cell.threads);
                let in_b = self.cell(self.b, workload, label, cell.threads);
                cells.extend(in_a.zip(in_b).map(|(in_a, in_b)| (label, name, in_a, in_b)));
            }
        }
        cells
    }

    fn cell<'s>(
        &self,
        summary: &'s Summary,
        workload: &'s WorkloadSummary,
        label: &str,
        threads: u32,
    ) -> Option<Cell<'s>> {
        let find = |label: &str| {
            let row = summary.rows.iter().position(|row| row.label == label)?;
            workload.cell(row, threads)
        };
        let base = self.baseline.as_ref().ok().and_then(|label| find(label));
        Some(Cell { own: find(label)?, base })
    }

    fn line(&self, metric: Metric, label: &str, workload: &str, a: &Cell, b: &Cell) -> Option<Line> {
        let (in_a, in_b) = (a.own.metrics.get(&metric)?, b.own.metrics.get(&metric)?);
        let values = |samples: &[(u32, f64)]| samples.iter().map(|s| s.1).collect::<Vec<f64>>();
        let ratio = independent_ratio(&values(&in_a.samples), &values(&in_b.samples), self.seed);
        let is_baseline = self.baseline.as_deref() == Ok(label);
        let by_block = |cell: &Cell| to_baseline(cell, metric);
        let relative =
            (!is_baseline).then(|| independent_ratio(&by_block(a), &by_block(b), self.seed)).flatten();
        let relative: Option<Quotient> = relative.map(Quotient::from);
        let judgement = match (self.has_verdicts, is_baseline) {
            (true, false) => Some(self.judge(metric, workload, (a, b), relative)),
            _ => None,
        };
        let is_subject = self.b.subject().is_some_and(|row| row.label == label);
        let verdict = judgement.as_ref().map(|j| j.verdict);
        Some(Line {
            framework: label.to_owned(),
            workload: workload.to_owned(),
            threads: b.own.threads,
            metric: metric_key(metric),
            is_subject,
            a: in_a.estimate.into(),
            b: in_b.estimate.into(),
            ratio: ratio.map(Quotient::from),
            relative,
            verdict: verdict.map(|v| v.word_for(metric)),
            reason: judgement.and_then(|j| j.reason),
            is_regression: is_subject && verdict == Some(Verdict::Slower),
            kind: metric,
        })
    }

    fn judge(
        &self,
        metric: Metric,
        workload: &str,
        (a, b): (&Cell, &Cell),
        relative: Option<Quotient>,
    ) -> Judgement {
        for (side, cell) in [("A", a), ("B", b)] {
            if let Some(reason) = &cell.own.not_ranked {
                return Judgement::invalid(format!("{side}: {}", reason.reason()));
            }
            if let Some(reason) = cell.base.and_then(|base| base.not_ranked.as_ref()) {
                return Judgement::invalid(format!("the baseline in {side}: {}", reason.reason()));
            }
        }
        for (side, summary) in [("A", self.a), ("B", self.b)] {
            if let Some(noise) = summary.noise_at(workload, b.own.threads) {
                return Judgement::unresolved(format!("in {side}, {noise}"));
            }
        }
        if let Err(reason) = &self.baseline {
            return Judgement::unresolved(reason.as_str());
        }
        let Some(quotient) = relative else {
            return Judgement::unresolved(
                "in A or B no undisturbed block has this figure of both the row and the baseline",
            );
        };
        match (quotient.lo, quotient.hi) {
            (Some(lo), Some(hi)) if enough(quotient) => {
                judge_interval(metric, crate::stats::Interval { lo, hi }, self.b.margin)
            }
            _ => Judgement::unresolved(format!(
                "{} blocks in A and {} in B; fewer than {BLOCKS_TO_RANK} cannot rank",
                quotient.n_a, quotient.n_b
            )),
        }
    }
}

fn enough(quotient: Quotient) -> bool {
    quotient.n_a.min(quotient.n_b) >= BLOCKS_TO_RANK
}

/// The cell's ratio to its baseline in each block in which both have the metric and nothing disturbed either.
fn to_baseline(cell: &Cell, metric: Metric) -> Vec<f64> {
    let pairs = cell.base.map(|base| pairs(cell.own, base, metric)).unwrap_or_default();
    pairs.into_iter().filter(|(_, base)| *base > 0.0).map(|(own, base)| own / base).collect()
}

#[cfg(test)]
mod tests;
