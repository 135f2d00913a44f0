//! Whether the manifest agrees with itself, and the lines with the plan. Pure.

use super::{Finding, RESTORE};
use crate::bundle::{Manifest, sha256_hex};
use crate::plan::{Plan, PlannedLaunch};
use crate::sample::LaunchRecord;
use std::collections::BTreeMap;

/// The hash of the scenario's text, and the plan made again from scenario, seed and the rows that were there.
pub(super) fn manifest_findings(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of_manifest = |key: String, problem: &str| Finding::new("manifest.json", problem, RESTORE).key(key);
    let sha256 = sha256_hex(manifest.scenario_text.as_bytes());
    if sha256 != manifest.scenario_sha256 {
        let finding = of_manifest("scenario_sha256".into(), "is not the hash of scenario_text");
        findings.push(finding.values(sha256, &manifest.scenario_sha256));
    }
    let available = manifest.frameworks.iter().filter(|f| f.unavailable.is_none());
    let labels: Vec<&str> = available.map(|f| f.label.as_str()).collect();
    let again = Plan::build(&manifest.scenario, &labels, manifest.seed).launches;
    let found = &manifest.plan.launches;
    let problem = "is not the plan that scenario and seed give";
    if again.len() != found.len() {
        let finding = of_manifest("plan.launches".into(), problem);
        let count = |launches: &[PlannedLaunch]| format!("{} launches", launches.len());
        findings.push(finding.values(count(&again), count(found)));
    } else if let Some(i) = (0..found.len()).find(|&i| again[i] != found[i]) {
        let finding = of_manifest(format!("plan.launches[{i}]"), problem);
        findings.push(finding.values(said(&again[i]), said(&found[i])));
    }
    findings
}

fn said(launch: &PlannedLaunch) -> String {
    format!("{} (block {}, position {})", launch.launch_id, launch.block, launch.position)
}

/// Every planned launch must have one line that says what the plan says, and no line may be of no planned launch.
/// Missing ones are named here unless the chain `told` of them; those at the end of an unfinished run are counted
/// elsewhere.
pub(super) fn line_findings(manifest: &Manifest, records: &[LaunchRecord], told: bool) -> Vec<Finding> {
    let expected = manifest.expected_launches();
    let by_id: BTreeMap<&str, &PlannedLaunch> = expected.iter().map(|l| (l.launch_id.as_str(), l)).collect();
    let mut findings = Vec::new();
    let mut last = None;
    for (line, record) in (1..).zip(records) {
        let at =
            |problem: &str| Finding::new("samples.jsonl", problem, RESTORE).at(line).key(&record.launch_id);
        let Some(planned) = by_id.get(&*record.launch_id) else {
            findings.push(at("is no launch of the plan"));
            continue;
        };
        last = last.max(expected.iter().position(|l| l.launch_id == record.launch_id));
        let (wanted, found) = (placed(planned), recorded(record));
        if wanted != found {
            findings.push(at("is not what the plan says").values(wanted, found));
        }
    }
    let n_reached = last.map_or(0, |last| last + 1);
    for launch in expected[..n_reached].iter().filter(|_| !told) {
        if !records.iter().any(|r| r.launch_id == launch.launch_id) {
            let finding = Finding::new("samples.jsonl", "line missing", RESTORE);
            findings.push(finding.key(&launch.launch_id));
        }
    }
    findings
}

fn placed(l: &PlannedLaunch) -> String {
    let cell = &l.cell;
    let (label, workload, threads) = (&cell.framework, &cell.workload, cell.threads);
    format!(
        "block {}, position {}, {:?}, {label}, {workload}, {threads} threads",
        l.block, l.position, l.role
    )
}

fn recorded(r: &LaunchRecord) -> String {
    let (label, workload, threads) = (&r.framework, &r.workload, r.threads);
    format!(
        "block {}, position {}, {:?}, {label}, {workload}, {threads} threads",
        r.block, r.position, r.role
    )
}
