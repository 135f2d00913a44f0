//! Words of `harness track`.

use crate::escape::printable;
use crate::history::{Finding, Key, Kind, Session};
use crate::stats::Interval;
use crate::summary::metric_key;
use crate::units::show_ratio;
use std::path::Path;

/// `−5.1% [−6.0%, −4.2%]`
pub(super) fn percent_with(share: f64, interval: Option<Interval>) -> String {
    let interval = interval.map(|i| format!(" [{}, {}]", percent(i.lo), percent(i.hi)));
    format!("{}{}", percent(share), interval.unwrap_or_default())
}

/// `−5.1%`
pub(super) fn percent(share: f64) -> String {
    format!("{:+.1}%", share * 100.0).replace('-', "−")
}

/// `1 night`, `2 nights`
pub(super) fn nights(n: usize) -> String {
    if n == 1 { "1 night".to_owned() } else { format!("{n} nights") }
}

/// `engine, chat, 2 threads, decode_tok_s (nightly, 1ca6c3fd762d)`
pub(super) fn series(key: &Key) -> String {
    let threads = if key.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", key.threads) };
    let metric = metric_key(key.metric);
    printable(&format!(
        "{}, {}, {threads}, {metric} ({}, {})",
        key.row, key.workload, key.scenario, key.machine
    ))
}

/// What a person needs to know of a finding; several lines.
pub(super) fn finding(finding: &Finding, history: &Path) -> String {
    let Finding { key, kind, good, bad, found, commits, .. } = finding;
    let word = if finding.is_regression { "regression" } else { "improvement" };
    let change = percent_with(finding.change.0, finding.change.1);
    let mut lines = vec![format!("{word}: {}", series(key))];
    match kind {
        Kind::Step => {
            let baseline = printable(&format!("{} {}", bad.baseline.label, bad.baseline.version));
            let (before, after) = (show_ratio(finding.before), show_ratio(finding.after));
            lines.push(format!(
                "  {before} → {after} of {baseline}: {change}, {} and {} nights, p {:.0e}, found {}",
                finding.n.0,
                finding.n.1,
                finding.p.unwrap_or(1.0),
                found.day()
            ));
            lines.push(format!("  {}", finding.sparkline));
            lines.push(format!("  last good: {}", session(good, commits.0)));
            lines.push(format!("  first bad: {}", session(bad, commits.1)));
        }
        Kind::FirstNight => {
            let previous = printable(good.previous.as_deref().unwrap_or_default());
            lines.push(format!(
                "  {} of {previous} in the same {} blocks: {change}",
                show_ratio(finding.after),
                finding.n.0
            ));
            lines.push(format!("  {}", finding.sparkline));
            lines.push(format!("  in:        {}", session(bad, commits.1)));
        }
    }
    if let (Some(from), Some(to)) = commits {
        lines.push(format!("  commits:   git log {}..{}", bare(from), bare(to)));
    }
    lines.push(format!(
        "  repeat:    harness track check --history {} --series {key} --metrics all",
        history.display()
    ));
    lines.push(String::new());
    lines.join("\n")
}

fn session(session: &Session, commit: Option<&str>) -> String {
    let commit = commit
        .map_or_else(|| "commit not known".to_owned(), |c| format!("commit {}", c.get(..12).unwrap_or(c)));
    printable(&format!("{}, {commit}, bundle {}", session.day(), session.bundle))
}

/// git knows no commit that ends in `-dirty`.
fn bare(commit: &str) -> String {
    printable(commit.trim_end_matches("-dirty"))
}
