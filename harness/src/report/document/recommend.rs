//! Recommendations and the verdict on the subject: each by a rule that the document states, from ranked rows alone.

use super::Run;
use super::features::Column;
use crate::framework::features::{Feature, Support};
use crate::rating::stars;
use crate::report::tables::ratio_words;
use crate::report::text::md;
use crate::sample::Metric;
use crate::summary::{CellSummary, Standing, WorkloadSummary};
use crate::units::{fixed, show, show_mb, show_ms};
use crate::verdict::Verdict;
use serde::Serialize;

/// Which of a workload's thread counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    Fewest,
    Most,
}

/// How a rule chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predicate {
    /// The ranked row that is best in this metric, on every platform by itself, if the verdict on it and the next ranks the two.
    Best(Metric, Threads),
    /// Every ranked row whose framework claims the feature, wholly or in part.
    Claims(Feature),
    /// Every ranked row whose framework claims the feature wholly.
    ClaimsWholly(Feature),
    /// Every ranked row whose installation has no shared library beside the system's.
    NoNativeDependencies,
    /// Every ranked row whose program is one file that needs the system alone.
    SingleFile,
}

/// A rule.
struct Rule {
    id: &'static str,
    use_case: &'static str,
    words: &'static str,
    predicate: Predicate,
}

/// The rules, in the order in which the published comparison has their use cases.
const RULES: [Rule; 16] = [
    Rule {
        id: "native",
        use_case: "Rust Applications",
        words: "claims to be a Rust library",
        predicate: Predicate::ClaimsWholly(Feature::NativeIntegration),
    },
    Rule {
        id: "cross-platform",
        use_case: "Cross-Platform",
        words: "claims ready binaries for several systems",
        predicate: Predicate::ClaimsWholly(Feature::CrossPlatformBinary),
    },
    Rule {
        id: "types",
        use_case: "Type-Safe Development",
        words: "claims types checked before it runs",
        predicate: Predicate::ClaimsWholly(Feature::TypeSafety),
    },
    Rule {
        id: "memory-safe",
        use_case: "Memory-Safe Production",
        words: "claims memory safety, at least in part",
        predicate: Predicate::Claims(Feature::MemorySafety),
    },
    Rule {
        id: "no-dependencies",
        use_case: "Zero Native Dependencies",
        words: "no shared library beside the system's, checked",
        predicate: Predicate::NoNativeDependencies,
    },
    Rule {
        id: "single-file",
        use_case: "Single-File Deployment",
        words: "one file that needs the system alone, checked",
        predicate: Predicate::SingleFile,
    },
    Rule {
        id: "fastest",
        use_case: "Maximum Performance, one request",
        words: "largest decode on the fewest threads, by the verdict on it and the next",
        predicate: Predicate::Best(Metric::Decode, Threads::Fewest),
    },
    Rule {
        id: "fastest-threads",
        use_case: "Maximum Performance, all threads",
        words: "largest decode on the most threads, by that verdict",
        predicate: Predicate::Best(Metric::Decode, Threads::Most),
    },
    Rule {
        id: "prefill",
        use_case: "Long Prompts",
        words: "largest prefill on the most threads, by that verdict",
        predicate: Predicate::Best(Metric::Prefill, Threads::Most),
    },
    Rule {
        id: "latency",
        use_case: "Interactive Use",
        words: "smallest warm TTFT on the most threads, by that verdict",
        predicate: Predicate::Best(Metric::TtftWarm, Threads::Most),
    },
    Rule {
        id: "gpu",
        use_case: "GPU Acceleration",
        words: "claims to run on a GPU (not measured here)",
        predicate: Predicate::ClaimsWholly(Feature::GpuSupport),
    },
    Rule {
        id: "embedded",
        use_case: "Embedded Systems",
        words: "smallest peak RSS on the fewest threads, by that verdict",
        predicate: Predicate::Best(Metric::PeakRss, Threads::Fewest),
    },
    Rule {
        id: "scale",
        use_case: "Production Scale",
        words: "claims several requests at a time (not measured here)",
        predicate: Predicate::ClaimsWholly(Feature::ConcurrentSessions),
    },
    Rule {
        id: "switching",
        use_case: "Model Switching",
        words: "claims to load models on demand, at least in part",
        predicate: Predicate::Claims(Feature::AutoScaling),
    },
    Rule {
        id: "rest",
        use_case: "REST API",
        words: "claims an OpenAI-compatible server",
        predicate: Predicate::ClaimsWholly(Feature::OpenaiServer),
    },
    Rule {
        id: "python",
        use_case: "ML Pipeline in Python",
        words: "claims a Python package of its own",
        predicate: Predicate::ClaimsWholly(Feature::PythonIntegration),
    },
];

/// The rules with what they select, and the same by framework.
#[derive(Debug, Serialize)]
pub(super) struct Recommendations {
    rules: Vec<RuleView>,
    choices: Vec<ChoiceView>,
}

#[derive(Debug, Serialize)]
struct RuleView {
    id: &'static str,
    use_case: &'static str,
    words: &'static str,
    selects: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ChoiceView {
    framework: String,
    cases: Vec<CaseView>,
}

#[derive(Debug, Serialize)]
struct CaseView {
    use_case: &'static str,
    why: String,
}

/// What a rule selects, or why nothing.
struct Selected {
    /// Id of the framework; `None` where it cannot be told.
    id: Option<String>,
    words: String,
}

/// Every rule on every run; where nothing can be told it says so.
pub(super) fn recommendations(runs: &[Run], columns: &[Column]) -> Recommendations {
    let chosen: Vec<(&Rule, Vec<Selected>)> =
        RULES.iter().map(|rule| (rule, select(rule.predicate, runs, columns))).collect();
    let rule = |(rule, selected): &(&Rule, Vec<Selected>)| RuleView {
        id: rule.id,
        use_case: rule.use_case,
        words: rule.words,
        selects: selected.iter().map(|s| s.words.clone()).collect(),
    };
    let cases = |column: &Column| -> Vec<CaseView> {
        let why = |selected: &[Selected]| -> Vec<String> {
            selected.iter().filter(|s| s.id.as_deref() == Some(column.id)).map(|s| s.words.clone()).collect()
        };
        let of = |(rule, selected): &(&Rule, Vec<Selected>)| {
            let why = why(selected);
            (!why.is_empty()).then(|| CaseView { use_case: rule.use_case, why: why.join("; ") })
        };
        chosen.iter().filter_map(of).collect()
    };
    let choices = columns.iter().map(|c| ChoiceView { framework: md(&c.name), cases: cases(c) });
    let choices = choices.filter(|choice| !choice.cases.is_empty()).collect();
    Recommendations { rules: chosen.iter().map(rule).collect(), choices }
}

fn select(predicate: Predicate, runs: &[Run], columns: &[Column]) -> Vec<Selected> {
    let claims = |feature: Feature, with_parts: bool| {
        columns.iter().filter(move |c| match c.support(feature) {
            Some(Support::Yes) => true,
            Some(Support::Partial) => with_parts,
            _ => false,
        })
    };
    let chosen: Vec<&Column> = match predicate {
        Predicate::Best(metric, threads) => {
            return runs.iter().filter_map(|run| best(run, metric, threads)).collect();
        }
        Predicate::Claims(feature) => claims(feature, true).collect(),
        Predicate::ClaimsWholly(feature) => claims(feature, false).collect(),
        Predicate::SingleFile => columns.iter().filter(|c| c.is_single_file()).collect(),
        Predicate::NoNativeDependencies => {
            columns.iter().filter(|c| c.has_no_native_dependencies()).collect()
        }
    };
    let mut selected: Vec<Selected> = chosen.into_iter().filter_map(|c| ranked(runs, c)).collect();
    if selected.is_empty() {
        let words = match predicate {
            Predicate::NoNativeDependencies | Predicate::SingleFile => {
                match columns.iter().any(Column::is_installation_recorded) {
                    true => {
                        "none: no framework of which a run recorded it has it and a row that may be ranked"
                    }
                    false => "cannot be told: no run recorded it",
                }
            }
            _ => "none: no framework with a row that may be ranked claims it",
        };
        selected.push(Selected { id: None, words: words.to_owned() });
    }
    selected
}

/// The framework with the decode of its first row that may be ranked, on the fewest threads of a run's first workload.
fn ranked(runs: &[Run], column: &Column) -> Option<Selected> {
    runs.iter().find_map(|run| {
        let workload = run.summary.workloads.first()?;
        let threads = *workload.threads.first()?;
        let is_of_it = |c: &&CellSummary| c.is_ranked() && run.summary.rows[c.row].id == column.id;
        let cell = workload.at(threads).find(is_of_it)?;
        let decode = cell.estimate(Metric::Decode)?;
        let row = md(&run.summary.rows[cell.row].name);
        let words = format!("{row} ({} tok/s, {})", show(decode.value), run.link());
        Some(Selected { id: Some(column.id.to_owned()), words })
    })
}

/// The best row of a run's first workload, if it can be told; `None` where nothing was measured on so many threads.
fn best(run: &Run, metric: Metric, threads: Threads) -> Option<Selected> {
    let workload = run.summary.workloads.first()?;
    let threads = match threads {
        Threads::Fewest => *workload.threads.first()?,
        Threads::Most => *workload.threads.last()?,
    };
    let untold =
        |reason: String| Selected { id: None, words: format!("{}: cannot be told: {reason}", run.link()) };
    let standing = run.summary.standing_in(workload, metric, threads, run.source.manifest.seed);
    Some(match standing {
        None => untold("no row may be ranked".to_owned()),
        Some(standing) => match winner(run, workload, &standing, metric) {
            Ok(selected) => selected,
            Err(reason) => untold(reason),
        },
    })
}

fn winner(
    run: &Run,
    workload: &WorkloadSummary,
    standing: &Standing,
    metric: Metric,
) -> Result<Selected, String> {
    let name = |row: usize| md(&run.summary.rows[row].name);
    let leader = name(standing.leader);
    let Some(second) = standing.second.map(name) else {
        return Err(format!("{leader} is the only row that may be ranked"));
    };
    let Some(ratio) = &standing.ratio else {
        return Err(format!("{leader} and {second} share no undisturbed block"));
    };
    if standing.judgement.verdict != Verdict::Faster {
        let reason = standing.judgement.reason.as_deref().map(|r| format!(", {}", md(r))).unwrap_or_default();
        let verdict = standing.judgement.verdict.word();
        return Err(format!("{leader} and {second} are {verdict} (ratio {}{reason})", ratio_words(ratio)));
    }
    let value =
        workload.cell(standing.leader, standing.threads).and_then(|c| c.estimate(metric)).map(|e| e.value);
    let value = value.map(|v| figure(metric, v)).unwrap_or_default();
    Ok(Selected {
        id: Some(run.summary.rows[standing.leader].id.clone()),
        words: format!("{}: {leader} ({value}; {} times {second})", run.link(), ratio_words(ratio)),
    })
}

fn figure(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Decode | Metric::Prefill | Metric::EndToEnd => format!("{} tok/s", show(value)),
        Metric::TtftWarm | Metric::TtftCold => format!("{} ms", show_ms(value)),
        Metric::Load => format!("{} s", fixed(value, 3)),
        Metric::PeakRss => format!("{} MB", show_mb(value)),
    }
}

/// The subject against the baseline over all runs, in one metric.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    subject: String,
    baseline: String,
    metric: &'static str,
    n: usize,
    better: Vec<String>,
    worse: Vec<String>,
    equivalent: Vec<String>,
    untold: Vec<String>,
    better_word: &'static str,
    worse_word: &'static str,
}

/// Counts the verdicts on the fewest threads of each run's first workload; `None` where no run has both rows.
pub(super) fn tally(runs: &[Run], metric: Metric) -> Option<Tally> {
    let mut tally = Tally {
        subject: String::new(),
        baseline: String::new(),
        metric: if metric == Metric::PeakRss { "peak memory" } else { "decode" },
        n: 0,
        better: Vec::new(),
        worse: Vec::new(),
        equivalent: Vec::new(),
        untold: Vec::new(),
        better_word: Verdict::Faster.word_for(metric),
        worse_word: Verdict::Slower.word_for(metric),
    };
    for run in runs {
        let Some((comparison, subject, baseline)) = subject_comparison(run, metric) else { continue };
        (tally.subject, tally.baseline) = (subject, baseline);
        tally.n += 1;
        let ratio = comparison.ratio.as_ref().map_or_else(|| "no ratio".to_owned(), ratio_words);
        let words = format!("{} ({ratio})", run.link());
        match comparison.judgement.verdict {
            Verdict::Faster => tally.better.push(words),
            Verdict::Slower => tally.worse.push(words),
            Verdict::Equivalent => tally.equivalent.push(words),
            Verdict::Unresolved | Verdict::Invalid => tally.untold.push(words),
        }
    }
    (tally.n > 0).then_some(tally)
}

fn subject_comparison<'a>(
    run: &'a Run,
    metric: Metric,
) -> Option<(&'a crate::summary::Comparison, String, String)> {
    let workload = run.summary.workloads.first()?;
    let threads = *workload.threads.first()?;
    let row = run.summary.rows.iter().position(|r| r.is_subject)?;
    let comparison = workload.cell(row, threads)?.comparison(metric)?;
    let baseline = run.summary.baseline().map(|r| md(&r.name)).unwrap_or_default();
    Some((comparison, md(&run.summary.rows[row].name), baseline))
}

/// Stars for a table of features: the mean of its cells that tell (yes 1, in part ½, no 0), one star to five; `None` where fewer
/// than half of its lines tell.
pub(super) fn feature_stars((worths, n_lines): (Vec<f64>, usize)) -> Option<usize> {
    let n_enough = n_lines.div_ceil(2);
    let mean = worths.iter().sum::<f64>() / worths.len().max(1) as f64;
    (worths.len() >= n_enough).then(|| 1 + (4.0 * mean).round() as usize)
}

/// The mean of several star counts, halves up; `None` without any.
pub(super) fn overall(counts: &[usize]) -> Option<usize> {
    let mean = counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64;
    (!counts.is_empty()).then(|| mean.round() as usize)
}

/// `⭐⭐⭐ (3/5 stars)`
pub(super) fn rating(count: usize) -> String {
    format!("{} ({count}/5 stars)", stars(count))
}

#[cfg(test)]
#[path = "recommend_tests.rs"]
mod tests;
