//! `harness track show`.

use super::{File, Filter, JSON_SCHEMA, read, text};
use crate::escape::printable;
use crate::history::{Change, Epoch, Key, Night, RULES, Series, changes, sparkline};
use crate::summary::metric_key;
use crate::units::show_ratio;
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `harness track show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    filter: Filter,
    /// Print one JSON document, with every night
    #[arg(long)]
    json: bool,
}

/// An epoch with its changes.
struct Shown<'a> {
    epoch: Epoch<'a>,
    ratios: Vec<f64>,
    changes: Vec<Change>,
}

/// Lists the series.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = args.filter.wanted()?;
    let history = read(&args.file)?;
    let all: Vec<Series> = history.series().into_iter().filter(|series| wanted(&series.key)).collect();
    if args.json {
        let series: Vec<Value> = all.iter().map(document).collect();
        println!("{}", serde_json::to_string_pretty(&json!({"schema": JSON_SCHEMA, "series": series}))?);
        return Ok(ExitCode::SUCCESS);
    }
    for series in &all {
        print(series);
    }
    println!("{} series, {} sessions", all.len(), history.sessions.len());
    Ok(ExitCode::SUCCESS)
}

fn epochs<'a>(series: &Series<'a>) -> Vec<Shown<'a>> {
    let shown = |epoch: Epoch<'a>| {
        let ratios = epoch.ratios();
        Shown { changes: changes(&ratios, &RULES), ratios, epoch }
    };
    series.epochs().into_iter().map(shown).collect()
}

fn print(series: &Series) {
    println!("{}", text::series(&series.key));
    for shown in epochs(series) {
        let nights = &series.nights[shown.epoch.range.clone()];
        let Some(first) = nights.first() else { continue };
        let baseline = &first.session.baseline;
        let why = match shown.epoch.changed.as_slice() {
            [] => String::new(),
            changed => format!(" ({} changed)", changed.join(", ")),
        };
        let n_out = nights.len() - shown.ratios.len();
        let out = if n_out == 0 { String::new() } else { format!(", {n_out} more do not enter") };
        let of = printable(&format!("{} {}", baseline.label, baseline.version));
        let entered = text::nights(shown.ratios.len());
        println!("  from {}{why}: {entered}{out}; ratio to {of}", first.session.day());
        let marks: Vec<usize> = shown.changes.iter().map(|change| change.index).collect();
        if let Some((night, ratio)) = shown.epoch.entered.last() {
            let point = night.point;
            let interval =
                point.lo.zip(point.hi).map(|(lo, hi)| format!(" [{}, {}]", show_ratio(lo), show_ratio(hi)));
            println!(
                "  {}  {}{}",
                sparkline(&shown.ratios, &marks),
                show_ratio(*ratio),
                interval.unwrap_or_default()
            );
        }
        for change in &shown.changes {
            println!("  {}: {}", day(&shown.epoch, change), change_words(&series.key, change));
        }
    }
    println!();
}

fn day<'a>(epoch: &Epoch<'a>, change: &Change) -> &'a str {
    epoch.entered[change.index].0.session.day()
}

fn change_words(key: &Key, change: &Change) -> String {
    let share = change.after / change.before - 1.0;
    let word = if (share < 0.0) == key.metric.higher_is_better() { "worse" } else { "better" };
    let (before, after) = (show_ratio(change.before), show_ratio(change.after));
    format!("{word}, {before} → {after}: {}", text::percent_with(share, Some(change.interval)))
}

fn document(series: &Series) -> Value {
    let key = &series.key;
    let epochs = epochs(series);
    let epochs = epochs.iter().map(|shown| {
        json!({
            "changed": shown.epoch.changed,
            "nights": series.nights[shown.epoch.range.clone()].iter().map(night).collect::<Vec<_>>(),
            "changes": shown.changes.iter().map(|c| json!({
                "bundle": shown.epoch.entered[c.index].0.session.bundle,
                "before": c.before,
                "after": c.after,
                "change_lo": c.interval.lo,
                "change_hi": c.interval.hi,
                "p": c.p,
            })).collect::<Vec<_>>(),
        })
    });
    json!({
        "series": key.to_string(),
        "scenario": key.scenario,
        "machine": key.machine,
        "framework": key.row,
        "workload": key.workload,
        "threads": key.threads,
        "metric": metric_key(key.metric),
        "epochs": epochs.collect::<Vec<_>>(),
    })
}

fn night(night: &Night) -> Value {
    let Night { session, point } = night;
    json!({
        "begun_at": session.begun_at,
        "bundle": session.bundle,
        "commit": session.row(&point.row).and_then(|row| row.commit.as_deref()),
        "ratio": point.ratio,
        "lo": point.lo,
        "hi": point.hi,
        "n": point.n,
        "value": point.value,
        "value_lo": point.value_lo,
        "value_hi": point.value_hi,
        "does_not_enter": night.ratio().err(),
    })
}
