//! A framework that the harness does not ship, brought by a frameworks.yaml alone; and what it says of itself, however
//! hostile, shown nowhere as anything but text.

use crate::support::{Place, failures, measured};
use harness::sample::{FailureKind, gate};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const EXAMPLE: &str = include_str!("../../runners/python/example/runner.py");

/// An entry of a frameworks.yaml.
fn entry(id: &str, display_name: &str) -> String {
    format!(
        "  - id: {id}\n    display_name: \"{display_name}\"\n    language: Python\n    implementation: a toy\n    \
         licence: MIT\n    home_page: https://example.org\n    notes: \"Brought <b>along</b>.\"\n    weights_class: C\n    \
         driver: runner\n    command: [python3, \"{{program}}\"]\n    programs: [./{id}-runner]\n"
    )
}

/// A place with a frameworks.yaml that has these entries, and one program for each.
fn place(frameworks: &[(&str, &str, &str)], rows: &str, blocks: u32) -> Place {
    let place = Place::new(&[], blocks);
    let mut text = "schema: 1\nframeworks:\n".to_owned();
    for (id, display_name, program) in frameworks {
        text += &entry(id, display_name);
        let name = format!("{id}-runner");
        place.write(&name, program);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(&name), executable).expect("changed");
    }
    place.write("more.yaml", &text);
    place.write_scenario(rows, blocks);
    place.edit_scenario("baseline: steady\nsubject: steady", "baseline: toy\nsubject: toy");
    place.edit_scenario("launch_timeout_s: 2", "launch_timeout_s: 60");
    place
}

fn file(place: &Place) -> String {
    place.path("more.yaml").display().to_string()
}

fn text_of(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_framework_is_brought_by_a_file_and_a_killed_run_of_it_goes_on() {
    let slow = EXAMPLE.replace("    say(\"bye\")", "    time.sleep(0.5)\n    say(\"bye\")");
    let place = place(&[("toy", "My Toy", &slow)], "  - toy\n", 3);
    let stderr = |code, more: &[&str]| {
        let output = place.run(more).code(code).get_output().stderr.clone();
        String::from_utf8_lossy(&output).into_owned()
    };
    assert!(stderr(2, &[]).contains("toy"), "unknown without the file");
    let doctor = place.harness(&["doctor", "--frameworks", &file(&place)]).get_output().stdout.clone();
    assert!(String::from_utf8_lossy(&doctor).contains("toy-runner (by --frameworks)"));

    let running = place.start(&["--frameworks", &file(&place)]);
    place.wait_for_launches(1);
    running.signal(Signal::KILL);
    running.wait();
    let dir = place.bundle_dir().display().to_string();
    let refused = stderr(2, &["--resume", &dir]);
    assert!(
        refused.contains("begun with --frameworks") && refused.contains("more.yaml: give it again"),
        "{refused}"
    );
    place.write("other.yaml", &(place.read("more.yaml") + "# changed\n"));
    let other = place.path("other.yaml").display().to_string();
    let refused = stderr(2, &["--resume", &dir, "--frameworks", &other]);
    assert!(refused.contains("its frameworks file is another one now"), "{refused}");
    place.run(&["--resume", &dir, "--frameworks", &file(&place)]).code(0);

    let bundle = place.bundle();
    let launches = measured(&bundle, "toy");
    assert_eq!((launches.len(), launches[0].version.as_str()), (3, "1.0"));
    let settings = launches[0].settings.as_ref().expect("told");
    assert_eq!((settings.context, settings.kv_type.as_ref()), (Some(64), None));
    for name in [gate::SETTINGS, gate::WEIGHTS] {
        assert!(launches[0].gates.iter().any(|g| g.name == name && g.passed), "{:?}", launches[0].gates);
    }
    let kept = bundle.manifest.frameworks_file.as_ref().expect("kept");
    assert!(kept.text.contains("display_name: \"My Toy\"") && kept.sha256.len() == 64);
    assert!(text_of(bundle.dir.join("report.md")).contains("My Toy"));
    place.harness(&["report", "--check", &dir]).code(0);
    place.harness(&["verify", &dir]).code(0);
}

#[test]
fn a_scenario_names_no_program() {
    let row = "  - {id: toy, options: {program: /bin/sh}}\n";
    let place = place(&[("toy", "My Toy", EXAMPLE)], row, 1);
    let refused = place.run(&["--frameworks", &file(&place)]).code(2).get_output().stderr.clone();
    let wanted =
        "it.yaml:6: frameworks[0].options.program: toy has no option `program`; it has none: take it out";
    assert!(String::from_utf8_lossy(&refused).contains(wanted), "{}", String::from_utf8_lossy(&refused));

    let text = place.read("more.yaml").replace("[python3, \"{program}\"]", "[\"{option.program}\"]");
    place.write("more.yaml", &(text + "    options: {program: python3}\n"));
    let refused = place.run(&["--frameworks", &file(&place)]).code(2).get_output().stderr.clone();
    let refused = String::from_utf8_lossy(&refused);
    assert!(refused.contains("more.yaml: toy: `command` begins with an option"), "{refused}");
}

/// What a hostile framework says of itself, as Python: terminal escapes, HTML, Markdown, a formula, reversed text.
const HOSTILE: &str =
    r#"'=HYPERLINK("http://x")\x1b[2J<script>alert(1)</script>|**b**[a](javascript:b)\u202e\r\n# c'"#;

/// What a terminal would obey, which must be nowhere.
const OBEYED: [&str; 3] = ["\u{1b}", "\u{202e}", "\u{9b}"];
/// What a browser or a reader of Markdown would, which must not be in a report or a chart.
const MARKUP: [&str; 4] = ["<script", "<img", "\n# c", "[a](javascript"];

#[test]
fn what_a_framework_says_is_shown_as_text() {
    let vain = EXAMPLE
        .replace("version=\"1.0\"", &format!("version={HOSTILE}"))
        .replace("build=\"pure Python\"", &format!("build={HOSTILE}"))
        .replace("features=[\"toy\"]", &format!("features=[{HOSTILE}]"))
        .replace("    say(\"bye\")", &format!("    sys.stderr.write({HOSTILE})\n    say(\"bye\")"));
    let wails = format!(
        "import json, sys\nsys.stdin.readline()\nsys.stderr.write({HOSTILE})\n\
         print(json.dumps(dict(event='error', kind={HOSTILE}, message={HOSTILE})))\n"
    );
    let garbles = format!("import sys\nsys.stdin.readline()\nprint({HOSTILE})\n");
    let name = r"\e[31mEvil <img src=x onerror=b>|**\u202e";
    let frameworks = [
        ("toy", "My Toy", EXAMPLE),
        ("vain", name, &vain),
        ("wails", name, &wails),
        ("garbles", name, &garbles),
    ];
    let place = place(&frameworks, "  - toy\n  - vain\n  - wails\n  - garbles\n", 1);
    let output = place.run(&["--frameworks", &file(&place)]).code(3).get_output().clone();
    let bundle = place.bundle();
    assert!(measured(&bundle, "vain")[0].version.starts_with("=HYPERLINK"), "kept as it was said");
    assert_eq!(failures(&bundle, "wails")[0].0, FailureKind::Reported);
    assert_eq!(failures(&bundle, "garbles")[0].0, FailureKind::Garbage);

    let mut shown = vec![
        ("stdout".to_owned(), String::from_utf8_lossy(&output.stdout).into_owned()),
        ("stderr".to_owned(), String::from_utf8_lossy(&output.stderr).into_owned()),
    ];
    let doctor =
        place.harness(&["doctor", "--frameworks", &file(&place), "--json"]).get_output().stdout.clone();
    shown.push(("doctor".to_owned(), String::from_utf8_lossy(&doctor).into_owned()));
    let dry = place.run(&["--frameworks", &file(&place), "--dry-run"]).code(0).get_output().stdout.clone();
    shown.push(("dry run".to_owned(), String::from_utf8_lossy(&dry).into_owned()));
    shown.push(("report".to_owned(), text_of(bundle.dir.join("report.md"))));
    for dir in ["charts", "logs"] {
        for entry in std::fs::read_dir(bundle.dir.join(dir)).expect("there") {
            let path = entry.expect("readable").path();
            let text = text_of(path.clone());
            shown.push((path.display().to_string(), text));
        }
    }
    assert!(shown.len() >= 8, "charts and logs are there");
    for (what, text) in &shown {
        let is_rendered = what == "report" || what.ends_with(".svg");
        for bad in OBEYED.iter().chain(MARKUP.iter().filter(|_| is_rendered)) {
            assert!(!text.contains(bad), "{what}: {bad:?}: {text}");
        }
    }
    for name in ["samples.csv", "summary.csv"] {
        let csv = text_of(bundle.dir.join(name));
        let is_formula = |cell: &str| cell.trim_start_matches('"').starts_with(['=', '@', '+']);
        assert!(!csv.lines().flat_map(|line| line.split(',')).any(is_formula), "{name}: {csv}");
    }
}
