//! Histories in the formats of other tools. Pure: the same history, the same bytes.

use super::{Epoch, History, Key, Night, Series};
use crate::escape::csv_text;
use crate::sample::Metric;
use crate::summary::metric_key;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The newest figures in Bencher Metric Format, version 0: benchmark, measure, `value` with its interval. The ratio to the baseline
/// is a measure of its own. What does not enter its series is left out.
///
/// Source of the format: Bencher's documentation, "Bencher Metric Format (BMF)".
pub fn bencher(history: &History, is_wanted: impl Fn(&Key) -> bool) -> Value {
    let mut benchmarks: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (key, night) in newest(history, is_wanted) {
        let measures = benchmarks.entry(benchmark(&key)).or_default();
        let slug = metric_key(key.metric).replace('_', "-");
        let mut put = |name: String, value: Option<f64>, lo: Option<f64>, hi: Option<f64>| {
            let Some(value) = value else { return };
            let mut measure = json!({"value": value});
            let limits =
                [("lower_value", lo.map(|lo| lo.min(value))), ("upper_value", hi.map(|hi| hi.max(value)))];
            for (limit, at) in limits.into_iter().filter_map(|(limit, at)| Some((limit, at?))) {
                measure[limit] = json!(at);
            }
            measures.insert(name, measure);
        };
        let point = night.point;
        put(format!("{slug}-ratio"), point.ratio, point.lo, point.hi);
        put(slug, point.value, point.value_lo, point.value_hi);
    }
    json!(benchmarks)
}

/// Which direction a file of github-action-benchmark is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// `customBiggerIsBetter`: throughputs and their ratios.
    Bigger,
    /// `customSmallerIsBetter`: times, memory and their ratios.
    Smaller,
}

/// The newest figures as github-action-benchmark takes them: a list of `name`, `unit`, `value`, `range`, `extra`. What does not enter
/// its series is left out.
///
/// Source of the format: that action's README, "Examples of custom benchmark output".
pub fn github(history: &History, better: Better, is_wanted: impl Fn(&Key) -> bool) -> Value {
    let mut entries = Vec::new();
    for (key, night) in newest(history, is_wanted) {
        if key.metric.higher_is_better() != (better == Better::Bigger) {
            continue;
        }
        let Night { session, point } = night;
        let commit = session.row(key.row).and_then(|row| row.commit.as_deref()).unwrap_or("not known");
        let extra = format!("commit {commit}\nbundle {}\nbegun {}", session.bundle, session.begun_at);
        let mut put = |name: String, unit: &str, value: Option<f64>, interval: Option<(f64, f64)>| {
            let Some(value) = value else { return };
            let mut entry = json!({"name": name, "unit": unit, "value": value, "extra": extra});
            if let Some((lo, hi)) = interval {
                entry["range"] = json!(format!("{lo} – {hi}"));
            }
            entries.push(entry);
        };
        let of = format!("ratio to {} {}", session.baseline.label, session.baseline.version);
        put(format!("{key} ratio"), of.trim_end(), point.ratio, point.lo.zip(point.hi));
        put(key.to_string(), unit(key.metric), point.value, point.value_lo.zip(point.value_hi));
    }
    Value::Array(entries)
}

/// A file of an export of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// Every epoch of every series as a CSV file for Apache Otava, and `otava.yaml`, which names them as tests. A test holds the nights
/// that enter, so that both see the same figures; run `otava --config-file otava.yaml analyze` where the files lie.
///
/// Source of the format: Otava's documentation, "CSV".
pub fn otava(history: &History, is_wanted: impl Fn(&Key) -> bool) -> Vec<ExportFile> {
    let mut tests = BTreeMap::new();
    let mut files = Vec::new();
    for series in history.series().iter().filter(|series| is_wanted(&series.key)) {
        for (number, epoch) in (1..).zip(series.epochs()) {
            if epoch.entered.is_empty() {
                continue;
            }
            let name = format!("{}.epoch-{number}", plain(&series.key.to_string()));
            let file = format!("{name}.csv");
            files.push(ExportFile { name: file.clone(), content: csv(series, &epoch) });
            tests.insert(name, OtavaTest::of(series, file));
        }
    }
    let config = serde_yaml::to_string(&BTreeMap::from([("tests", tests)])).expect("strings and numbers");
    let about = "# Written by `harness track export --format otava`.\n";
    files.push(ExportFile { name: "otava.yaml".to_owned(), content: format!("{about}{config}") });
    files
}

#[derive(Serialize)]
struct OtavaTest {
    r#type: &'static str,
    file: String,
    time_column: &'static str,
    attributes: [&'static str; 2],
    metrics: BTreeMap<&'static str, BTreeMap<&'static str, i8>>,
    csv_options: BTreeMap<&'static str, &'static str>,
}

impl OtavaTest {
    fn of(series: &Series, file: String) -> OtavaTest {
        let direction = if series.key.metric.higher_is_better() { 1 } else { -1 };
        OtavaTest {
            r#type: "csv",
            file,
            time_column: "time",
            attributes: ["commit", "bundle"],
            metrics: BTreeMap::from([("ratio", BTreeMap::from([("direction", direction), ("scale", 1)]))]),
            csv_options: BTreeMap::from([("delimiter", ","), ("quote_char", "\"")]),
        }
    }
}

fn csv(series: &Series, epoch: &Epoch) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["time", "commit", "bundle", "ratio"]).expect("memory takes it");
    for (night, ratio) in &epoch.entered {
        let session = night.session;
        let commit = session.row(series.key.row).and_then(|row| row.commit.as_deref()).unwrap_or_default();
        let fields =
            [csv_text(&session.begun_at), csv_text(commit), csv_text(&session.bundle), ratio.to_string()];
        writer.write_record(fields).expect("memory takes it");
    }
    String::from_utf8(writer.into_inner().expect("memory takes it")).expect("of strings")
}

/// Each series with its newest night, where that enters and belongs to the newest session of its scenario on its machine.
fn newest<'a>(
    history: &'a History,
    is_wanted: impl Fn(&Key) -> bool,
) -> impl Iterator<Item = (Key<'a>, Night<'a>)> {
    let newest = history.newest();
    history.series().into_iter().filter(move |series| is_wanted(&series.key)).filter_map(move |series| {
        let night = *series.nights.last()?;
        let is_newest = newest[&(series.key.scenario, series.key.machine)].id == night.session.id;
        (is_newest && night.ratio().is_ok()).then_some((series.key, night))
    })
}

/// A key without its metric: `nightly/engine/chat/t2@1ca6c3fd762d`
fn benchmark(Key { scenario, machine, row, workload, threads, .. }: &Key) -> String {
    format!("{scenario}/{row}/{workload}/t{threads}@{machine}")
}

fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::Load => "s",
        Metric::TtftWarm | Metric::TtftCold => "ms",
        Metric::Prefill | Metric::Decode | Metric::EndToEnd => "tok/s",
        Metric::PeakRss => "bytes",
    }
}

/// As part of a file name and of a test's name.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.@".contains(c) { c } else { '-' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests;
