//! The section "Performance Evolution": the nightly history of the subject.

use crate::chart::trend;
use crate::history::{Epoch, History, Key, RULES, Series, WATCHED, changes};
use crate::report::text::md;
use crate::sample::Metric;
use crate::summary::metric_key;
use crate::units::show_ratio;
use serde::Serialize;

/// Charts in the document; `harness track show` lists every series.
const CHARTS_MAX: usize = 6;

/// What the document shows of a history.
#[derive(Debug, Default, Serialize)]
pub(super) struct Evolution {
    subject: String,
    /// Path of the history as seen from the document.
    history: String,
    sessions: usize,
    first_day: String,
    last_day: String,
    rows: Vec<Row>,
    charts: Vec<ChartView>,
    /// Series of decode that have no chart here.
    n_more: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    series: String,
    nights: usize,
    out: usize,
    since: String,
    ratio: String,
    changes: String,
}

#[derive(Debug, Serialize)]
struct ChartView {
    href: String,
    alt: String,
}

/// A chart beside the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TrendChart {
    /// `trend-nightly-engine-chat-t2-decode-tok-s-1ca6c3fd762d.svg`
    pub(super) file_name: String,
    /// The picture.
    pub(super) svg: String,
}

impl Evolution {
    /// Of the sessions' subjects. `file` is the history's path and `charts_dir` that of its charts, as seen from the document.
    pub(super) fn of(history: &History, file: &str, charts_dir: &str) -> (Evolution, Vec<TrendChart>) {
        let Some((first, last)) = history.sessions.first().zip(history.sessions.last()) else {
            return Default::default();
        };
        let of_subject = |series: &Series| {
            let subject = series.nights.last().map(|night| night.session.subject.as_str());
            subject == Some(series.key.row) && WATCHED.contains(&series.key.metric)
        };
        let series: Vec<Series> = history.series().into_iter().filter(of_subject).collect();
        let decode = series.iter().filter(|series| series.key.metric == Metric::Decode);
        let drawn: Vec<_> = decode.filter_map(|series| Some((series, trend(series)?))).collect();
        let mut evolution = Evolution {
            subject: md(&last.subject),
            history: md(file),
            sessions: history.sessions.len(),
            first_day: md(first.day()),
            last_day: md(last.day()),
            rows: series.iter().filter_map(row).collect(),
            n_more: drawn.len().saturating_sub(CHARTS_MAX),
            ..Evolution::default()
        };
        let mut charts = Vec::new();
        for (series, drawing) in drawn.into_iter().take(CHARTS_MAX) {
            let file_name = format!("trend-{}.svg", slug(&series.key));
            evolution
                .charts
                .push(ChartView { href: format!("{charts_dir}/{file_name}"), alt: md(&drawing.alt) });
            charts.push(TrendChart { file_name, svg: drawing.svg });
        }
        (evolution, charts)
    }
}

/// The series in its present epoch.
fn row(series: &Series) -> Option<Row> {
    let epoch = series.epochs().pop()?;
    let key = &series.key;
    let first = series.nights[epoch.range.start].session;
    let ratio = match epoch.entered.last() {
        Some((night, ratio)) => {
            let interval = night.point.lo.zip(night.point.hi);
            let interval = interval.map(|(lo, hi)| format!(" [{}, {}]", show_ratio(lo), show_ratio(hi)));
            format!("{}{}", show_ratio(*ratio), interval.unwrap_or_default())
        }
        None => "no night enters".to_owned(),
    };
    Some(Row {
        series: md(&format!(
            "{}, {}, threads {}, {}, {}",
            key.scenario,
            key.workload,
            key.threads,
            metric_key(key.metric),
            first.cpu
        )),
        nights: epoch.entered.len(),
        out: epoch.range.len() - epoch.entered.len(),
        since: md(first.day()),
        ratio,
        changes: change_words(key, &epoch),
    })
}

fn change_words(key: &Key, epoch: &Epoch) -> String {
    let ratios = epoch.ratios();
    if ratios.len() <= RULES.confirm {
        return "too few nights to tell".to_owned();
    }
    let words: Vec<String> = changes(&ratios, &RULES)
        .iter()
        .map(|change| {
            let share = change.after / change.before - 1.0;
            let word = if (share < 0.0) == key.metric.higher_is_better() { "worse" } else { "better" };
            let day = epoch.entered[change.index].0.session.day();
            let percent = |share: f64| format!("{:+.1}%", share * 100.0);
            let (lo, hi) = (percent(change.interval.lo), percent(change.interval.hi));
            md(&format!("{day} {word}: {} [{lo}, {hi}]", percent(share)))
        })
        .collect();
    if words.is_empty() { "none found".to_owned() } else { words.join("; ") }
}

fn slug(key: &Key) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    key.to_string().chars().map(plain).collect()
}
