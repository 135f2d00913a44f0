//! A scenario cannot make the harness send anything to another machine, unless the person at the command line says so.

use crate::support::{Place, failures, measured};
use harness::sample::FailureKind;
use std::net::TcpListener;

fn place(urls: &[&str]) -> Place {
    let place = Place::new(&[], 1);
    let mut rows = "  - {id: fake, label: steady, options: {script: steady.yaml}}\n".to_owned();
    for (i, url) in urls.iter().enumerate() {
        let options = format!("{{url: \"{url}\", model: m}}");
        rows += &format!("  - {{id: openai-compatible, label: far{i}, options: {options}}}\n");
    }
    place.write_scenario(&rows, 1);
    place
}

/// This machine by an address that is another host to the rule; nobody is there.
fn nobody() -> String {
    let port = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("bound").port();
    format!("http://[::ffff:127.0.0.1]:{port}")
}

#[test]
fn another_host_is_refused_and_the_other_rows_run() {
    let urls =
        ["http://192.0.2.1:8080", "http://127.0.0.1.example.org:8080", "http://127.0.0.1@192.0.2.1:8080"];
    let place = place(&urls);
    place.run(&[]).code(3);
    let bundle = place.bundle();
    assert_eq!(measured(&bundle, "steady").len(), 1);
    let message = |label: &str| {
        let (kind, message) = failures(&bundle, label).remove(0);
        assert_eq!(kind, FailureKind::Unsupported, "{message}");
        message
    };
    assert!(message("far0").contains("harness run --allow-remote"));
    assert!(message("far1").contains("harness run --allow-remote"));
    assert!(message("far2").contains("holds a name or password"));
}

#[test]
fn a_row_that_could_be_measured_must_still_be_when_a_run_is_resumed() {
    let place = place(&[&nobody()]);
    place.run(&["--allow-remote"]).code(3);
    let dir = place.bundle_dir();
    // As after a kill before the first launch ended.
    std::fs::write(dir.join("samples.jsonl"), "").expect("writes");
    std::fs::remove_file(dir.join("complete.json")).expect("there");
    let assert = place.run(&["--resume", &dir.display().to_string()]).code(2);
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    let why =
        "cannot be resumed: far0 cannot be measured now, as it could be when the run began: the address";
    assert!(stderr.contains(why) && stderr.contains("harness run --allow-remote"), "{stderr}");
    assert_eq!(std::fs::read(dir.join("samples.jsonl")).expect("there"), b"");
}

#[test]
fn with_leave_it_is_asked() {
    let place = place(&[&nobody()]);
    place.run(&["--allow-remote"]).code(3);
    let (kind, message) = failures(&place.bundle(), "far0").remove(0);
    assert_eq!(kind, FailureKind::Missing);
    assert!(message.starts_with("no server answers at"), "{message}");
}
