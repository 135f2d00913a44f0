//! The lines that a bundle adds to a history.

use super::id::Id;
use super::record::{Against, Baseline, HISTORY_SCHEMA, Line, Point, RowVersion, Session};
use crate::bundle::{FrameworkRecord, Manifest, ProgramRecord, Seal};
use crate::sample::{LaunchRecord, Metric};
use crate::scenario::Scenario;
use crate::summary::{CellSummary, MetricSummary, Summary, WorkloadSummary, metric_key, paired, summarize};
use crate::verdict::{BLOCKS_TO_RANK, Judgement, judge};
use std::collections::BTreeMap;

/// The row whose label is the subject's and this is the subject's last good version, where nothing else is said.
pub const PREVIOUS_SUFFIX: &str = "-previous";

/// Framework id of the engine that is part of the harness's own program, and so of its commit.
const OWN_ENGINE: &str = "engine";

/// The commit that each row's program was built from, by label, as far as it is known.
pub type Commits = BTreeMap<String, String>;

/// The lines of a bundle: its session first, then a point for each metric of each cell, and one without a figure for each cell
/// that was not measured.
///
/// `previous` is the label of the row that is the subject's last good version; without it the row is taken whose label is the
/// subject's followed by [`PREVIOUS_SUFFIX`].
pub fn lines(
    manifest: &Manifest,
    records: &[LaunchRecord],
    seal: &Seal,
    previous: Option<&str>,
    commits: &Commits,
) -> Vec<Line> {
    let summary = summarize(manifest, records);
    let usual = format!("{}{PREVIOUS_SUFFIX}", manifest.scenario.subject);
    let previous = summary.rows.iter().position(|row| row.label == previous.unwrap_or(&usual));
    let hash = if seal.is_chained { &seal.head } else { &seal.manifest_sha256 };
    let id = Id::of(&[&manifest.id, hash]);
    let points: Vec<Point> = summary
        .workloads
        .iter()
        .flat_map(|w| {
            Cells { summary: &summary, workload: w, previous, session: id, seed: manifest.seed }.points()
        })
        .collect();
    let baseline = baseline(manifest);
    let work = work(&manifest.scenario);
    let (machine, model) = (&manifest.machine, &manifest.model);
    let settings = manifest.scenario.framework(&baseline.label).map(|spec| format!("{:?}", spec.options));
    let session = Session {
        schema: HISTORY_SCHEMA,
        id,
        bundle: manifest.id.clone(),
        bundle_sha256: hash.clone(),
        begun_at: manifest.created_at.clone(),
        scenario: manifest.scenario.name.clone(),
        machine: machine.id.clone(),
        cpu: machine.cpu.clone(),
        kernel: machine.kernel.clone(),
        model_sha256: model.sha256.clone(),
        model: format!("{} {}", model.name, model.quantization),
        work,
        epoch: Id::of(&[
            &machine.id,
            &machine.kernel,
            &model.sha256,
            &work.to_string(),
            &baseline.label,
            &baseline.version,
            &baseline.program_sha256,
            &settings.unwrap_or_default(),
        ]),
        baseline,
        subject: manifest.scenario.subject.clone(),
        previous: previous.map(|row| summary.rows[row].label.clone()),
        margin: summary.margin,
        harness_version: manifest.harness_version.clone(),
        harness_commit: manifest.harness_commit.clone(),
        rows: manifest
            .frameworks
            .iter()
            .map(|found| row_version(manifest, &summary, found, commits))
            .collect(),
        withdrawn: summary.noise.clone(),
        points: points.len(),
    };
    let mut lines = vec![Line::Session(Box::new(session))];
    lines.extend(points.into_iter().map(Line::Point));
    lines
}

/// Whatever decides which work is timed. Blocks, seed and limits decide how well it is known.
fn work(scenario: &Scenario) -> Id {
    let Scenario { workloads, threads, repetitions, cold_generate, kv_type, batch, pin, .. } = scenario;
    let parts = (workloads, threads, repetitions, cold_generate, kv_type, batch, pin);
    Id::of(&[&serde_json::to_string(&parts).expect("plain values")])
}

fn baseline(manifest: &Manifest) -> Baseline {
    let label = manifest.scenario.baseline.clone();
    let found = manifest.frameworks.iter().find(|f| f.label == label);
    let program = found.and_then(|f| f.program.as_ref());
    Baseline {
        version: program.map(|p| p.version.clone()).unwrap_or_default(),
        program_sha256: program.map(program_hash).unwrap_or_default(),
        label,
    }
}

/// Of the file; of a program with libraries of its own the hash of all their hashes.
fn program_hash(program: &ProgramRecord) -> String {
    if program.libraries.is_empty() {
        return program.sha256.clone();
    }
    let hashes = program.libraries.iter().map(|library| library.sha256.as_str());
    let all: Vec<&str> = std::iter::once(program.sha256.as_str()).chain(hashes).collect();
    crate::bundle::sha256_hex(all.join(" ").as_bytes())
}

fn row_version(
    manifest: &Manifest,
    summary: &Summary,
    found: &FrameworkRecord,
    commits: &Commits,
) -> RowVersion {
    let own = (found.id == OWN_ENGINE).then(|| manifest.harness_commit.clone()).flatten();
    let name = summary.rows.iter().find(|row| row.label == found.label).map(|row| row.name.clone());
    RowVersion {
        label: found.label.clone(),
        framework: found.id.clone(),
        name: name.unwrap_or_else(|| found.display_name.clone()),
        version: found.program.as_ref().map(|p| p.version.clone()).unwrap_or_default(),
        program_sha256: found.program.as_ref().map(program_hash).unwrap_or_default(),
        commit: commits.get(&found.label).cloned().or(own),
    }
}

/// The cells of a workload, and what is asked of them.
struct Cells<'a> {
    summary: &'a Summary,
    workload: &'a WorkloadSummary,
    /// Row of the subject's last good version.
    previous: Option<usize>,
    session: Id,
    seed: u64,
}

impl Cells<'_> {
    fn points(&self) -> Vec<Point> {
        self.workload.cells.iter().flat_map(|cell| self.of_cell(cell)).collect()
    }

    fn of_cell(&self, cell: &CellSummary) -> Vec<Point> {
        match &cell.failure {
            // One line says that there was nothing; the metric is the one that a reader looks for first.
            Some(reason) => vec![Point { out: Some(reason.clone()), ..self.point(cell, Metric::Decode) }],
            None => cell.metrics.iter().map(|(&metric, m)| self.of_metric(cell, metric, m)).collect(),
        }
    }

    fn of_metric(&self, cell: &CellSummary, metric: Metric, m: &MetricSummary) -> Point {
        let ratio = m.comparison.as_ref().and_then(|c| c.ratio);
        let verdict = m.comparison.as_ref().map(|c| c.judgement.verdict.word_for(metric).to_owned());
        let out = match &m.comparison {
            None => cell.not_ranked.as_ref().map(|why| why.reason().to_owned()),
            Some(comparison) => self.why_out(cell, comparison.ratio.map_or(0, |r| r.n)),
        };
        let interval = ratio.and_then(|r| r.interval);
        let is_subject = self.summary.rows[cell.row].is_subject;
        Point {
            ratio: ratio.map(|r| r.value),
            lo: interval.map(|i| i.lo),
            hi: interval.map(|i| i.hi),
            n: ratio.map_or(0, |r| r.n),
            verdict,
            value: Some(m.estimate.value),
            value_lo: m.estimate.interval.map(|i| i.lo),
            value_hi: m.estimate.interval.map(|i| i.hi),
            launches: m.estimate.n,
            out,
            previous: is_subject.then(|| self.against_previous(cell, metric)).flatten(),
            ..self.point(cell, metric)
        }
    }

    /// A point without any figure.
    fn point(&self, cell: &CellSummary, metric: Metric) -> Point {
        let (row, workload) = (&self.summary.rows[cell.row].label, &self.workload.workload.name);
        let parts = [&self.session.to_string(), row, workload, &cell.threads.to_string(), metric_key(metric)];
        Point {
            schema: HISTORY_SCHEMA,
            id: Id::of(&parts),
            session: self.session,
            row: row.clone(),
            workload: workload.clone(),
            threads: cell.threads,
            metric,
            ratio: None,
            lo: None,
            hi: None,
            n: 0,
            verdict: None,
            value: None,
            value_lo: None,
            value_hi: None,
            launches: 0,
            out: None,
            previous: None,
        }
    }

    /// Why a ratio over so many blocks does not enter its series.
    fn why_out(&self, cell: &CellSummary, blocks: usize) -> Option<String> {
        let baseline = self
            .workload
            .cells
            .iter()
            .find(|c| c.threads == cell.threads && self.summary.rows[c.row].is_baseline);
        if let Some(why) = &cell.not_ranked {
            return Some(why.reason().to_owned());
        }
        if let Some(why) =
            baseline.and_then(|base| base.failure.as_deref().or(base.not_ranked.as_ref().map(|w| w.reason())))
        {
            return Some(format!("the baseline: {why}"));
        }
        if let Some(noise) = self.noise_at(cell.threads) {
            return Some(noise);
        }
        (blocks < BLOCKS_TO_RANK)
            .then(|| format!("{blocks} paired blocks; fewer than {BLOCKS_TO_RANK} cannot rank"))
    }

    fn noise_at(&self, threads: u32) -> Option<String> {
        self.summary.noise_at(&self.workload.workload.name, threads)
    }

    fn against_previous(&self, cell: &CellSummary, metric: Metric) -> Option<Box<Against>> {
        let previous = self.workload.cell(self.previous?, cell.threads)?;
        let ratio = paired(cell, previous, metric, self.seed)?;
        let judgement = match self.noise_at(cell.threads) {
            _ if !cell.is_ranked() || !previous.is_ranked() => {
                Judgement::invalid("one of the two is not ranked")
            }
            Some(noise) => Judgement::unresolved(noise),
            None => judge(metric, &ratio, self.summary.margin),
        };
        Some(Box::new(Against {
            ratio: ratio.value,
            lo: ratio.interval.map(|i| i.lo),
            hi: ratio.interval.map(|i| i.hi),
            n: ratio.n,
            verdict: judgement.verdict.word_for(metric).to_owned(),
        }))
    }
}
