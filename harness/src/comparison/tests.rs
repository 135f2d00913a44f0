use super::*;
use crate::protocol::WeightsClass;
use crate::sample::Outcome;
use crate::testing;

type Run = (Manifest, Vec<LaunchRecord>);

/// Two rows of [`testing::example`] on one thread, with token times stretched for both by `drift` and for the subject
/// by `change` too.
fn run(drift: f64, change: f64) -> Run {
    let (mut manifest, mut records) = testing::example();
    manifest.scenario.threads.truncate(1);
    manifest.scenario.frameworks.truncate(2);
    records.retain(|r| r.threads == 1 && ["llama.cpp", "engine"].contains(&&*r.framework));
    for record in &mut records {
        let factor = if record.framework == "engine" { drift * change } else { drift };
        for ns in times(record) {
            *ns = (*ns as f64 * factor) as u64;
        }
    }
    (manifest, records)
}

fn times(record: &mut LaunchRecord) -> Vec<&mut u64> {
    match &mut record.outcome {
        Outcome::Measured(m) => m.requests.iter_mut().flat_map(|r| &mut r.token_at_ns).collect(),
        Outcome::Failed { .. } => Vec::new(),
    }
}

fn side(run: &Run) -> Side<'_> {
    Side { manifest: &run.0, records: &run.1 }
}

fn compared(a: &Run, b: &Run) -> Comparison {
    compare(side(a), side(b), false).expect("comparable")
}

/// The same with the third row, in which a gate failed, and the fourth, which is not there.
fn whole_run() -> Run {
    let (mut manifest, mut records) = testing::example();
    manifest.scenario.threads.truncate(1);
    records.retain(|r| r.threads == 1);
    (manifest, records)
}

fn line<'a>(c: &'a Comparison, framework: &str, threads: u32, metric: &str) -> &'a Line {
    let is_it = |l: &&Line| l.framework == framework && l.threads == threads && l.metric == metric;
    c.lines.iter().find(is_it).expect("in both")
}

#[test]
fn a_bundle_is_equivalent_to_itself() {
    let a = whole_run();
    let c = compared(&a, &a);
    assert_eq!(c.differs, []);
    assert_eq!(c.common_baseline.as_deref(), Some("llama.cpp"));
    let decode = line(&c, "engine", 1, "decode_tok_s");
    assert_eq!((decode.verdict, &decode.reason), (Some("equivalent"), &None));
    assert!((decode.ratio.unwrap().value - 1.0).abs() < 1e-12);
    assert_eq!((decode.a, decode.b.n), (decode.b, 6));
    assert_eq!(line(&c, "llama.cpp", 1, "decode_tok_s").verdict, None, "the yardstick is not judged");
    let candle = line(&c, "candle", 1, "decode_tok_s");
    assert_eq!(candle.verdict, Some("invalid"), "a gate failed");
    assert!(c.lines.iter().all(|l| l.framework != "ollama"));
    assert_eq!(c.regressions().count(), 0);
    assert_eq!(c.blind_spot(), None);
}

#[test]
fn drift_of_the_machine_is_no_change_of_the_subject() {
    let c = compared(&run(1.0, 1.0), &run(1.25, 1.0));
    let decode = line(&c, "engine", 1, "decode_tok_s");
    assert!((decode.ratio.unwrap().value - 0.8).abs() < 1e-3, "{decode:?}");
    assert!((decode.relative.unwrap().value - 1.0).abs() < 1e-3, "{decode:?}");
    assert_eq!(decode.verdict, Some("equivalent"));
    assert!((line(&c, "llama.cpp", 1, "decode_tok_s").ratio.unwrap().value - 0.8).abs() < 1e-3);
}

#[test]
fn a_change_of_the_subject_is_seen_through_drift() {
    let (before, slower) = (run(1.0, 1.0), run(0.8, 1.1));
    let c = compared(&before, &slower);
    let decode = line(&c, "engine", 1, "decode_tok_s");
    assert!(decode.ratio.unwrap().value > 1.1, "faster than before, because the machine is");
    assert!((decode.relative.unwrap().value - 1.0 / 1.1).abs() < 1e-3, "{decode:?}");
    assert_eq!((decode.verdict, decode.is_regression), (Some("slower"), true));
    assert!(line(&c, "engine", 1, "ttft_warm_ms").is_regression, "more ms are worse");
    assert_eq!(line(&c, "engine", 1, "peak_rss_bytes").verdict, Some("equivalent"));
    let back = compared(&slower, &before);
    assert_eq!(line(&back, "engine", 1, "decode_tok_s").verdict, Some("faster"));
    assert_eq!(back.regressions().count(), 0);
}

#[test]
fn without_a_common_baseline_nothing_is_told() {
    let a = run(1.0, 1.0);
    let check = |change: fn(&mut Manifest), why: &str| {
        let mut b = a.0.clone();
        change(&mut b);
        let said = check::common_baseline(&a.0, &b).unwrap_err();
        assert!(said.contains(why), "{said}");
    };
    check(|m| m.frameworks[0].program.as_mut().unwrap().sha256 = "ef".repeat(32), "is another program in B");
    check(|m| m.frameworks[0].program = None, "was not there in both");
    check(
        |m| drop(m.scenario.frameworks[0].options.insert("x".into(), "y".into())),
        "has other settings in B",
    );
    check(|m| m.scenario.baseline = "candle".into(), "the baseline is llama.cpp in A and candle in B");

    let mut b = run(1.0, 1.5);
    b.0.frameworks[0].program.as_mut().unwrap().version = "2".into();
    let c = compared(&a, &b);
    let decode = line(&c, "engine", 1, "decode_tok_s");
    assert_eq!((c.common_baseline.as_deref(), decode.verdict), (None, Some("unresolved")));
    assert!(decode.reason.as_ref().unwrap().contains("is another program in B"), "{decode:?}");
    assert!(decode.ratio.is_some() && decode.relative.is_none());
    assert!(c.blind_spot().unwrap().contains("is another program in B"), "{:?}", c.blind_spot());
}

#[test]
fn five_blocks_never_rank() {
    let (a, (manifest, records)) = (run(1.0, 1.0), run(1.0, 1.5));
    let c = compared(&a, &(manifest, testing::first_blocks(&records, 5)));
    let decode = line(&c, "engine", 1, "decode_tok_s");
    assert_eq!(decode.verdict, Some("unresolved"));
    assert_eq!(decode.reason.as_deref(), Some("6 blocks in A and 5 in B; fewer than 6 cannot rank"));
    assert_eq!(
        c.blind_spot().unwrap(),
        "no figure of the subject could be judged: 6 blocks in A and 5 in B; fewer than 6 cannot rank"
    );
}

#[test]
fn disturbed_blocks_and_noisy_sessions_rank_nothing() {
    let calm = testing::controlled(8, 1.0);
    assert_eq!(compared(&calm, &calm).blind_spot(), None);
    let mut disturbed = calm.clone();
    let of_column = |r: &&mut LaunchRecord| r.threads == 1 && r.block < 3;
    disturbed.1.iter_mut().filter(of_column).for_each(|r| {
        (r.conditions.pages_swapped_in, r.conditions.pages_swapped_out) = (Some(1), Some(0));
    });
    let c = compared(&disturbed, &calm);
    let decode = line(&c, "engine", 1, "decode_tok_s");
    assert_eq!(decode.reason.as_deref(), Some("5 blocks in A and 8 in B; fewer than 6 cannot rank"));
    assert_eq!(line(&c, "engine", 2, "decode_tok_s").verdict, Some("equivalent"));

    let noisy = testing::controlled(8, 1.1);
    let c = compared(&calm, &noisy);
    let decode = line(&c, "engine", 1, "decode_tok_s");
    assert_eq!(decode.verdict, Some("unresolved"));
    assert!(
        decode.reason.as_ref().unwrap().starts_with("in B, the machine was too noisy to rank"),
        "{decode:?}"
    );
    assert!(c.blind_spot().unwrap().starts_with("in B, the machine was too noisy"), "{:?}", c.blind_spot());
    assert!(markdown(&c).contains("No verdict ranks: in B, the machine was too noisy"), "{}", markdown(&c));
}

#[test]
fn a_subject_that_fails_in_b_does_not_pass_unseen() {
    let (a, mut b) = (run(1.0, 1.0), run(1.0, 1.0));
    let crash = |planned| testing::failed(planned, crate::sample::FailureKind::Crashed, "exit code 1");
    let is_subject = |r: &LaunchRecord| r.framework == "engine";
    for record in b.1.iter_mut().filter(|r| is_subject(r)) {
        let planned = b.0.plan.launches.iter().find(|l| l.launch_id == record.launch_id).unwrap();
        *record = crash(planned);
    }
    let c = compared(&a, &b);
    assert!(c.lines.iter().all(|l| l.framework != "engine"));
    let said = c.blind_spot().unwrap();
    assert!(
        said.starts_with("engine was not measured in B (chat, 1 threads): ") && said.ends_with("exit code 1")
    );
    assert!(markdown(&c).contains("- engine, chat, threads: 1: not in B: "), "{}", markdown(&c));

    let mut b = run(1.0, 1.0);
    for record in b.1.iter_mut().filter(|r| is_subject(r)) {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.gates[0].passed = false;
        }
    }
    let said = compared(&a, &b).blind_spot().unwrap();
    assert!(said.starts_with("engine (chat, 1 threads): B: gate nothing_cached failed in 6 of 6"), "{said}");
}

#[test]
fn every_reason_against_comparing_is_given_at_once() {
    let (a, mut b) = (whole_run(), whole_run());
    let m = &mut b.0;
    m.model.sha256 = "00".repeat(32);
    m.machine.id = "m-2".into();
    m.scenario.kv_type = "f32".into();
    m.scenario.batch = 64;
    m.scenario.workloads[0].context = 512;
    m.scenario.frameworks[1].id = "fake".into();
    for record in &mut b.1 {
        if let Outcome::Measured(measured) = &mut record.outcome
            && record.framework == "candle"
        {
            measured.weights_class = WeightsClass::B;
        }
    }
    let reasons = compare(side(&a), side(&b), false).unwrap_err();
    let begins = [
        "A and B are of two machines, m-0011223344 (Test CPU 9000) and m-2 (Test CPU 9000); `--across-machines`",
        "the model (sha256) differs: ab12",
        "the KV type differs: f16 in A, f32 in B",
        "the batch differs: 512 in A, 64 in B",
        "the workload chat differs: 128 prompt + 32 generated tokens in a context of 256 in A, 128 prompt + 32",
        "engine is measured in A and simulated in B",
        "the weights of candle are of class A in A and B in B",
    ];
    assert_eq!(reasons.len(), begins.len(), "{reasons:#?}");
    for (reason, begin) in reasons.iter().zip(begins) {
        assert!(reason.starts_with(begin), "{reason}");
    }
}

#[test]
fn nothing_in_common_cannot_be_compared() {
    let a = whole_run();
    let check = |change: fn(&mut Manifest), why: &str| {
        let mut b = whole_run();
        change(&mut b.0);
        assert_eq!(compare(side(&a), side(&b), false).unwrap_err(), [why]);
    };
    check(|m| m.scenario.threads = vec![4, 8], "no thread count in common: 1 in A, 4, 8 in B");
    check(|m| m.scenario.workloads[0].name = "talk".into(), "no workload in common: chat in A, talk in B");
    check(
        |m| m.scenario.frameworks.iter_mut().for_each(|f| f.label.push('2')),
        "no row in common: llama.cpp, engine, candle, ollama in A, llama.cpp2, engine2, candle2, ollama2 in B",
    );
}

#[test]
fn two_machines_are_shown_without_verdicts() {
    let (a, mut b) = (run(1.0, 1.0), run(1.0, 2.0));
    b.0.machine.id = "m-2".into();
    let c = compare(side(&a), side(&b), true).expect("asked for");
    assert!(c.across_machines && c.lines.iter().all(|l| l.verdict.is_none() && !l.is_regression));
    assert!(markdown(&c).contains("Two machines: there are no verdicts."));
}

#[test]
fn what_may_differ_is_listed_on_top() {
    let (a, mut b) = (whole_run(), whole_run());
    b.0.machine.kernel = "Linux 6.2".into();
    b.0.seed = 43;
    b.0.frameworks[1].program.as_mut().unwrap().version = "1.3.0 | <next>".into();
    let c = compared(&a, &b);
    let what: Vec<&str> = c.differs.iter().map(|d| d.what.as_str()).collect();
    assert_eq!(what, ["kernel", "seed", "version of engine"]);
    let text = markdown(&c);
    assert!(text.contains("| version of engine | 1.2.3 | 1.3.0 \\| &lt;next> |"), "{text}");
    assert!(text.contains("| engine | decode (tok/s) | 89.00 ["), "{text}");
    assert!(text.contains("- candle: A: gate right_output failed in 1 of 6 launches"), "{text}");
    let heading = "| framework | metric | A | B | B / A | B / A, as ratio to llama.cpp | B is |";
    assert_eq!(text.matches(heading).count(), 1, "one table for each workload and thread count");
}
