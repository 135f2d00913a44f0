//! A scenario cannot make the harness send anything to another machine, unless the person at the command line says so.

use crate::support::{Place, failures};
use harness::sample::FailureKind;
use std::net::TcpListener;

fn place(url: &str) -> Place {
    let place = Place::new(&[], 1);
    let rows = format!(
        "  - {{id: fake, label: steady, options: {{script: steady.yaml}}}}\n  \
         - {{id: openai-compatible, label: far, options: {{url: \"{url}\", model: m}}}}\n"
    );
    place.write_scenario(&rows, 1);
    place
}

#[test]
fn another_host_is_refused_and_the_other_rows_run() {
    for url in
        ["http://192.0.2.1:8080", "http://127.0.0.1.example.org:8080", "http://127.0.0.1@192.0.2.1:8080"]
    {
        let place = place(url);
        place.run(&[]).code(3);
        let (kind, message) = failures(&place.bundle(), "far").remove(0);
        assert_eq!(kind, FailureKind::Unsupported, "{url}");
        let remedy =
            if url.contains('@') { "holds a name or password" } else { "harness run --allow-remote" };
        assert!(message.contains(remedy), "{message}");
    }
}

#[test]
fn with_leave_it_is_asked() {
    // A loopback address by another name is another host to the rule; this one is asked, and nobody is there.
    let port = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("bound").port();
    let place = place(&format!("http://[::ffff:127.0.0.1]:{port}"));
    place.run(&["--allow-remote"]).code(3);
    let (kind, message) = failures(&place.bundle(), "far").remove(0);
    assert_eq!(kind, FailureKind::Missing);
    assert!(message.starts_with("no server answers at"), "{message}");
}
