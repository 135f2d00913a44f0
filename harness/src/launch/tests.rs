//! The launcher against small shell scripts that behave and misbehave.

use super::*;
use crate::framework::BatchAnswer;
use crate::framework::server::Endpoint;
use crate::framework::testing::server_talk;
use crate::protocol::{Job, JobModel, PROTOCOL_VERSION, Verify, WeightsClass};
use std::collections::BTreeMap;

mod faults;

const HELLO: &str =
    r#"echo '{"event":"hello","framework":"sh","version":"1","build":"","weights_class":"A","features":[]}'"#;
const READY: &str = r#"echo '{"event":"ready","load_ns":5,"threads_used":2}'"#;
const SAMPLES: &str = r#"
echo '{"event":"sample","rep":0,"n_prompt":2,"n_cached":0,"prefill_ns":9,"token_ids":[1],"token_at_ns":[1000]}'
echo '{"event":"sample","rep":1,"n_prompt":2,"n_cached":0,"prefill_ns":9,"token_ids":[1,2],"token_at_ns":[9,10]}'"#;
const BYE: &str = r#"echo '{"event":"bye"}'; read -r nothing"#;

fn job() -> Job {
    Job {
        protocol: PROTOCOL_VERSION,
        model: JobModel { path: "/m.gguf".into(), sha256: "00".into() },
        prompts: vec![vec![1, 2], vec![3, 4]],
        cold_generate: 1,
        n_generate: 2,
        context: 16,
        threads: 2,
        kv_type: "f16".into(),
        batch: 512,
        verify: None,
    }
}

struct Bench {
    dir: tempfile::TempDir,
    launcher: Launcher,
}

fn bench(timeout_ms: u64) -> Bench {
    let dir = tempfile::tempdir().expect("temporary directory");
    let launcher = Launcher {
        shim: None,
        logs_dir: dir.path().to_path_buf(),
        timeout: Duration::from_millis(timeout_ms),
        interrupted: Arc::default(),
        redactor: Redactor::default(),
        hidden_variables: vec![],
    };
    Bench { dir, launcher }
}

impl Bench {
    fn launch(&self, script: &str, conversation: Conversation) -> Result<Outcome, Interrupted> {
        let argv = ["sh", "-c", script].map(str::to_string).to_vec();
        let spec = LaunchSpec { argv, env: BTreeMap::new(), cpus: None, conversation };
        self.launcher.launch("b00-sh", 2, &spec).map(|launched| launched.outcome)
    }

    fn run(&self, script: &str) -> Outcome {
        let conversation = Conversation::Runner { job: job(), self_reported_load: false };
        self.launch(script, conversation).expect("not interrupted")
    }
}

/// Runs `script` as a runner that must fail so.
fn check_failure(script: &str, kind: FailureKind, wanted: &str) {
    match bench(3000).run(script) {
        Outcome::Failed { kind: seen, message, .. } => {
            assert_eq!((seen, message.contains(wanted)), (kind, true), "{script}: {message}");
        }
        Outcome::Measured(_) => panic!("{script}: measured"),
    }
}

#[test]
fn a_runner_that_behaves_is_measured() {
    let bench = bench(10_000);
    let script = format!("read -r job; echo noise >&2; {HELLO}; sleep 0.05; {READY}; {SAMPLES}\n{BYE}");
    let Outcome::Measured(m) = bench.run(&script) else { panic!("measured") };
    assert_eq!((m.version.as_str(), m.threads_used, m.requests.len()), ("1", Some(2), 1));
    let load_ns = m.load_ns.expect("by the launcher's clock");
    assert!((50_000_000..5_000_000_000).contains(&load_ns), "{load_ns}");
    assert_eq!(m.cold.as_ref().map(|c| c.first_token_after_launch_ns), Some(load_ns + 1000));
    assert!(m.gates_passed() && m.gates.len() >= 4, "{:?}", m.gates);
    let log = std::fs::read_to_string(bench.dir.path().join("b00-sh.log")).expect("kept");
    assert_eq!(log, "noise\n");
    if cfg!(target_os = "linux") {
        assert!(m.memory.rss_peak_bytes.is_some_and(|b| b > 100_000), "{:?}", m.memory);
        assert!(m.memory.pss_bytes.is_some(), "{:?}", m.memory);
    }
}

/// What comes of a job with a text of two tokens to force, where the runner tells `forced_top`.
fn forced_outcome(forced_top: &str) -> Outcome {
    let verify = Verify { prompt: vec![1], n_tokens: 1, top_k: 2, forced: vec![7, 8] };
    let conversation =
        Conversation::Runner { job: Job { verify: Some(verify), ..job() }, self_reported_load: false };
    let verified = format!(r#"echo '{{"event":"verified","token_ids":[3]{forced_top}}}'"#);
    let script = format!("{HELLO}; {READY}; {SAMPLES}\n{verified}; {BYE}");
    bench(10_000).launch(&script, conversation).expect("not interrupted")
}

#[test]
fn distributions_are_kept_with_their_text() {
    let forced = |told: &str| match forced_outcome(told) {
        Outcome::Measured(m) => m.forced.expect("asked for"),
        Outcome::Failed { message, .. } => panic!("{message}"),
    };
    let told = forced(r#","forced_top":[[[3,-0.5],[4,-2.0]],[[9,-0.25]]]"#);
    assert_eq!(told.token_ids, [7, 8]);
    assert_eq!(told.top, [vec![(3, -0.5), (4, -2.0)], vec![(9, -0.25)]]);
    assert!(!forced("").is_told(), "a runner that knows nothing of it");

    let Outcome::Failed { kind, message, .. } = forced_outcome(r#","forced_top":[[[3,-0.5]]]"#) else {
        panic!("one is missing");
    };
    assert_eq!((kind, &*message), (FailureKind::Garbage, "1 distributions instead of 2"));
}

#[test]
fn simulated_load_is_the_runners_own() {
    let conversation = Conversation::Runner { job: job(), self_reported_load: true };
    let script = format!("{HELLO}; {READY}; {SAMPLES}\n{BYE}");
    let Ok(Outcome::Measured(m)) = bench(10_000).launch(&script, conversation) else { panic!("measured") };
    assert_eq!(m.load_ns, Some(5));
    assert_eq!(m.features, ["self_reported_load"]);
}

#[test]
fn every_misbehaviour_is_a_failure_with_its_reason() {
    use FailureKind::*;
    let begin = format!("{HELLO}; {READY}");
    check_failure("exit 3", Crashed, "ended with exit code 3 before `hello`");
    check_failure(
        &format!("{begin}; kill -SEGV $$"),
        Crashed,
        "was ended by signal 11 (SIGSEGV) before `sample`",
    );
    check_failure(
        &format!("{begin}; kill -ILL $$"),
        Crashed,
        "an instruction that this machine does not allow",
    );
    check_failure(&format!("{begin}; exit 0"), Crashed, "ended with exit code 0 before `sample`");
    check_failure("echo Loading...; sleep 60", Garbage, "`Loading...`");
    check_failure("yes | tr -d '\\n'", Garbage, "more characters");
    check_failure("yes", Garbage, "`y`");
    check_failure(&format!("{READY}; sleep 60"), Garbage, "event `ready` came before `hello`");
    check_failure(&format!("{HELLO}; exec >&-; sleep 60"), Garbage, "closed its output before `ready`");
    let told = r#"echo '{"event":"error","kind":"memory","message":"too small"}'; sleep 60"#;
    check_failure(told, Reported, "memory: too small");
    let short = SAMPLES.replace("[1,2]", "[1]").replace("[9,10]", "[9]");
    check_failure(&format!("{begin}; {short}\n{BYE}"), WrongLength, "request 1: 1 tokens");
}

#[test]
fn a_failure_keeps_the_end_of_stderr() {
    let Outcome::Failed { stderr_tail, .. } = bench(3000).run("echo why >&2; exit 1") else {
        panic!("fails")
    };
    assert_eq!(stderr_tail, "why");
}

#[test]
fn a_program_that_is_not_there_cannot_be_started() {
    let bench = bench(3000);
    let conversation = Conversation::Runner { job: job(), self_reported_load: false };
    let spec =
        LaunchSpec { argv: vec!["/no/such/program".into()], env: BTreeMap::new(), cpus: None, conversation };
    let launched = bench.launcher.launch("x", 1, &spec).expect("not interrupted");
    let Outcome::Failed { kind, message, .. } = launched.outcome else { panic!("fails") };
    assert_eq!(kind, FailureKind::Spawn);
    assert!(message.contains("cannot start /no/such/program: No such file"), "{message}");
}

/// Whether the process whose id a script wrote to `file` is gone.
fn is_gone(file: &std::path::Path) -> bool {
    let text = std::fs::read_to_string(file).expect("written by the script");
    let pid = rustix::process::Pid::from_raw(text.trim().parse().expect("a process id")).expect("not 0");
    for _ in 0..200 {
        let is_zombie = std::fs::read_to_string(format!("/proc/{text}/stat", text = text.trim()))
            .is_ok_and(|stat| stat.contains(") Z "));
        if is_zombie || rustix::process::test_kill_process(pid).is_err() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A script that starts a process of its own, tells its id, and hangs.
fn hanging(bench: &Bench) -> (String, PathBuf) {
    let file = bench.dir.path().join("grandchild");
    (format!("sleep 300 & echo $! > {}; wait", file.display()), file)
}

#[test]
fn a_hang_times_out_and_leaves_no_orphan() {
    let bench = bench(500);
    let (script, file) = hanging(&bench);
    let started = Instant::now();
    let Outcome::Failed { kind, message, .. } = bench.run(&script) else { panic!("fails") };
    assert_eq!(kind, FailureKind::TimedOut);
    assert_eq!(message, "no end within 0.5 s, waiting for `hello`");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(is_gone(&file));
}

#[test]
fn an_interrupt_ends_the_launch_and_leaves_no_orphan() {
    let bench = bench(60_000);
    let (script, file) = hanging(&bench);
    let flag = bench.launcher.interrupted.clone();
    let setter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        flag.store(true, Ordering::Relaxed);
    });
    let conversation = Conversation::Runner { job: job(), self_reported_load: false };
    assert!(bench.launch(&script, conversation).is_err());
    setter.join().expect("no panic");
    assert!(is_gone(&file));
}

#[test]
fn a_runner_that_leaves_a_child_behind_leaves_no_orphan() {
    let bench = bench(10_000);
    let file = bench.dir.path().join("grandchild");
    let script =
        format!("sleep 300 >/dev/null & echo $! > {}; {HELLO}; {READY}; {SAMPLES}\n{BYE}", file.display());
    let Outcome::Measured(_) = bench.run(&script) else { panic!("measured") };
    assert!(is_gone(&file));
}

#[test]
fn a_batch_program_is_read_to_its_end() {
    fn parse(stdout: &str) -> Result<BatchAnswer, Failure> {
        let reported = vec![];
        Ok(BatchAnswer { version: stdout.trim().into(), build: String::new(), threads_used: None, reported })
    }
    let batch = || Conversation::Batch { parse, weights_class: WeightsClass::A };
    let Ok(Outcome::Measured(m)) = bench(5000).launch("echo b1", batch()) else { panic!("measured") };
    assert_eq!(m.version, "b1");
    let Ok(Outcome::Failed { message, .. }) = bench(5000).launch("echo b1; exit 1", batch()) else {
        panic!("fails")
    };
    assert_eq!(message, "ended with exit code 1");
}

/// A server to talk to on `port`.
fn server(port: u16) -> Conversation {
    Conversation::Server(server_talk(Endpoint::Child { port }))
}

#[test]
fn a_server_that_never_listens_crashes_or_times_out() {
    let failure =
        |timeout_ms, script| match bench(timeout_ms).launch(script, server(free_port().expect("a port"))) {
            Ok(Outcome::Failed { message, .. }) => message,
            other => panic!("{other:?}"),
        };
    assert_eq!(failure(5000, "sleep 0.1; exit 7"), "ended with exit code 7 before the model was loaded");
    assert_eq!(failure(300, "sleep 60"), "no end within 0.3 s, waiting for the model to be loaded");
}
