//! The feature tables: what the registry claims of each framework, with its source, and what the runs checked.

use super::Run;
use crate::bundle::FrameworkRecord;
use crate::framework::Registry;
use crate::framework::features::{Claim, Feature, Source, Support};
use crate::report::published::TableView;
use crate::report::text::{Footnotes, bold_if, md};
use crate::sample::{Measured, Outcome, gate};
use crate::scenario::SIMULATED_ID;
use crate::units::show_mb;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Why there is nothing to build.
const NO_SETUP: &str = "`harness setup` does not install it";
/// Why a cell that a run checks has no value.
const NOT_RECORDED: &str = "not recorded: no run of this document tells it; older bundles do not";
/// Why a cell has no claim.
const NOT_STATED: &str = "not stated: nothing was found in the framework's own documentation, which does not mean that it is not so";

/// What a row of a table rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// A claim of the registry.
    Claim(&'static str, Feature),
    /// Seen by `harness run`.
    Check(&'static str, Check),
}

/// What `harness run` sees of a framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    NativeDependencies,
    SingleFile,
    Files,
    Size,
    Build,
    MissingModel,
    Settings,
}

/// The tables, in the order of the published comparison; what it lacks stands at the end of each.
const TABLES: [(&str, &[Line]); 3] = [
    (
        "### 1. Rust Ecosystem Integration",
        &[
            Line::Claim("Rust Native Integration", Feature::NativeIntegration),
            Line::Check("No Native Dependencies", Check::NativeDependencies),
            Line::Claim("Package Distribution", Feature::PackageDistribution),
            Line::Claim("OpenAI-Compatible Server", Feature::OpenaiServer),
            Line::Claim("Cross-Platform Binary", Feature::CrossPlatformBinary),
            Line::Claim("Python Integration", Feature::PythonIntegration),
            Line::Claim("GPU Support", Feature::GpuSupport),
            Line::Check("Single Binary", Check::SingleFile),
            Line::Check("Files", Check::Files),
            Line::Check("Size on Disk (MB)", Check::Size),
        ],
    ),
    (
        "### 2. Developer Experience",
        &[
            Line::Claim("Type Safety", Feature::TypeSafety),
            Line::Claim("Debugging", Feature::Debugging),
            Line::Claim("Memory Safety", Feature::MemorySafety),
            Line::Check("Build Complexity", Check::Build),
            Line::Claim("Learning Curve", Feature::LearningCurve),
        ],
    ),
    (
        "### 3. Production Readiness",
        &[
            Line::Claim("Thread Safety", Feature::ThreadSafety),
            Line::Claim("Concurrent Sessions", Feature::ConcurrentSessions),
            Line::Check("Error Handling (missing model)", Check::MissingModel),
            Line::Claim("Logging/Telemetry", Feature::LoggingTelemetry),
            Line::Claim("Auto-scaling", Feature::AutoScaling),
            Line::Check("Tells Its Settings", Check::Settings),
        ],
    ),
];

/// The feature tables and their sources.
#[derive(Debug, Serialize)]
pub(super) struct Features {
    tables: Vec<TableView>,
    sources: Vec<SourceView>,
}

#[derive(Debug, Serialize)]
struct SourceView {
    number: usize,
    text: String,
}

/// A framework of the document.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub(super) id: &'a str,
    pub(super) name: String,
    pub(super) is_subject: bool,
    claims: BTreeMap<Feature, Claim>,
    build: Option<String>,
    /// As found by each run.
    records: Vec<&'a FrameworkRecord>,
    /// Whether its launches told their settings; `None` without a measured launch.
    tells_settings: Option<bool>,
}

impl Column<'_> {
    /// How far the feature is claimed.
    pub(super) fn support(&self, feature: Feature) -> Option<Support> {
        self.claims.get(&feature).map(|claim| claim.value)
    }

    /// Yes, partial and no as 1, ½ and 0, over the claims and checks of table `index` that are of this kind; and how many
    /// lines that table has.
    pub(super) fn score(&self, index: usize) -> (Vec<f64>, usize) {
        let lines = TABLES[index].1;
        let of = |line: &Line| match line {
            Line::Claim(_, feature) => self.support(*feature).and_then(worth),
            Line::Check(_, check) => self.checked(*check).and_then(|(support, _)| worth(support)),
        };
        (lines.iter().filter_map(of).collect(), lines.len())
    }

    /// Whether any run saw with which libraries its program is linked.
    pub(super) fn is_installation_recorded(&self) -> bool {
        self.checked(Check::NativeDependencies).is_some()
    }

    /// Whether the latest run saw one file that needs the system alone.
    pub(super) fn is_single_file(&self) -> bool {
        matches!(self.checked(Check::SingleFile), Some((Support::Yes, _)))
    }

    /// Whether the latest run saw no shared library beside the system's.
    pub(super) fn has_no_native_dependencies(&self) -> bool {
        matches!(self.checked(Check::NativeDependencies), Some((Support::Yes, _)))
    }

    /// What was seen, by the last run that recorded it.
    fn checked(&self, check: Check) -> Option<(Support, String)> {
        let installation = || self.records.iter().rev().find_map(|r| r.installation.as_ref());
        match check {
            Check::SingleFile => {
                let is_one = installation().and_then(|found| found.is_single_file)?;
                Some((if is_one { Support::Yes } else { Support::No }, String::new()))
            }
            Check::NativeDependencies => {
                installation()?.shared_libraries.as_ref().map(|all| match all.len() {
                    0 => (Support::Yes, String::new()),
                    1 => (Support::No, format!("1 shared library: {}", md(&all[0]))),
                    n => (Support::No, format!("{n} shared libraries")),
                })
            }
            Check::Files => installation().map(|found| {
                let scope = if found.is_whole { " as installed" } else { "" };
                (Support::Text, format!("{}{scope}", found.files))
            }),
            Check::Size => installation().map(|found| (Support::Text, show_mb(found.bytes as f64))),
            Check::Build => self.build.clone().map(|build| (Support::Text, build)),
            Check::MissingModel => {
                let seen = self.records.iter().rev().find_map(|r| r.missing_model.as_ref())?;
                let message = if seen.said.is_empty() { "no message" } else { "message" };
                Some(match seen.exit_code {
                    _ if seen.is_refused() => {
                        (Support::Yes, format!("exit code {}, {message}", seen.exit_code.unwrap_or_default()))
                    }
                    Some(code) => (Support::Partial, format!("exit code {code}, {message}")),
                    None => (Support::No, format!("did not end by itself, {message}")),
                })
            }
            Check::Settings => self
                .tells_settings
                .map(|tells| (if tells { Support::Yes } else { Support::No }, String::new())),
        }
    }
}

fn worth(support: Support) -> Option<f64> {
    match support {
        Support::Yes => Some(1.0),
        Support::Partial => Some(0.5),
        Support::No => Some(0.0),
        Support::Text => None,
    }
}

/// The frameworks of all runs, the subject's first, then the baseline's, then as the runs list them.
pub(super) fn columns<'a>(runs: &'a [Run<'a>]) -> Vec<Column<'a>> {
    let rows = || runs.iter().flat_map(|run| &run.summary.rows);
    let order = rows().filter(|r| r.is_subject).chain(rows().filter(|r| r.is_baseline)).chain(rows());
    let mut seen = BTreeSet::new();
    let ids = order.map(|r| r.id.as_str()).filter(|id| *id != SIMULATED_ID && seen.insert(*id));
    let subject = rows().find(|r| r.is_subject).map(|r| r.id.as_str());
    ids.map(|id| column(runs, id, subject == Some(id))).collect()
}

fn column<'a>(runs: &'a [Run<'a>], id: &'a str, is_subject: bool) -> Column<'a> {
    let records: Vec<&FrameworkRecord> =
        runs.iter().flat_map(|run| &run.source.manifest.frameworks).filter(|f| f.id == id).collect();
    let entry = runs.iter().rev().find_map(|run| registry(run)?.get(id).cloned());
    let told: Vec<bool> = runs.iter().flat_map(|run| launches_of(run, id)).map(tells).collect();
    Column {
        id,
        name: records.first().map_or_else(|| id.to_owned(), |r| r.display_name.clone()),
        is_subject,
        build: entry.as_ref().and_then(|e| e.setup.as_ref()).map(|setup| {
            let needs =
                if setup.needs.is_empty() { String::new() } else { format!("{}; ", setup.needs.join(", ")) };
            format!("{needs}about {} min", setup.minutes)
        }),
        claims: entry.map(|e| e.features).unwrap_or_default(),
        records,
        tells_settings: (!told.is_empty()).then(|| told.iter().all(|tells| *tells)),
    }
}

/// The registry that ships with the program, with what the run added to it.
fn registry(run: &Run) -> Option<Registry> {
    let embedded = Registry::embedded().ok()?;
    Some(match &run.source.manifest.frameworks_file {
        Some(file) => {
            embedded.clone().with_file(std::path::Path::new(&file.path), &file.text).unwrap_or(embedded)
        }
        None => embedded,
    })
}

fn launches_of<'a>(run: &'a Run<'a>, id: &'a str) -> impl Iterator<Item = &'a Measured> {
    let labels: BTreeSet<&str> =
        run.summary.rows.iter().filter(|r| r.id == id).map(|r| r.label.as_str()).collect();
    run.source.records.iter().filter(move |r| labels.contains(r.framework.as_str())).filter_map(|r| match &r
        .outcome
    {
        Outcome::Measured(measured) => Some(&**measured),
        Outcome::Failed { .. } => None,
    })
}

fn tells(measured: &Measured) -> bool {
    measured.gates.iter().any(|g| g.name == gate::SETTINGS)
}

/// The tables. Marks of cells without a value go to `notes`.
pub(super) fn features(columns: &[Column], notes: &mut Footnotes) -> Features {
    let claims = || columns.iter().flat_map(|c| c.claims.values());
    let mut numbers: BTreeMap<&Source, usize> = BTreeMap::new();
    let mut listed: Vec<&Source> = Vec::new();
    for claim in claims() {
        numbers.entry(&claim.source).or_insert_with(|| {
            listed.push(&claim.source);
            listed.len()
        });
    }
    let tables = TABLES.iter().map(|(title, lines)| {
        let heading = columns.iter().map(|c| bold_if(c.is_subject, md(&c.name)));
        let row = |line: &Line| {
            let cells = columns.iter().map(|c| cell(c, line, &numbers, notes)).collect::<Vec<_>>();
            let name = match line {
                Line::Claim(name, _) => (*name).to_owned(),
                Line::Check(name, _) => format!("{name}, checked"),
            };
            std::iter::once(name).chain(cells).collect()
        };
        TableView {
            headings: vec![(*title).to_owned()],
            columns: std::iter::once("Feature".to_owned()).chain(heading).collect(),
            rows: lines.iter().map(row).collect(),
        }
    });
    let tables = tables.collect();
    let sources = (1..).zip(listed).map(|(number, source)| SourceView { number, text: source_words(source) });
    Features { tables, sources: sources.collect() }
}

fn cell(column: &Column, line: &Line, numbers: &BTreeMap<&Source, usize>, notes: &mut Footnotes) -> String {
    let (support, note, number) = match line {
        Line::Check(_, check) => match column.checked(*check) {
            Some((support, note)) => (support, note, None),
            None if *check == Check::Build => return notes.not_available(NO_SETUP),
            None => return notes.not_available(NOT_RECORDED),
        },
        Line::Claim(_, feature) => match column.claims.get(feature) {
            Some(claim) => (claim.value, md(&claim.note), numbers.get(&claim.source)),
            None => return notes.not_available(NOT_STATED),
        },
    };
    let mark = match support {
        Support::Yes => "✅",
        Support::No => "❌",
        Support::Partial => "⚠️",
        Support::Text => "",
    };
    let source = number.map(|n| format!("[[{n}]](#source-{n})")).unwrap_or_default();
    [mark, note.as_str(), source.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn source_words(source: &Source) -> String {
    match source {
        // Nothing is escaped there; the registry takes no address that could end it.
        Source::Url(url) => format!("<{url}>"),
        Source::File(path) => format!("{} of this repository", md(path)),
    }
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
