use super::*;
use crate::bundle::LibraryRecord;
use crate::machine::Peak;
use crate::sample::{FailureKind, Outcome, Role};
use crate::testing;

/// Every table row must have as many cells as its heading.
pub(super) fn assert_tables_are_whole(markdown: &str) {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut width = None;
    for line in markdown.lines() {
        if !line.starts_with('|') {
            width = None;
            continue;
        }
        assert_eq!(*width.get_or_insert(cells(line)), cells(line), "{line}");
    }
}

#[test]
fn the_whole_report() {
    let (manifest, records) = testing::example();
    let rendered = render(&manifest, &records);
    assert_tables_are_whole(&rendered.markdown);
    insta::assert_snapshot!("report", rendered.markdown);
    insta::assert_snapshot!("summary_csv", rendered.summary_csv);
}

#[test]
fn the_same_bundle_gives_the_same_bytes_in_any_order_of_records() {
    let (manifest, mut records) = testing::example();
    let rendered = render(&manifest, &records);
    assert_eq!(rendered, render(&manifest, &records));
    // A resumed run writes its samples in another order; the cross-check stays last.
    let last = records.len() - 1;
    records[..last].reverse();
    assert_eq!(rendered, render(&manifest, &records));
}

#[test]
fn an_error_cannot_break_a_table() {
    let (mut manifest, mut records) = testing::example();
    let planned = manifest.plan.launches[1].clone();
    records[1] = testing::failed(&planned, FailureKind::Crashed, "exit 1 | core\ndumped `x` <b>\u{1b}[0m");
    manifest.frameworks[0].notes = "a | b\n| c".to_owned();
    manifest.scenario_text = "a: |\n  ```\n  x\n".to_owned();
    let markdown = render(&manifest, &records).markdown;
    assert_tables_are_whole(&markdown);
    assert!(markdown.contains("exit 1 \\| core dumped \\`x\\` &lt;b&gt;"), "{markdown}");
    assert!(markdown.contains("````yaml\na: |\n  ```\n  x\n````"), "{markdown}");
}

#[test]
fn the_best_variant_stands_in_the_main_tables_and_all_in_the_detail() {
    let (manifest, records) = testing::with_variants();
    let rendered = render(&manifest, &records);
    assert_tables_are_whole(&rendered.markdown);
    let section = |from: &str, to: &str| {
        let rest = &rendered.markdown[rendered.markdown.find(from).expect(from)..];
        rest[..rest.find(to).expect(to)].to_owned()
    };
    let quick = section("### Quick Comparison", "**Key Finding");
    assert!(
        quick.contains("Multi, multi \\[mode c\\]") && quick.contains("Best decode of 3 variants."),
        "{quick}"
    );
    assert!(!quick.contains("mode a") && !quick.contains("mode b"), "{quick}");
    let detail = section("#### Detail", "*2 threads*");
    let variants = section("### Variants", "\n---");
    for settings in ["mode a", "mode b", "mode c"] {
        assert!(detail.contains(settings) && variants.contains(settings), "{detail}{variants}");
    }
    assert!(variants.contains("| multi | chat, threads 1 | mode c | 71.0"), "{variants}");
    let throughput = rendered.charts.iter().find(|(name, _)| name.starts_with("throughput")).expect("drawn");
    assert!(throughput.1.contains("[mode c]") && !throughput.1.contains("[mode a]"));
    let plain = testing::crowd(8);
    assert!(!render(&plain.0, &plain.1).markdown.contains("Variants"));
}

/// A bundle of a Mac, made from another one: no parts of the resident set, a footprint in all blocks but one.
#[test]
fn a_footprint_is_shown_where_the_system_has_one() {
    let (manifest, mut records) = testing::example();
    assert!(!render(&manifest, &records).markdown.contains("Footprint"));
    for record in &mut records {
        if let Outcome::Measured(m) = &mut record.outcome {
            (m.memory.rss_anon_bytes, m.memory.rss_file_bytes) = (None, None);
            m.memory.footprint_peak_bytes = (record.block != 0).then_some(41_000_000);
        }
    }
    let markdown = render(&manifest, &records).markdown;
    assert_tables_are_whole(&markdown);
    assert!(markdown.contains("| File-backed (MB) | Footprint (MB) | Efficiency |"), "{markdown}");
    assert!(markdown.contains("| 41.0 |"), "{markdown}");
}

#[test]
fn a_measured_clock_stands_before_what_the_system_says() {
    let (mut manifest, records) = testing::example();
    let told = render(&manifest, &records).markdown;
    assert!(told.contains("Clock: 2.50 GHz, as the system gave it when the run started;"), "{told}");
    let (level, threads) = ("avx2".to_owned(), manifest.scenario.threads[0]);
    let peak = Peak { threads, level, f32_gflop_s: 100.0, int8_gop_s: 700.0, clock_ghz: Some(3.654) };
    manifest.machine.peak = vec![peak];
    let markdown = render(&manifest, &records).markdown;
    assert!(markdown.contains("Clock: 3.65 GHz, measured on 1 thread just before the run"), "{markdown}");
    assert!(markdown.contains("each of which takes a cycle; the system says 2.50. Under"), "{markdown}");
    assert!(markdown.contains("700 GOP/s in int8 (avx2), 3.65 GHz"), "{markdown}");
}

#[test]
fn libraries_and_notes_of_a_build_are_shown() {
    let (mut manifest, records) = testing::example();
    let program = manifest.frameworks[0].program.as_mut().expect("found");
    program.notes = vec!["no warm-up: this build has no --no-warmup".to_owned()];
    program.libraries = vec![LibraryRecord { name: "libggml.so.0".to_owned(), sha256: "ef56".repeat(16) }];
    let markdown = render(&manifest, &records).markdown;
    assert_tables_are_whole(&markdown);
    assert!(markdown.contains("| libggml.so.0 `ef56ef56"), "{markdown}");
    assert!(markdown.contains("no warm-up: this build has no --no-warmup |"), "{markdown}");
}

#[test]
fn a_run_that_stood_still_says_where() {
    let (manifest, mut records) = testing::example();
    assert!(!render(&manifest, &records).markdown.contains("Nothing was launched"));
    for record in &mut records[3..] {
        record.started_at = "2026-01-02T04:14:05Z".to_owned();
    }
    let markdown = render(&manifest, &records).markdown;
    let wanted =
        format!("Nothing was launched for 70.0 minutes after `{}`: the run was", records[2].launch_id);
    assert_eq!(markdown.matches("Nothing was launched").count(), 1);
    assert!(markdown.contains(&wanted), "{markdown}");
}

#[test]
fn five_blocks_never_rank() {
    let (manifest, records) = testing::example();
    let rendered = render(&manifest, &testing::first_blocks(&records, 5));
    assert!(rendered.markdown.contains("5 paired blocks; fewer than 6 cannot rank"));
    for line in rendered.summary_csv.lines().skip(1) {
        assert!(!line.contains(",faster,") && !line.contains(",slower,"), "{line}");
    }
    for line in rendered.markdown.lines().filter(|l| l.starts_with('|')) {
        assert!(!line.contains("slower") && !line.contains("faster"), "{line}");
    }
    assert!(rendered.markdown.contains("cannot be told"));
}

#[test]
fn when_all_failed_the_report_says_so() {
    let (manifest, records) = testing::all_failed();
    let rendered = render(&manifest, &records);
    assert!(rendered.markdown.contains("Nothing could be measured"));
    assert!(rendered.markdown.contains("not built; run \\`harness setup engine\\`"));
    assert!(rendered.markdown.contains("exit code 1 \\| signal none second line"));
    assert_eq!(rendered.charts, []);
    assert_tables_are_whole(&rendered.markdown);
    // Not even launched.
    assert!(render(&manifest, &[]).markdown.contains("Nothing could be measured"));
}

#[test]
fn a_failed_gate_has_no_headline_figure_and_no_rank() {
    let (manifest, records) = testing::example();
    let markdown = render(&manifest, &records).markdown;
    let quick = markdown.lines().find(|l| l.starts_with("| candle |")).unwrap();
    assert!(quick.contains("invalid ‡"), "{quick}");
    assert!(markdown.contains("gate right_output failed in 1 of 6 launches"), "{markdown}");
}

#[test]
fn a_stand_in_is_named_wherever_figures_stand() {
    let (mut manifest, records) = testing::example();
    manifest.model.name = "TinyLlama 1.1B (synthetic stand-in)".to_owned();
    manifest.model.stand_in_reason = Some("the download failed".to_owned());
    let markdown = render(&manifest, &records).markdown;
    let headings =
        ["### Quick", "#### Single", "#### Multi", "#### Detail", "### Test CPU 9000 (", "### Peak"];
    for heading in headings {
        let line = markdown.lines().find(|l| l.starts_with(heading)).unwrap();
        assert!(line.contains("synthetic stand-in"), "{line}");
    }
}

#[test]
fn simulated_rows_say_so_everywhere() {
    let (mut manifest, mut records) = testing::example();
    manifest.scenario.frameworks[2].id = "fake".to_owned();
    manifest.frameworks[2].id = "fake".to_owned();
    records.retain(|r| r.role == Role::Measure);
    let rendered = render(&manifest, &records);
    for line in rendered.markdown.lines().filter(|l| l.starts_with("| candle")) {
        assert!(line.starts_with("| candle (simulated) |"), "{line}");
    }
    assert!(rendered.markdown.contains("**Simulated rows.**"));
}

#[test]
fn rows_without_some_figures_render() {
    let (mut manifest, mut records) = testing::example();
    manifest.machine.nominal_ghz = None;
    manifest.scenario.platform = None;
    for record in &mut records {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.memory = Default::default();
            m.cold = None;
            m.load_ns = None;
            m.requests.iter_mut().for_each(|r| r.prefill_ns = None);
        }
    }
    let markdown = render(&manifest, &records).markdown;
    assert!(markdown.contains("The clock is unknown"));
    assert_tables_are_whole(&markdown);
}

#[test]
fn what_a_server_calls_itself_is_text_wherever_it_stands() {
    const HOSTILE: &str =
        "v1|`<script>alert(1)</script>`\r\n# [x](http://192.0.2.1)\u{1b}[2J\u{202e}![y](z)&lt;";
    let (mut manifest, mut records) = testing::example();
    for record in &mut records {
        match &mut record.outcome {
            Outcome::Measured(m) => {
                (m.version, m.build, m.features) = (HOSTILE.into(), HOSTILE.into(), vec![HOSTILE.into()]);
                m.gates.iter_mut().for_each(|gate| (gate.seen, gate.passed) = (HOSTILE.into(), false));
            }
            Outcome::Failed { message, stderr_tail, .. } => {
                (*message, *stderr_tail) = (HOSTILE.into(), HOSTILE.into());
            }
        }
    }
    for framework in &mut manifest.frameworks {
        if let Some(unavailable) = &mut framework.unavailable {
            unavailable.reason = HOSTILE.into();
        }
    }
    let rendered = render(&manifest, &records);
    let markdown = &rendered.markdown;
    assert!(markdown.contains("v1\\|\\`&lt;script&gt;"), "it is shown");
    assert!(!markdown.contains("<script>") && !markdown.contains("[x](") && !markdown.contains("![y]("));
    assert!(!markdown.contains(['\u{1b}', '\r', '\u{202e}']));
    assert!(markdown.lines().all(|line| !line.starts_with("# [")), "no heading of its own");
    assert_tables_are_whole(markdown);
    assert!(rendered.charts.iter().all(|chart| !format!("{chart:?}").contains("<script>")));
}

#[test]
fn bundles_from_before_there_were_distributions_say_so() {
    let (manifest, mut records) = testing::example();
    for record in &mut records {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.forced = None;
        }
    }
    let markdown = render(&manifest, &records).markdown;
    let table = markdown.split("## Verification").nth(1).unwrap();
    let line = table.lines().find(|l| l.starts_with("| llama.cpp |")).unwrap();
    assert!(line.starts_with("| llama.cpp | chat, threads 1 | A | 4 of 4 | n/a ‡"), "{line}");
    assert!(markdown.contains("the launch was asked for the continuation alone"), "{markdown}");
    assert_tables_are_whole(&markdown);
}

#[test]
fn every_anchor_of_the_page_is_there_once_and_every_chart() {
    let (manifest, records) = testing::example();
    let rendered = render(&manifest, &records);
    let page = rendered.html();
    let values = |attribute: &str| -> Vec<&str> {
        let start = format!(" {attribute}=\"");
        page.split(start.as_str()).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect()
    };
    let ids = values("id");
    let unique: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
    let targets: Vec<&str> = values("href").into_iter().filter_map(|href| href.strip_prefix('#')).collect();
    assert!(targets.len() > 3 && targets.iter().all(|id| unique.contains(id)), "{targets:?}");
    assert_eq!(page.matches("<svg").count(), rendered.charts.len());
    assert!(!page.contains("style=\""), "the policy forbids it");
}
