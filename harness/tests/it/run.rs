//! `harness run` with scripted frameworks: from scenario to report, through every misbehaviour, kill and resume.

use crate::support::{Place, append, failures, measured, wait_until, whole_lines};
use harness::sample::{FailureKind, Metric, gate};
use rustix::process::Signal;

#[test]
fn a_run_leaves_samples_and_a_report() {
    let place = Place::new(&[("swift", "")], 6);
    place.write("swift.yaml", "version: '2'\nload_ms: 50\nprefill_tok_s: 500\ndecode_tok_s: 62.5\n");
    let assert = place.run(&[]).code(0);
    let bundle = place.bundle();
    // Two rows and the control pair's second half.
    assert_eq!(bundle.records.len(), 18);
    for name in ["report.md", "samples.csv", "summary.csv", "manifest.json"] {
        assert!(bundle.dir.join(name).is_file(), "{name}");
    }
    let stdout = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(stdout.trim_end().ends_with("report.md"), "{stdout}");
    for swift in measured(&bundle, "swift") {
        assert_eq!(swift.version, "2 (simulated)");
        assert_eq!(swift.metric(Metric::Load), Some(0.05));
        assert!((swift.metric(Metric::Decode).expect("told") - 62.5).abs() < 0.01);
        assert!(swift.gates_passed(), "{:?}", swift.gates);
    }
    let verified: Vec<_> = measured(&bundle, "swift")
        .into_iter()
        .filter(|m| m.gates.iter().any(|g| g.name == gate::RIGHT_OUTPUT))
        .collect();
    assert_eq!(verified.len(), 1, "verified once, in the first block");
    assert_eq!(place.processes(), [""; 0]);
}

#[test]
fn every_misbehaviour_is_a_row_and_the_others_go_on() {
    use FailureKind::*;
    let cases = [
        ("crashes", "crash_after: ready", Crashed, "ended with exit code 70 before `sample`"),
        ("starts-not", "crash_after: start", Crashed, "ended with exit code 70 before `hello`"),
        ("quits", "exit_early: true", Crashed, "ended with exit code 0 before `sample`"),
        ("hangs", "hang: true", TimedOut, "no end within 2 s, waiting for `ready`"),
        ("garbles", "garbage: true", Garbage, "`llama_perf: 12.3 ms per token"),
        ("short", "wrong_length: -3", WrongLength, "1 tokens and 1 times instead of 4"),
        ("long", "wrong_length: 1", WrongLength, "5 tokens and 5 times instead of 4"),
        ("complains", "error: no such model", Reported, "scripted: no such model"),
    ];
    let scripts: Vec<(&str, &str)> = cases.iter().map(|(label, script, ..)| (*label, *script)).collect();
    let place = Place::new(&scripts, 1);
    place.run(&[]).code(3);
    let bundle = place.bundle();
    for (label, _, kind, message) in cases {
        let seen = failures(&bundle, label);
        assert_eq!(seen.len(), 1, "{label}");
        assert!(seen[0].0 == kind && seen[0].1.contains(message), "{label}: {seen:?}");
    }
    assert_eq!(measured(&bundle, "steady").len(), 1);
    assert!(bundle.dir.join("report.md").is_file());
    assert_eq!(place.processes(), [""; 0]);
}

#[test]
fn gates_that_fail_are_data_not_failures() {
    let scripts =
        [("caches", "cached: 5"), ("wrong", "wrong_output: true"), ("one-thread", "threads_used: 7")];
    let place = Place::new(&scripts, 1);
    place.run(&[]).code(3);
    let bundle = place.bundle();
    let failed = |label| {
        let gates = &measured(&bundle, label)[0].gates;
        gates.iter().filter(|g| !g.passed).map(|g| format!("{}: {}", g.name, g.seen)).collect::<Vec<_>>()
    };
    assert_eq!(failed("steady"), [""; 0]);
    assert_eq!(failed("caches"), ["nothing_cached: 5"]);
    assert_eq!(
        failed("wrong"),
        [
            "right_output: 0 of 8 tokens equal to the reference",
            "distribution: mean KL 2.6331, top-1 0 of 31 positions"
        ]
    );
    assert_eq!(failed("one-thread"), ["threads: 7"]);
}

#[test]
fn frameworks_that_cannot_be_measured_are_rows() {
    let place = Place::new(&[], 1);
    let rows = "  - {id: fake, label: steady, options: {script: steady.yaml}}\n  - lm-studio\n  - {id: fake, label: unset}\n";
    place.write_scenario(rows, 1);
    let assert = place.run(&[]).code(3);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    let told = stderr.find("unset: cannot be measured: fake needs the option `script`").expect("told");
    assert!(told < stderr.find("steady-chat").expect("measured"), "before anything is: {stderr}");
    let bundle = place.bundle();
    let unsupported = FailureKind::Unsupported;
    let needed = |id: &str, option: &str| [(unsupported, format!("{id} needs the option `{option}`"))];
    assert_eq!(failures(&bundle, "lm-studio"), needed("lm-studio", "model"));
    assert_eq!(failures(&bundle, "unset"), needed("fake", "script"));
    assert_eq!(measured(&bundle, "steady").len(), 1);
}

#[test]
fn a_run_without_its_baseline_is_refused_before_anything_is_made() {
    let place = Place::new(&[], 1);
    let rows =
        "  - {id: fake, label: steady}\n  - {id: fake, label: other, options: {script: steady.yaml}}\n";
    place.write_scenario(rows, 1);
    let assert = place.run(&[]).code(2);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    let why = "it.yaml: baseline: steady cannot be measured: fake needs the option `script`";
    assert!(stderr.contains(why) && stderr.contains("leave it out with --skip steady"), "{stderr}");
    assert!(place.bundle_dirs().is_empty() && !place.path("cache").join("models").exists());
    place.run(&["--dry-run"]).code(0);
    place.run(&["--skip", "steady"]).code(0);
    assert_eq!(measured(&place.bundle(), "other").len(), 1);
}

#[test]
fn a_killed_run_resumes_with_no_launch_lost_or_doubled() {
    let place = Place::new(&[("slow", "sleep_ms: 300")], 3);
    let running = place.start(&[]);
    place.wait_for_launches(3);
    running.signal(Signal::KILL);
    running.wait();
    let dir = place.bundle_dir();
    let before = whole_lines(&dir);
    assert!((3..6).contains(&before.lines().count()), "killed midway");
    if cfg!(target_os = "linux") {
        wait_until("the runner to die with the harness", || place.processes().is_empty());
    }
    append(&dir.join("samples.jsonl"), b"{\"schema\":1,\"launch_id\":\"b02-ste");

    place.run(&["--resume", &dir.display().to_string()]).code(0);
    let bundle = place.bundle();
    let after = whole_lines(&dir);
    assert!(after.starts_with(&before), "what was recorded is untouched: {before}\n{after}");
    let mut seen: Vec<&str> = bundle.records.iter().map(|r| r.launch_id.as_str()).collect();
    let mut planned: Vec<&str> = bundle.manifest.plan.launches.iter().map(|l| l.launch_id.as_str()).collect();
    seen.sort_unstable();
    planned.sort_unstable();
    assert_eq!(seen, planned);
    assert_eq!(place.bundle_dirs().len(), 1);
}

#[test]
fn an_interrupt_keeps_the_bundle_and_says_how_to_go_on() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new(&[("slow", "sleep_ms: 1500")], 2);
        let running = place.start(&[]);
        place.wait_for_launches(1);
        wait_until("the slow launch", || place.processes().iter().any(|p| p.contains("slow.yaml")));
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(130));
        assert_eq!(place.processes(), [""; 0], "no orphan");
        let dir = place.bundle_dir();
        let wanted = format!("--resume {}", dir.display());
        assert!(place.stderr().contains(&wanted), "{}", place.stderr());
        let n_before = place.bundle().records.len();
        assert!((1..4).contains(&n_before));
        place.run(&["--resume", &dir.display().to_string()]).code(0);
        assert_eq!(place.bundle().records.len(), 4);
    }
}

#[test]
fn an_interrupted_run_can_be_ended_with_what_it_has_and_says_so() {
    let place = Place::new(&[("slow", "sleep_ms: 1000")], 2);
    let running = place.start(&[]);
    place.wait_for_launches(1);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(130));
    assert!(place.stderr().contains("--end"), "{}", place.stderr());
    let dir = place.bundle_dir().display().to_string();
    let before = place.bundle().records;
    assert!((1..4).contains(&before.len()));
    place.harness(&["verify", &dir]).code(1);

    place.run(&["--resume", &dir, "--end"]).code(0);
    assert_eq!(place.bundle().records, before, "nothing was launched");
    let verified = place.harness(&["verify", &dir]).code(0);
    let told = String::from_utf8_lossy(&verified.get_output().stdout).into_owned();
    let counts = format!("{} of 4 launches", before.len());
    assert!(told.contains(&format!("ended early, by hand: {counts}")), "{told}");
    let report = std::fs::read_to_string(place.bundle_dir().join("report.md")).expect("written");
    let left_out = format!("{} of 4 launches were not made", 4 - before.len());
    assert!(report.contains(&left_out), "{report}");

    let again = place.run(&["--resume", &dir, "--end"]).code(2);
    let told = String::from_utf8_lossy(&again.get_output().stderr).into_owned();
    assert!(told.contains("has ended already"), "{told}");
    place.run(&["--resume", &dir]).code(0);
    assert_eq!(place.bundle().records.len(), 4, "who changes his mind can go on");
    place.harness(&["verify", &dir]).code(0);
}

#[test]
fn a_changed_scenario_is_not_resumed() {
    let place = Place::new(&[], 1);
    place.run(&[]).code(0);
    let dir = place.bundle_dir().display().to_string();
    place.write_scenario("  - {id: fake, label: steady, options: {script: steady.yaml}}\n", 2);
    let assert = place.run(&["--resume", &dir]).code(2);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(stderr.contains("the scenario's text has changed since; start a new run"), "{stderr}");
}

#[test]
fn a_run_is_not_resumed_on_another_machine() {
    let place = Place::new(&[], 1);
    place.run(&[]).code(0);
    let dir = place.bundle_dir();
    let path = dir.join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("there")).expect("JSON");
    manifest["machine"]["id"] = "elsewhere".into();
    std::fs::write(&path, manifest.to_string()).expect("writes");
    // As after a kill before the first launch ended: no line is bound to the manifest.
    std::fs::write(dir.join("samples.jsonl"), "").expect("writes");
    std::fs::remove_file(dir.join("complete.json")).expect("there");
    let assert = place.run(&["--resume", &dir.display().to_string()]).code(2);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(
        stderr.contains("cannot be resumed: it was begun on another machine, then and now elsewhere ("),
        "{stderr}"
    );
    assert_eq!(std::fs::read(dir.join("samples.jsonl")).expect("there"), b"");
}

#[test]
fn rows_are_chosen_and_the_plan_shown() {
    let place = Place::new(&[("other", "seed: 2")], 2);
    let assert = place.run(&["--dry-run", "--only", "other", "--blocks", "3"]).code(0);
    let stdout = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(stdout.contains("b02-other-chat-t1\n3 launches"), "{stdout}");
    assert!(!stdout.contains("steady"), "{stdout}");
    assert!(stdout.contains("Order: 3 blocks balance it (a Williams square has 1)."), "{stdout}");
    assert!(place.bundle_dirs().is_empty());
    let assert = place.run(&["--only", "nobody"]).code(2);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(stderr.contains("no row `nobody` in the scenario; it has: steady, other"), "{stderr}");
}

#[test]
fn nothing_heavy_is_done_while_another_harness_has_the_machine() {
    let place = Place::new(&[], 1);
    let cache = place.path("cache");
    let lock = harness::preflight::MachineLock::acquire(&cache).expect("free");
    for (arguments, code) in [(vec![], 2), (vec!["--setup"], 2), (vec!["--dry-run", "--setup"], 2)] {
        let assert = place.run(&arguments).code(code);
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(stderr.contains("another harness is measuring or installing"), "{stderr}");
        assert!(stderr.contains(": wait for it, or end it"), "{stderr}");
    }
    let made = |dir: &std::path::Path| std::fs::read_dir(dir).expect("there").count();
    assert_eq!(made(&cache), 1, "the lock, no model");
    let assert = place.harness(&["setup", "ollama"]).code(1);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(stderr.contains("nothing was installed: another run: another harness is measuring"), "{stderr}");
    place.run(&["--dry-run"]).code(0);
    drop(lock);
    place.run(&[]).code(0);
}

#[test]
fn the_engine_runs_on_the_tiny_model() {
    let place = Place::new(&[], 1);
    place.write_scenario("  - {id: engine, label: steady}\n", 1);
    place.run(&[]).code(0);
    let bundle = place.bundle();
    let engine = measured(&bundle, "steady")[0];
    assert_eq!(engine.requests.len(), 2);
    assert!(engine.gates_passed(), "{:?}", engine.gates);
    assert!(engine.memory.rss_peak_bytes.is_some_and(|b| b > 1_000_000), "{:?}", engine.memory);
}

#[test]
fn older_bundles_still_read() {
    let runs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/runs");
    let mut n_measured = 0;
    for entry in std::fs::read_dir(&runs).expect("committed") {
        let dir = entry.expect("readable").path();
        let bundle = harness::bundle::read(&dir).unwrap_or_else(|e| panic!("{e}"));
        for record in &bundle.records {
            let harness::sample::Outcome::Measured(measured) = &record.outcome else { continue };
            n_measured += 1;
            if record.schema < 2 {
                assert_eq!(measured.cpu, Default::default(), "{}: not told then", record.launch_id);
                assert_eq!(measured.memory.peak_since, None);
            }
        }
    }
    assert!(n_measured > 0, "there are bundles in {}", runs.display());
}
