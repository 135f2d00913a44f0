//! `harness check-runner` with runners that behave and with such as are wrong in one way each.

use crate::support::Place;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Mutex;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/runners/python/example/runner.py");
const MISBEHAVING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/misbehaving.py");

/// Checks a runner: exit code, and each check.
fn check(command: &[&str]) -> (i32, Vec<Value>) {
    let place = Place::new(&[], 1);
    let arguments = [&["check-runner", "--json", "--timeout", "10"], command].concat();
    let output = place.harness(&arguments).get_output().clone();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{command:?}: {error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let checks = document["checks"].as_array().expect("a list").clone();
    (output.status.code().expect("ended by itself"), checks)
}

/// Ids of the checks with this status.
fn ids(checks: &[Value], status: &str) -> Vec<String> {
    let of = checks.iter().filter(|check| check["status"] == status);
    of.map(|check| check["id"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn the_engine_and_the_example_keep_every_rule() {
    let (code, checks) = check(&[env!("CARGO_BIN_EXE_harness"), "runner", "engine"]);
    assert_eq!((code, ids(&checks, "failed")), (0, vec![]), "{checks:#?}");
    let skipped: &[&str] = if cfg!(target_os = "linux") { &[] } else { &["group"] };
    assert_eq!(ids(&checks, "skipped"), skipped);

    let (code, checks) = check(&["python3", EXAMPLE]);
    assert_eq!((code, ids(&checks, "failed")), (0, vec![]), "{checks:#?}");
    let skipped = ids(&checks, "skipped");
    assert!(skipped.starts_with(&["eos", "over_threads", "reference"].map(str::to_owned)), "{skipped:?}");
}

/// Each way of being wrong, the check that catches it, and what that says.
const WAYS: &[(&str, &str, &str)] = &[
    ("stray_line", "stdout", "in the job `one prompt`: a line that is no event: `Loading weights: 100%`"),
    ("no_n_cached", "fields", "missing field `n_cached`"),
    ("float_times", "fields", "invalid type: floating point"),
    ("no_class", "fields", "unknown variant `very good`"),
    ("no_hello", "order", "event `ready` came before `hello`"),
    ("no_verified", "order", "event `bye` came before `verified`"),
    ("swapped_reps", "order", "event `sample` does not have the `rep` that was due"),
    ("crash", "order", "ended with exit code 7; `sample` was due (stderr: out of luck)"),
    ("nameless", "hello", "`version` is empty"),
    ("strict", "unknown_fields", "unsupported: unknown fields in the job"),
    ("bos", "counts", "sample 0: n_prompt 17, and 16 tokens were sent"),
    ("cache", "counts", "sample 0: n_cached 3"),
    ("one_token_short", "lengths", "sample 0: 15 ids and 15 times instead of 16"),
    ("times_missing", "lengths", "sample 0: 16 ids and 15 times instead of 16"),
    ("stops_at_eos", "eos", "sample 0 ends with token 2"),
    ("backwards", "times", "sample 0: token times run backwards"),
    ("all_at_once", "times", "sample 0: all 16 tokens came at once"),
    ("late_prefill", "times", "and the first token came after"),
    ("microseconds", "clock", "faster than the wall clock allows"),
    ("picoseconds", "clock", "requests say"),
    ("late_ready", "clock", "load_ns says 3600.000 s"),
    ("too_many_threads", "threads", "1 were asked for, threads_used is 4"),
    ("small_cache", "settings", "wanted context 64, kv_type f16 or wider, told context 64, kv_type q8_0"),
    ("small_context", "settings", "wanted context 64, told context 32"),
    ("other_file", "settings", "gate weights: wanted 862976 bytes, told 5 bytes"),
    ("chance", "repeatable", "two launches part at token"),
    ("state", "repeatable", "prompt 1 parts at token 0 when it is asked alone"),
    ("race", "over_threads", "0 of 4 requests begin alike"),
    ("logits", "distributions", "not log-probabilities"),
    ("shifted", "distributions", "is likeliest by forced_top, and the greedy text begins with"),
    ("too_few", "distributions", "forced_top 0 has 7 entries instead of 8"),
    ("lies_about_its_weights", "reference", "of 4 requests begin alike"),
    ("any_protocol", "protocol", "it carried the job out"),
    ("any_context", "context", "it carried the job out"),
    ("any_model", "model", "it carried the job out"),
    ("dies_of_a_missing_model", "model", "no `error` event: ended with exit code 1"),
    ("does_not_wait", "bye", "it did not wait"),
    ("exit_code", "bye", "ended with exit code 3"),
    ("stays", "bye", "it did not end within 2 s of stdin's end"),
    ("talks_on", "bye", "1 lines on stdout after `bye`"),
    ("waits_for_ever", "stdin", "in the job `no job`: no end within 10 s"),
    #[cfg(target_os = "linux")]
    ("leaves", "group", "1 processes left the group"),
];

/// Checks that fail with others: a text that is cut short is short, a line after `bye` is no event.
const ALSO: &[(&str, &[&str])] = &[("stops_at_eos", &["lengths", "repeatable"]), ("talks_on", &["stdout"])];

#[test]
fn every_way_of_being_wrong_is_caught_and_named() {
    let due = Mutex::new(WAYS.iter());
    let faults = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((way, id, found)) = due.lock().expect("no panic").next() else { return };
            let (code, checks) = check(&["python3", MISBEHAVING, way]);
            let failed: BTreeSet<String> = ids(&checks, "failed").into_iter().collect();
            let also = ALSO.iter().find(|(other, _)| other == way).map_or(&[][..], |(_, also)| also);
            let wanted: BTreeSet<String> = [*id].iter().chain(also).map(|&id| id.to_owned()).collect();
            let caught = checks.iter().find(|check| check["id"] == *id).expect("a check");
            let said = caught["found"].as_str().unwrap_or_default();
            if code != 1 || failed != wanted || !said.contains(found) || caught["remedy"].is_null() {
                faults.lock().expect("no panic").push(format!("{way}: {code} {failed:?}: {said}"));
            }
        }
    };
    std::thread::scope(|scope| (0..6).for_each(|_| drop(scope.spawn(work))));
    let faults = faults.into_inner().expect("no panic");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_cannot_be_started_is_said() {
    let (code, checks) = check(&["/nonexistent/runner"]);
    assert_eq!((code, ids(&checks, "failed")), (1, vec!["start".to_owned()]), "{checks:#?}");
    assert!(checks[0]["found"].as_str().expect("text").contains("/nonexistent/runner: no such file"));
    assert_eq!(ids(&checks, "skipped").len(), checks.len() - 1, "the rest cannot be judged: {checks:#?}");
}
