//! The gap analysis: what separates subject and baseline in each run, by its figures.

use super::Run;
use super::ablation::{self, Ablation};
use super::derived::{Pair, dash, pairs, versus, workload_words};
use crate::report::tables::ratio_words;
use crate::report::text::{Footnotes, md};
use crate::sample::Metric;
use crate::stats::paired_ratio;
use crate::summary::{CellSummary, CrossCheck, Roofline};
use crate::units::{fixed, show, show_difference, show_mb, show_percent};
use crate::verdict::{Judgement, Verdict, judge};
use serde::Serialize;
use std::collections::BTreeMap;

/// The section.
#[derive(Debug, Serialize)]
pub(super) struct Gaps {
    /// What all decode verdicts of the subject say: `faster`, `slower`, or nothing in common.
    common: Option<&'static str>,
    rows: Vec<Gap>,
    causes: Vec<Causes>,
    ablations: Vec<Ablation>,
}

/// What separates subject and baseline in one workload and thread count.
#[derive(Debug, Serialize)]
struct Gap {
    platform: String,
    workload: String,
    threads: u32,
    share: String,
    base_share: String,
    scaling: String,
    base_scaling: String,
    prefill: String,
    load: String,
    ttft: String,
    memory: String,
}

/// What the figures of a run say of the gap, in its first workload.
#[derive(Debug, Serialize)]
struct Causes {
    platform: String,
    workload: String,
    subject: String,
    baseline: String,
    sentences: Vec<Cause>,
}

/// A finding with the figures that it rests on; the template puts it into words.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Cause {
    /// Decode as a share of what the measured read bandwidth allows.
    Limit {
        threads: u32,
        tok_s: String,
        mb_per_token: String,
        gb_s: String,
        share: String,
        base_tok_s: String,
        base_share: String,
        /// A share above 1: the bandwidth was another one when it was measured.
        is_beyond: bool,
        /// Both read the bytes of the file.
        are_same_bytes: bool,
    },
    /// The bandwidth was not measured.
    LimitUnknown,
    /// How the ratio changes from the fewest threads to the most.
    Threads {
        few: u32,
        many: u32,
        ratio: String,
        ratio_many: String,
        /// The second over the first.
        change: String,
        verdict: &'static str,
        reason: Option<String>,
    },
    /// The baseline's own benchmark beside what was measured through its server.
    Served { program: String, threads: u32, theirs: String, ours: String, percent: String, costs: bool },
    /// Load and memory as ratios to the baseline.
    LoadMemory { load: String, memory: String },
}

/// Over `runs`, and over `ablations` of the engine on itself.
pub(super) fn gaps(runs: &[Run], ablations: &[Run], notes: &mut Footnotes) -> Gaps {
    Gaps {
        common: common(runs),
        rows: runs.iter().flat_map(rows).collect(),
        causes: runs.iter().filter_map(causes).collect(),
        ablations: ablations.iter().map(|run| ablation::ablation(run, notes)).collect(),
    }
}

/// The word that every decode verdict of the subject has, if it ranks.
fn common(runs: &[Run]) -> Option<&'static str> {
    let pairs = runs.iter().flat_map(|run| pairs(&run.summary));
    let mut verdicts: Vec<Option<Verdict>> =
        pairs.map(|pair| versus(pair.subject, Metric::Decode).1).collect();
    verdicts.dedup();
    match verdicts[..] {
        [Some(verdict)] if verdict.ranks() => Some(verdict.word()),
        _ => None,
    }
}

fn rows(run: &Run) -> Vec<Gap> {
    let share = |cell: &CellSummary| cell.roofline.map_or_else(dash, |r| show_percent(r.share));
    let scaling = |cell: &CellSummary| cell.scaling.as_ref().map_or_else(dash, ratio_words);
    let row = |pair: Pair| Gap {
        platform: run.link(),
        workload: workload_words(run, pair.workload),
        threads: pair.threads,
        share: share(pair.subject),
        base_share: share(pair.baseline),
        scaling: scaling(pair.subject),
        base_scaling: scaling(pair.baseline),
        prefill: judged(pair.subject, Metric::Prefill),
        load: judged(pair.subject, Metric::Load),
        ttft: judged(pair.subject, Metric::TtftWarm),
        memory: judged(pair.subject, Metric::PeakRss),
    };
    pairs(&run.summary).into_iter().map(row).collect()
}

/// The ratio to the baseline with its verdict.
fn judged(cell: &CellSummary, metric: Metric) -> String {
    match versus(cell, metric) {
        (ratio, Some(verdict)) => format!("{ratio} {}", verdict.word_for(metric)),
        (ratio, None) => ratio,
    }
}

fn causes(run: &Run) -> Option<Causes> {
    let pairs = pairs(&run.summary);
    let first = pairs.first()?;
    let last = pairs.iter().rfind(|pair| std::ptr::eq(pair.workload, first.workload))?;
    let name = |cell: &CellSummary| md(&run.summary.rows[cell.row].name);
    let sentences = [limit(first), threads(run, first, last), served(run, first), Some(load_memory(first))];
    Some(Causes {
        platform: run.link(),
        workload: workload_words(run, first.workload),
        subject: name(first.subject),
        baseline: name(first.baseline),
        sentences: sentences.into_iter().flatten().collect(),
    })
}

fn limit(pair: &Pair) -> Option<Cause> {
    let roofline = |cell: &CellSummary| Some((cell.estimate(Metric::Decode)?.value, cell.roofline?));
    let Some(((tok_s, own), (base_tok_s, base))) = roofline(pair.subject).zip(roofline(pair.baseline)) else {
        return Some(Cause::LimitUnknown);
    };
    let Roofline { bytes_per_token, read_gb_s, share } = own;
    Some(Cause::Limit {
        threads: pair.threads,
        tok_s: show(tok_s),
        mb_per_token: show_mb(bytes_per_token),
        gb_s: fixed(read_gb_s, 1),
        share: show_percent(share),
        base_tok_s: show(base_tok_s),
        base_share: show_percent(base.share),
        is_beyond: share.max(base.share) > 1.0,
        are_same_bytes: pair.subject.weights_class == pair.baseline.weights_class,
    })
}

/// How the ratio on the most threads stands to that on the fewest, paired by block.
fn threads(run: &Run, first: &Pair, last: &Pair) -> Option<Cause> {
    if first.threads == last.threads {
        return None;
    }
    let ratio = |pair: &Pair| pair.subject.comparison(Metric::Decode)?.ratio;
    let blocks = |cell: &CellSummary| -> BTreeMap<u32, f64> {
        let samples = cell.metrics.get(&Metric::Decode).into_iter().flat_map(|m| &m.samples);
        samples.copied().filter(|(block, _)| !cell.withdrawn.contains(block)).collect()
    };
    let cells = [last.subject, last.baseline, first.subject, first.baseline].map(blocks);
    let of_block = |(block, many): (&u32, &f64)| {
        let [_, base_many, few, base_few] = &cells;
        Some((many * base_few.get(block)?, base_many.get(block)? * few.get(block)?))
    };
    let pairs: Vec<(f64, f64)> = cells[0].iter().filter_map(of_block).collect();
    let change = paired_ratio(&pairs, run.source.manifest.seed)?;
    let noise_at = |pair: &Pair| run.summary.noise_at(&pair.workload.workload.name, pair.threads);
    let judgement = match noise_at(first).or_else(|| noise_at(last)) {
        Some(noise) => Judgement::unresolved(noise),
        None => judge(Metric::Decode, &change, run.summary.margin),
    };
    Some(Cause::Threads {
        few: first.threads,
        many: last.threads,
        ratio: ratio_words(&ratio(first)?),
        ratio_many: ratio_words(&ratio(last)?),
        change: ratio_words(&change),
        verdict: judgement.verdict.word(),
        reason: judgement.reason.as_deref().map(md),
    })
}

fn served(run: &Run, pair: &Pair) -> Option<Cause> {
    let label = &run.summary.rows[pair.baseline.row].label;
    let is_it = |check: &&CrossCheck| {
        check.label == *label
            && check.workload == pair.workload.workload.name
            && check.threads == pair.threads
            && check.metric == Metric::Decode
            && check.program.is_some()
    };
    let check = run.summary.cross_checks.iter().find(is_it)?;
    let difference = check.difference()?;
    Some(Cause::Served {
        program: md(check.program.as_deref()?),
        threads: pair.threads,
        theirs: show(check.theirs),
        ours: show(check.ours?),
        percent: show_difference(1.0 + difference),
        costs: difference > run.summary.margin,
    })
}

fn load_memory(pair: &Pair) -> Cause {
    Cause::LoadMemory {
        load: judged(pair.subject, Metric::Load),
        memory: judged(pair.subject, Metric::PeakRss),
    }
}
