//! One document over several runs, beside published figures: the answer first, a section for each run, and what follows from
//! their figures. Pure: the same bundles, the same bytes.

mod ablation;
mod beside;
mod caveats;
mod derived;
mod evolution;
mod features;
mod gaps;
mod position;
mod recommend;

use super::facts::{self, Fact};
use super::templates;
use super::text::{Footnotes, md, tidy};
use super::view::{self, Charts, Footnote, View};
use crate::bundle::Manifest;
use crate::chart::charts;
use crate::history::History;
use crate::published::Published;
use crate::sample::{LaunchRecord, Metric, Outcome};
use crate::summary::{Summary, summarize};
use ablation::is_ablation;
use beside::Beside;
use evolution::Evolution;
use serde::Serialize;
use std::path::Path;
use tera::{Context, Tera};

/// A run of the document.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What was to be measured.
    pub manifest: &'a Manifest,
    /// What was.
    pub records: &'a [LaunchRecord],
    /// The bundle's directory as seen from the document: `runs/2026-11-25-amd-epyc-all`.
    pub href: &'a str,
}

/// The nightly history of the document.
#[derive(Debug, Clone, Copy)]
pub struct Nightly<'a> {
    /// Its sessions.
    pub history: &'a History,
    /// Its file as seen from the document: `history/nightly.jsonl`.
    pub href: &'a str,
}

/// A document and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The document.
    pub markdown: String,
    /// Path, as seen from the document, and SVG of each chart that no run's own report has.
    pub charts: Vec<(String, String)>,
    /// The same of the charts that it shows from the runs' own reports.
    pub run_charts: Vec<(String, String)>,
}

impl Document {
    /// The SVG of a chart by its path as seen from the document.
    pub fn picture(&self, path: &str) -> Option<&str> {
        let charts = self.charts.iter().chain(&self.run_charts);
        charts.into_iter().find(|chart| chart.0 == path).map(|chart| chart.1.as_str())
    }
}

/// A run with its summary.
struct Run<'a> {
    source: Source<'a>,
    summary: Summary,
    number: usize,
}

impl<'a> Run<'a> {
    fn of(source: Source<'a>, number: usize) -> Run<'a> {
        Run { source, summary: summarize(source.manifest, source.records), number }
    }

    /// Number and processor, leading to its section.
    fn link(&self) -> String {
        format!("[{}. {}](#{})", self.number, md(&self.source.manifest.machine.cpu), self.anchor())
    }

    /// Anchor of its section.
    fn anchor(&self) -> String {
        format!("run-{}", self.number)
    }
}

#[derive(Serialize)]
struct DocumentView {
    subject: String,
    baseline: String,
    date: String,
    models: Vec<String>,
    glance: Vec<derived::Glance>,
    sections: Vec<Section>,
    gaps: gaps::Gaps,
    best: Vec<derived::Best>,
    spectrum: Vec<derived::Share>,
    conclusions: Vec<Conclusion>,
    features: features::Features,
    recommendations: recommend::Recommendations,
    tallies: Vec<recommend::Tally>,
    rating: Option<String>,
    n_rated: usize,
    caveats: Vec<caveats::Caveats>,
    position: Vec<position::Position>,
    footnotes: Vec<Footnote>,
    published: Option<Beside>,
    evolution: Evolution,
}

/// How a run came about, for the list of bundles.
#[derive(Debug, Serialize)]
struct Record {
    id: String,
    href: String,
    begun: String,
    harness: String,
    blocks: usize,
    launches: usize,
    failed: usize,
}

impl Record {
    fn of(source: &Source) -> Record {
        let Source { manifest, records, href } = source;
        let commit = manifest.harness_commit.as_deref().map(|c| c.get(..12).unwrap_or(c));
        Record {
            id: md(&manifest.id),
            href: (*href).to_owned(),
            begun: md(&manifest.created_at),
            harness: md(commit.unwrap_or(&manifest.harness_version)),
            blocks: records.iter().map(|r| r.block + 1).max().unwrap_or(0) as usize,
            launches: records.len(),
            failed: records.iter().filter(|r| matches!(r.outcome, Outcome::Failed { .. })).count(),
        }
    }
}

#[derive(Serialize)]
struct Section {
    number: usize,
    anchor: String,
    record: Record,
    quick: String,
    platform: String,
    efficiency: String,
    memory: String,
}

#[derive(Serialize)]
struct Conclusion {
    platform: String,
    fact: Fact,
}

/// Renders the document without a history. `published` comes with the name of its file.
pub fn render_document(sources: &[Source], published: Option<(&Published, &str)>) -> String {
    render_document_with(sources, published, None).markdown
}

/// Renders the document with the nightly history, where there is one.
pub fn render_document_with(
    sources: &[Source],
    published: Option<(&Published, &str)>,
    nightly: Option<Nightly>,
) -> Document {
    let (ablations, sources): (Vec<Source>, Vec<Source>) = sources.iter().partition(|s| is_ablation(s));
    let (ablations, runs) = (numbered(ablations), numbered(sources));
    let tera = templates();
    let mut notes = Footnotes::default();
    let mut run_charts = Vec::new();
    let sections: Vec<Section> =
        runs.iter().map(|run| section(&tera, run, &mut notes, &mut run_charts)).collect();
    let first = runs.first();
    let name = |row: Option<&crate::summary::Row>| row.map(|r| md(&r.name)).unwrap_or_default();
    let mut models: Vec<String> = runs.iter().map(|run| model(run.source.manifest)).collect();
    models.dedup();
    let columns = features::columns(&runs);
    let (rating, n_rated) = position::subject_rating(&runs).unzip();
    let tally = |metric| recommend::tally(&runs, metric);
    let (evolution, charts) = nightly.map(evolution).unwrap_or_default();
    let view = DocumentView {
        evolution,
        features: features::features(&columns, &mut notes),
        recommendations: recommend::recommendations(&runs, &columns),
        tallies: [Metric::Decode, Metric::PeakRss].into_iter().filter_map(tally).collect(),
        rating,
        n_rated: n_rated.unwrap_or(0),
        caveats: runs.iter().map(caveats::caveats).collect(),
        subject: name(first.and_then(|run| run.summary.subject())),
        baseline: name(first.and_then(|run| run.summary.baseline())),
        date: runs.iter().map(|run| day(run.source.manifest)).max().unwrap_or_default(),
        models,
        glance: runs.iter().flat_map(derived::glance).collect(),
        sections,
        gaps: gaps::gaps(&runs, &ablations, &mut notes),
        best: runs.iter().flat_map(derived::best).collect(),
        spectrum: runs.iter().flat_map(derived::spectrum).collect(),
        conclusions: runs.iter().filter_map(conclusion).collect(),
        position: position::positions(&runs, &columns),
        footnotes: view::footnotes(&notes),
        published: published.map(|(published, file)| Beside::of(published, &tables_file(file))),
    };
    let context = Context::from_serialize(&view).expect("the view is a map of plain values");
    let markdown =
        tera.render("document.md.tera", &context).expect("the template names only what the view holds");
    Document { markdown: tidy(&markdown), charts, run_charts }
}

fn numbered(sources: Vec<Source<'_>>) -> Vec<Run<'_>> {
    (1..).zip(sources).map(|(number, source)| Run::of(source, number)).collect()
}

/// The history's section, and its charts beside the history.
fn evolution(nightly: Nightly) -> (Evolution, Vec<(String, String)>) {
    let dir = match nightly.href.rsplit_once('/') {
        Some((dir, _)) => format!("{dir}/charts"),
        None => "charts".to_owned(),
    };
    let (evolution, charts) = Evolution::of(nightly.history, nightly.href, &dir);
    let at = |chart: evolution::TrendChart| (format!("{dir}/{}", chart.file_name), chart.svg);
    (evolution, charts.into_iter().map(at).collect())
}

/// The section of a run; its charts go to `run_charts`, with their paths.
fn section(tera: &Tera, run: &Run, notes: &mut Footnotes, run_charts: &mut Vec<(String, String)>) -> Section {
    let Source { manifest, records, href } = run.source;
    let charts = charts(&run.summary);
    let dir = format!("{href}/charts");
    let placed = Charts { dir: &dir, charts: &charts };
    let view: View = view::view(manifest, records, &run.summary, &placed, notes);
    run_charts.extend(charts.into_iter().map(|chart| (format!("{dir}/{}", chart.file_name), chart.svg)));
    let mut context = Context::from_serialize(&view).expect("the view is a map of plain values");
    context.insert("number", &run.number);
    context.insert("report", &format!("{href}/report.md"));
    let part =
        |name: &str| tidy(&tera.render(name, &context).expect("the template names only what the view holds"));
    Section {
        number: run.number,
        anchor: run.anchor(),
        record: Record::of(&run.source),
        quick: part("summary.md.tera"),
        platform: part("platform.md.tera"),
        efficiency: part("efficiency.md.tera"),
        memory: part("memory.md.tera"),
    }
}

/// The subject against the baseline, on the fewest threads of the first workload.
fn conclusion(run: &Run) -> Option<Conclusion> {
    let workload = run.summary.workloads.first()?;
    let threads = *workload.threads.first()?;
    let fact = facts::key_finding(&run.summary, workload, threads);
    Some(Conclusion { platform: run.link(), fact })
}

fn model(manifest: &Manifest) -> String {
    let model = &manifest.model;
    format!(
        "{} {} ({} MB)",
        md(&model.name),
        md(&model.quantization),
        crate::units::show_mb(model.bytes as f64)
    )
}

/// The document of published tables that stands beside their file: see [`super::render_published`].
fn tables_file(file: &str) -> String {
    Path::new(file).with_extension("md").display().to_string()
}

fn day(manifest: &Manifest) -> String {
    md(manifest.created_at.get(..10).unwrap_or(&manifest.created_at))
}

#[cfg(test)]
mod gaps_tests;
#[cfg(test)]
mod tests;
