//! What the templates see: finished strings under names.

use super::facts::{self, Fact};
use super::method::{self, Method};
use super::tables::{Cells, Tables, ThreadsTable};
use super::text::{Footnotes, md, message};
use super::trust;
use super::variants;
use super::verification::{VerificationView, verification};
use crate::bundle::Manifest;
use crate::chart::Chart;
use crate::sample::{LaunchRecord, Metric};
use crate::summary::{ClockSource, Summary, WorkloadSummary, kind_words};
use crate::units::{fixed, show, show_difference, show_mb, show_ms};
use serde::Serialize;

/// The report's context.
#[derive(Debug, Serialize)]
pub(super) struct View {
    title: Title,
    simulated: Vec<String>,
    first_threads: u32,
    first_context: u32,
    quick: Vec<Cells>,
    key_finding: Option<Fact>,
    winner: Option<Fact>,
    platform: Platform,
    workloads: Vec<WorkloadView>,
    session_charts: Vec<ChartView>,
    many_workloads: bool,
    variants: Vec<Cells>,
    clock: Option<ClockView>,
    failures: Vec<Cells>,
    cross_checks: Vec<Cells>,
    gates: Vec<Cells>,
    outliers: Vec<Cells>,
    withdrawn: Vec<Cells>,
    noise: Option<String>,
    control: Vec<Cells>,
    disturbances: Vec<Cells>,
    has_own_disturbances: bool,
    roofline: Vec<Cells>,
    energy: Vec<Cells>,
    drifts: Vec<Cells>,
    n_drifts_tested: usize,
    harness_shares: Vec<Cells>,
    unseen: Vec<&'static str>,
    preflight: Vec<String>,
    footnotes: Vec<Footnote>,
    verification: VerificationView,
    method: Method,
}

#[derive(Debug, Serialize)]
struct Title {
    subject: String,
    subject_implementation: String,
    baseline: String,
    date: String,
    scenario: String,
    description: String,
    model: String,
    quantization: String,
    model_mb: String,
    model_bytes: u64,
    model_sha256: String,
    model_file: String,
    stand_in_reason: Option<String>,
    n_rows: usize,
    n_others: usize,
}

#[derive(Debug, Serialize)]
struct Platform {
    cpu: String,
    arch: String,
    cores: u32,
    logical: u32,
    ghz: Option<String>,
    /// The platform of the scenario, where this is another machine.
    written_for: Option<String>,
}

#[derive(Debug, Serialize)]
struct ClockView {
    ghz: String,
    /// On how many threads it was measured, if it was.
    measured_on: Option<u32>,
    /// What the system says beside that, GHz.
    told: Option<String>,
    scenario_platform: Option<String>,
}

#[derive(Debug, Serialize)]
struct WorkloadView {
    name: String,
    prompt_tokens: u32,
    generate_tokens: u32,
    context: u32,
    fills_context: bool,
    single: ThreadsTable,
    multi: Vec<ThreadsTable>,
    detail: Vec<ThreadsTable>,
    ratios: Vec<ThreadsTable>,
    charts: Vec<ChartView>,
    facts: Vec<Fact>,
    efficiency: ThreadsTable,
    memory: ThreadsTable,
}

#[derive(Debug, Serialize)]
struct ChartView {
    file: String,
    alt: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Footnote {
    number: usize,
    text: String,
}

/// The reasons behind the marks.
pub(super) fn footnotes(notes: &Footnotes) -> Vec<Footnote> {
    notes.list().into_iter().map(|(number, text)| Footnote { number, text }).collect()
}

/// The charts of a run, and where they lie as seen from the document.
pub(super) struct Charts<'a> {
    pub(super) dir: &'a str,
    pub(super) charts: &'a [Chart],
}

impl Charts<'_> {
    /// Those of a workload, or of the whole session.
    fn of(&self, workload: Option<&str>) -> Vec<ChartView> {
        let charts = self.charts.iter().filter(|chart| chart.workload.as_deref() == workload);
        charts.map(|c| ChartView { file: format!("{}/{}", self.dir, c.file_name), alt: md(&c.alt) }).collect()
    }
}

/// Gathers everything that the templates need.
pub(super) fn view(
    manifest: &Manifest,
    records: &[LaunchRecord],
    summary: &Summary,
    charts: &Charts,
    notes: &mut Footnotes,
) -> View {
    let first = summary.workloads.first();
    let first_threads = manifest.scenario.threads.first().copied().unwrap_or(1);
    let quick = first.map(|w| Tables { summary, workload: w, notes: &mut *notes }.quick(first_threads));
    let workloads =
        summary.workloads.iter().map(|w| workload(summary, w, charts, &mut *notes)).collect::<Vec<_>>();
    View {
        title: title(manifest, summary),
        simulated: summary.rows.iter().filter(|r| r.is_simulated).map(|r| md(&r.name)).collect(),
        first_threads,
        first_context: first.map_or(0, |w| w.workload.context),
        quick: quick.unwrap_or_default(),
        key_finding: first.map(|w| facts::key_finding(summary, w, first_threads)),
        winner: first.and_then(|w| facts::winner(summary, w, first_threads)),
        platform: platform(manifest),
        many_workloads: workloads.len() > 1,
        variants: variants::variants(summary),
        workloads,
        session_charts: charts.of(None),
        clock: clock(manifest, summary, first_threads),
        failures: failures(summary),
        cross_checks: cross_checks(summary),
        gates: gates(summary),
        outliers: outliers(summary),
        withdrawn: withdrawn(summary),
        noise: summary.noise.as_deref().map(message),
        control: trust::control(summary),
        disturbances: trust::disturbances(summary),
        has_own_disturbances: summary.disturbances.iter().any(|d| d.row.is_some()),
        roofline: trust::roofline(summary),
        energy: trust::energy(summary),
        drifts: trust::drifts(summary),
        n_drifts_tested: summary.drifts.len(),
        harness_shares: trust::harness_shares(summary),
        unseen: trust::unseen(summary),
        preflight: manifest.preflight.iter().map(|f| message(&f.to_string())).collect(),
        verification: verification(summary, notes),
        footnotes: footnotes(notes),
        method: method::method(manifest, records, summary),
    }
}

fn title(manifest: &Manifest, summary: &Summary) -> Title {
    let model = &manifest.model;
    let name = |row: Option<&crate::summary::Row>| row.map(|r| md(&r.name)).unwrap_or_default();
    Title {
        subject: name(summary.subject()),
        subject_implementation: summary.subject().map(|r| md(&r.implementation)).unwrap_or_default(),
        baseline: name(summary.baseline()),
        date: md(manifest.created_at.get(..10).unwrap_or(&manifest.created_at)),
        scenario: md(&manifest.scenario.title),
        description: md(&manifest.scenario.description),
        model: md(&model.name),
        quantization: md(&model.quantization),
        model_mb: show_mb(model.bytes as f64),
        model_bytes: model.bytes,
        model_sha256: md(&model.sha256),
        model_file: md(&model.file_name),
        stand_in_reason: model.stand_in_reason.as_deref().map(md),
        n_rows: summary.rows.len(),
        n_others: summary.rows.iter().filter(|r| !r.is_subject).count(),
    }
}

fn platform(manifest: &Manifest) -> Platform {
    let machine = &manifest.machine;
    Platform {
        cpu: md(&machine.cpu),
        arch: md(&machine.arch),
        cores: machine.cores,
        logical: machine.logical,
        ghz: machine.nominal_ghz.map(|g| fixed(g, 2)),
        written_for: other_platform(manifest).map(md),
    }
}

/// The platform that the scenario is written for, where the run was made on another machine.
pub(super) fn other_platform(manifest: &Manifest) -> Option<&str> {
    let platform = manifest.scenario.platform.as_ref()?;
    (!platform.is_machine(&manifest.machine.cpu)).then_some(platform.name.as_str())
}

fn clock(manifest: &Manifest, summary: &Summary, threads: u32) -> Option<ClockView> {
    let clock = summary.clocks.get(&threads)?;
    let is_measured = clock.source == ClockSource::Measured;
    Some(ClockView {
        ghz: fixed(clock.ghz, 2),
        measured_on: is_measured.then_some(threads),
        told: manifest.machine.nominal_ghz.filter(|_| is_measured).map(|ghz| fixed(ghz, 2)),
        scenario_platform: match &clock.source {
            ClockSource::Scenario(platform) => Some(md(platform)),
            ClockSource::Measured | ClockSource::Machine => None,
        },
    })
}

fn workload(
    summary: &Summary,
    workload: &WorkloadSummary,
    charts: &Charts,
    notes: &mut Footnotes,
) -> WorkloadView {
    let w = &workload.workload;
    let first = workload.threads.first().copied().unwrap_or(1);
    let mut tables = Tables { summary, workload, notes };
    let single = ThreadsTable { threads: first, rows: tables.single(first) };
    let (mut multi, mut detail, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for &threads in &workload.threads {
        if threads != first {
            multi.push(ThreadsTable { threads, rows: tables.multi(threads) });
        }
        detail.push(ThreadsTable { threads, rows: tables.detail(threads) });
        let rows = tables.ratios(threads);
        if !rows.is_empty() {
            ratios.push(ThreadsTable { threads, rows });
        }
    }
    let efficiency = ThreadsTable { threads: first, rows: tables.efficiency(first) };
    let memory = ThreadsTable { threads: first, rows: tables.memory(first) };
    WorkloadView {
        name: md(&w.name),
        prompt_tokens: w.prompt_tokens,
        generate_tokens: w.generate_tokens,
        context: w.context,
        fills_context: w.prompt_tokens + w.generate_tokens == w.context,
        single,
        multi,
        detail,
        ratios,
        charts: charts.of(Some(&w.name)),
        facts: facts::analysis(summary, workload),
        efficiency,
        memory,
    }
}

fn failures(summary: &Summary) -> Vec<Cells> {
    let row = |f: &crate::summary::Failure| {
        let blocks: Vec<String> = f.blocks.iter().map(u32::to_string).collect();
        Cells::from([
            ("framework", md(&f.name)),
            ("cell", f.cell.as_ref().map_or("all".to_owned(), |(w, t)| format!("{}, threads {t}", md(w)))),
            ("blocks", if blocks.is_empty() { "all".to_owned() } else { blocks.join(", ") }),
            ("kind", kind_words(f.kind).to_owned()),
            ("reason", message(&f.message)),
        ])
    };
    summary.failures.iter().map(row).collect()
}

fn cross_checks(summary: &Summary) -> Vec<Cells> {
    let row = |c: &crate::summary::CrossCheck| {
        let write = if c.metric == Metric::TtftWarm { show_ms } else { show };
        Cells::from([
            ("framework", md(&c.name)),
            ("program", c.program.as_deref().map_or("its own clock".to_owned(), md)),
            ("cell", format!("{}, threads {}", md(&c.workload), c.threads)),
            ("metric", metric_words(c.metric).to_owned()),
            ("theirs", write(c.theirs)),
            ("n", c.n.to_string()),
            ("ours", c.ours.map_or("–".to_owned(), write)),
            ("difference", c.difference().map_or("–".to_owned(), |d| show_difference(1.0 + d))),
        ])
    };
    summary.cross_checks.iter().map(row).collect()
}

fn gates(summary: &Summary) -> Vec<Cells> {
    let row = |g: &crate::summary::GateTally| {
        Cells::from([
            ("framework", md(&g.name)),
            ("gate", md(&g.gate)),
            ("held", format!("{} of {}", g.n_passed, g.n_asked)),
            ("wanted", message(&g.example.0)),
            ("seen", message(&g.example.1)),
        ])
    };
    summary.gates.iter().map(row).collect()
}

fn outliers(summary: &Summary) -> Vec<Cells> {
    let mut rows = Vec::new();
    for workload in &summary.workloads {
        for cell in &workload.cells {
            for (&metric, m) in &cell.metrics {
                rows.extend(m.outliers.iter().map(|outlier| {
                    let write = metric_format(metric);
                    Cells::from([
                        ("framework", md(&summary.rows[cell.row].name)),
                        ("cell", format!("{}, threads {}", md(&workload.workload.name), cell.threads)),
                        ("metric", metric_words(metric).to_owned()),
                        ("block", m.samples[outlier.index].0.to_string()),
                        ("value", write(outlier.value)),
                        ("median", write(m.estimate.value)),
                        ("fence", if outlier.class.is_severe() { "outer" } else { "inner" }.to_owned()),
                    ])
                }));
            }
        }
    }
    rows
}

/// Cells whose figures stand in no ranking.
fn withdrawn(summary: &Summary) -> Vec<Cells> {
    let mut rows = Vec::new();
    for workload in &summary.workloads {
        for cell in &workload.cells {
            if let Some(reason) = &cell.not_ranked {
                rows.push(Cells::from([
                    ("framework", md(&summary.rows[cell.row].name)),
                    ("cell", format!("{}, threads {}", md(&workload.workload.name), cell.threads)),
                    ("reason", message(reason.reason())),
                ]));
            }
        }
    }
    rows
}

pub(super) fn metric_words(metric: Metric) -> &'static str {
    match metric {
        Metric::Load => "load (s)",
        Metric::TtftWarm => "TTFT warm (ms)",
        Metric::TtftCold => "TTFT cold (ms)",
        Metric::Prefill => "prefill (tok/s)",
        Metric::Decode => "decode (tok/s)",
        Metric::EndToEnd => "end-to-end (tok/s)",
        Metric::PeakRss => "peak RSS (MB)",
    }
}

fn metric_format(metric: Metric) -> fn(f64) -> String {
    match metric {
        Metric::Load => |s| fixed(s, 3),
        Metric::TtftWarm | Metric::TtftCold => show_ms,
        Metric::PeakRss => show_mb,
        Metric::Prefill | Metric::Decode | Metric::EndToEnd => show,
    }
}
