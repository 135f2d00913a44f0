//! Ablations: a run whose rows are one framework in several settings, told by the options of its manifest, says what each
//! setting gives. Such a run has no section of its own among the platforms: its rows are no rivals.

use super::{Record, Run, Source};
use crate::report::tables::{interval_words, ratio_words};
use crate::report::text::{Footnotes, code, md};
use crate::sample::{LaunchRecord, Metric, Outcome};
use crate::scenario::{FrameworkSpec, Scenario};
use crate::stats::Ratio;
use crate::summary::{CellSummary, WorkloadSummary};
use crate::units::show_difference;
use crate::verdict::Verdict;
use engine::Part;
use serde::Serialize;

/// The option by which the engine's rows leave out [`Part`]s.
const WITHOUT: &str = "without";
/// What joins the names of several.
const AND: char = '+';

/// A run of ablations.
#[derive(Debug, Serialize)]
pub(super) struct Ablation {
    framework: String,
    cpu: String,
    model: String,
    record: Record,
    workloads: Vec<Parts>,
}

/// What each part gives in one workload.
#[derive(Debug, Serialize)]
struct Parts {
    workload: String,
    prompt_tokens: u32,
    generate_tokens: u32,
    threads: Vec<u32>,
    rows: Vec<PartRow>,
    findings: Vec<Finding>,
}

/// A row of the table: the impact of one change on decode, then on prefill, at each thread count.
#[derive(Debug, Serialize)]
struct PartRow {
    part: String,
    decode: Vec<String>,
    prefill: Vec<String>,
    what: String,
}

/// What the table says of one metric at one thread count.
#[derive(Debug, Default, Serialize)]
struct Finding {
    metric: &'static str,
    threads: u32,
    /// The change of one thing that costs most, and the ratio.
    most: Option<(String, String)>,
    /// Several things at once, and the ratio.
    joint: Option<(String, String)>,
    equivalent: Vec<String>,
    faster: Vec<String>,
    unresolved: Vec<String>,
    /// Why, where one reason holds for all that is unresolved.
    reason: Option<String>,
}

/// Whether every row of the run is one framework, and some of them only differ from the baseline in options.
pub(super) fn is_ablation(source: &Source) -> bool {
    let scenario = &source.manifest.scenario;
    let Some(base) = scenario.framework(&scenario.baseline) else { return false };
    scenario.frameworks.iter().all(|row| row.id == base.id)
        && scenario.frameworks.iter().any(|row| !changes(row, base).is_empty())
}

/// The options in which a row differs from the baseline, with its values.
fn changes<'a>(row: &'a FrameworkSpec, base: &'a FrameworkSpec) -> Vec<(&'a str, &'a str)> {
    let set = row.options.iter().filter(|(name, value)| base.options.get(*name) != Some(*value));
    let left = base.options.keys().filter(|name| !row.options.contains_key(*name));
    set.map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(left.map(|name| (name.as_str(), "default")))
        .collect()
}

/// A row that differs from the baseline.
struct Change<'a> {
    cells: Vec<&'a CellSummary>,
    /// `without streams`
    part: String,
    what: String,
    is_joint: bool,
}

/// What the run says.
pub(super) fn ablation(run: &Run, notes: &mut Footnotes) -> Ablation {
    let Source { manifest, .. } = run.source;
    let framework = manifest.frameworks.iter().find(|f| f.label == manifest.scenario.baseline);
    Ablation {
        framework: framework.map(|f| md(&f.display_name)).unwrap_or_default(),
        cpu: md(&manifest.machine.cpu),
        model: super::model(manifest),
        record: Record::of(&run.source),
        workloads: run.summary.workloads.iter().map(|w| parts(run, w, notes)).collect(),
    }
}

fn parts(run: &Run, workload: &WorkloadSummary, notes: &mut Footnotes) -> Parts {
    let mut changes = changes_of(run, workload);
    let ratio = |change: &Change| {
        let cell = change.cells.first()?;
        Some(cell.comparison(Metric::Decode)?.ratio?.value)
    };
    // The largest loss first; of equals the scenario's order.
    changes.sort_by(|a, b| {
        let key = |change| ratio(change).unwrap_or(f64::INFINITY);
        key(a).total_cmp(&key(b))
    });
    let mut impacts = |change: &Change, metric| {
        change.cells.iter().map(|cell| impact(cell, metric, notes)).collect::<Vec<_>>()
    };
    let rows = changes.iter().map(|change| PartRow {
        part: code(&change.part),
        decode: impacts(change, Metric::Decode),
        prefill: impacts(change, Metric::Prefill),
        what: md(&change.what),
    });
    let rows = rows.collect();
    let findings =
        [(Metric::Decode, "decode"), (Metric::Prefill, "prefill")].into_iter().flat_map(|metric| {
            let changes = &changes;
            workload
                .threads
                .iter()
                .enumerate()
                .map(move |(i, &threads)| finding(changes, metric, (i, threads)))
        });
    Parts {
        workload: md(&workload.workload.name),
        prompt_tokens: workload.workload.prompt_tokens,
        generate_tokens: workload.workload.generate_tokens,
        threads: workload.threads.clone(),
        rows,
        findings: findings.collect(),
    }
}

fn changes_of<'a>(run: &Run, workload: &'a WorkloadSummary) -> Vec<Change<'a>> {
    let scenario: &Scenario = &run.source.manifest.scenario;
    let Some(base) = scenario.framework(&scenario.baseline) else { return Vec::new() };
    let change = |(index, row): (usize, &FrameworkSpec)| {
        let options = changes(row, base);
        let (names, words): (Vec<String>, Vec<String>) = options
            .iter()
            .map(|&(name, value)| (format!("{name} {value}"), explained(run, name, value)))
            .unzip();
        (!options.is_empty()).then(|| Change {
            cells: workload.threads.iter().filter_map(|&t| workload.cell(index, t)).collect(),
            part: names.join(", "),
            what: words.join("; "),
            is_joint: options.len() > 1 || options.iter().any(|(_, value)| value.contains(AND)),
        })
    };
    scenario.frameworks.iter().enumerate().filter_map(change).collect()
}

/// What a change is, in words; of an option without words, what the baseline told of it.
fn explained(run: &Run, name: &str, value: &str) -> String {
    if name == WITHOUT {
        let words: Vec<&str> = value.split(AND).filter_map(Part::by_name).map(Part::without_it).collect();
        if !words.is_empty() {
            return words.join("; ");
        }
    }
    let baseline = &run.source.manifest.scenario.baseline;
    let told = |record: &LaunchRecord| match &record.outcome {
        Outcome::Measured(m) if record.framework == *baseline => {
            m.settings.as_ref()?.options.get(name).cloned()
        }
        _ => None,
    };
    match run.source.records.iter().find_map(told) {
        Some(told) => format!("{value} instead of {told}"),
        None => format!("{name}: {value}"),
    }
}

/// `-41% [-43%, -39%] slower`
fn impact(cell: &CellSummary, metric: Metric, notes: &mut Footnotes) -> String {
    let reason = cell.failure.as_deref().or(cell.not_ranked.as_ref().map(|n| n.reason()));
    let comparison = cell.comparison(metric);
    match (reason, comparison.and_then(|c| Some((c.ratio?, c)))) {
        (Some(reason), _) => notes.not_available(reason),
        (None, None) => {
            let reason = comparison.and_then(|c| c.judgement.reason.as_deref());
            notes.not_available(reason.unwrap_or("it has no launch in a block with the baseline"))
        }
        (None, Some((ratio, comparison))) => {
            let judgement = &comparison.judgement;
            let word = match (&judgement.reason, judgement.verdict) {
                (Some(reason), verdict) => notes.mark(verdict.word(), reason),
                (None, verdict) => verdict.word().to_owned(),
            };
            format!("{} {word}", percent(&ratio))
        }
    }
}

/// `-41% [-43%, -39%]`
fn percent(ratio: &Ratio) -> String {
    let value = show_difference(ratio.value);
    match ratio.interval {
        Some(interval) => format!("{value} {}", interval_words(interval, show_difference)),
        None => value,
    }
}

/// By the verdicts of rows that may be ranked.
fn finding(
    changes: &[Change],
    (metric, word): (Metric, &'static str),
    (at, threads): (usize, u32),
) -> Finding {
    let mut finding = Finding { metric: word, threads, ..Finding::default() };
    let (mut most, mut reasons): (Option<(f64, &Change, Ratio)>, Vec<&str>) = (None, Vec::new());
    for change in changes {
        let cell = change.cells.get(at).filter(|cell| cell.is_ranked());
        let Some((comparison, ratio)) =
            cell.and_then(|c| c.comparison(metric)).and_then(|c| Some((c, c.ratio?)))
        else {
            continue;
        };
        let part = code(&change.part);
        match comparison.judgement.verdict {
            Verdict::Slower if change.is_joint => finding.joint = Some((part, ratio_words(&ratio))),
            Verdict::Slower if most.as_ref().is_none_or(|m| ratio.value < m.0) => {
                most = Some((ratio.value, change, ratio));
            }
            Verdict::Slower => {}
            Verdict::Faster => finding.faster.push(part),
            Verdict::Equivalent => finding.equivalent.push(part),
            Verdict::Unresolved | Verdict::Invalid => {
                reasons.extend(comparison.judgement.reason.as_deref());
                finding.unresolved.push(part);
            }
        }
    }
    finding.most = most.map(|(_, change, ratio)| (code(&change.part), ratio_words(&ratio)));
    reasons.dedup();
    finding.reason = if let [reason] = reasons[..] { Some(md(reason)) } else { None };
    finding
}
