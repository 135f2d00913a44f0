use super::*;
use crate::machine::Peak;
use crate::sample::Outcome;
use crate::testing;
use crate::verdict::Verdict;

const ENGINE: usize = 1;
const CANDLE: usize = 2;

fn verdict(summary: &Summary, row: usize, threads: u32, metric: Metric) -> Verdict {
    let cell = summary.workloads[0].cell(row, threads).unwrap();
    cell.comparison(metric).unwrap().judgement.verdict
}

#[test]
fn rows_are_judged_against_the_baseline_by_block() {
    let (manifest, records) = testing::example();
    let summary = summarize(&manifest, &records);
    assert_eq!(verdict(&summary, ENGINE, 1, Metric::Decode), Verdict::Slower);
    assert_eq!(verdict(&summary, ENGINE, 1, Metric::PeakRss), Verdict::Faster, "less memory is better");
    assert_eq!(verdict(&summary, ENGINE, 1, Metric::Load), Verdict::Equivalent);
    assert_eq!(verdict(&summary, CANDLE, 1, Metric::Decode), Verdict::Invalid, "a gate failed");
    let standing = summary.workloads[0].standing(1).unwrap();
    assert_eq!((standing.leader, standing.second), (0, Some(ENGINE)));
}

#[test]
fn who_needs_less_memory_is_told_only_where_every_pair_is_clear() {
    let (manifest, records) = testing::example();
    let leanness = |engine_bytes: fn(u32) -> u64| {
        let mut records = records.clone();
        for record in records.iter_mut().filter(|r| r.framework == "engine") {
            if let Outcome::Measured(m) = &mut record.outcome {
                m.memory.rss_peak_bytes = Some(engine_bytes(record.block));
            }
        }
        let leanness = summarize(&manifest, &records).workloads[0].leanest[0].clone();
        (leanness.is_least, leanness.less)
    };
    assert_eq!(leanness(|block| 100_000_000 + u64::from(block)), (true, None));
    assert_eq!(leanness(|block| 200_000_000 + u64::from(block)), (false, Some(0)), "candle's gate failed");
    assert_eq!(leanness(|block| if block % 2 == 0 { 100_000_000 } else { 180_000_000 }), (false, None));
}

#[test]
fn one_launch_of_requantized_weights_keeps_the_row_out_of_the_ranking() {
    let (manifest, mut records) = testing::example();
    let of_engine = records.iter_mut().find(|r| r.framework == "engine" && r.threads == 1).unwrap();
    if let Outcome::Measured(m) = &mut of_engine.outcome {
        m.weights_class = WeightsClass::C;
    }
    let summary = summarize(&manifest, &records);
    let cell = summary.workloads[0].cell(ENGINE, 1).unwrap();
    assert_eq!(cell.weights_class, Some(WeightsClass::C));
    assert!(!cell.is_ranked() && !cell.gate_failed());
    assert_eq!(verdict(&summary, ENGINE, 1, Metric::Decode), Verdict::Invalid);
    assert!(summary.workloads[0].cell(ENGINE, 2).unwrap().is_ranked(), "the other cell is untouched");
    assert_eq!(verdict(&summary, ENGINE, 2, Metric::PeakRss), Verdict::Faster);
    assert_eq!(verdict(&summary, ENGINE, 2, Metric::Decode), Verdict::Unresolved, "one block was disturbed");
}

#[test]
fn a_baseline_that_failed_a_gate_invalidates_every_comparison() {
    let (manifest, mut records) = testing::example();
    for record in records.iter_mut().filter(|r| r.framework == "llama.cpp") {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.gates[0].passed = false;
        }
    }
    let summary = summarize(&manifest, &records);
    let cell = summary.workloads[0].cell(ENGINE, 1).unwrap();
    let judgement = &cell.comparison(Metric::Decode).unwrap().judgement;
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert!(judgement.reason.as_ref().unwrap().starts_with("the baseline: gate nothing_cached failed"));
}

#[test]
fn a_failed_launch_takes_its_block_out_of_the_pairs() {
    let (manifest, mut records) = testing::example();
    let index = records.iter().position(|r| r.framework == "engine" && r.threads == 1).unwrap();
    records[index] =
        testing::failed(&manifest.plan.launches[index], FailureKind::TimedOut, "no answer in 60 s");
    let summary = summarize(&manifest, &records);
    let cell = summary.workloads[0].cell(ENGINE, 1).unwrap();
    assert_eq!((cell.n_measured, cell.n_failed), (5, 1));
    assert_eq!(cell.comparison(Metric::Decode).unwrap().ratio.unwrap().n, 5);
    assert_eq!(verdict(&summary, ENGINE, 1, Metric::Decode), Verdict::Unresolved, "five pairs cannot rank");
    let failure = summary.failures.iter().find(|f| f.label == "engine").unwrap();
    assert_eq!((failure.kind, &*failure.blocks), (FailureKind::TimedOut, &[0][..]));
}

#[test]
fn figures_per_ghz_core_say_where_the_clock_comes_from() {
    let (mut manifest, records) = testing::example();
    let clock = |manifest: &Manifest, threads| summarize(manifest, &records).clocks.remove(&threads);
    let per_core = |manifest: &Manifest, ghz: f64| {
        let summary = summarize(manifest, &records);
        let cell = summary.workloads[0].cell(ENGINE, 2).unwrap();
        let decode = cell.estimate(Metric::Decode).unwrap().value;
        assert_eq!(cell.decode_per_ghz_core, Some(decode / (ghz * 2.0)));
    };
    assert_eq!(clock(&manifest, 1), Some(Clock { ghz: 2.5, source: ClockSource::Machine }));
    per_core(&manifest, 2.5);

    // Measured on one thread and on two: each cell has its own.
    let peak = |(threads, ghz)| Peak {
        threads,
        level: "avx2".into(),
        f32_gflop_s: 100.0,
        int8_gop_s: 700.0,
        clock_ghz: Some(ghz),
    };
    manifest.machine.peak = [(1, 3.6), (2, 3.2)].map(peak).into();
    assert_eq!(clock(&manifest, 1), Some(Clock { ghz: 3.6, source: ClockSource::Measured }));
    assert_eq!(clock(&manifest, 2), Some(Clock { ghz: 3.2, source: ClockSource::Measured }));
    per_core(&manifest, 3.2);
    manifest.machine.peak.clear();

    manifest.machine.nominal_ghz = None;
    manifest.scenario.platform.as_mut().unwrap().nominal_ghz = Some(3.5);
    let source = ClockSource::Scenario("Test box".to_owned());
    assert_eq!(clock(&manifest, 2), Some(Clock { ghz: 3.5, source }));
    manifest.scenario.platform = None;
    assert_eq!(clock(&manifest, 2), None);
}

#[test]
fn the_cross_check_stands_beside_the_row_of_its_framework() {
    let (manifest, records) = testing::example();
    let checks = summarize(&manifest, &records).cross_checks;
    let bench = checks.iter().find(|c| c.program.as_deref() == Some("llama-bench")).unwrap();
    assert_eq!((&*bench.label, bench.threads, bench.metric), ("llama.cpp", 1, Metric::Decode));
    let difference = bench.difference().unwrap();
    assert!((difference - (bench.theirs / bench.ours.unwrap() - 1.0)).abs() < 1e-12);
    assert!(checks.iter().any(|c| c.program.is_none() && c.label == "engine"), "the framework's own clock");
}

#[test]
fn outliers_are_named_and_counted() {
    let (manifest, records) = testing::example();
    let summary = summarize(&manifest, &records);
    let decode = &summary.workloads[0].cell(ENGINE, 2).unwrap().metrics[&Metric::Decode];
    assert_eq!(decode.samples[decode.outliers[0].index].0, 4, "the disturbed block");
    assert_eq!(decode.estimate.n, 6);
}

#[test]
fn every_verified_launch_stands_beside_the_reference() {
    let (manifest, mut records) = testing::example();
    let told = |records: &[LaunchRecord]| {
        let all = summarize(&manifest, records).verifications.into_iter();
        all.filter(|v| v.cell.as_ref().is_none_or(|c| c.1 == 1)).collect::<Vec<_>>()
    };
    let [llama, engine, candle, ollama] = &told(&records)[..] else { panic!("one for each row") };
    assert_eq!((&llama.greedy_prefix, &engine.greedy_prefix), (&Ok((4, 4)), &Ok((3, 4))));
    assert_eq!(llama.agreement.as_ref().unwrap().mean_kl, 0.0);
    let agreement = engine.agreement.as_ref().unwrap();
    assert_eq!((agreement.n_positions, agreement.same_top()), (9, 1.0));
    // 0.6 + 0.2 + … and 0.58 + 0.58 / 3 + …: all six listed tokens are less likely by the same factor.
    let listed = 1.5 * (1.0 - 3f64.powi(-6));
    let (p, q) = (0.6 * listed, 0.58 * listed);
    let wanted = p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln();
    assert!((agreement.mean_kl - wanted).abs() < 1e-6, "{agreement:?} {wanted}");
    assert_eq!(candle.agreement, Err("the framework does not tell its distributions".to_owned()));
    assert_eq!((&ollama.cell, ollama.weights_class), (&None, None));
    assert!(ollama.agreement.as_ref().unwrap_err().contains("is not on the PATH"));

    // As bundles were before there were distributions.
    for record in &mut records {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.forced = None;
        }
    }
    let reason = Err("the launch was asked for the continuation alone".to_owned());
    assert!(told(&records)[..3].iter().all(|v| v.agreement == reason && v.greedy_prefix.is_ok()));
    records.retain(|r| r.framework != "llama.cpp");
    let told = told(&records);
    assert_eq!(told[0].agreement, Err("no launch was verified".to_owned()));
    assert_eq!(told[1].greedy_prefix, Err("the baseline has no continuation to compare with".to_owned()));
}
