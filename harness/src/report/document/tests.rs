use super::*;
use crate::testing;

fn smallmind() -> Published {
    let text = include_str!("../../../../reports/reference/smallmind-2024-02-13.yaml");
    Published::parse("smallmind-2024-02-13.yaml", text).expect("valid")
}

pub(super) fn source<'a>(run: &'a (Manifest, Vec<LaunchRecord>), href: &'a str) -> Source<'a> {
    Source { manifest: &run.0, records: &run.1, href }
}

pub(super) fn section_of<'a>(markdown: &'a str, from: &str, to: &str) -> &'a str {
    let rest = &markdown[markdown.find(from).expect(from)..];
    &rest[..rest.find(to).expect(to)]
}

#[test]
fn the_whole_document() {
    let run = testing::example();
    let sources = [source(&run, "runs/a")];
    let published = smallmind();
    let markdown = render_document(&sources, Some((&published, "smallmind-2024-02-13.yaml")));
    crate::report::tests::assert_tables_are_whole(&markdown);
    insta::assert_snapshot!(markdown);
    assert_eq!(markdown, render_document(&sources, Some((&published, "smallmind-2024-02-13.yaml"))));
}

#[test]
fn it_has_the_sections_of_the_published_document_in_their_order() {
    let run = testing::example();
    let published = smallmind();
    let markdown = render_document(&[source(&run, "runs/a")], Some((&published, "p.yaml")));
    let sections: Vec<&str> = markdown.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(
        sections,
        [
            "Executive Summary",
            "Detailed Comparison by Platform",
            "Performance Gap Analysis",
            "Where Each Framework Excels",
            "Normalized Efficiency Comparison",
            "Memory Efficiency Comparison",
            "Use Case Recommendations",
            "Performance Evolution",
            "Industry Context",
            "Benchmark Methodology Notes",
            "Conclusion",
        ]
    );
}

#[test]
fn published_figures_are_marked_wherever_they_stand() {
    let run = testing::example();
    let published = smallmind();
    let markdown = render_document(&[source(&run, "runs/a")], Some((&published, "p.yaml")));
    let rows = markdown.lines().filter(|line| line.starts_with("| ") && line.contains("SmallMind"));
    let mut n_rows = 0;
    for row in rows.filter(|row| !row.contains("Feature")) {
        n_rows += 1;
        let cells = row.trim_matches('|').split('|').map(str::trim).filter(|cell| !cell.is_empty());
        assert!(cells.clone().all(|cell| cell.ends_with('†')), "{row}");
    }
    assert_eq!(n_rows, 12, "one in each table of platforms, efficiency, memory, spectrum and position");
    // Without published figures there is neither a mark nor a word of them.
    let markdown = render_document(&[source(&run, "runs/a")], None);
    assert!(!markdown.contains("SmallMind"));
    assert_eq!(markdown.matches('†').count(), 1, "where marks are explained");
}

#[test]
fn charts_and_evidence_are_those_of_the_bundles() {
    let (first, second) = (testing::example(), testing::example());
    let markdown = render_document(&[source(&first, "runs/a"), source(&second, "runs/b")], None);
    for href in ["runs/a", "runs/b"] {
        assert!(markdown.contains(&format!("]({href}/charts/throughput-chat.svg)")), "{markdown}");
        assert!(markdown.contains(&format!("[bundle]({href}/)")));
        assert!(markdown.contains(&format!("[Programs]({href}/report.md#programs)")));
    }
    assert!(!markdown.contains("](charts/"), "no chart of the document's own");
    assert!(markdown.contains("### 1. ") && markdown.contains("### 2. "));
    // A reason has one number in the whole document.
    let reasons = section_of(&markdown, "### Not measured", "## Conclusion");
    let mut lines: Vec<&str> = reasons.lines().filter(|l| l.starts_with("- ‡")).collect();
    let n = lines.len();
    lines.dedup_by_key(|line| line.split_once(": ").map(|(_, reason)| reason));
    assert!(n > 0 && n == lines.len(), "{reasons}");
}

#[test]
fn sentences_and_ranks_follow_the_data() {
    let run = testing::example();
    let before = render_document(&[source(&run, "runs/a")], None);
    let mut slower = testing::example();
    for record in slower.1.iter_mut().filter(|r| r.framework == "engine") {
        if let Outcome::Measured(m) = &mut record.outcome {
            for ns in m.requests.iter_mut().flat_map(|r| &mut r.token_at_ns) {
                *ns *= 3;
            }
        }
    }
    let after = render_document(&[source(&slower, "runs/a")], None);
    for (from, to) in [
        ("## Executive Summary", "## Detailed"),
        ("## Industry Context", "## Bench"),
        ("## Conclusion", "\n\0"),
    ] {
        let part = |text: &str| section_of(&(text.to_owned() + "\n\0"), from, to).to_owned();
        assert_ne!(part(&before), part(&after), "{from}");
    }
    assert!(after.contains("slower"), "{after}");
}

#[test]
fn the_history_has_its_section_and_its_charts() {
    let run = testing::example();
    let mut ratios = testing::steady(90);
    ratios[70..].iter_mut().for_each(|ratio| *ratio *= 0.93);
    let history = crate::history::history_of(testing::nights(&ratios, |_, _| {}));
    let nightly = |history| Some(super::Nightly { history, href: "history/nightly.jsonl" });
    let document = super::render_document_with(&[source(&run, "runs/a")], None, nightly(&history));
    let section = section_of(&document.markdown, "## Performance Evolution", "## Industry Context");
    assert!(
        section.contains("90 sessions from 2026-01-01 to 2026-03-31 ([history](history/nightly.jsonl))"),
        "{section}"
    );
    assert!(section.contains("| 2026-01-01 | 90 | 0 | 0.981"), "{section}");
    assert!(section.contains("| 2026-03-12 worse: -6.9% \\[-7.3%"), "{section}");
    let [(path, svg)] = &document.charts[..] else { panic!("one chart") };
    assert_eq!(path, "history/charts/trend-nightly-engine-chat-t2-decode-tok-s-machine-a.svg");
    assert!(svg.starts_with("<svg ") && section.contains(&format!("]({path})")), "{section}");
    let empty = super::render_document_with(&[source(&run, "runs/a")], None, nightly(&Default::default()));
    assert_eq!(empty.markdown, render_document(&[source(&run, "runs/a")], None));
    assert!(
        section_of(&empty.markdown, "## Performance Evolution", "## Industry Context")
            .contains("There is no nightly history yet.")
    );
}
