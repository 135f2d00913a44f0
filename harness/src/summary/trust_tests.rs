//! What takes figures out of a ranking, and what stands beside them.

use super::*;
use crate::bundle::ReadPerToken;
use crate::conditions::Canary;
use crate::machine::ReadBandwidth;
use crate::sample::{CpuSpan, Outcome};
use crate::testing;
use crate::units::{rfc3339_utc, unix_s};
use crate::verdict::Verdict;

const ENGINE: usize = 1;
const BLOCKS: u32 = 8;

fn session(control: f64) -> (Manifest, Vec<LaunchRecord>) {
    testing::controlled(BLOCKS, control)
}

fn decode_verdict(summary: &Summary, threads: u32) -> (Verdict, Option<usize>) {
    let cell = summary.workloads[0].cell(ENGINE, threads).unwrap();
    let comparison = cell.comparison(Metric::Decode).unwrap();
    (comparison.judgement.verdict, comparison.ratio.map(|r| r.n))
}

#[test]
fn a_baseline_that_is_like_itself_lets_verdicts_stand() {
    let (manifest, records) = session(1.0);
    let summary = summarize(&manifest, &records);
    assert_eq!(summary.control.len(), 2 * manifest.scenario.threads.len());
    assert!(summary.control.iter().all(|c| !c.judgement.verdict.ranks()), "{:?}", summary.control);
    assert_eq!(summary.noise, None);
    assert_eq!(decode_verdict(&summary, 1), (Verdict::Faster, Some(BLOCKS as usize)));
    assert_eq!(summary.rows.len(), 2, "the second half is no row");
}

#[test]
fn a_baseline_that_differs_from_itself_withdraws_every_verdict() {
    let (manifest, records) = session(1.1);
    let summary = summarize(&manifest, &records);
    let noise = summary.noise.clone().expect("withdrawn");
    assert!(noise.contains("too noisy to rank"), "{noise}");
    assert_eq!(decode_verdict(&summary, 1).0, Verdict::Unresolved);
    for cell in &summary.workloads[0].cells {
        let comparisons = cell.metrics.values().filter_map(|m| m.comparison.as_ref());
        comparisons.for_each(|c| assert!(!c.judgement.verdict.ranks(), "{c:?}"));
    }
    assert!(summary.workloads[0].standings.iter().all(|s| !s.judgement.verdict.ranks()));
}

#[test]
fn a_baseline_that_cannot_be_compared_with_itself_withdraws_the_verdicts_of_its_column() {
    let (mut manifest, mut records) = session(1.0);
    let label = manifest.scenario.control_label();
    for record in records.iter_mut().filter(|r| r.framework == label && r.threads == 1) {
        let planned = manifest.plan.launches.iter().find(|l| l.launch_id == record.launch_id).unwrap();
        *record = testing::failed(planned, crate::sample::FailureKind::TimedOut, "no answer");
    }
    let summary = summarize(&manifest, &records);
    assert_eq!(summary.noise, None, "the machine was not too noisy where it could be seen");
    assert_eq!(decode_verdict(&summary, 1).0, Verdict::Unresolved);
    assert_eq!(decode_verdict(&summary, 2).0, Verdict::Faster);
    let check = summary.control.iter().find(|c| c.threads == 1).unwrap();
    assert_eq!((check.judgement.verdict, check.ratio), (Verdict::Invalid, None));
    assert!(!summary.workloads[0].standing(1).unwrap().judgement.verdict.ranks());
    let [failure] = &summary.failures[..] else { panic!("{:?}", summary.failures) };
    assert_eq!((failure.label.as_str(), failure.blocks.len()), (label.as_str(), BLOCKS as usize));

    manifest.scenario.control = false;
    assert_eq!(decode_verdict(&summarize(&manifest, &records), 1).0, Verdict::Faster);
}

#[test]
fn stolen_time_is_a_share_of_what_was_wanted_however_many_processors_idle() {
    let (manifest, mut records) = session(1.0);
    let at = |r: &&mut LaunchRecord| r.framework == "engine" && r.threads == 1 && r.block == 3;
    let conditions = &mut records.iter_mut().find(at).unwrap().conditions;
    (conditions.steal_s, conditions.busy_cpu_s, conditions.steal_share) = (Some(0.5), Some(9.5), Some(0.001));
    let summary = summarize(&manifest, &records);
    let [disturbance] = &summary.disturbances[..] else { panic!("{:?}", summary.disturbances) };
    assert!(disturbance.reasons[0].1.contains("5.0% (limit 1.0%)"), "{:?}", disturbance.reasons);
}

#[test]
fn the_undisturbed_blocks_say_who_leads() {
    let (mut manifest, mut records) = testing::controlled(12, 1.0);
    manifest.scenario.limits.major_faults = 5;
    // The subject's own faults made it slow in half of the blocks, and slower by the median.
    for record in records.iter_mut().filter(|r| r.framework == "engine" && r.block % 2 == 0) {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.cpu.window = Some(CpuSpan { major_faults: Some(9), ..CpuSpan::default() });
            m.requests.iter_mut().flat_map(|r| &mut r.token_at_ns).for_each(|ns| *ns *= 2);
        }
    }
    let summary = summarize(&manifest, &records);
    let median =
        |row: usize| summary.workloads[0].cell(row, 1).unwrap().estimate(Metric::Decode).unwrap().value;
    assert!(median(ENGINE) < median(0), "{} {}", median(ENGINE), median(0));
    let standing = summary.workloads[0].standing(1).unwrap();
    assert_eq!((standing.leader, standing.second), (ENGINE, Some(0)));
    assert!(standing.ratio.unwrap().value > 1.1);
}

#[test]
fn a_disturbed_launch_takes_its_column_out_of_its_block() {
    let (mut manifest, mut records) = session(1.0);
    let at = |r: &&mut LaunchRecord| r.framework == "engine" && r.threads == 1 && r.block == 3;
    records.iter_mut().find(at).unwrap().conditions.steal_share = Some(0.02);
    let summary = summarize(&manifest, &records);
    let [disturbance] = &summary.disturbances[..] else { panic!("{:?}", summary.disturbances) };
    assert_eq!((disturbance.block, disturbance.threads), (3, 1));
    assert!(disturbance.reasons[0].1.contains("2.0% (limit 1.0%)"), "{:?}", disturbance.reasons);
    assert_eq!(decode_verdict(&summary, 1).1, Some(BLOCKS as usize - 1));
    assert_eq!(decode_verdict(&summary, 2).1, Some(BLOCKS as usize), "the other column is untouched");
    let median_of = summary.workloads[0].cell(ENGINE, 1).unwrap().estimate(Metric::Decode).unwrap().n;
    assert_eq!(median_of, BLOCKS as usize, "medians are of all launches");

    let mut all = records.clone();
    all.iter_mut().for_each(|r| r.conditions.steal_share = Some(0.02));
    let all = summarize(&manifest, &all);
    assert_eq!(decode_verdict(&all, 1), (Verdict::Unresolved, None), "nothing undisturbed is left");

    manifest.scenario.limits.steal = 0.03;
    assert!(summarize(&manifest, &records).disturbances.is_empty());
    for framework in &mut manifest.scenario.frameworks {
        framework.id = SIMULATED_ID.to_owned();
    }
    manifest.scenario.limits.steal = 0.0;
    assert!(summarize(&manifest, &records).disturbances.is_empty(), "a script cannot be disturbed");
}

#[test]
fn a_pause_takes_out_the_column_that_it_cuts_and_no_other() {
    let (manifest, records) = session(1.0);
    let column = |i: usize| (records[i].block, records[i].threads);
    // As if the run had been resumed before line `from`.
    let resumed = |from: usize, after_s: u64| {
        let mut records = records.clone();
        for record in &mut records[from..] {
            record.started_at = rfc3339_utc(unix_s(&record.started_at).unwrap() + after_s);
        }
        summarize(&manifest, &records)
    };
    let within = (1..records.len()).find(|&i| column(i) == column(i - 1) && column(i).0 == 3).unwrap();
    let between = (1..records.len()).find(|&i| column(i) != column(i - 1) && column(i).0 == 3).unwrap();
    let summary = resumed(within, 120);
    let [cut] = &summary.disturbances[..] else { panic!("{:?}", summary.disturbances) };
    assert_eq!(((cut.block, cut.threads), &cut.row), (column(within), &None));
    let sentence = "seconds without a launch before it: 118 (limit 60)";
    assert_eq!(cut.reasons, [(records[within].launch_id.clone(), sentence.to_owned())]);
    assert_eq!(decode_verdict(&summary, cut.threads).1, Some(BLOCKS as usize - 1));
    assert!(resumed(within, 60).disturbances.is_empty(), "a launch takes 2 s");
    assert!(resumed(between, 120).disturbances.is_empty(), "nothing is compared across it");
}

#[test]
fn what_a_launch_does_to_itself_takes_out_that_row_alone() {
    let disturbed = |framework: &str, role: Role| {
        let (manifest, mut records) = session(1.0);
        let at = |r: &&mut LaunchRecord| {
            r.framework.starts_with(framework) && r.role == role && r.threads == 1 && r.block == 3
        };
        let Outcome::Measured(measured) = &mut records.iter_mut().find(at).unwrap().outcome else { panic!() };
        let window = CpuSpan { major_faults: Some(7), ..CpuSpan::default() };
        measured.cpu.window = Some(window);
        summarize(&manifest, &records)
    };
    let withdrawn =
        |summary: &Summary, row: usize| summary.workloads[0].cell(row, 1).unwrap().withdrawn.len();
    let n_control =
        |summary: &Summary| summary.control.iter().find(|c| c.threads == 1).unwrap().ratio.unwrap().n;
    let all = BLOCKS as usize;

    let subject = disturbed("engine", Role::Measure);
    assert_eq!(subject.disturbances[0].row.as_deref(), Some("engine"));
    assert_eq!((withdrawn(&subject, 0), withdrawn(&subject, ENGINE)), (0, 1));
    assert_eq!((decode_verdict(&subject, 1).1, n_control(&subject)), (Some(all - 1), all));

    for role in [Role::Measure, Role::Control] {
        let baseline = disturbed("llama.cpp", role);
        assert_eq!(baseline.disturbances[0].row.as_deref(), Some("llama.cpp"), "{role:?}");
        assert_eq!((withdrawn(&baseline, 0), withdrawn(&baseline, ENGINE)), (1, 0), "{role:?}");
        assert_eq!(
            (decode_verdict(&baseline, 1).1, n_control(&baseline)),
            (Some(all - 1), all - 1),
            "{role:?}"
        );
    }
}

#[test]
fn a_canary_that_drifts_withdraws_and_what_nobody_tells_is_named() {
    let (manifest, mut records) = session(1.0);
    for (i, record) in records.iter_mut().enumerate() {
        let read_ns = if i == 5 { 1_100 } else { 1_000 };
        record.conditions.canary = Some(Canary { compute_ns: 2_000, read_ns });
    }
    let summary = summarize(&manifest, &records);
    assert_eq!(summary.disturbances.len(), 1);
    assert_eq!(summary.disturbances[0].reasons[0].0, records[5].launch_id);
    assert!(summary.unseen.contains(&Kind::Steal) && summary.unseen.contains(&Kind::Throttling));
    assert!(!summary.unseen.contains(&Kind::CanaryDrift));
}

#[test]
fn the_share_of_what_memory_allows_counts_weights_and_cache() {
    let (mut manifest, records) = session(1.0);
    let roofline =
        |manifest: &Manifest| summarize(manifest, &records).workloads[0].cell(0, 1).unwrap().roofline;
    assert_eq!(roofline(&manifest), None, "nothing was measured");
    manifest.model.read_per_token =
        Some(ReadPerToken { weights_bytes: 90_000_000, kv_bytes_per_position: 1000 });
    manifest.machine.read_bandwidth =
        vec![ReadBandwidth { threads: 1, best_gb_s: 20.0, median_gb_s: 19.0, streams: 2 }];
    let found = roofline(&manifest).expect("both are known");
    let workload = &manifest.scenario.workloads[0];
    let depth = f64::from(workload.prompt_tokens) + f64::from(workload.generate_tokens) / 2.0;
    assert_eq!(found.bytes_per_token, 90e6 + 1000.0 * depth);
    assert!((found.share - 90.0 * found.bytes_per_token / 20e9).abs() < 0.01, "{found:?}");
    let on_two = summarize(&manifest, &records).workloads[0].cell(0, 2).unwrap().roofline;
    assert_eq!(on_two, None, "measured on one thread alone");
}

#[test]
fn drift_and_the_harness_own_share_are_told() {
    let (manifest, mut records) = session(1.0);
    for record in &mut records {
        let block = record.block;
        if let Outcome::Measured(m) = &mut record.outcome {
            let harness_s = Some(0.01 * f64::from(1 + block % 2));
            let (wall_s, energy_j) = (Some(2.0), Some(40.0));
            m.cpu.window = Some(CpuSpan { wall_s, harness_s, energy_j, ..CpuSpan::default() });
            if record.framework == "engine" {
                let slower = |ns: &mut u64| *ns += *ns / 20 * u64::from(block);
                m.requests.iter_mut().flat_map(|r| &mut r.token_at_ns).for_each(slower);
            }
        }
    }
    let summary = summarize(&manifest, &records);
    let share = summary.harness_shares.iter().find(|s| s.row == ENGINE).expect("told");
    assert_eq!((share.n, share.max), (2 * BLOCKS as usize, 0.01));
    assert!((share.median - 0.0075).abs() < 1e-12);
    let cell = summary.workloads[0].cell(ENGINE, 1).unwrap();
    let w = &manifest.scenario.workloads[0];
    let n_tokens = f64::from(3 * w.prompt_tokens + 4 + 2 * w.generate_tokens);
    assert!((cell.energy_j_per_token.expect("told") - 40.0 / n_tokens).abs() < 1e-12);
    let decode = summary.drifts.iter().find(|d| (d.row, d.threads, d.metric) == (ENGINE, 1, Metric::Decode));
    let decode = decode.expect("tested");
    assert!(decode.trend.slope < -0.02 && decode.p_holm < 0.05, "{decode:?}");
}
