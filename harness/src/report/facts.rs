//! Findings by rules: each a fact with the figures that it rests on; the templates put it into words.

use super::tables::{interval_words, ratio_words};
use super::text::md;
use crate::sample::Metric;
use crate::summary::{CellSummary, Comparison, Summary, WorkloadSummary};
use crate::units::{fixed, show, show_mb, show_ms, show_percent};
use crate::verdict::Verdict;
use serde::Serialize;

/// A finding.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Fact {
    /// Nothing was measured.
    Nothing,
    /// The subject has no figure that may be ranked.
    SubjectUnmeasured { subject: String, threads: u32, reason: String },
    /// There is nothing to compare the subject with.
    Incomparable { subject: String, baseline: String, threads: u32, tok_s: String, reason: String },
    /// The subject against the baseline.
    Versus(Versus),
    /// The fastest row.
    Leader { leader: String, second: String, threads: u32, tok_s: String, ratio: String, n: usize },
    /// The two largest medians cannot be told apart.
    Tie {
        leader: String,
        second: String,
        threads: u32,
        ratio: String,
        verdict: &'static str,
        reason: String,
        n: usize,
    },
    /// One row alone may be ranked.
    Alone { leader: String, threads: u32, tok_s: String },
    /// Speed-up of subject and baseline at the most threads.
    Scaling { threads: u32, rows: Vec<Scaled> },
    /// The subject's peak memory, and the row that needs clearly less.
    Memory { subject: String, subject_mb: String, overhead_mb: String, is_least: bool, less: Option<Lean> },
}

/// A row that needs clearly less memory than the subject.
#[derive(Debug, Serialize)]
pub(super) struct Lean {
    name: String,
    mb: String,
}

/// The subject against the baseline.
#[derive(Debug, Serialize)]
pub(super) struct Versus {
    subject: String,
    baseline: String,
    threads: u32,
    metric: &'static str,
    unit: &'static str,
    value: String,
    base_value: String,
    percent: String,
    ratio: String,
    n: usize,
    verdict: &'static str,
    reason: String,
}

/// A row's speed-up.
#[derive(Debug, Serialize)]
pub(super) struct Scaled {
    name: String,
    scaling: String,
    interval: String,
    efficiency: String,
}

/// The subject against the baseline in decode, or why that cannot be told.
pub(super) fn key_finding(summary: &Summary, workload: &WorkloadSummary, threads: u32) -> Fact {
    if !summary.anything_measured() {
        return Fact::Nothing;
    }
    let (Some(subject), Some(base)) =
        (subject(summary, workload, threads), baseline(summary, workload, threads))
    else {
        return Fact::Nothing;
    };
    let name = |c: &CellSummary| md(&summary.rows[c.row].name);
    let why = subject.failure.as_deref().or(subject.not_ranked.as_ref().map(|n| n.reason()));
    let decode = subject.estimate(Metric::Decode);
    let (None, Some(decode)) = (why, decode) else {
        let reason = md(why.unwrap_or("it has no decode figure"));
        return Fact::SubjectUnmeasured { subject: name(subject), threads, reason };
    };
    versus(summary, subject, base, Metric::Decode).unwrap_or_else(|| Fact::Incomparable {
        subject: name(subject),
        baseline: name(base),
        threads,
        tok_s: show(decode.value),
        reason: match subject.comparison(Metric::Decode).and_then(|c| c.judgement.reason.as_deref()) {
            Some(reason) => md(reason),
            None if subject.row == base.row => "it is itself the baseline".to_owned(),
            None => md(base.failure.as_deref().unwrap_or("the baseline has no such figure")),
        },
    })
}

/// Who decodes fastest, or that it cannot be told; `None` where no row may be ranked.
pub(super) fn winner(summary: &Summary, workload: &WorkloadSummary, threads: u32) -> Option<Fact> {
    let standing = workload.standing(threads)?;
    let name = |row: usize| md(&summary.rows[row].name);
    let leader = name(standing.leader);
    let tok_s = show(workload.cell(standing.leader, threads)?.estimate(Metric::Decode)?.value);
    let (Some(second), Some(ratio)) = (standing.second, standing.ratio) else {
        return Some(Fact::Alone { leader, threads, tok_s });
    };
    let (second, words, n) = (name(second), ratio_words(&ratio), ratio.n);
    Some(match standing.judgement.verdict {
        Verdict::Faster => Fact::Leader { leader, second, threads, tok_s, ratio: words, n },
        verdict => Fact::Tie {
            leader,
            second,
            threads,
            ratio: words,
            verdict: verdict.word(),
            reason: standing.judgement.reason.as_deref().map(md).unwrap_or_default(),
            n,
        },
    })
}

/// Three to five findings on a workload, as far as there are data for them.
pub(super) fn analysis(summary: &Summary, workload: &WorkloadSummary) -> Vec<Fact> {
    let (Some(&first), Some(&last)) = (workload.threads.first(), workload.threads.last()) else {
        return Vec::new();
    };
    let mut facts = vec![key_finding(summary, workload, first)];
    facts.extend(winner(summary, workload, last));
    facts.extend(scaling(summary, workload, last));
    let pair = subject(summary, workload, first).zip(baseline(summary, workload, first));
    facts.extend(pair.and_then(|(s, b)| versus(summary, s, b, Metric::TtftWarm)));
    facts.extend(memory(summary, workload, first));
    facts
}

fn versus(summary: &Summary, subject: &CellSummary, base: &CellSummary, metric: Metric) -> Option<Fact> {
    let Comparison { ratio, judgement, .. } = subject.comparison(metric)?;
    let (ratio, verdict) = ((*ratio)?, judgement.verdict);
    if verdict == Verdict::Invalid {
        return None;
    }
    let (word, unit, write): (_, _, fn(f64) -> String) = match metric {
        Metric::TtftWarm => ("time to first token (warm)", "ms", show_ms),
        _ => ("decode", "tok/s", show),
    };
    Some(Fact::Versus(Versus {
        subject: md(&summary.rows[subject.row].name),
        baseline: md(&summary.rows[base.row].name),
        threads: subject.threads,
        metric: word,
        unit,
        value: write(subject.estimate(metric)?.value),
        base_value: write(base.estimate(metric)?.value),
        percent: show_percent(ratio.value),
        ratio: ratio_words(&ratio),
        n: ratio.n,
        verdict: verdict.word_for(metric),
        reason: judgement.reason.as_deref().map(md).unwrap_or_default(),
    }))
}

fn scaling(summary: &Summary, workload: &WorkloadSummary, threads: u32) -> Option<Fact> {
    let mut rows: Vec<Scaled> = Vec::new();
    for is_wanted in [|r: &crate::summary::Row| r.is_subject, |r: &crate::summary::Row| r.is_baseline] {
        let found = workload.at(threads).find(|c| is_wanted(&summary.rows[c.row]) && c.is_ranked());
        let Some((cell, ratio)) = found.and_then(|c| Some((c, c.scaling?))) else { continue };
        rows.push(Scaled {
            name: md(&summary.rows[cell.row].name),
            scaling: fixed(ratio.value, 2),
            interval: ratio.interval.map(|i| interval_words(i, |v| fixed(v, 2))).unwrap_or_default(),
            efficiency: show_percent(ratio.value / f64::from(threads)),
        });
    }
    rows.dedup_by(|a, b| a.name == b.name);
    (!rows.is_empty()).then_some(Fact::Scaling { threads, rows })
}

fn memory(summary: &Summary, workload: &WorkloadSummary, threads: u32) -> Option<Fact> {
    let peak = |c: &CellSummary| c.estimate(Metric::PeakRss).map(|e| e.value);
    let leanness = workload.leanest.iter().find(|l| l.threads == threads)?;
    let subject = subject(summary, workload, threads)?;
    let subject_bytes = peak(subject)?;
    let lean = |row: usize| {
        let mb = show_mb(peak(workload.cell(row, threads)?)?);
        Some(Lean { name: md(&summary.rows[row].name), mb })
    };
    Some(Fact::Memory {
        subject: md(&summary.rows[subject.row].name),
        subject_mb: show_mb(subject_bytes),
        overhead_mb: show_mb(subject_bytes - summary.model_bytes as f64),
        is_least: leanness.is_least,
        less: leanness.less.and_then(lean),
    })
}

fn subject<'a>(summary: &Summary, workload: &'a WorkloadSummary, threads: u32) -> Option<&'a CellSummary> {
    workload.at(threads).find(|c| summary.rows[c.row].is_subject)
}

fn baseline<'a>(summary: &Summary, workload: &'a WorkloadSummary, threads: u32) -> Option<&'a CellSummary> {
    workload.at(threads).find(|c| summary.rows[c.row].is_baseline)
}
