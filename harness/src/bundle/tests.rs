//! Bundles on disk: written, killed, resumed, refused.

use super::*;
use crate::plan::Plan;
use crate::redact::Redactor;
use crate::sample::{FailureKind, LaunchRecord, Outcome, Role, SAMPLE_SCHEMA};
use std::io::Write;
use std::path::Path;

fn record(id: &str) -> LaunchRecord {
    LaunchRecord {
        schema: SAMPLE_SCHEMA,
        launch_id: id.into(),
        block: 0,
        position: 0,
        role: Role::Measure,
        framework: "steady".into(),
        workload: "chat".into(),
        threads: 1,
        started_at: "2026-11-23T16:20:09Z".into(),
        wall_ns: 1_500_000_000,
        argv: vec!["/home/ann/bin/x".into()],
        environment: [("MODELS".into(), "/home/ann/models".into())].into(),
        conditions: Default::default(),
        outcome: Outcome::Failed {
            kind: FailureKind::Crashed,
            message: "line one\nof /home/ann/x".into(),
            stderr_tail: String::new(),
        },
    }
}

#[test]
fn committed_bundles_still_read() {
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/runs");
    let dirs: Vec<_> =
        std::fs::read_dir(&runs).expect("there").map(|entry| entry.expect("readable").path()).collect();
    assert!(!dirs.is_empty());
    for dir in dirs {
        let bundle = read(&dir).unwrap_or_else(|error| panic!("{error}"));
        assert!(!bundle.records.is_empty(), "{}", dir.display());
    }
}

fn manifest() -> Manifest {
    let scenario_text = include_str!("../../tests/golden/scenario.yaml");
    let fake = crate::scenario::Known { id: "fake", options: vec!["script"] };
    let scenario = Scenario::parse(Path::new("x.yaml"), scenario_text, &[fake]).expect("valid");
    Manifest {
        schema: BUNDLE_SCHEMA,
        id: "2026-11-23-cpu-x".into(),
        created_at: "2026-11-23T16:20:09Z".into(),
        command: vec!["/home/ann/harness".into(), "run".into()],
        harness_version: "0.1.0".into(),
        harness_commit: None,
        scenario_text: scenario_text.into(),
        scenario_sha256: "5ce0".into(),
        scenario,
        preflight: Vec::new(),
        machine: Machine {
            id: "m".into(),
            label: "cpu".into(),
            cpu: "CPU".into(),
            arch: "x86_64".into(),
            isa: vec![],
            cores: 1,
            logical: 1,
            nominal_ghz: None,
            governor: None,
            caches: vec![],
            memory_bytes: 1,
            numa_nodes: None,
            transparent_huge_pages: None,
            kernel: "k".into(),
            os: "o".into(),
            hypervisor: None,
            container_limits: None,
            load_average: None,
            ..Machine::default()
        },
        model: ModelRecord {
            name: "m".into(),
            quantization: "Q4_0".into(),
            file_name: "m.gguf".into(),
            bytes: 1,
            sha256: "30de1".into(),
            stand_in_reason: None,
            read_per_token: None,
        },
        frameworks_file: None,
        frameworks: vec![],
        seed: 1,
        plan: Plan { launches: vec![] },
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("temporary directory") }
    }

    fn create(&self) -> Writer {
        let redactor = Redactor::new(Some(Path::new("/home/ann")), None);
        Writer::create(self.dir.path(), manifest(), redactor).expect("created")
    }
}

fn resume(dir: &Path) -> Result<(Writer, Bundle), BundleError> {
    Writer::resume(dir, "5ce0", "30de1", Redactor::default())
}

fn message<T: std::fmt::Debug>(result: Result<T, BundleError>, dir: &Path) -> String {
    result.expect_err("refused").to_string().replace(&dir.display().to_string(), "D")
}

#[test]
fn what_is_written_is_read_redacted() {
    let place = Place::new();
    let mut writer = place.create();
    writer.append(&record("a")).expect("written");
    writer.append(&record("b")).expect("written");
    let bundle = read(writer.dir()).expect("valid");
    assert_eq!(bundle.manifest.command, ["~/harness", "run"]);
    assert_eq!(bundle.records.iter().map(|r| r.launch_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bundle.records[0].argv, ["~/bin/x"]);
    assert_eq!(bundle.records[0].environment["MODELS"], "~/models");
    write_samples_csv(&bundle).expect("written");
    let csv = std::fs::read_to_string(writer.dir().join("samples.csv")).expect("there");
    assert_eq!(
        csv.lines().nth(1),
        Some(
            "a,0,0,measure,steady,chat,1,2026-11-23T16:20:09Z,1.5,failed,crashed,line one of ~/x,,,,,,,,,,,,,,"
        )
    );
}

#[test]
fn no_bundle_is_ever_overwritten() {
    let place = Place::new();
    let names: Vec<String> = (0..3).map(|_| name(place.create().dir())).collect();
    assert_eq!(names, ["2026-11-23-cpu-x", "2026-11-23-cpu-x-2", "2026-11-23-cpu-x-3"]);
    let third = read(&place.dir.path().join(&names[2])).expect("valid");
    assert_eq!(third.manifest.id, names[2]);
}

fn name(dir: &Path) -> String {
    dir.file_name().expect("named").to_string_lossy().into_owned()
}

#[test]
fn a_torn_last_line_is_cut_off_and_the_run_goes_on() {
    let place = Place::new();
    let mut writer = place.create();
    let dir = writer.dir().to_owned();
    writer.append(&record("a")).expect("written");
    drop(writer);
    let samples = dir.join("samples.jsonl");
    let whole = std::fs::read(&samples).expect("there");
    for cut in [1, whole.len() / 2, whole.len() - 1] {
        let mut file = std::fs::OpenOptions::new().append(true).open(&samples).expect("there");
        file.write_all(&whole[..cut]).expect("written");
        assert_eq!(read(&dir).expect("tolerated").records.len(), 1);
        let (writer, bundle) = resume(&dir).expect("tolerated");
        assert_eq!(bundle.finished().into_iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(std::fs::read(&samples).expect("there"), whole, "cut at {cut}");
        drop(writer);
    }
    let (mut writer, _) = resume(&dir).expect("whole");
    writer.append(&record("b")).expect("written");
    assert_eq!(read(&dir).expect("valid").records.len(), 2);
}

#[test]
fn a_bundle_has_one_writer() {
    let place = Place::new();
    let writer = place.create();
    let refused = message(resume(writer.dir()), place.dir.path());
    assert_eq!(refused, "D/2026-11-23-cpu-x: another run is using this bundle");
    let dir = writer.dir().to_owned();
    drop(writer);
    assert!(resume(&dir).is_ok());
}

#[test]
fn another_scenario_or_model_is_refused() {
    let place = Place::new();
    let dir = place.create().dir().to_owned();
    let with = |scenario, model| message(Writer::resume(&dir, scenario, model, Redactor::default()), &dir);
    assert_eq!(
        with("other", "30de1"),
        "D: cannot be resumed: the scenario's text has changed since; start a new run"
    );
    assert_eq!(
        with("5ce0", "other"),
        "D: cannot be resumed: the model file is another one now; start a new run"
    );
}

#[test]
fn errors_name_file_and_line() {
    let place = Place::new();
    let mut writer = place.create();
    let dir = writer.dir().to_owned();
    writer.append(&record("a")).expect("written");
    let line = std::fs::read_to_string(dir.join("samples.jsonl")).expect("there");
    let with_samples = |text: String| {
        std::fs::write(dir.join("samples.jsonl"), text).expect("written");
        message(read(&dir), &dir)
    };
    assert!(with_samples(format!("{line}{{}}\n")).starts_with("D/samples.jsonl:2: missing field `schema`"));
    assert_eq!(
        with_samples(format!("{line}{line}")),
        "D/samples.jsonl:2: line repeated: a stands in line 1 already; restore it, or measure again"
    );
    let newer = line.replace("\"schema\":2", "\"schema\":3").replace("crashed", "exploded");
    assert_eq!(
        with_samples(newer),
        "D/samples.jsonl: schema 3 is newer than this harness, which reads up to 2; use a newer one"
    );
    std::fs::write(dir.join("manifest.json"), "{\n\"schema\": 1,\n}").expect("written");
    assert!(message(read(&dir), &dir).starts_with("D/manifest.json:3: "));
    std::fs::remove_file(dir.join("manifest.json")).expect("there");
    assert!(message(read(&dir), &dir).starts_with("D/manifest.json: No such file"));
}

/// A finished bundle of launches a, b and c, which its plan names.
fn finished(place: &Place) -> std::path::PathBuf {
    let mut manifest = manifest();
    for (position, id) in (0..).zip(["a", "b", "c"]) {
        let cell = crate::plan::Cell { framework: "steady".into(), workload: "chat".into(), threads: 1 };
        let launch_id = id.to_owned();
        manifest.plan.launches.push(crate::plan::PlannedLaunch {
            launch_id,
            position,
            block: 0,
            role: Role::Measure,
            cell,
        });
    }
    let mut writer = Writer::create(place.dir.path(), manifest, Redactor::default()).expect("created");
    std::fs::write(writer.logs_dir().join("a.log"), "said\n").expect("written");
    ["a", "b", "c"].iter().for_each(|id| writer.append(&record(id)).expect("written"));
    let dir = writer.dir().to_owned();
    writer.finish().expect("finished");
    dir
}

#[test]
fn a_finished_bundle_says_so_and_binds_its_files() {
    let place = Place::new();
    let dir = finished(&place);
    let seal = read(&dir).expect("valid").seal;
    let complete = seal.complete.expect("ended");
    assert_eq!((complete.lines, &complete.chain), (3, &seal.head));
    assert_eq!(complete.logs.keys().collect::<Vec<_>>(), ["a.log"]);
    assert!(seal.is_chained && !seal.has_torn_line);
    assert!(!dir.join(".lock").exists());
    let text = std::fs::read_to_string(dir.join("samples.jsonl")).expect("there");
    let last = text.lines().last().expect("three");
    assert!(last.ends_with(&format!(",\"chain\":\"{}\"}}", complete.chain)), "{last}");
}

#[test]
fn whatever_was_changed_is_named() {
    use FaultKind::*;
    let check =
        |file: &str, tamper: fn(String) -> String, wanted: (&str, Option<usize>, FaultKind), said: &str| {
            let place = Place::new();
            let dir = finished(&place);
            let path = dir.join(file);
            let before = std::fs::read_to_string(&path).expect("there");
            let after = tamper(before.clone());
            assert_ne!(before, after);
            std::fs::write(&path, after).expect("written");
            let (_, faults) = inspect(&dir).expect("readable");
            let seen: Vec<_> = faults.iter().map(|f| (f.file, f.line, f.kind)).collect();
            assert_eq!(seen, [wanted], "{faults:?}");
            assert!(faults[0].reason.contains(said), "{faults:?}");
            let place = format!("{}{}: ", wanted.0, wanted.1.map(|n| format!(":{n}")).unwrap_or_default());
            assert!(message(read(&dir), &dir).starts_with(&format!("D/{place}")));
        };
    fn lines(text: String, order: &[usize]) -> String {
        let lines: Vec<&str> = text.lines().collect();
        order.iter().map(|&i| format!("{}\n", lines[i])).collect()
    }
    let samples = "samples.jsonl";
    check(
        samples,
        |t| t.replacen("1500000000", "1500000001", 1),
        (samples, Some(1), LineChanged),
        "line changed: a;",
    );
    check(samples, |t| lines(t, &[0, 2]), (samples, Some(2), LinesMissing), "line missing before c: b;");
    check(samples, |t| lines(t, &[1, 2]), (samples, Some(1), LinesMissing), "line missing before b: a;");
    check(
        samples,
        |t| lines(t, &[0]),
        (samples, Some(2), LinesMissing),
        "from the end: 1 of 3 are there; b, c",
    );
    check(samples, |t| lines(t, &[0, 2, 1]), (samples, Some(2), LinesReordered), "2 to 3");
    check(
        samples,
        |t| lines(t, &[0, 1, 1, 2]),
        (samples, Some(3), LineRepeated),
        "b stands in line 2 already",
    );
    check(
        samples,
        |t| lines(t, &[0, 1, 2, 2]),
        (samples, Some(4), LineRepeated),
        "c stands in line 3 already",
    );
    check(samples, |t| t + "{\"schema\":2", (samples, Some(4), TornLine), "it was cut");
    check(
        "manifest.json",
        |t| t.replacen("Q4_0", "Q8_0", 1),
        ("manifest.json", None, ManifestChanged),
        "its sha256 was",
    );
    let complete = ("complete.json", None, CompleteChanged);
    check("complete.json", |t| t.replace("\"lines\": 3", "\"lines\": 4"), complete, "says 4 lines");
}

#[test]
fn a_run_that_did_not_end_is_bound_to_its_manifest_too() {
    let place = Place::new();
    let dir = finished(&place);
    std::fs::remove_file(dir.join("complete.json")).expect("there");
    let (bundle, faults) = inspect(&dir).expect("readable");
    assert_eq!((bundle.seal.complete, faults), (None, vec![]));
    let text = std::fs::read_to_string(dir.join("manifest.json")).expect("there");
    std::fs::write(dir.join("manifest.json"), text.replace("Q4_0", "Q8_0")).expect("written");
    let said = message(read(&dir), &dir);
    assert!(said.starts_with("D/samples.jsonl:1: manifest.json changed, or this line (a):"), "{said}");
}

#[test]
fn bundles_of_older_versions_read_without_a_chain_and_go_on_with_one() {
    let place = Place::new();
    let dir = finished(&place);
    std::fs::remove_file(dir.join("complete.json")).expect("there");
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).expect("there");
    std::fs::write(dir.join("manifest.json"), manifest.replace("\"schema\": 2", "\"schema\": 1"))
        .expect("written");
    let mut old = record("a");
    old.schema = 1;
    let line = serde_json::to_string(&old).expect("plain") + "\n";
    std::fs::write(dir.join("samples.jsonl"), &line).expect("written");
    assert!(!read(&dir).expect("tolerated").seal.is_chained);
    let (mut writer, _) = resume(&dir).expect("tolerated");
    writer.append(&record("b")).expect("written");
    writer.finish().expect("finished");
    assert!(read(&dir).expect("valid").seal.is_chained);
    let text = std::fs::read_to_string(dir.join("samples.jsonl")).expect("there");
    std::fs::write(dir.join("samples.jsonl"), text.replacen("1500000000", "1500000001", 1)).expect("written");
    assert!(read(&dir).is_err(), "what came before is bound as well");
}

#[test]
fn the_committed_bundles_read() {
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/runs");
    for entry in std::fs::read_dir(runs).expect("there") {
        let bundle = read(&entry.expect("readable").path()).expect("valid");
        assert!(!bundle.records.is_empty());
    }
}

#[test]
fn a_program_is_the_same_if_its_libraries_are_as_far_as_they_are_told() {
    let library = |sha256: &str| LibraryRecord { name: "libggml.so".to_owned(), sha256: sha256.to_owned() };
    let program = |sha256: &str, libraries: Vec<LibraryRecord>| ProgramRecord {
        path: "p".to_owned(),
        version: "1".to_owned(),
        sha256: sha256.to_owned(),
        build: String::new(),
        libraries,
        notes: Vec::new(),
    };
    let now = program("a", vec![library("1")]);
    assert!(now.is_same_as(&program("a", vec![library("1")])));
    assert!(!now.is_same_as(&program("a", vec![library("2")])));
    assert!(!now.is_same_as(&program("b", vec![library("1")])));
    assert!(now.is_same_as(&program("a", vec![])), "an older bundle");
}
