//! `harness compare`: two bundles of scripted frameworks side by side.

use crate::support::Place;
use std::path::{Path, PathBuf};

/// Six blocks of `steady`, the baseline, and `swift`, the subject, once at 60 tok/s and once at `decode_tok_s`.
fn two(decode_tok_s: &str) -> (Place, PathBuf, PathBuf) {
    let script = |rate: &str| {
        format!("version: '2'\nload_ms: 20\nprefill_tok_s: 800\ndecode_tok_s: {rate}\njitter: 0.001\n")
    };
    let place = Place::new(&[("swift", "")], 6);
    let scenario = place.read("it.yaml").replace("subject: steady", "subject: swift");
    place.write("it.yaml", &scenario);
    place.write("swift.yaml", &script("60"));
    place.run(&[]).code(0);
    place.write("swift.yaml", &script(decode_tok_s));
    place.run(&[]).code(0);
    let dirs = place.bundle_dirs();
    (place, dirs[0].clone(), dirs[1].clone())
}

fn compare(place: &Place, a: &Path, b: &Path, more: &[&str]) -> (i32, String, String) {
    let (a, b) = (a.display().to_string(), b.display().to_string());
    let assert = place.harness(&[&["compare", &*a, &*b], more].concat());
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("ended"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_slower_subject_is_a_regression_and_a_faster_one_is_none() {
    let (place, a, b) = two("40");
    let (code, stdout, stderr) = compare(&place, &a, &b, &["--fail-on-regression"]);
    assert_eq!(code, 4, "{stdout}{stderr}");
    assert!(stderr.contains("regression: swift, chat, 1 threads: decode_tok_s is slower"), "{stderr}");
    let row = stdout.lines().find(|l| l.starts_with("| swift | decode (tok/s) |")).expect("a row");
    assert!(row.ends_with("| **slower** |"), "{row}");
    assert_eq!(compare(&place, &a, &b, &[]).0, 0, "not asked to fail");

    let (code, stdout, _) = compare(&place, &b, &a, &["--json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &document["comparable"]), (0, &true.into()));
    let lines = document["comparison"]["lines"].as_array().expect("lines");
    let decode =
        lines.iter().find(|l| l["framework"] == "swift" && l["metric"] == "decode_tok_s").expect("there");
    assert_eq!(decode["verdict"], "faster");
    let relative = decode["relative"]["value"].as_f64().expect("a number");
    assert!((1.4..1.6).contains(&relative), "{relative}");
}

#[test]
fn what_cannot_be_compared_is_refused_with_every_reason() {
    let place = Place::new(&[], 1);
    place.run(&[]).code(0);
    let scenario = place.read("it.yaml").replace("prompt_tokens: 8", "prompt_tokens: 9") + "batch: 64\n";
    place.write("it.yaml", &scenario);
    place.run(&[]).code(0);
    let dirs = place.bundle_dirs();
    let (code, stdout, stderr) = compare(&place, &dirs[0], &dirs[1], &[]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("- the batch differs: 512 in A, 64 in B"), "{stderr}");
    assert!(stderr.contains("- the workload chat differs: 8 prompt + 8 generated tokens"), "{stderr}");

    let (code, _, stderr) = compare(&place, Path::new("nowhere"), Path::new("neither"), &[]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("- nowhere/manifest.json: ") && stderr.contains("- neither/manifest.json: "),
        "{stderr}"
    );
    let (code, _, stderr) = compare(&place, &dirs[0], &dirs[0], &["--fail-on-regression"]);
    assert_eq!(code, 2, "one block cannot show a regression: {stderr}");
}
