//! Whether each line agrees with itself: lengths, times, and the gates that follow from the figures beside them. Pure.

use super::{Finding, RESTORE};
use crate::framework::gates::{Expected, check_lengths, gates};
use crate::machine::topology::parse_cpu_list;
use crate::sample::{FEATURE_RAN_BEFORE, Gate, LaunchRecord, Measured, Outcome, RequestSample, Role, gate};
use crate::scenario::Scenario;

/// Every line of `records`, which have their `right_output` gates as computed on reading.
pub(super) fn findings(scenario: &Scenario, records: &[LaunchRecord]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, record) in (1..).zip(records) {
        let at =
            |problem: String| Finding::new("samples.jsonl", problem, RESTORE).at(line).key(&record.launch_id);
        if let Some(before) = line.checked_sub(2).map(|i: usize| &records[i])
            && record.started_at < before.started_at
        {
            let wanted = format!("no earlier than {}", before.started_at);
            findings.push(at("started_at runs backwards".into()).values(wanted, &record.started_at));
        }
        if let Outcome::Measured(measured) = &record.outcome {
            let expected = expected(scenario, record, measured);
            if let Err(failure) = check_lengths(&expected, measured) {
                findings.push(at(failure.message));
            }
            findings.extend(request_findings(measured).into_iter().map(at));
            for (wanted, found) in gate_differences(&expected, measured) {
                findings.push(at("gate does not follow from the figures".into()).values(wanted, found));
            }
        }
    }
    findings
}

/// What the scenario asked of a launch.
fn expected(scenario: &Scenario, record: &LaunchRecord, measured: &Measured) -> Expected {
    let mut requests = Vec::new();
    if let (Role::Measure | Role::Control, Some(workload)) =
        (record.role, scenario.workload(&record.workload))
    {
        let ran_before = measured.features.iter().any(|f| f == FEATURE_RAN_BEFORE);
        let cold = (scenario.cold_generate > 0 && !ran_before).then_some(scenario.cold_generate);
        let warm = (0..scenario.repetitions).map(|_| workload.generate_tokens);
        requests.extend(cold.into_iter().chain(warm).map(|n| (workload.prompt_tokens, n)));
    }
    let is_verified = measured.verify_token_ids.is_some();
    let affinity = measured.gates.iter().find(|g| g.name == gate::AFFINITY);
    Expected {
        requests,
        threads: record.threads,
        n_verify: is_verified.then_some(scenario.verify_tokens),
        // Which processors a launch was given stands nowhere else.
        cpus: affinity.and_then(|g| parse_cpu_list(&g.wanted)),
    }
}

fn request_findings(measured: &Measured) -> Vec<String> {
    let cold = measured.cold.as_ref();
    let requests: Vec<&RequestSample> =
        cold.map(|c| &c.request).into_iter().chain(&measured.requests).collect();
    let mut problems = Vec::new();
    for (rep, request) in (0..).zip(&requests) {
        if request.rep != rep {
            problems.push(format!("request {rep} says that it is {}", request.rep));
        }
        let (n_ids, n_times) = (request.token_ids.len(), request.token_at_ns.len());
        if n_ids != n_times {
            problems.push(format!("request {rep} has {n_ids} tokens and {n_times} times"));
        }
    }
    let first =
        cold.and_then(|c| c.request.token_at_ns.first().map(|ns| (c.first_token_after_launch_ns, *ns)));
    if let Some((after_launch, after_request)) = first
        && after_launch < after_request
    {
        problems.push(format!(
            "the first token was there {after_launch} ns after the launch, but {after_request} ns after the request"
        ));
    }
    problems
}

/// Gates that are recorded otherwise than they follow, or not recorded, as (expected, found).
fn gate_differences(expected: &Expected, measured: &Measured) -> Vec<(String, String)> {
    let recorded = |name: &str| measured.gates.iter().find(|g| g.name == name);
    let computed = gates(expected, measured);
    let is_basic = |g: &&Gate| {
        let basic = [
            gate::PROMPT_COUNT,
            gate::NOTHING_CACHED,
            gate::OUTPUT_LENGTH,
            gate::THREADS,
            gate::THREADS_SEEN,
            gate::AFFINITY,
        ];
        basic.contains(&&*g.name)
    };
    let differs = |wanted: &&Gate| recorded(&wanted.name) != Some(*wanted);
    let shown = |g: &Gate| {
        format!(
            "{} {} (wanted {}, saw {})",
            g.name,
            if g.passed { "passed" } else { "failed" },
            g.wanted,
            g.seen
        )
    };
    let wrong = computed.iter().filter(is_basic).filter(differs);
    wrong.map(|g| (shown(g), recorded(&g.name).map_or("none".to_owned(), shown))).collect()
}
