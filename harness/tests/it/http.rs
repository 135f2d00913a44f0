//! The engine behind HTTP: driven by the launcher as llama-server is, and gone when it is killed.

use crate::support::{Place, measured, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

#[test]
fn the_launcher_drives_the_engine_behind_http_as_it_drives_llama_server() {
    let place = Place::new(&[], 1);
    place.write_scenario("  - {id: engine, label: steady}\n  - {id: engine-http, label: http}\n", 1);
    place.run(&[]).code(0);
    let bundle = place.bundle();
    let (plain, http) = (measured(&bundle, "steady")[0], measured(&bundle, "http")[0]);
    assert!(http.gates_passed(), "{:?}", http.gates);
    assert!(http.gates.iter().any(|g| g.name == "right_output"), "{:?}", http.gates);
    let ids = |m: &harness::sample::Measured| -> Vec<Vec<u32>> {
        m.requests.iter().map(|r| r.token_ids.clone()).collect()
    };
    assert_eq!(ids(http), ids(plain));
    assert_eq!(http.verify_token_ids, plain.verify_token_ids);
    assert!(http.forced.is_some(), "distributions along the forced text");
    assert_eq!(http.forced, plain.forced);
    assert_eq!(http.version, plain.version);
    assert_eq!(http.reported.len(), 2, "prefill and decode by the server's clock");
    assert!(http.cold.is_some() && http.load_ns.is_some());
    assert_eq!(place.processes(), [""; 0]);
}

#[test]
fn it_ends_when_it_is_killed_and_its_port_is_free_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let model = dir.path().join("tiny.gguf");
    harness::model::synthesize("tiny", &model, 1, &mut |_| ()).expect("made");
    let port = harness::launch::free_port().expect("a port");
    let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command.args(["runner", "engine-http", "--model"]).arg(&model).args(["--port", &port.to_string()]);
    command.args(["--context", "32", "--threads", "2", "--batch", "512", "--kv-type", "f16"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("started");
    wait_until("the model to be loaded", listens);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("alive");
    let status = child.wait().expect("waited");
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
    assert!(!listens());
}

#[test]
fn what_cannot_be_served_is_said() {
    let port = harness::launch::free_port().expect("a port").to_string();
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_harness"));
    command.args(["runner", "engine-http", "--model", "/nowhere/x.gguf", "--port", &port]);
    command.args(["--context", "32", "--threads", "1", "--batch", "512", "--kv-type", "f16"]);
    let assert = command.assert().code(1);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(stderr.contains("/nowhere/x.gguf"), "{stderr}");
}
