//! `harness track`: histories of scripted frameworks, kept by real processes and merged by git.

use crate::support::Place;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Six blocks of `steady`, the baseline, and of `swift`, the subject, beside a last good version that decodes at 60 tok/s.
fn place(decode_tok_s: &str) -> Place {
    let script = |rate: &str| {
        format!("version: '2'\nload_ms: 20\nprefill_tok_s: 800\ndecode_tok_s: {rate}\njitter: 0.001\n")
    };
    let place = Place::new(&[("swift", ""), ("swift-previous", "")], 6);
    place.write("swift.yaml", &script(decode_tok_s));
    place.write("swift-previous.yaml", &script("60"));
    place.edit_scenario("subject: steady", "subject: swift");
    place.run(&[]).code(0);
    place
}

fn track(place: &Place, arguments: &[&str]) -> (i32, String, String) {
    let assert = place.harness(&[&["track"], arguments].concat());
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("ended"), text(&output.stdout), text(&output.stderr))
}

fn append(place: &Place, history: &Path, bundle: &Path) -> (i32, String, String) {
    let (history, bundle) = (history.display().to_string(), bundle.display().to_string());
    let commits = ["--commit", "swift=bad0", "--commit", "swift-previous=600d"];
    track(place, &[&["append", &*bundle, "--history", &*history], &commits[..]].concat())
}

#[test]
fn a_slower_engine_is_told_on_its_first_night_and_a_bundle_counts_once() {
    let place = place("40");
    let (history, bundle) = (place.path("h/nightly.jsonl"), place.bundle_dir());
    let shown = history.display().to_string();
    let (code, stdout, stderr) = append(&place, &history, &bundle);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let first = std::fs::read(&history).expect("there");
    let (code, stdout, _) = append(&place, &history, &bundle);
    assert!(code == 0 && stdout.contains("already"), "{stdout}");
    assert_eq!(std::fs::read(&history).expect("there"), first);

    let (code, stdout, stderr) = track(&place, &["check", "--history", &shown]);
    assert_eq!(code, 4, "{stdout}{stderr}");
    let regression = "regression: swift, chat, 1 thread, decode_tok_s (it, ";
    assert!(
        stdout.contains(regression) && stdout.contains("of swift-previous in the same 6 blocks: −3"),
        "{stdout}"
    );
    assert!(
        stdout.contains("git log 600d..bad0") && stdout.contains("repeat:    harness track check"),
        "{stdout}"
    );
    let (code, stdout, _) = track(&place, &["check", "--history", &shown, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let regressions = document["regressions"].as_array().expect("a list");
    let decode = regressions.iter().find(|r| r["metric"] == "decode_tok_s").expect("there");
    assert_eq!((code, decode["found_by"].as_str()), (4, Some("first_night")));
    assert_eq!(decode["last_good"]["commit"], "600d");
    assert_eq!(document["last_good_moves"], false);

    let (code, stdout, _) = track(&place, &["check", "--history", &shown, "--metrics", "peak_rss_bytes"]);
    assert_eq!(code, 0, "{stdout}");
    let (code, stdout, _) = track(&place, &["show", "--history", &shown]);
    assert!(
        code == 0 && stdout.contains("ratio to steady") && !stdout.contains("swift-previous"),
        "{stdout}"
    );
    let (code, _, stderr) = track(&place, &["check", "--history", &shown, "--metrics", "speed"]);
    assert!(code == 2 && stderr.contains("speed is not a metric; there are load_s"), "{stderr}");
}

#[test]
fn what_is_no_finished_bundle_or_row_is_refused() {
    let place = place("60");
    let (bundle, history) = (place.bundle_dir(), place.path("h.jsonl"));
    let shown = bundle.display().to_string();
    let (code, _, stderr) =
        track(&place, &["append", &shown, "--previous", "nobody", "--history", "h.jsonl"]);
    assert!(code == 2 && stderr.contains("has no row nobody; its rows are steady, swift"), "{stderr}");
    let (code, _, stderr) = track(&place, &["append", &shown, "--commit", "swift"]);
    assert!(code == 2 && stderr.contains("write LABEL=COMMIT"), "{stderr}");
    std::fs::remove_file(bundle.join("complete.json")).expect("removed");
    let (code, _, stderr) = append(&place, &history, &bundle);
    assert!(code == 2 && stderr.contains("the run did not end"), "{stderr}");
    assert!(!history.exists());
}

#[test]
fn two_processes_that_append_at_once_do_not_mix_their_lines() {
    let place = place("60");
    let bundle = place.bundle_dir();
    // Many sessions of the same run, as far as ids are concerned: the chain of each is its own.
    let copies: Vec<PathBuf> = (0..6)
        .map(|i| {
            let copy = place.path(&format!("copy-{i}"));
            std::fs::create_dir(&copy).expect("made");
            let text = std::fs::read_to_string(bundle.join("manifest.json")).expect("there");
            let manifest: harness::bundle::Manifest = serde_json::from_str(&text).expect("a manifest");
            let manifest = harness::bundle::Manifest { id: format!("copy-{i}"), ..manifest };
            let records = harness::bundle::read(&bundle).expect("read").records;
            let mut writer =
                harness::bundle::Writer::create(&copy, manifest, Default::default()).expect("made");
            records.iter().for_each(|record| writer.append(record).expect("written"));
            let dir = writer.dir().to_owned();
            writer.finish().expect("finished");
            dir
        })
        .collect();
    let history = place.path("h.jsonl");
    let start = |copy: &PathBuf| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(["track", "append"]).arg(copy).arg("--history").arg(&history);
        command.stdout(Stdio::null()).spawn().expect("started")
    };
    // Each twice.
    let children: Vec<_> = copies.iter().chain(&copies).map(start).collect();
    for mut child in children {
        assert!(child.wait().expect("ended").success());
    }
    let read = harness::history::read(&history).expect("whole lines");
    assert_eq!((read.sessions.len(), read.remarks.len()), (6, 0));
    let text = std::fs::read_to_string(&history).expect("text");
    assert_eq!(text.lines().count(), read.sessions.len() + read.points.len(), "no line is there twice");
    for session in text.split("{\"session\"").skip(1) {
        let id = session.split('"').find(|part| part.len() == 16).expect("an id");
        assert!(session.lines().skip(1).all(|line| line.contains(&format!("\"session\":\"{id}\""))), "mixed");
    }
}

#[test]
fn git_merges_two_histories_cleanly_in_either_order() {
    let place = place("60");
    let bundle = harness::bundle::read(&place.bundle_dir()).expect("read");
    let lines = |id: &str| {
        let manifest = harness::bundle::Manifest { id: id.to_owned(), ..bundle.manifest.clone() };
        harness::history::lines(&manifest, &bundle.records, &bundle.seal, None, &Default::default())
    };
    let repository = place.path("repository");
    let file = repository.join("reports/history/nightly.jsonl");
    let git = |arguments: &[&str]| {
        let identity =
            ["-c", "user.name=it", "-c", "user.email=it@example.org", "-c", "core.hooksPath=/dev/null"];
        let mut command = Command::new("git");
        command.arg("-C").arg(&repository).args(identity).args(arguments).stdout(Stdio::null());
        assert!(command.status().expect("git").success(), "{arguments:?}");
    };
    let add = |ids: &[&str]| {
        ids.iter().for_each(|id| drop(harness::history::append(&file, &lines(id)).expect("appended")));
        git(&["add", "."]);
        git(&["commit", "-qm", "nights"]);
    };
    std::fs::create_dir(&repository).expect("made");
    git(&["init", "-q", "-b", "a"]);
    let attributes = include_str!("../../../.gitattributes");
    std::fs::write(repository.join(".gitattributes"), attributes).expect("written");
    add(&["night-0"]);
    git(&["branch", "b"]);
    add(&["night-1", "both"]);
    git(&["checkout", "-q", "b"]);
    add(&["both", "night-2"]);
    git(&["checkout", "-q", "-b", "b-with-a"]);
    git(&["merge", "-q", "a", "-m", "merge"]);
    let one = harness::history::read(&file).expect("clean");
    git(&["checkout", "-q", "a"]);
    git(&["merge", "-q", "b", "-m", "merge"]);
    let other = harness::history::read(&file).expect("clean");
    assert_eq!(one, other);
    assert_eq!((one.sessions.len(), one.remarks.len()), (4, 0));
}

/// Ten nights of one program, and the same with an eleventh whose program was slowed by 5% on purpose: measured once, kept in the
/// repository.
#[test]
fn of_recorded_nights_only_the_slowed_one_is_told() {
    let place = Place::new(&[], 1);
    let history = |name: &str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in a workspace");
        root.join("reports/history").join(name).display().to_string()
    };
    let (code, stdout, stderr) = track(&place, &["check", "--history", &history("nightly.jsonl")]);
    assert!(code == 0 && stdout.contains("0 worse, 0 better"), "{code}: {stdout}{stderr}");

    let (code, stdout, _) = track(&place, &["check", "--history", &history("slowed.jsonl"), "--json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let regressions = document["regressions"].as_array().expect("a list");
    assert!(code == 4 && regressions.len() == 3, "{code}: {stdout}");
    for regression in regressions {
        assert_eq!(regression["first_bad"]["bundle"], "2026-11-25-amd-epyc-nightly-11");
        assert_eq!(regression["found_by"], "first_night");
        let (lo, hi) = (regression["change_lo"].as_f64(), regression["change_hi"].as_f64());
        assert!(lo < Some(-0.05) && hi > Some(-0.06), "about 5%: {regression}");
        assert!(
            regression["sparkline"].as_str().is_some_and(|bars| bars.chars().count() == 12),
            "{regression}"
        );
    }
}
