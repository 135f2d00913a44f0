//! The page of trends: every series of a history with its picture, changes, epochs and last nights. Pure.

use super::text::{md, tidy};
use crate::chart::trend;
use crate::history::{
    Against, Change, Epoch, Finding, History, Key, Kind, Night, RULES, Series, changes, check,
};
use crate::sample::Metric;
use crate::stats::Interval;
use crate::summary::metric_key;
use crate::units::{fixed, show, show_mb, show_ms, show_ratio};
use serde::Serialize;
use tera::Context;

/// Nights of a series that are listed; the picture and the changes take all.
const NIGHTS_MAX: usize = 60;

/// The page's Markdown and its charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trends {
    /// The document.
    pub markdown: String,
    /// Name, as the document has it, and SVG of each chart.
    pub charts: Vec<(String, String)>,
}

impl Trends {
    /// As one HTML page.
    pub fn html(&self) -> String {
        crate::html::page(&self.markdown, |name| {
            self.charts.iter().find(|chart| chart.0 == name).map(|chart| chart.1.as_str())
        })
    }
}

#[derive(Serialize)]
struct View {
    sessions: usize,
    first_day: String,
    last_day: String,
    findings: Vec<FindingView>,
    series: Vec<SeriesView>,
}

#[derive(Serialize)]
struct FindingView {
    is_regression: bool,
    series: String,
    anchor: String,
    change: String,
    commits: String,
    since: String,
}

#[derive(Serialize)]
struct SeriesView {
    name: String,
    anchor: String,
    newest: NightView,
    n_entered: usize,
    n_changes: usize,
    picture: Option<Picture>,
    epochs: Vec<EpochView>,
    nights: Vec<NightView>,
    n_more: usize,
}

#[derive(Serialize)]
struct Picture {
    file: String,
    alt: String,
}

#[derive(Serialize)]
struct EpochView {
    from: String,
    changed: Vec<&'static str>,
    n_entered: usize,
    n_out: usize,
    baseline: String,
    cpu: String,
    kernel: String,
    model: String,
    changes: Vec<ChangeView>,
}

#[derive(Serialize)]
struct ChangeView {
    day: String,
    is_worse: bool,
    change: String,
    before: String,
    after: String,
    commits: String,
    bundle: String,
}

#[derive(Serialize)]
struct NightView {
    begun: String,
    bundle: String,
    commit: String,
    ratio: String,
    previous: String,
    absolute: String,
    blocks: usize,
    verdict: String,
}

/// The trends of the series for which `is_wanted`.
pub fn render_trends(history: &History, is_wanted: impl Fn(&Key) -> bool) -> Trends {
    let all: Vec<Series> = history.series().into_iter().filter(|series| is_wanted(&series.key)).collect();
    let checked = check(history, &RULES, |key| is_wanted(key));
    let anchor = |key: &Key| {
        let at = all.iter().position(|series| series.key == *key).map_or(0, |at| at + 1);
        format!("series-{at}")
    };
    let (worse, better): (Vec<_>, Vec<_>) = checked.findings.iter().partition(|f| f.is_regression);
    let findings = worse.into_iter().chain(better).map(|found| finding(found, anchor(&found.key))).collect();
    let mut charts = Vec::new();
    let series =
        all.iter().filter_map(|series| self::series(series, anchor(&series.key), &mut charts)).collect();
    let day = |session: Option<&crate::history::Session>| session.map(|s| md(s.day())).unwrap_or_default();
    let view = View {
        sessions: history.sessions.len(),
        first_day: day(history.sessions.first()),
        last_day: day(history.sessions.last()),
        findings,
        series,
    };
    let context = Context::from_serialize(&view).expect("the view is a map of plain values");
    let markdown = super::templates()
        .render("trends.md.tera", &context)
        .expect("the template names only what the view holds");
    Trends { markdown: tidy(&markdown), charts }
}

fn finding(finding: &Finding, anchor: String) -> FindingView {
    let against = match finding.kind {
        Kind::Step => String::new(),
        Kind::FirstNight => " of the last good version, in the same blocks".to_owned(),
    };
    FindingView {
        is_regression: finding.is_regression,
        series: name(&finding.key),
        anchor,
        change: format!("{}{against}", percent(finding.change.0, finding.change.1)),
        commits: commits(finding.commits),
        since: md(finding.bad.day()),
    }
}

fn series(series: &Series, anchor: String, charts: &mut Vec<(String, String)>) -> Option<SeriesView> {
    let key = &series.key;
    let epochs: Vec<EpochView> = series.epochs().iter().map(|epoch| self::epoch(series, epoch)).collect();
    let picture = trend(series).map(|drawing| {
        let file = format!("{anchor}.svg");
        charts.push((file.clone(), drawing.svg));
        Picture { file, alt: md(&drawing.alt) }
    });
    let night = |night: &Night| self::night(key, night);
    Some(SeriesView {
        name: name(key),
        newest: night(series.nights.last()?),
        n_entered: epochs.iter().map(|epoch| epoch.n_entered).sum(),
        n_changes: epochs.iter().map(|epoch| epoch.changes.len()).sum(),
        nights: series.nights.iter().rev().take(NIGHTS_MAX).map(night).collect(),
        n_more: series.nights.len().saturating_sub(NIGHTS_MAX),
        anchor,
        picture,
        epochs,
    })
}

fn epoch(series: &Series, epoch: &Epoch) -> EpochView {
    let session = series.nights[epoch.range.start].session;
    EpochView {
        from: md(session.day()),
        changed: epoch.changed.clone(),
        n_entered: epoch.entered.len(),
        n_out: epoch.range.len() - epoch.entered.len(),
        baseline: md(&format!("{} {}", session.baseline.label, session.baseline.version)),
        cpu: md(&session.cpu),
        kernel: md(&session.kernel),
        model: md(&session.model),
        changes: changes(&epoch.ratios(), &RULES)
            .iter()
            .map(|change| self::change(series, epoch, change))
            .collect(),
    }
}

fn change(series: &Series, epoch: &Epoch, change: &Change) -> ChangeView {
    let session = |at: usize| epoch.entered[at].0.session;
    let commit = |at: usize| session(at).row(series.key.row).and_then(|row| row.commit.as_deref());
    let share = change.after / change.before - 1.0;
    ChangeView {
        day: md(session(change.index).day()),
        is_worse: (share < 0.0) == series.key.metric.higher_is_better(),
        change: percent(share, Some(change.interval)),
        before: show_ratio(change.before),
        after: show_ratio(change.after),
        commits: commits((commit(change.index - 1), commit(change.index))),
        bundle: md(&session(change.index).bundle),
    }
}

fn night(key: &Key, night: &Night) -> NightView {
    let Night { session, point } = *night;
    let show_value = value_format(key.metric);
    let commit = session.row(key.row).and_then(|row| row.commit.as_deref());
    NightView {
        begun: md(session.begun_at.get(..16).unwrap_or(&session.begun_at)),
        bundle: md(&session.bundle),
        commit: commit.map_or("–".to_owned(), short),
        ratio: figure(point.ratio, point.lo.zip(point.hi), show_ratio),
        previous: point.previous.as_deref().map_or("–".to_owned(), previous),
        absolute: figure(point.value, point.value_lo.zip(point.value_hi), show_value),
        blocks: point.n,
        verdict: match night.ratio() {
            Ok(_) => md(point.verdict.as_deref().unwrap_or("–")),
            Err(why) => format!("does not enter: {}", md(why)),
        },
    }
}

fn previous(Against { ratio, lo, hi, verdict, .. }: &Against) -> String {
    format!("{} {}", figure(Some(*ratio), lo.zip(*hi), show_ratio), md(verdict))
}

/// `1.05 [1.03, 1.07]`
fn figure(value: Option<f64>, interval: Option<(f64, f64)>, show: fn(f64) -> String) -> String {
    match (value, interval) {
        (None, _) => "–".to_owned(),
        (Some(value), None) => show(value),
        (Some(value), Some((lo, hi))) => format!("{} [{}, {}]", show(value), show(lo), show(hi)),
    }
}

fn value_format(metric: Metric) -> fn(f64) -> String {
    match metric {
        Metric::Load => |s| fixed(s, 3) + " s",
        Metric::TtftWarm | Metric::TtftCold => |ms| show_ms(ms) + " ms",
        Metric::PeakRss => |bytes| show_mb(bytes) + " MB",
        Metric::Prefill | Metric::Decode | Metric::EndToEnd => |rate| show(rate) + " tok/s",
    }
}

/// `−5.1% [−6.0%, −4.2%]`
fn percent(share: f64, interval: Option<Interval>) -> String {
    let percent = |share: f64| format!("{:+.1}%", share * 100.0).replace('-', "−");
    let interval = interval.map(|i| format!(" [{}, {}]", percent(i.lo), percent(i.hi)));
    format!("{}{}", percent(share), interval.unwrap_or_default())
}

/// `1a2b3c4d5e6f..6f5e4d3c2b1a`
fn commits(range: (Option<&str>, Option<&str>)) -> String {
    match range {
        (Some(from), Some(to)) => format!("{}..{}", short(from), short(to)),
        (None, Some(to)) => short(to),
        _ => "not known".to_owned(),
    }
}

fn short(commit: &str) -> String {
    md(&commit.chars().take(12).collect::<String>())
}

/// `engine, chat, 2 threads, decode_tok_s (nightly, 1ca6c3fd762d)`
fn name(key: &Key) -> String {
    let threads = if key.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", key.threads) };
    let metric = metric_key(key.metric);
    md(&format!("{}, {}, {threads}, {metric} ({}, {})", key.row, key.workload, key.scenario, key.machine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Line, history_of};
    use crate::testing::{nights, steady};

    fn stepped() -> Vec<Line> {
        let mut ratios = steady(70);
        ratios[66..].iter_mut().for_each(|ratio| *ratio *= 0.93);
        nights(&ratios, |_, _| {})
    }

    #[test]
    fn a_step_comes_first_and_leads_to_its_series_and_commits() {
        let trends = render_trends(&history_of(stepped()), |_| true);
        let markdown = &trends.markdown;
        let row =
            "| **worse** | [engine, chat, 2 threads, decode_tok_s (nightly, machine-a)](#series-1) | −7.";
        assert!(markdown.contains(row), "{markdown}");
        assert!(markdown.contains("c0ffee000065..c0ffee000066"), "{markdown}");
        assert!(markdown.contains("10 earlier sessions are in the history."), "{markdown}");
        assert_eq!(trends.charts.len(), 1);
        let html = trends.html();
        assert!(html.contains("<a id=\"series-1\"></a>") && html.contains("<svg"), "{html}");
    }

    #[test]
    fn little_data_is_said_to_be_little() {
        let empty = render_trends(&history_of(Vec::new()), |_| true);
        assert!(empty.markdown.contains("There is no session yet."));
        let one = render_trends(&history_of(nights(&steady(1), |_, _| {})), |_| true);
        assert!(
            one.markdown.contains("Nothing became slower or faster that the rules tell."),
            "{}",
            one.markdown
        );
        let out = nights(&steady(2), |night, line| {
            if let (1, Line::Point(point)) = (night, line) {
                point.out = Some("<crashed>".to_owned());
            }
        });
        let out = render_trends(&history_of(out), |_| true).markdown;
        assert!(out.contains("does not enter: &lt;crashed&gt;"), "{out}");
    }
}
