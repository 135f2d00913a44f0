use super::*;
use crate::bundle::{Manifest, MissingModel};
use crate::report::document::{Source as Bundle, render_document};
use crate::sample::LaunchRecord;
use crate::setup::Installation;
use crate::testing;

fn rendered(run: &(Manifest, Vec<LaunchRecord>)) -> String {
    let markdown = render_document(&[Bundle { manifest: &run.0, records: &run.1, href: "runs/a" }], None);
    crate::report::tests::assert_tables_are_whole(&markdown);
    markdown
}

/// The cells of the row that begins so, its name left out.
fn row<'a>(markdown: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("| {name} |");
    let line = markdown
        .lines()
        .find(|line| line.starts_with(&start))
        .unwrap_or_else(|| panic!("{name}: {markdown}"));
    line[start.len()..].trim_end_matches('|').split(" | ").map(str::trim).collect()
}

#[test]
fn every_claim_stands_with_a_number_that_leads_to_its_source() {
    let markdown = rendered(&testing::example());
    let heading = markdown.lines().find(|line| line.starts_with("| Feature |")).expect("a table");
    assert_eq!(heading, "| Feature | **engine** | llama.cpp | candle | ollama |");
    let gpu = row(&markdown, "GPU Support");
    assert!(gpu[0].starts_with("❌ [[") && gpu[1].starts_with("✅ CUDA, HIP, Metal, Vulkan [["), "{gpu:?}");
    let mut n_cells = 0;
    for (table, lines) in TABLES {
        assert!(markdown.contains(&format!("\n{table}\n")), "{table}");
        for name in lines.iter().filter_map(|line| match line {
            Line::Claim(name, _) => Some(name),
            Line::Check(..) => None,
        }) {
            for cell in row(&markdown, name).into_iter().filter(|cell| !cell.starts_with("n/a ‡")) {
                let (_, number) = cell.split_once("](#source-").unwrap_or_else(|| panic!("{name}: {cell}"));
                let number = number.trim_end_matches(')');
                assert!(
                    markdown.contains(&format!("<a id=\"source-{number}\"></a>\\[{number}\\] ")),
                    "{cell}"
                );
                n_cells += 1;
            }
        }
    }
    assert!(n_cells > 30, "{n_cells}");
}

#[test]
fn what_no_bundle_tells_is_not_recorded_and_what_one_tells_is_shown() {
    let mut run = testing::example();
    let before = rendered(&run);
    for name in ["No Native Dependencies", "Files", "Size on Disk (MB)", "Error Handling (missing model)"] {
        let cells = row(&before, &format!("{name}, checked"));
        assert!(cells.iter().all(|cell| cell.starts_with("n/a ‡")), "{name}: {cells:?}");
    }
    assert!(
        before.contains(": not recorded: no run of this document tells it; older bundles do not"),
        "{before}"
    );
    let single = "| Single-File Deployment | one file that needs the system alone, checked |";
    assert!(before.contains(&format!("{single} cannot be told: no run recorded it |")), "{before}");
    let installation = |is_whole, files, bytes, libraries: &[&str]| {
        let shared_libraries = Some(libraries.iter().map(|name| (*name).to_owned()).collect());
        let is_single_file = Some(libraries.is_empty());
        Some(Installation { is_whole, files, bytes, shared_libraries, is_single_file })
    };
    let missing = |exit_code, said: &str| Some(MissingModel { exit_code, said: said.to_owned() });
    let [llama, engine, candle, ..] = &mut run.0.frameworks[..] else { panic!("four rows") };
    (llama.installation, llama.missing_model) = (
        installation(true, 40, 139_600_000, &["libggml.so.0", "libllama.so"]),
        missing(None, "still trying"),
    );
    (engine.installation, engine.missing_model) =
        (installation(false, 1, 12_300_000, &[]), missing(Some(1), "no such file"));
    (candle.installation, candle.missing_model) =
        (installation(true, 2, 8_000_000, &["a|b.so"]), missing(Some(0), ""));
    let after = rendered(&run);
    let cells = |name: &str| row(&after, &format!("{name}, checked"))[..3].to_vec();
    assert_eq!(
        cells("No Native Dependencies"),
        ["✅", "❌ 2 shared libraries", "❌ 1 shared library: a\\|b.so"]
    );
    assert_eq!(cells("Single Binary"), ["✅", "❌", "❌"]);
    assert_eq!(cells("Files"), ["1", "40 as installed", "2 as installed"]);
    assert_eq!(cells("Size on Disk (MB)"), ["12.3", "140", "8.0"]);
    assert_eq!(
        cells("Error Handling (missing model)"),
        ["✅ exit code 1, message", "❌ did not end by itself, message", "⚠️ exit code 0, no message"]
    );
    assert!(after.contains(
        "| Zero Native Dependencies | no shared library beside the system's, checked | engine (89.00 tok/s"
    ));
    assert!(after.contains(
        "| Single-File Deployment | one file that needs the system alone, checked | engine (89.00 tok/s"
    ));
    let mut linked = run.clone();
    linked.0.frameworks[1].installation = linked.0.frameworks[0].installation.clone();
    assert!(rendered(&linked).contains(&format!("{single} none: no framework of which")));
    // A system whose linker cannot be asked.
    let untold = run.0.frameworks[1].installation.as_mut().expect("set above");
    (untold.shared_libraries, untold.is_single_file) = (None, None);
    assert!(row(&rendered(&run), "No Native Dependencies, checked")[0].starts_with("n/a ‡"));
    // A manifest of an older version has neither, and is written as it was.
    let text = serde_json::to_string(&testing::example().0.frameworks).expect("plain");
    assert!(!text.contains("installation") && !text.contains("missing_model"));
    let read: Vec<FrameworkRecord> = serde_json::from_str(&text).expect("as written");
    assert!(read.iter().all(|r| r.installation.is_none() && r.missing_model.is_none()));
}

#[test]
fn whether_settings_were_told_follows_the_gates() {
    let mut run = testing::example();
    let set = |run: &mut (Manifest, Vec<LaunchRecord>), name: &str| {
        for record in &mut run.1 {
            if let Outcome::Measured(measured) = &mut record.outcome {
                measured.gates.retain(|g| g.name != gate::SETTINGS);
                if record.framework == name {
                    let (wanted, seen) = (String::new(), String::new());
                    measured.gates.push(crate::sample::Gate {
                        name: "settings".into(),
                        passed: true,
                        wanted,
                        seen,
                    });
                }
            }
        }
    };
    set(&mut run, "engine");
    assert_eq!(row(&rendered(&run), "Tells Its Settings, checked")[..2], ["✅", "❌"]);
    set(&mut run, "llama.cpp");
    assert_eq!(row(&rendered(&run), "Tells Its Settings, checked")[..2], ["❌", "✅"]);
}

#[test]
fn claims_of_an_added_frameworks_file_are_shown() {
    let mut run = testing::example();
    let text = "schema: 1\nframeworks:\n  - {id: mine, display_name: mine, language: C, implementation: C, licence: MIT, home_page: h, \
                notes: n, weights_class: A, driver: none, reason: later, features: {gpu_support: {value: partial, note: a|b, source: \
                'https://mine.example/gpu'}}}\n";
    run.0.frameworks_file = Some(crate::framework::registry::FrameworksFile {
        path: "/mine/f.yaml".into(),
        sha256: String::new(),
        text: text.into(),
    });
    run.0.frameworks[2].id = "mine".to_owned();
    run.0.scenario.frameworks[2].id = "mine".to_owned();
    let markdown = rendered(&run);
    assert!(row(&markdown, "GPU Support").join(" ").contains("⚠️ a\\|b [["), "{markdown}");
    assert!(markdown.contains("<https://mine.example/gpu>"));
}
