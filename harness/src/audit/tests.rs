//! The pure parts of the audit, on a made run. Whole bundles are audited in tests/it.

use super::*;
use crate::bundle::{Manifest, sha256_hex};
use crate::framework::gates::{Expected, gates};
use crate::plan::Plan;
use crate::sample::{LaunchRecord, Outcome};
use crate::testing;

/// A run that agrees with itself.
fn consistent() -> (Manifest, Vec<LaunchRecord>) {
    let (mut manifest, _) = testing::example();
    manifest.scenario_sha256 = sha256_hex(manifest.scenario_text.as_bytes());
    let available = manifest.frameworks.iter().filter(|f| f.unavailable.is_none());
    let labels: Vec<&str> = available.map(|f| f.label.as_str()).collect();
    manifest.plan = Plan::build(&manifest.scenario, &labels, manifest.seed);
    let speed = testing::Speed { decode_tok_s: 50.0, parallel_share: 0.9, anon_mb: 30 };
    let workload = &manifest.scenario.workloads[0];
    let mut records = Vec::new();
    for planned in manifest.expected_launches() {
        let mut record = testing::measured(&planned, speed, workload);
        if let Outcome::Measured(m) = &mut record.outcome {
            let mut requests = vec![(128, 4), (128, 32), (128, 32)];
            if planned.role == crate::sample::Role::CrossCheck {
                requests.clear();
            }
            m.gates = gates(&Expected { requests, threads: record.threads, n_verify: None, cpus: None }, m);
        }
        records.push(record);
    }
    (manifest, records)
}

fn findings(manifest: &Manifest, records: &[LaunchRecord]) -> Vec<String> {
    let mut findings = plan::manifest_findings(manifest);
    findings.extend(plan::line_findings(manifest, records, false));
    findings.extend(samples::findings(manifest, records));
    findings.iter().map(Finding::to_string).collect()
}

fn check(tamper: impl Fn(&mut Manifest, &mut Vec<LaunchRecord>), wanted: &[&str]) {
    let (mut manifest, mut records) = consistent();
    tamper(&mut manifest, &mut records);
    let found = findings(&manifest, &records);
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.contains(wanted), "{found}\n{wanted}");
    }
}

fn measured(record: &mut LaunchRecord) -> &mut crate::sample::Measured {
    match &mut record.outcome {
        Outcome::Measured(measured) => measured,
        Outcome::Failed { .. } => panic!("{} failed", record.launch_id),
    }
}

#[test]
fn a_run_that_agrees_with_itself_has_no_findings() {
    check(|_, _| {}, &[]);
}

#[test]
fn a_manifest_that_contradicts_itself_is_found() {
    check(
        |m, _| m.scenario_text.push('x'),
        &["manifest.json: scenario_sha256: is not the hash of scenario_text: expected "],
    );
    check(
        |m, _| m.seed += 1,
        &["manifest.json: plan.launches[0]: is not the plan that scenario and seed give: expected b00-"],
    );
    let launches = "is not the plan that scenario and seed give: expected 36 launches, found 42 launches";
    check(
        |m, _| (m.scenario.blocks, m.scenario.blocks_max) = (5, 5),
        &[&format!("manifest.json: plan.launches: {launches}")],
    );
}

#[test]
fn lines_that_the_plan_does_not_have_are_found() {
    check(|_, r| drop(r.remove(5)), &["samples.jsonl: b00-"]);
    check(
        |_, r| r[3].launch_id = "b99-x".into(),
        &["samples.jsonl:4: b99-x: is no launch of the plan", "line missing"],
    );
    check(|_, r| r[3].block = 7, &["is not what the plan says: expected block 0, position "]);
}

#[test]
fn lines_that_contradict_themselves_are_found() {
    let gate = "gate does not follow from the figures: expected ";
    check(|_, r| r[4].started_at = "2026-01-01T00:00:00Z".into(), &["samples.jsonl:5: b00-"]);
    check(
        |_, r| measured(&mut r[4]).requests[0].n_prompt = 127,
        &[&format!("{gate}prompt_count failed (wanted 128, saw 128, 127, 128), found prompt_count passed")],
    );
    check(
        |_, r| measured(&mut r[4]).requests[1].n_cached = Some(9),
        &[&format!("{gate}nothing_cached failed")],
    );
    check(|_, r| measured(&mut r[4]).threads_used = Some(9), &[&format!("{gate}threads failed")]);
    check(
        |_, r| measured(&mut r[4]).gates.retain(|g| g.name != "output_length"),
        &[&format!("{gate}output_length passed (wanted 4, 32, 32, saw 4, 32, 32), found none")],
    );
    check(
        |_, r| measured(&mut r[4]).requests[0].token_at_ns.truncate(31),
        &["request 1: 32 tokens and 31 times instead of 32", "request 1 has 32 tokens and 31 times"],
    );
    check(
        |_, r| measured(&mut r[4]).requests[0].token_at_ns.swap(2, 3),
        &["request 1: token times run backwards"],
    );
    check(|_, r| measured(&mut r[4]).requests[0].rep = 2, &["request 1 says that it is 2"]);
    check(
        |_, r| measured(&mut r[4]).cold.as_mut().unwrap().first_token_after_launch_ns = 1,
        &["the first token was there 1 ns after the launch, but "],
    );
}

#[test]
fn changed_and_missing_logs_are_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    std::fs::write(dir.path().join("logs/a.log"), "said").unwrap();
    let (was, is) = (sha256_hex(b"says"), sha256_hex(b"said"));
    let logs = [("a.log".to_owned(), was.clone()), ("b.log".to_owned(), is.clone())].into();
    let complete = Complete {
        schema: 2,
        lines: 0,
        chain: String::new(),
        manifest_sha256: String::new(),
        logs,
        ended_early: false,
    };
    let found: Vec<String> =
        log_findings(dir.path(), &complete).unwrap().iter().map(Finding::to_string).collect();
    let changed = format!("logs/a.log: sha256: log changed: expected {was}, found {is}; {RESTORE}");
    assert_eq!(found, [changed, format!("logs/b.log: log missing; {RESTORE}")]);
}
