//! What follows from the figures of a run: each row of these tables is made by a rule and names what it rests on.

use super::Run;
use crate::report::tables::ratio_words;
use crate::report::text::{bold_if, md};
use crate::sample::Metric;
use crate::summary::{CellSummary, Summary, WorkloadSummary};
use crate::units::{fixed, show, show_mb, show_ms};
use crate::verdict::Verdict;
use serde::Serialize;

/// The subject beside the baseline in one workload and thread count.
#[derive(Debug, Serialize)]
pub(super) struct Glance {
    platform: String,
    workload: String,
    threads: u32,
    subject: String,
    baseline: String,
    ratio: String,
    verdict: String,
}

/// Subject and baseline of one workload and thread count.
pub(super) struct Pair<'a> {
    pub(super) workload: &'a WorkloadSummary,
    pub(super) threads: u32,
    pub(super) subject: &'a CellSummary,
    pub(super) baseline: &'a CellSummary,
}

/// All of them that have launches.
pub(super) fn pairs(summary: &Summary) -> Vec<Pair<'_>> {
    let row = |is: fn(&crate::summary::Row) -> bool| summary.rows.iter().position(is);
    let (Some(subject), Some(baseline)) = (row(|r| r.is_subject), row(|r| r.is_baseline)) else {
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for workload in &summary.workloads {
        for &threads in &workload.threads {
            let cells = workload.cell(subject, threads).zip(workload.cell(baseline, threads));
            let is_measured = |(a, b): &(&CellSummary, &CellSummary)| a.n_measured > 0 && b.n_measured > 0;
            if let Some((subject, baseline)) = cells.filter(is_measured).filter(|_| subject != baseline) {
                pairs.push(Pair { workload, threads, subject, baseline });
            }
        }
    }
    pairs
}

/// The workload with the model, as a table names them.
pub(super) fn workload_words(run: &Run, workload: &WorkloadSummary) -> String {
    format!("{}, {}", md(&run.source.manifest.model.name), md(&workload.workload.name))
}

/// A row for each workload and thread count.
pub(super) fn glance(run: &Run) -> Vec<Glance> {
    let glance = |pair: Pair| {
        let decode = |cell: &CellSummary| cell.estimate(Metric::Decode).map_or_else(dash, |e| show(e.value));
        let (ratio, verdict) = versus(pair.subject, Metric::Decode);
        Glance {
            platform: run.link(),
            workload: workload_words(run, pair.workload),
            threads: pair.threads,
            subject: decode(pair.subject),
            baseline: decode(pair.baseline),
            ratio,
            verdict: verdict.map_or("–", Verdict::word).to_owned(),
        }
    };
    pairs(&run.summary).into_iter().map(glance).collect()
}

/// The ratio to the baseline in words, and the verdict on it.
pub(super) fn versus(cell: &CellSummary, metric: Metric) -> (String, Option<Verdict>) {
    match cell.comparison(metric) {
        Some(comparison) => {
            (comparison.ratio.as_ref().map_or_else(dash, ratio_words), Some(comparison.judgement.verdict))
        }
        None => (dash(), None),
    }
}

pub(super) fn dash() -> String {
    "–".to_owned()
}

/// The best row of each metric.
#[derive(Debug, Serialize)]
pub(super) struct Best {
    platform: String,
    workload: String,
    threads: u32,
    decode: String,
    prefill: String,
    load: String,
    ttft_warm: String,
    peak_rss: String,
}

/// A row for each workload and thread count with a row that may be ranked.
pub(super) fn best(run: &Run) -> Vec<Best> {
    let mut rows = Vec::new();
    for workload in &run.summary.workloads {
        for &threads in &workload.threads {
            if !workload.at(threads).any(CellSummary::is_ranked) {
                continue;
            }
            let best = |metric, write: fn(f64) -> String| best_of(run, workload, threads, metric, write);
            rows.push(Best {
                platform: run.link(),
                workload: workload_words(run, workload),
                threads,
                decode: best(Metric::Decode, |v| format!("{} tok/s", show(v))),
                prefill: best(Metric::Prefill, |v| format!("{} tok/s", show(v))),
                load: best(Metric::Load, |v| format!("{} s", fixed(v, 3))),
                ttft_warm: best(Metric::TtftWarm, |v| format!("{} ms", show_ms(v))),
                peak_rss: best(Metric::PeakRss, |v| format!("{} MB", show_mb(v))),
            });
        }
    }
    rows
}

/// The row with the best median, and that median.
fn best_of(
    run: &Run,
    workload: &WorkloadSummary,
    threads: u32,
    metric: Metric,
    write: fn(f64) -> String,
) -> String {
    let value = |cell: &CellSummary| cell.estimate(metric).map(|e| e.value);
    let ranked = workload.at(threads).filter(|c| c.is_ranked() && value(c).is_some());
    let is_more_better = matches!(metric, Metric::Decode | Metric::Prefill | Metric::EndToEnd);
    let key = |cell: &&CellSummary| value(cell).map_or(f64::NAN, |v| if is_more_better { -v } else { v });
    ranked.min_by(|a, b| key(a).total_cmp(&key(b))).map_or_else(dash, |cell| {
        let row = &run.summary.rows[cell.row];
        format!("{} ({})", bold_if(row.is_subject, md(&row.name)), value(cell).map(write).unwrap_or_default())
    })
}

/// A row's decode as a share of the baseline's.
#[derive(Debug, Serialize)]
pub(super) struct Share {
    framework: String,
    share: String,
    platform: String,
}

/// Every row on the fewest threads of the first workload, the largest share first; the baseline is 100%.
pub(super) fn spectrum(run: &Run) -> Vec<Share> {
    let Some(workload) = run.summary.workloads.first() else { return Vec::new() };
    let Some(&threads) = workload.threads.first() else { return Vec::new() };
    let share = |cell: &&CellSummary| {
        let row = &run.summary.rows[cell.row];
        let ratio = cell.comparison(Metric::Decode).and_then(|c| c.ratio.filter(|_| cell.is_ranked()));
        match ratio {
            Some(ratio) => {
                let percent = |share: f64| fixed(100.0 * share, 0);
                let interval = ratio
                    .interval
                    .map_or_else(String::new, |i| format!(" [{}, {}]", percent(i.lo), percent(i.hi)));
                Some((ratio.value, cell.row, format!("{}%{interval}", percent(ratio.value))))
            }
            None if row.is_baseline && cell.is_ranked() => Some((1.0, cell.row, "100%".to_owned())),
            None => None,
        }
    };
    let mut shares: Vec<_> = workload.at(threads).collect::<Vec<_>>().iter().filter_map(share).collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let words = |(_, row, share): (f64, usize, String)| {
        let row = &run.summary.rows[row];
        Share {
            framework: bold_if(row.is_subject, md(&row.name)),
            share,
            platform: format!("{}, {}", run.link(), workload_words(run, workload)),
        }
    };
    shares.into_iter().map(words).collect()
}
