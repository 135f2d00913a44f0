//! What a framework can do wrong, and what others can do to it.

use super::*;
use std::net::{Ipv4Addr, TcpListener};

#[test]
fn frameworks_that_stop_halfway_are_told_by_where_they_stopped() {
    use FailureKind::*;
    let begin = format!("{HELLO}; {READY}");
    let half = r#"printf '{"event":"sample","rep":0,"n_pro'"#;
    check_failure(&format!("{HELLO}; exit 4"), Crashed, "ended with exit code 4 before `ready`");
    let torn = "before the end of a line, where `sample` was due";
    check_failure(&format!("{begin}; {half}; exit 5"), Crashed, &format!("ended with exit code 5 {torn}"));
    check_failure(&format!("{begin}; kill -KILL $$"), Crashed, "SIGKILL: out of memory, or killed by hand");
    let timed_out = |script: &str| match bench(500).run(script) {
        Outcome::Failed { kind: TimedOut, message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(timed_out(&format!("{HELLO}; sleep 60")), "no end within 0.5 s, waiting for `ready`");
    assert_eq!(timed_out(&format!("{begin}; {half}; sleep 60")), "no end within 0.5 s, waiting for `sample`");
}

#[test]
fn a_line_without_end_is_refused_after_a_while() {
    let hundred_mb = "head -c 100000000 /dev/zero | tr '\\0' x";
    match bench(60_000).run(&format!("{HELLO}; {hundred_mb}; echo; sleep 60")) {
        Outcome::Failed { kind: FailureKind::Garbage, message, .. } => {
            assert!(message.len() < 400 && message.contains("16777097 more characters"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn much_on_stderr_blocks_nothing_and_is_cut() {
    let bench = bench(60_000);
    let noise = "head -c 100000000 /dev/zero | tr '\\0' x >&2; echo last >&2";
    let script = format!("{HELLO}; {noise}; {READY}; {SAMPLES}\n{BYE}");
    let Outcome::Measured(m) = bench.run(&script) else { panic!("measured") };
    assert_eq!(m.requests.len(), 1);
    let bytes = std::fs::metadata(bench.dir.path().join("b00-sh.log")).expect("kept").len();
    assert!((4_000_000..5_000_000).contains(&bytes), "{bytes}");
}

/// A script that leaves a process behind in a session of its own, whose parent has ended, with our stderr.
#[cfg(target_os = "linux")]
fn leaving(file: &std::path::Path) -> String {
    let file = file.display();
    format!(
        "(setsid sh -c 'echo $$ > {file}; exec sleep 300' >/dev/null &); while ! [ -s {file} ]; do sleep 0.01; done"
    )
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_left_the_group_is_ended_too() {
    let bench = bench(10_000);
    let file = bench.dir.path().join("left");
    let script = format!("{}; {HELLO}; {READY}; {SAMPLES}\n{BYE}", leaving(&file));
    let Outcome::Measured(_) = bench.run(&script) else { panic!("measured") };
    assert!(is_gone(&file));
    std::fs::remove_file(&file).expect("there");
    let Outcome::Failed { message, .. } = bench.run(&format!("{}; exit 3", leaving(&file))) else {
        panic!("fails")
    };
    assert_eq!(message, "ended with exit code 3 before `hello`");
    assert!(is_gone(&file));
}

#[test]
#[cfg(target_os = "linux")]
fn processes_of_a_living_harness_are_not_abandoned() {
    let own = format!("{}.7", sweep::new_mark().rsplit_once('.').expect("has a number").0);
    let mut child = std::process::Command::new("sleep")
        .arg("300")
        .env(crate::system::MARK, own)
        .spawn()
        .expect("started");
    end_abandoned();
    assert!(child.try_wait().expect("known").is_none(), "still runs");
    child.kill().and_then(|()| child.wait()).expect("ended");
}

#[test]
fn a_server_whose_port_is_taken_gets_another() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let bench = bench(10_000);
    let argv = ["sh", "-c", "exit 7", "sh", "--port", &port.to_string()].map(str::to_owned).to_vec();
    let spec = LaunchSpec { argv, env: BTreeMap::new(), cpus: None, conversation: server(port) };
    let launched = bench.launcher.launch("x", 1, &spec).expect("not interrupted");
    assert_ne!(launched.argv[5], port.to_string());
    assert!(launched.argv[5].parse::<u16>().is_ok(), "{:?}", launched.argv);
}

#[test]
fn a_server_that_loses_its_port_starts_again_with_another() {
    let bench = bench(60_000);
    let dir = bench.dir.path().to_owned();
    // The first start waits until its port has been taken, and ends; later ones end at once.
    let script = format!(
        "cd {}; echo $2 >> ports; [ -e go ] || while ! [ -e go ]; do sleep 0.01; done; exit 7",
        dir.display()
    );
    let thief = std::thread::spawn(move || {
        let first = loop {
            let ports = std::fs::read_to_string(dir.join("ports")).unwrap_or_default();
            match ports.strip_suffix('\n').map(str::parse::<u16>) {
                Some(Ok(port)) => break port,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("nobody listens");
        std::fs::write(dir.join("go"), "").expect("written");
        held
    });
    let port = free_port().expect("a port");
    let argv = ["sh", "-c", &script, "sh", "--port", &port.to_string()].map(str::to_owned).to_vec();
    let spec = LaunchSpec { argv, env: BTreeMap::new(), cpus: None, conversation: server(port) };
    let launched = bench.launcher.launch("x", 1, &spec).expect("not interrupted");
    let _held = thief.join().expect("no panic");
    let ports = std::fs::read_to_string(bench.dir.path().join("ports")).expect("written");
    assert_eq!(ports.lines().count(), 2, "{ports}");
    assert_eq!(ports.lines().last(), Some(launched.argv[5].as_str()));
    let Outcome::Failed { message, .. } = launched.outcome else { panic!("fails") };
    assert_eq!(message, "ended with exit code 7 before the model was loaded");
}

#[test]
fn processors_cannot_be_chosen_without_the_shim() {
    let bench = bench(3000);
    let conversation = Conversation::Runner { job: job(), self_reported_load: false };
    let spec =
        LaunchSpec { argv: vec!["true".into()], env: BTreeMap::new(), cpus: Some(vec![0]), conversation };
    let launched = bench.launcher.launch("x", 1, &spec).expect("not interrupted");
    let Outcome::Failed { kind, .. } = launched.outcome else { panic!("fails") };
    assert_eq!(kind, FailureKind::Unsupported);
}

/// A server that runs already: its mark is from before, and is reset.
#[test]
#[cfg(target_os = "linux")]
fn a_sampler_can_be_attached_to_a_running_process() {
    use crate::sample::Memory;
    use std::io::BufRead;
    // Reading 40 MB into a variable and dropping it raises the mark for good.
    let script = "x=$(head -c 40000000 /dev/zero | tr '\\0' x); unset x; echo ready; read -r nothing";
    let mut child = std::process::Command::new("sh")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("started");
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("read");
    let mut before = Memory::default();
    crate::system::Tree::new(child.id()).poll(&mut before);
    assert!(before.rss_peak_bytes.is_some_and(|bytes| bytes > 40_000_000), "{before:?}");
    let usage = Sampler::attach(child.id()).finish();
    child.kill().and_then(|()| child.wait()).expect("ended");
    let memory = usage.memory;
    assert_eq!(memory.peak_since, Some(crate::sample::PeakSince::Attach), "ours to reset");
    assert!(memory.rss_peak_bytes.is_some_and(|bytes| bytes < 20_000_000), "{memory:?}");
    assert!(
        usage.cpu.window.is_none() && usage.cpu.launch.user_s.is_some_and(|s| s < 1.0),
        "{:?}",
        usage.cpu
    );
}
