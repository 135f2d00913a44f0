//! `harness verify`: a bundle is verified as it was written, and whatever is changed in it is named.

use crate::support::Place;
use std::path::Path;

/// Findings of a verification, without the bundle's path; empty exactly if it succeeds.
fn verify(place: &Place, dir: &Path) -> Vec<String> {
    let assert = place.harness(&["verify", &dir.display().to_string()]);
    let output = assert.get_output();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let prefix = format!("{}/", dir.display());
    let findings: Vec<String> = stderr.lines().map(|l| l.replacen(&prefix, "", 1)).collect();
    assert_eq!(output.status.code(), Some(i32::from(!findings.is_empty())), "{stderr}");
    findings
}

struct Verified {
    place: Place,
    dir: std::path::PathBuf,
}

impl Verified {
    fn new() -> Verified {
        let place = Place::new(&[("swift", "")], 2);
        place.write("swift.yaml", "version: '2'\nload_ms: 50\nprefill_tok_s: 500\ndecode_tok_s: 62.5\n");
        place.run(&[]).code(0);
        let dir = place.bundle_dir();
        Verified { place, dir }
    }

    /// Changes a file, looks at what is found, and puts it back. `wanted` begins every finding.
    fn check(&self, file: &str, tamper: impl Fn(&str) -> String, wanted: &[&str]) {
        let path = self.dir.join(file);
        let before = std::fs::read_to_string(&path).expect("there");
        let after = tamper(&before);
        assert_ne!(before, after, "{file} was not changed");
        std::fs::write(&path, after).expect("written");
        let found = verify(&self.place, &self.dir);
        std::fs::write(&path, before).expect("written");
        assert_eq!(found.len(), wanted.len(), "{found:#?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(found.starts_with(wanted), "{found}\nshould begin: {wanted}");
        }
    }

    fn id(&self, line: usize) -> String {
        self.place.bundle().records[line - 1].launch_id.clone()
    }
}

fn lines(text: &str, order: &[usize]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    order.iter().map(|&i| format!("{}\n", lines[i - 1])).collect()
}

/// `text` with the last digit before `end`, after the last `start`, changed.
fn another_digit(text: &str, start: &str, end: &str) -> String {
    let from = text.rfind(start).expect("there");
    let at = from + text[from..].find(end).expect("there") - 1;
    let digit = if &text[at..=at] == "1" { "2" } else { "1" };
    format!("{}{digit}{}", &text[..at], &text[at + 1..])
}

#[test]
fn an_untouched_bundle_is_verified() {
    let made = Verified::new();
    assert_eq!(verify(&made.place, &made.dir), [""; 0]);
    let assert = made.place.harness(&["verify", "--json", &made.dir.display().to_string()]).code(0);
    let document: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).expect("JSON");
    let bundle = &document["bundles"][0];
    assert_eq!((&bundle["verified"], &bundle["audit"]["lines"]), (&true.into(), &4.into()));
    let complete = std::fs::read_to_string(made.dir.join("complete.json")).expect("there");
    assert!(complete.contains(bundle["audit"]["chain"].as_str().expect("chained")), "{complete}");
    assert_eq!(made.place.harness(&["verify", "nowhere"]).get_output().status.code(), Some(2));
}

#[test]
fn changed_samples_are_named() {
    let made = Verified::new();
    let samples = "samples.jsonl";
    // One digit of the last token's time of the last launch: the chain tells, and the figures that follow from it.
    let changed = format!("samples.jsonl:4: line changed: {}; chain should be ", made.id(4));
    let cell =
        |column| format!("samples.csv:5: {}, {column}: differs from what the samples give", made.id(4));
    let (decode, end_to_end) = (cell("decode_tok_s"), cell("end_to_end_tok_s"));
    let path = made.dir.join(samples);
    let before = std::fs::read_to_string(&path).expect("there");
    std::fs::write(&path, another_digit(&before, "\"token_at_ns\":", "]")).expect("written");
    let found = verify(&made.place, &made.dir);
    std::fs::write(&path, before).expect("written");
    assert!(found[0].starts_with(&changed), "{found:#?}");
    for wanted in [&decode, &end_to_end] {
        assert!(found.iter().any(|f| f.starts_with(wanted)), "{wanted}: {found:#?}");
    }
    assert!(found.iter().any(|f| f.starts_with("summary.csv:")), "{found:#?}");

    let first = |order: &'static [usize], wanted: &str| {
        let before = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, lines(&before, order)).expect("written");
        let found = verify(&made.place, &made.dir);
        std::fs::write(&path, before).expect("written");
        assert!(found[0].starts_with(wanted), "{found:#?}\n{wanted}");
        assert_eq!(found.iter().filter(|f| f.starts_with("samples.jsonl:")).count(), 1, "{found:#?}");
    };
    let missing = format!("samples.jsonl:2: line missing before {}: {};", made.id(3), made.id(2));
    first(&[1, 3, 4], &missing);
    let cut = format!("samples.jsonl:4: lines missing from the end: 3 of 4 are there; {};", made.id(4));
    first(&[1, 2, 3], &cut);
    first(&[1, 3, 2, 4], "samples.jsonl:2: lines reordered: 2 to 3 were written in another order");
    let repeated = format!("samples.jsonl:3: line repeated: {} stands in line 2 already;", made.id(2));
    first(&[1, 2, 2, 3, 4], &repeated);
}

#[test]
fn a_changed_manifest_or_end_is_named() {
    let made = Verified::new();
    let manifest = "manifest.json: manifest changed: its sha256 was ";
    made.check("manifest.json", |t| t.replacen("\"os\": \"", "\"os\": \"x", 1), &[manifest, "report.md:"]);
    let text_hash = "manifest.json: scenario_sha256: is not the hash of scenario_text: expected ";
    made.check(
        "manifest.json",
        |t| t.replace("schema: 1\\ntitle", "schema: 1\\n\\ntitle"),
        &[manifest, text_hash, "report.md:"],
    );
    made.check(
        "complete.json",
        |t| t.replace("\"lines\": 4", "\"lines\": 5"),
        &["complete.json: says 5 lines"],
    );
    std::fs::write(made.dir.join("logs/other.log"), "x").expect("written");
    assert_eq!(verify(&made.place, &made.dir), ["logs/other.log: log is not of this run; remove it"]);
}

#[test]
fn changed_derived_files_are_named() {
    let made = Verified::new();
    let csv = |file: &str| std::fs::read_to_string(made.dir.join(file)).expect("there");
    let decode =
        csv("summary.csv").lines().position(|l| l.starts_with("swift,chat,1,decode_tok_s,")).expect("there");
    let cell = format!(
        "summary.csv:{}: swift chat 1 decode_tok_s, value: differs from what the samples give: expected `62.",
        decode + 1
    );
    made.check(
        "summary.csv",
        |t| t.replace("swift,chat,1,decode_tok_s,62.", "swift,chat,1,decode_tok_s,63."),
        &[&cell],
    );
    let verdict = "summary.csv:";
    made.check("summary.csv", |t| t.replacen(",unresolved,", ",faster,", 1), &[verdict]);
    let cell = format!(
        "samples.csv:2: {}, threads: differs from what the samples give: expected `1`, found `2`",
        made.id(1)
    );
    made.check("samples.csv", |t| t.replacen(",chat,1,", ",chat,2,", 1), &[&cell]);
    let heading = "report.md:1: differs from what the samples give: expected `# ";
    made.check("report.md", |t| t.replacen("# ", "# X", 1), &[heading]);
    let chart = "charts/throughput-chat.svg";
    made.check(chart, |t| t.replacen("62.", "63.", 1), &[&format!("{chart}:")]);
    std::fs::remove_file(made.dir.join(chart)).expect("there");
    let found = verify(&made.place, &made.dir);
    assert!(found.len() == 1 && found[0].starts_with(&format!("{chart}: is missing; ")), "{found:#?}");
}

#[test]
fn a_run_that_did_not_end_is_not_verified() {
    let made = Verified::new();
    std::fs::remove_file(made.dir.join("complete.json")).expect("there");
    let samples = made.dir.join("samples.jsonl");
    let text = std::fs::read_to_string(&samples).expect("there");
    std::fs::write(&samples, lines(&text, &[1, 2, 3])).expect("written");
    let found = verify(&made.place, &made.dir);
    assert!(found[0].starts_with("complete.json: unfinished: 3 of 4 launches; go on with "), "{found:#?}");
}
