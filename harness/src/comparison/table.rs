//! The comparison in Markdown.

use super::{Comparison, Difference, Figure, Line, OnlyInOne, Quotient};
use crate::escape::one_line;
use crate::sample::Metric;
use crate::units::{fixed, show, show_mb, show_ms};
use std::fmt::Write;

/// A heading, what differs, and one table for each workload and thread count.
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = format!("# B against A\n\nA: {}  \nB: {}\n", comparison.id_a, comparison.id_b);
    write_differences(&mut text, &comparison.differs);
    text.push_str(&how_to_read(comparison));
    let mut cell = None;
    for line in &comparison.lines {
        if cell != Some((&line.workload, line.threads)) {
            cell = Some((&line.workload, line.threads));
            text.push_str(&heading(comparison, line));
        }
        text.push_str(&row(line));
    }
    if comparison.lines.is_empty() {
        text.push_str("\nNothing was measured in both.\n");
    }
    write_reasons(&mut text, comparison);
    if !comparison.only_in_one.is_empty() {
        text.push_str("\nNot measured in both:\n\n");
    }
    for OnlyInOne { framework, workload, threads, missing_in, reason, .. } in &comparison.only_in_one {
        let (framework, workload) = (plain(framework), plain(workload));
        text.push_str(&format!(
            "- {framework}, {workload}, threads: {threads}: not in {missing_in}: {}\n",
            plain(reason)
        ));
    }
    text
}

fn write_differences(text: &mut String, differs: &[Difference]) {
    if differs.is_empty() {
        return;
    }
    text.push_str("\n## Differs\n\n| what | A | B |\n|---|---|---|\n");
    for Difference { what, a, b } in differs {
        let shown = |value: &str| if value.is_empty() { "none".to_owned() } else { plain(value) };
        text.push_str(&format!("| {} | {} | {} |\n", plain(what), shown(a), shown(b)));
    }
}

fn how_to_read(comparison: &Comparison) -> String {
    let mut text =
        "\nMedians over launches with 95% intervals. B / A compares the launches of two sessions, which are \
                    paired with nothing: drift of the machine is in it.\n"
            .to_owned();
    match (&comparison.common_baseline, comparison.across_machines) {
        (_, true) => text.push_str("Two machines: there are no verdicts.\n"),
        (Some(label), false) => text.push_str(&format!(
            "The ratio to {0} divides the ratios to {0}, each paired by block within its session; drift cancels. \
             Verdicts rest on it alone, with a margin of {1}%.\n",
            plain(label),
            show(comparison.margin * 100.0)
        )),
        (None, false) => {
            text.push_str("The two share no baseline program, so drift cannot be told from a change: no verdict ranks.\n");
        }
    }
    if let Some(noise) = comparison.noise.as_deref().filter(|_| !comparison.across_machines) {
        text.push_str(&format!("No verdict ranks: {}.\n", plain(noise)));
    }
    text
}

fn heading(comparison: &Comparison, line: &Line) -> String {
    let threads = if line.threads == 1 { "thread" } else { "threads" };
    let base = comparison.common_baseline.as_deref().map_or("baseline".to_owned(), plain);
    format!(
        "\n## {}, {} {threads}\n\n| framework | metric | A | B | B / A | B / A, as ratio to {base} | B is |\n\
         |---|---|---:|---:|---:|---:|---|\n",
        plain(&line.workload),
        line.threads
    )
}

fn row(line: &Line) -> String {
    let (name, unit) = metric(line.kind);
    let name = format!("{name} ({unit})");
    let (a, b) = (figure(line.kind, line.a), figure(line.kind, line.b));
    let (ratio, relative) = (quotient(line.ratio), quotient(line.relative));
    let verdict = line.verdict.unwrap_or("–");
    let verdict = if line.is_regression { format!("**{verdict}**") } else { verdict.to_owned() };
    format!("| {} | {name} | {a} | {b} | {ratio} | {relative} | {verdict} |\n", plain(&line.framework))
}

fn write_reasons(text: &mut String, comparison: &Comparison) {
    let mut reasons: Vec<(&str, &str)> = Vec::new();
    for line in &comparison.lines {
        if let Some(reason) = &line.reason
            && !reasons.contains(&(line.framework.as_str(), reason.as_str()))
        {
            reasons.push((&line.framework, reason));
        }
    }
    if !reasons.is_empty() {
        text.push_str("\nWhy no verdict, or none that ranks:\n\n");
    }
    for (framework, reason) in reasons {
        writeln!(text, "- {}: {}", plain(framework), plain(reason)).expect("writing to memory succeeds");
    }
}

fn metric(metric: Metric) -> (&'static str, &'static str) {
    match metric {
        Metric::Load => ("load", "s"),
        Metric::TtftWarm => ("TTFT warm", "ms"),
        Metric::TtftCold => ("TTFT cold", "ms"),
        Metric::Prefill => ("prefill", "tok/s"),
        Metric::Decode => ("decode", "tok/s"),
        Metric::EndToEnd => ("end-to-end", "tok/s"),
        Metric::PeakRss => ("peak RSS", "MB"),
    }
}

fn figure(metric: Metric, figure: Figure) -> String {
    let shown = |value: f64| match metric {
        Metric::Load => fixed(value, 3),
        Metric::TtftWarm | Metric::TtftCold => show_ms(value),
        Metric::PeakRss => show_mb(value),
        Metric::Prefill | Metric::Decode | Metric::EndToEnd => show(value),
    };
    with_interval(figure.value, figure.lo.zip(figure.hi), shown)
}

fn quotient(quotient: Option<Quotient>) -> String {
    let shown = |value: f64| fixed(value, 3);
    quotient.map_or("–".to_owned(), |q| with_interval(q.value, q.lo.zip(q.hi), shown))
}

fn with_interval(value: f64, interval: Option<(f64, f64)>, shown: impl Fn(f64) -> String) -> String {
    let ends = interval.map(|(lo, hi)| format!(" [{}, {}]", shown(lo), shown(hi)));
    shown(value) + &ends.unwrap_or_default()
}

/// `text` on one line, harmless in a table.
fn plain(text: &str) -> String {
    one_line(text)
        .replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('*', "\\*")
        .replace('[', "\\[")
}
