//! `harness track check`.

use super::{File, Filter, JSON_SCHEMA, read, text};
use crate::escape::printable;
use crate::history::{Checked, Finding, Key, Kind, RULES, Rules, Session, check};
use crate::summary::metric_key;
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

/// The subject's newest figures could not be judged.
const EXIT_UNJUDGED: u8 = 3;
/// Something got worse.
const EXIT_REGRESSION: u8 = 4;

/// Arguments of `harness track check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    filter: Filter,
    /// Nights for which a change is news from the one on which it was found
    #[arg(long, value_name = "NIGHTS", default_value_t = RULES.recent)]
    recent: usize,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Tells what is news: 4 if something got worse, 3 if not but the subject's newest figures could not be judged, else 0.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = args.filter.wanted()?;
    let history = read(&args.file)?;
    let checked = check(&history, &Rules { recent: args.recent, ..RULES }, wanted);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&document(&checked))?);
    } else {
        print(&checked, args);
    }
    let code = if checked.regressions().next().is_some() {
        ExitCode::from(EXIT_REGRESSION)
    } else if checked.unjudged.iter().any(|unjudged| unjudged.is_subject) {
        ExitCode::from(EXIT_UNJUDGED)
    } else {
        ExitCode::SUCCESS
    };
    // The process ends here: to free a long history piece by piece would take a good part of the time.
    drop(checked);
    std::mem::forget(history);
    Ok(code)
}

fn print(checked: &Checked, args: &Args) {
    let (worse, better): (Vec<_>, Vec<_>) = checked.findings.iter().partition(|f| f.is_regression);
    for finding in worse.iter().chain(&better) {
        println!("{}", text::finding(finding, &args.file.path));
    }
    for unjudged in &checked.unjudged {
        println!("not judged: {}: {}", text::series(&unjudged.key), printable(&unjudged.reason));
    }
    if checked.series == 0 {
        println!("{}: no series to check", args.file.path.display());
        return;
    }
    let young = match checked.young {
        0 => String::new(),
        n => format!("; {n} have too few nights for a change point yet"),
    };
    println!(
        "{} series checked: {} worse, {} better, {} not judged{young}",
        checked.series,
        worse.len(),
        better.len(),
        checked.unjudged.len()
    );
    let compared = |key: &&Key| !checked.regressions().any(|finding| finding.key == **key);
    for key in checked.held.iter().filter(compared) {
        println!("not told to be as good as the last good version: {}", text::series(key));
    }
    println!("the last good version {}", if checked.last_good_moves() { "may move on" } else { "stays" });
}

fn document(checked: &Checked) -> Value {
    let unjudged = checked.unjudged.iter().map(|unjudged| {
        json!({"series": unjudged.key.to_string(), "is_subject": unjudged.is_subject, "reason": unjudged.reason})
    });
    json!({
        "schema": JSON_SCHEMA,
        "series": checked.series,
        "too_few_nights": checked.young,
        "regressions": checked.findings.iter().filter(|f| f.is_regression).map(finding).collect::<Vec<_>>(),
        "improvements": checked.findings.iter().filter(|f| !f.is_regression).map(finding).collect::<Vec<_>>(),
        "not_judged": unjudged.collect::<Vec<_>>(),
        "held": checked.held.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "last_good_moves": checked.last_good_moves(),
    })
}

fn finding(finding: &Finding) -> Value {
    let Finding {
        key, kind, before, after, change: (share, interval), n, p, good, bad, found, commits, ..
    } = finding;
    let session = |session: &Session, commit: Option<&str>| {
        json!({
            "begun_at": session.begun_at,
            "bundle": session.bundle,
            "bundle_sha256": session.bundle_sha256,
            "commit": commit,
        })
    };
    json!({
        "series": key.to_string(),
        "scenario": key.scenario,
        "machine": key.machine,
        "framework": key.row,
        "workload": key.workload,
        "threads": key.threads,
        "metric": metric_key(key.metric),
        "found_by": match kind { Kind::Step => "change_point", Kind::FirstNight => "first_night" },
        "before": before,
        "after": after,
        "change": share,
        "change_lo": interval.map(|i| i.lo),
        "change_hi": interval.map(|i| i.hi),
        "n_before": n.0,
        "n_after": n.1,
        "p": p,
        "last_good": session(good, commits.0),
        "first_bad": session(bad, commits.1),
        "found_at": found.begun_at,
        "sparkline": finding.sparkline,
    })
}
