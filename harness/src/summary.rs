//! The summary of a run: what the report says, as numbers. Pure: a manifest and its records in, a [`Summary`] out.

mod adaptive;
mod cells;
mod compare;
mod control;
mod cross;
mod disturbed;
mod failures;
mod flat;
mod gates;
mod roofline;
mod trends;
mod variants;
mod verification;

pub use adaptive::blocks_due;
pub(crate) use compare::pairs;
pub(crate) use compare::ratio as paired;
pub use control::ControlCheck;
pub use cross::CrossCheck;
pub(crate) use failures::kind_words;
pub use flat::to_csv;
pub use gates::GateTally;
pub use roofline::Roofline;
pub use trends::{Drift, HarnessShare};
pub use variants::Choice;
pub use verification::Verification;

use crate::bundle::{FrameworkRecord, Manifest};
use crate::protocol::WeightsClass;
use crate::sample::{FailureKind, LaunchRecord, Metric, Role};
use crate::scenario::{FrameworkSpec, SIMULATED_ID, Variant, Workload};
use crate::stats::{Estimate, Outlier, Ratio};
use crate::verdict::Judgement;
use crate::withdrawal::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a report says of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The rows, in the scenario's order.
    pub rows: Vec<Row>,
    /// One for each workload, in the scenario's order.
    pub workloads: Vec<WorkloadSummary>,
    /// The clock that normalized figures rest on, by threads; those of which it is known.
    pub clocks: BTreeMap<u32, Clock>,
    /// Size of the model file.
    pub model_bytes: u64,
    /// Other figures for the same cells, beside ours.
    pub cross_checks: Vec<CrossCheck>,
    /// Every gate of every row, with what it saw.
    pub gates: Vec<GateTally>,
    /// What each verified launch said beside the reference.
    pub verifications: Vec<Verification>,
    /// Every failed launch and every row that could not be launched.
    pub failures: Vec<Failure>,
    /// δ: ratios within 1 ± δ are equivalent.
    pub margin: f64,
    /// The baseline against itself; empty without a control pair.
    pub control: Vec<ControlCheck>,
    /// Why no verdict of this session stands, if so: the control pair differed from itself.
    pub noise: Option<String>,
    /// What disturbed launches: their workload and thread count stand in no comparison in that block.
    pub disturbances: Vec<Disturbance>,
    /// What no launch of this session tells, of what can disturb one.
    pub unseen: Vec<Kind>,
    /// Prefill and decode of every cell over its blocks.
    pub drifts: Vec<Drift>,
    /// What the harness itself took while rows were timed.
    pub harness_shares: Vec<HarnessShare>,
}

/// The launches of one workload and thread count in one block, withdrawn from every comparison: of all rows, or of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Disturbance {
    /// Label of the row that disturbed itself; `None`: of all.
    pub row: Option<String>,
    /// Workload.
    pub workload: String,
    /// Threads.
    pub threads: u32,
    /// Block.
    pub block: u32,
    /// Each reason with the launch that it was seen at.
    pub reasons: Vec<(String, String)>,
}

/// A row of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The label, unique in the run.
    pub label: String,
    /// Id in frameworks.yaml.
    pub id: String,
    /// As the tables name it; a simulated row says so.
    pub name: String,
    /// Language.
    pub language: String,
    /// Implementation.
    pub implementation: String,
    /// Notes.
    pub notes: String,
    /// The row that the report is about.
    pub is_subject: bool,
    /// The row that others are compared with.
    pub is_baseline: bool,
    /// Its figures are scripted, not measured.
    pub is_simulated: bool,
    /// Why it could not be launched at all.
    pub unavailable: Option<String>,
    /// Set where it is one of the variants of an entry.
    pub variant: Option<Variant>,
}

/// A clock in GHz and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// GHz.
    pub ghz: f64,
    /// Where the figure comes from.
    pub source: ClockSource,
}

/// Where a clock figure comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClockSource {
    /// Measured at this number of threads just before the run.
    Measured,
    /// The system gave it when the run started.
    Machine,
    /// The scenario names it for its platform.
    Scenario(String),
}

/// A workload's cells.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadSummary {
    /// The workload.
    pub workload: Workload,
    /// Thread counts, ascending.
    pub threads: Vec<u32>,
    /// Cells, by thread count and then by row; every pair of them is present.
    pub cells: Vec<CellSummary>,
    /// For each thread count with a ranked row: which decodes fastest.
    pub standings: Vec<Standing>,
    /// For each thread count with a ranked peak of the subject: who needs less memory.
    pub leanest: Vec<Leanness>,
    /// For each thread count and entry with variants: the one that stands in the main tables.
    pub choices: Vec<Choice>,
}

/// Which row decodes fastest at a thread count, and whether that can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Threads.
    pub threads: u32,
    /// Row with the largest median.
    pub leader: usize,
    /// Row with the second largest; `None` if there is only one.
    pub second: Option<usize>,
    /// Leader / second, paired by block.
    pub ratio: Option<Ratio>,
    /// What that allows one to say.
    pub judgement: Judgement,
}

/// The subject's peak memory against each other ranked row's, paired by block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leanness {
    /// Threads.
    pub threads: u32,
    /// The row that needs clearly less; of several the one with the smallest median.
    pub less: Option<usize>,
    /// Whether there are other rows and the subject needs clearly less than each.
    pub is_least: bool,
}

/// One framework on one workload at one thread count.
#[derive(Debug, Clone, PartialEq)]
pub struct CellSummary {
    /// Index into [`Summary::rows`].
    pub row: usize,
    /// Threads.
    pub threads: u32,
    /// Launches measured.
    pub n_measured: usize,
    /// Launches failed.
    pub n_failed: usize,
    /// Why there is no figure; set exactly when `n_measured` is 0.
    pub failure: Option<String>,
    /// Why the figures stand in no ranking.
    pub not_ranked: Option<NotRanked>,
    /// Blocks that stand in no comparison: something disturbed them.
    pub withdrawn: BTreeSet<u32>,
    /// The weights class that its launches reported.
    pub weights_class: Option<WeightsClass>,
    /// Metrics that have at least one sample.
    pub metrics: BTreeMap<Metric, MetricSummary>,
    /// decode(threads) / decode(1), paired by block; `None` at one thread or without a single-thread cell.
    pub scaling: Option<Ratio>,
    /// Memory beside the peak.
    pub memory: MemorySummary,
    /// Decode against the measured read bandwidth; `None` where it was not measured.
    pub roofline: Option<Roofline>,
    /// Energy of the processor packages in the timed windows for each token, prompt and generated, J: the median over launches.
    /// `None` where the system does not tell.
    pub energy_j_per_token: Option<f64>,
    /// decode / (clock · threads).
    pub decode_per_ghz_core: Option<f64>,
}

/// Why figures stand in no ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRanked {
    /// A gate failed: the figures are of some other work.
    Gate(String),
    /// The weights were requantized.
    Requantized(String),
}

impl NotRanked {
    /// The reason, for a person.
    pub fn reason(&self) -> &str {
        match self {
            NotRanked::Gate(reason) | NotRanked::Requantized(reason) => reason,
        }
    }
}

/// A metric of a cell.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSummary {
    /// The median over launches.
    pub estimate: Estimate,
    /// Every launch's value with its block, in block order.
    pub samples: Vec<(u32, f64)>,
    /// Samples outside Tukey's fences; they count all the same.
    pub outliers: Vec<Outlier>,
    /// Against the baseline; `None` for the baseline itself.
    pub comparison: Option<Comparison>,
}

/// A cell's metric against the baseline's.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Row / baseline, paired by block; `None` where they share no block.
    pub ratio: Option<Ratio>,
    /// p after Holm's correction over the rows compared with the baseline in this column.
    pub p_holm: Option<f64>,
    /// What that allows one to say.
    pub judgement: Judgement,
}

/// Medians over launches, in bytes; `None` where the system did not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MemorySummary {
    /// Anonymous part.
    pub anon_bytes: Option<f64>,
    /// File-backed part.
    pub file_bytes: Option<f64>,
    /// Proportional set size.
    pub pss_bytes: Option<f64>,
    /// Peak of the physical footprint, which macOS alone has.
    pub footprint_bytes: Option<f64>,
    /// Peak less the size of the model file.
    pub overhead_bytes: Option<f64>,
}

/// Something that was to be measured and was not.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Row label, or that of the cross-check.
    pub label: String,
    /// The same as tables name it.
    pub name: String,
    /// What was to be measured: the workload and threads, or everything.
    pub cell: Option<(String, u32)>,
    /// Blocks in which it failed so, ascending.
    pub blocks: Vec<u32>,
    /// The kind.
    pub kind: FailureKind,
    /// What happened.
    pub message: String,
}

/// Summarizes a run.
pub fn summarize(manifest: &Manifest, records: &[LaunchRecord]) -> Summary {
    let scenario = &manifest.scenario;
    let rows: Vec<Row> = scenario.frameworks.iter().map(|spec| row(manifest, spec)).collect();
    let clocks: BTreeMap<u32, Clock> =
        scenario.threads.iter().filter_map(|&threads| Some((threads, clock(manifest, threads)?))).collect();
    let workloads = scenario
        .workloads
        .iter()
        .map(|workload| cells::workload(manifest, records, &rows, &clocks, workload))
        .collect();
    let measured: Vec<&LaunchRecord> = records.iter().filter(|r| r.role == Role::Measure).collect();
    let mut summary = Summary {
        failures: failures::failures(&rows, manifest, records),
        gates: gates::tally(&rows, &measured),
        verifications: verification::verifications(&rows, manifest, records),
        rows,
        workloads,
        clocks,
        model_bytes: manifest.model.bytes,
        cross_checks: Vec::new(),
        margin: scenario.equivalence_margin,
        control: Vec::new(),
        noise: None,
        disturbances: disturbed::disturbances(manifest, records),
        unseen: disturbed::unseen(records),
        drifts: Vec::new(),
        harness_shares: Vec::new(),
    };
    roofline::add(&mut summary, manifest);
    summary.drifts = trends::drifts(&summary);
    summary.harness_shares = trends::harness_shares(&summary, records);
    summary.leave_out_disturbed();
    for workload in &mut summary.workloads {
        workload.choices = variants::choose(&summary.rows, workload);
    }
    summary.control = control::control(&summary, manifest, records);
    summary.noise = control::noise(&summary.control);
    compare::compare(&mut summary, manifest.seed);
    summary.cross_checks = cross::cross_checks(&summary, records);
    summary
}

fn row(manifest: &Manifest, spec: &FrameworkSpec) -> Row {
    let FrameworkSpec { id, label, variant, .. } = spec;
    let found: Option<&FrameworkRecord> = manifest.frameworks.iter().find(|f| f.label == *label);
    let said = |f: fn(&FrameworkRecord) -> &String| found.map(f).cloned().unwrap_or_default();
    let is_simulated = id == SIMULATED_ID;
    let same: Vec<&str> =
        manifest.scenario.frameworks.iter().filter(|f| f.id == *id).map(|f| f.label.as_str()).collect();
    let name = match said(|f| &f.display_name) {
        name if name.is_empty() => label.clone(),
        name if variant.is_some() => variant_name(&name, id, variant.as_ref()),
        name if same.len() > 1 => shared_name(&name, id, label, &same),
        name => name,
    };
    Row {
        label: label.clone(),
        id: id.clone(),
        name: if is_simulated && !name.contains("simulated") { format!("{name} (simulated)") } else { name },
        language: said(|f| &f.language),
        implementation: said(|f| &f.implementation),
        notes: said(|f| &f.notes),
        is_subject: *label == manifest.scenario.subject,
        is_baseline: *label == manifest.scenario.baseline,
        is_simulated,
        unavailable: match found {
            Some(f) => f.unavailable.as_ref().map(|u| u.reason.clone()),
            None => Some("the run has no record of it".to_owned()),
        },
        variant: variant.clone(),
    }
}

/// The name of one of several rows of a framework: `llama.cpp (CPU)` where the label says no more than the id, else with what the
/// label says besides, `llama.cpp (CPU), unmapped`. The whole label stands where that would be another row's.
fn shared_name(name: &str, id: &str, label: &str, same: &[&str]) -> String {
    if label == id || label == name {
        return name.to_owned();
    }
    let rest =
        [id, name].into_iter().find_map(|stem| label.strip_prefix(stem)?.strip_prefix(['-', '_', '+', ' ']));
    let own = rest.filter(|rest| !rest.is_empty() && !same.contains(rest)).unwrap_or(label);
    format!("{name}, {own}")
}

/// `llama.cpp (CPU) [repack on, load_mode none]`; with the label of the entry where it has one of its own.
fn variant_name(name: &str, id: &str, variant: Option<&Variant>) -> String {
    let Some(Variant { of, settings }) = variant else { return name.to_owned() };
    let entry = if of == id { name.to_owned() } else { format!("{name}, {of}") };
    let settings: Vec<String> = settings.iter().map(|(option, value)| format!("{option} {value}")).collect();
    format!("{entry} [{}]", settings.join(", "))
}

fn clock(manifest: &Manifest, threads: u32) -> Option<Clock> {
    let usable = |ghz: Option<f64>| ghz.filter(|g| g.is_finite() && *g > 0.0);
    let peak = manifest.machine.peak.iter().find(|peak| peak.threads == threads);
    if let Some(ghz) = usable(peak.and_then(|peak| peak.clock_ghz)) {
        return Some(Clock { ghz, source: ClockSource::Measured });
    }
    if let Some(ghz) = usable(manifest.machine.nominal_ghz) {
        return Some(Clock { ghz, source: ClockSource::Machine });
    }
    let platform = manifest.scenario.platform.as_ref()?;
    let ghz = usable(platform.nominal_ghz)?;
    Some(Clock { ghz, source: ClockSource::Scenario(platform.name.clone()) })
}

impl Summary {
    fn leave_out_disturbed(&mut self) {
        for disturbance in &self.disturbances {
            let workload = self.workloads.iter_mut().find(|w| w.workload.name == disturbance.workload);
            let cells = workload.into_iter().flat_map(|w| &mut w.cells);
            for cell in cells.filter(|c| c.threads == disturbance.threads) {
                if disturbance.row.as_ref().is_none_or(|label| *label == self.rows[cell.row].label) {
                    cell.withdrawn.insert(disturbance.block);
                }
            }
        }
    }

    /// The baseline's row.
    pub fn baseline(&self) -> Option<&Row> {
        self.rows.iter().find(|r| r.is_baseline)
    }

    /// The subject's row.
    pub fn subject(&self) -> Option<&Row> {
        self.rows.iter().find(|r| r.is_subject)
    }

    /// Whether anything was measured at all.
    pub fn anything_measured(&self) -> bool {
        self.workloads.iter().flat_map(|w| &w.cells).any(|c| c.n_measured > 0)
    }
}

impl WorkloadSummary {
    /// The cells at one thread count, in row order.
    pub fn at(&self, threads: u32) -> impl Iterator<Item = &CellSummary> {
        self.cells.iter().filter(move |c| c.threads == threads)
    }

    /// Of those cells the ones that stand in the main tables: all but variants that another one stands for. The baseline's
    /// and the subject's always do.
    pub fn shown_at(&self, rows: &[Row], threads: u32) -> impl Iterator<Item = &CellSummary> {
        let is_named = |row: usize| rows[row].is_baseline || rows[row].is_subject;
        let choices = self.choices.iter().filter(|c| c.threads == threads);
        let outdone = choices.flat_map(|c| c.variants.iter().filter(|&&row| row != c.row).copied());
        let hidden: BTreeSet<usize> = outdone.filter(|&row| !is_named(row)).collect();
        self.at(threads).filter(move |c| !hidden.contains(&c.row))
    }

    /// Who leads at a thread count.
    pub fn standing(&self, threads: u32) -> Option<&Standing> {
        self.standings.iter().find(|s| s.threads == threads)
    }

    /// One row's cell.
    pub fn cell(&self, row: usize, threads: u32) -> Option<&CellSummary> {
        self.cells.iter().find(|c| c.row == row && c.threads == threads)
    }
}

impl CellSummary {
    /// The estimate of a metric.
    pub fn estimate(&self, metric: Metric) -> Option<Estimate> {
        self.metrics.get(&metric).map(|m| m.estimate)
    }

    /// The comparison of a metric with the baseline.
    pub fn comparison(&self, metric: Metric) -> Option<&Comparison> {
        self.metrics.get(&metric)?.comparison.as_ref()
    }

    /// Whether its figures may be ranked.
    pub fn is_ranked(&self) -> bool {
        self.n_measured > 0 && self.not_ranked.is_none()
    }

    /// Whether a gate failed: its figures are of other work than was asked for.
    pub fn gate_failed(&self) -> bool {
        matches!(self.not_ranked, Some(NotRanked::Gate(_)))
    }
}

/// Name of a metric in CSV files: the unit at the end.
pub fn metric_key(metric: Metric) -> &'static str {
    match metric {
        Metric::Load => "load_s",
        Metric::TtftWarm => "ttft_warm_ms",
        Metric::TtftCold => "ttft_cold_ms",
        Metric::Prefill => "prefill_tok_s",
        Metric::Decode => "decode_tok_s",
        Metric::EndToEnd => "end_to_end_tok_s",
        Metric::PeakRss => "peak_rss_bytes",
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trust_tests;
