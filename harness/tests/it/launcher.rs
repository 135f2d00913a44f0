//! The launcher with the program itself between: processors, threads and what they used.

use harness::framework::{Conversation, LaunchSpec};
use harness::launch::Launcher;
use harness::machine::topology::parse_cpu_list;
use harness::protocol::{Job, JobModel, PROTOCOL_VERSION};
use harness::redact::Redactor;
use harness::sample::{Gate, Measured, Outcome, gate};
use std::time::Duration;

/// Tells the processes of one launch from those of others.
const PLACE: &str = "HARNESS_TEST_PLACE";

/// Processes with `place` in their environment.
fn n_left(place: &str) -> usize {
    let wanted = format!("{PLACE}={place}");
    let processes = std::fs::read_dir("/proc").expect("readable").flatten();
    let environments = processes.filter_map(|process| std::fs::read(process.path().join("environ")).ok());
    environments.filter(|text| text.split(|&b| b == 0).any(|v| v == wanted.as_bytes())).count()
}

/// One launch of the fake with these lines in its script, on `threads`.
fn measured(lines: &str, threads: u32, cpus: Option<Vec<u32>>) -> Measured {
    let dir = tempfile::tempdir().expect("temporary directory");
    let script = dir.path().join("script.yaml");
    let text = format!("version: '1'\nload_ms: 1\nprefill_tok_s: 100\ndecode_tok_s: 10\n{lines}");
    std::fs::write(&script, text).expect("written");
    let harness = env!("CARGO_BIN_EXE_harness");
    let argv = [harness, "runner", "fake", "--launch", "x", "--script", &script.display().to_string()];
    let job = Job {
        protocol: PROTOCOL_VERSION,
        model: JobModel { path: "/m.gguf".into(), sha256: "00".into() },
        prompts: vec![vec![1, 2], vec![3, 4]],
        cold_generate: 1,
        n_generate: 2,
        context: 16,
        threads,
        kv_type: "f16".into(),
        batch: 512,
        verify: None,
    };
    let spec = LaunchSpec {
        argv: argv.map(str::to_owned).to_vec(),
        env: [(PLACE.to_owned(), dir.path().display().to_string())].into(),
        cpus,
        conversation: Conversation::Runner { job, self_reported_load: true },
    };
    let launcher = Launcher {
        shim: Some(harness.into()),
        logs_dir: dir.path().to_owned(),
        timeout: Duration::from_secs(60),
        interrupted: Default::default(),
        redactor: Redactor::default(),
        hidden_variables: vec![],
    };
    let launched = launcher.launch("x", threads, &spec).expect("not interrupted");
    assert_eq!(n_left(&dir.path().display().to_string()), 0, "processes left behind");
    match launched.outcome {
        Outcome::Measured(measured) => *measured,
        Outcome::Failed { message, stderr_tail, .. } => panic!("{message}\n{stderr_tail}"),
    }
}

fn gate_of<'a>(measured: &'a Measured, name: &str) -> &'a Gate {
    measured.gates.iter().find(|g| g.name == name).unwrap_or_else(|| panic!("{name}: {:?}", measured.gates))
}

/// Each thread uses 300 ms of CPU time whatever else runs, and is still there at the end.
const SPIN: &str = "spin_ms: 300\nsleep_ms: 600\nspin_threads: ";

#[test]
fn threads_that_compute_are_counted() {
    let right = measured(&format!("{SPIN}2\n"), 2, None);
    let window = right.cpu.window.as_ref().expect("told");
    assert_eq!(window.threads_busy, Some(2), "{window:?}");
    assert_eq!(window.threads_max, Some(3), "the main one waits");
    let cpu_s = window.user_s.expect("told") + window.system_s.expect("told");
    assert!((0.55..1.0).contains(&cpu_s), "{window:?}");
    assert!(window.voluntary_switches.is_some_and(|n| n >= 2), "{window:?}");
    assert!(window.minor_faults.is_some() && window.major_faults.is_some(), "{window:?}");
    assert!(window.wall_s <= right.cpu.launch.wall_s, "{:?}", right.cpu);
    assert!(right.cpu.launch.harness_s.is_some_and(|s| s > 0.0), "{:?}", right.cpu);
    assert!(right.gates_passed(), "{:?}", right.gates);
    assert_eq!(gate_of(&right, gate::THREADS_SEEN).wanted, "at most 3 busy threads, 2.2 CPUs");

    let wrong = measured(&format!("{SPIN}6\n"), 2, None);
    let seen = gate_of(&wrong, gate::THREADS_SEEN);
    assert!(!seen.passed && seen.seen.starts_with("6 busy of 7 threads, "), "{seen:?}");
}

#[test]
fn a_launch_stays_on_its_processors() {
    let own = std::fs::read_to_string("/proc/self/status").expect("readable");
    let own = own.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("told");
    let first = parse_cpu_list(own).and_then(|cpus| cpus.first().copied()).expect("at least one");
    let pinned = measured("", 1, Some(vec![first]));
    assert_eq!(pinned.cpu.cpus_allowed, Some(first.to_string()));
    let seen = gate_of(&pinned, gate::AFFINITY);
    assert_eq!((seen.passed, seen.wanted.as_str()), (true, first.to_string().as_str()));
    let free = measured("", 1, None);
    assert_eq!(free.cpu.cpus_allowed.as_deref(), Some(own.trim()));
    assert!(free.gates.iter().all(|g| g.name != gate::AFFINITY));
}

#[test]
fn what_a_launch_leaves_behind_is_ended() {
    // Both processes hold the fake's stderr, and one has a session of its own: `measured` looks for them.
    assert!(measured("leave_children: true\n", 1, None).gates_passed());
}
