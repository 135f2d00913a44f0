//! The audit of a bundle: everything that can be computed again is, and every difference is named.
//!
//! Four parts: what the hash chain says (`bundle::inspect`), whether the manifest agrees with itself and with the
//! lines, whether each line agrees with itself, and whether the derived files are what the samples give.

mod derived;
mod plan;
mod samples;

use crate::bundle::{self, Bundle, BundleError, Complete, Fault, FaultKind, hash_files};
use crate::report::render;
use crate::sample::LaunchRecord;
use crate::summary::blocks_due;
use serde::Serialize;
use std::path::Path;

/// What the audit of a bundle found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// [`crate::bundle::Manifest::id`]
    pub id: String,
    /// Lines of `samples.jsonl`.
    pub lines: usize,
    /// The chain's last value; `None` for a bundle without a chain. Who publishes it elsewhere can prove the bundle.
    pub chain: Option<String>,
    /// What is worth knowing and no difference.
    pub notes: Vec<String>,
    /// Every difference, in the order of files.
    pub findings: Vec<Finding>,
}

/// A difference between what stands in a bundle and what should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// File within the bundle.
    pub file: String,
    /// Its line, from 1, where it has lines.
    pub line: Option<usize>,
    /// The launch, cell or key.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// What to do about it.
    pub remedy: &'static str,
}

/// For what was measured and is not there any more.
const RESTORE: &str = "restore the file from where the bundle was published, or measure again";
/// For what can be made again.
const RENDER_AGAIN: &str = "if the samples can be trusted, `harness report BUNDLE` writes it again; a bundle of another \
                            version of the harness may differ without having been touched";
/// For `samples.csv`.
const RESUME: &str = "if the samples can be trusted, `harness run SCENARIO --resume BUNDLE` writes it again";
/// For a run that did not end.
const GO_ON: &str = "go on with `harness run SCENARIO --resume BUNDLE`";

impl Audit {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Finding {
    fn new(file: &str, problem: impl Into<String>, remedy: &'static str) -> Finding {
        Finding {
            file: file.to_owned(),
            line: None,
            key: None,
            problem: problem.into(),
            expected: None,
            found: None,
            remedy,
        }
    }

    fn at(self, line: usize) -> Finding {
        Finding { line: Some(line), ..self }
    }

    fn key(self, key: impl Into<String>) -> Finding {
        Finding { key: Some(key.into()), ..self }
    }

    fn values(self, expected: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { expected: Some(expected.into()), found: Some(found.into()), ..self }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.problem)?;
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            write!(f, ": expected {expected}, found {found}")?;
        }
        write!(f, "; {}", self.remedy)
    }
}

/// Audits the bundle at `dir`. An error is what cannot be read at all.
pub fn audit(dir: &Path) -> Result<Audit, BundleError> {
    let (bundle, faults) = bundle::inspect(dir)?;
    let manifest = &bundle.manifest;
    let mut notes = Vec::new();
    let mut findings: Vec<Finding> = faults.into_iter().map(broken).collect();
    if !bundle.seal.is_chained {
        notes.push("no hash chain: written by an older version".to_owned());
    }
    if bundle.seal.has_torn_line && bundle.seal.complete.is_none() {
        notes.push("the last line of samples.jsonl is torn and left out: the run was killed".to_owned());
    }
    if bundle.seal.complete.as_ref().is_some_and(|complete| complete.ended_early) {
        let n_planned = manifest.expected_launches().len();
        notes.push(format!("ended early, by hand: {} of {n_planned} launches", bundle.seal.lines));
    }
    findings.extend(plan::manifest_findings(manifest));
    let told = findings.iter().any(|f| f.file == "samples.jsonl");
    findings.extend(plan::line_findings(manifest, &bundle.records, told));
    findings.extend(unfinished(&bundle));
    findings.extend(ended_elsewhere(&bundle));
    findings.extend(samples::findings(manifest, &bundle.records));
    if let Some(complete) = &bundle.seal.complete {
        findings.extend(log_findings(dir, complete)?);
    }
    let samples_csv = bundle::samples_csv(&bundle.records);
    findings.extend(derived::table(dir, "samples.csv", &samples_csv, 1, RESUME)?);
    let rendered = render(manifest, &bundle.records);
    findings.extend(derived::table(dir, "summary.csv", &rendered.summary_csv, 4, RENDER_AGAIN)?);
    findings.extend(derived::text(dir, "report.md", &rendered.markdown, RENDER_AGAIN)?);
    findings.extend(derived::charts(dir, &rendered.charts)?);
    Ok(Audit {
        id: manifest.id.clone(),
        lines: bundle.seal.lines,
        chain: bundle.seal.is_chained.then(|| bundle.seal.head.clone()),
        notes,
        findings,
    })
}

fn broken(fault: Fault) -> Finding {
    let remedy = match fault.kind {
        FaultKind::CompleteChanged => {
            "restore complete.json and samples.jsonl from where the bundle was published"
        }
        _ => RESTORE,
    };
    Finding { line: fault.line, ..Finding::new(fault.file, fault.reason, remedy) }
}

/// A run that did not end, or whose end was taken away.
fn unfinished(bundle: &Bundle) -> Option<Finding> {
    let n_planned = bundle.manifest.expected_launches().len();
    let is_whole =
        bundle.seal.complete.is_some() || (!bundle.seal.is_chained && bundle.seal.lines >= n_planned);
    let problem = format!("unfinished: {} of {n_planned} launches", bundle.seal.lines);
    (!is_whole).then(|| Finding::new("complete.json", problem, GO_ON))
}

/// A run that ended after another number of blocks than its scenario and samples ask for.
fn ended_elsewhere(bundle: &Bundle) -> Option<Finding> {
    let (manifest, records) = (&bundle.manifest, &bundle.records);
    bundle.seal.complete.as_ref().filter(|complete| !complete.ended_early)?;
    let planned = |r: &&LaunchRecord| manifest.plan.launches.iter().any(|l| l.launch_id == r.launch_id);
    let n_blocks = records.iter().filter(planned).map(|r| r.block + 1).max()?;
    let due = blocks_due(manifest, records, n_blocks);
    let finding = || Finding::new("samples.jsonl", "ended after another number of blocks", RESTORE);
    (n_blocks != due).then(|| finding().values(due.to_string(), n_blocks.to_string()))
}

fn log_findings(dir: &Path, complete: &Complete) -> Result<Vec<Finding>, BundleError> {
    let there = hash_files(&dir.join("logs"))?;
    let mut findings = Vec::new();
    for (name, expected) in &complete.logs {
        let file = format!("logs/{name}");
        match there.get(name) {
            Some(found) if found == expected => {}
            Some(found) => {
                let finding = Finding::new(&file, "log changed", RESTORE);
                findings.push(finding.key("sha256").values(expected, found));
            }
            None => findings.push(Finding::new(&file, "log missing", RESTORE)),
        }
    }
    for name in there.keys().filter(|name| !complete.logs.contains_key(*name)) {
        let problem = "log is not of this run";
        findings.push(Finding::new(&format!("logs/{name}"), problem, "remove it"));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
