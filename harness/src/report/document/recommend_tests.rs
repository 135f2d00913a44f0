use super::*;
use crate::bundle::Manifest;
use crate::report::document::{Source, render_document};
use crate::sample::{LaunchRecord, Outcome};
use crate::testing;

type Bundle = (Manifest, Vec<LaunchRecord>);

fn rendered(bundles: &[&Bundle]) -> String {
    let source = |run: &&'_ Bundle| (run.0.clone(), run.1.clone());
    let owned: Vec<Bundle> = bundles.iter().map(source).collect();
    let sources: Vec<Source> =
        owned.iter().map(|run| Source { manifest: &run.0, records: &run.1, href: "runs/a" }).collect();
    render_document(&sources, None)
}

/// What the rule with this use case selects.
fn selects<'a>(markdown: &'a str, use_case: &str) -> &'a str {
    let start = format!("| {use_case} |");
    let line = markdown
        .lines()
        .find(|line| line.starts_with(&start))
        .unwrap_or_else(|| panic!("{use_case}: {markdown}"));
    line.trim_end_matches(" |").rsplit(" | ").next().expect("a cell")
}

fn part<'a>(markdown: &'a str, from: &str) -> &'a str {
    let rest = &markdown[markdown.find(from).unwrap_or_else(|| panic!("{from}: {markdown}"))..];
    &rest[..rest[1..].find("\n#").map_or(rest.len(), |end| end + 1)]
}

/// Times of the row's tokens, `by` times as long.
fn slowed(mut run: Bundle, label: &str, by: u64) -> Bundle {
    for record in run.1.iter_mut().filter(|r| r.framework == label) {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.requests.iter_mut().flat_map(|r| &mut r.token_at_ns).for_each(|ns| *ns *= by);
        }
    }
    run
}

/// The peaks of the row's memory, `by` times as high.
fn fatter(mut run: Bundle, label: &str, by: u64) -> Bundle {
    for record in run.1.iter_mut().filter(|r| r.framework == label) {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.memory.rss_peak_bytes = m.memory.rss_peak_bytes.map(|bytes| bytes * by);
        }
    }
    run
}

const METRIC_RULES: [&str; 5] = [
    "Maximum Performance, one request",
    "Maximum Performance, all threads",
    "Long Prompts",
    "Interactive Use",
    "Embedded Systems",
];

#[test]
fn rules_have_their_own_ids_and_use_cases() {
    let distinct =
        |of: fn(&Rule) -> &str| RULES.iter().map(of).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!((distinct(|r| r.id), distinct(|r| r.use_case)), (RULES.len(), RULES.len()));
    let markdown = rendered(&[&testing::example()]);
    let places: Vec<usize> = RULES
        .iter()
        .map(|r| markdown.find(&format!("| {} | {} |", r.use_case, r.words)).expect(r.id))
        .collect();
    assert!(places.is_sorted(), "stated in order");
}

#[test]
fn the_fastest_row_is_chosen_by_verdict_and_changes_with_the_data() {
    let run = testing::example();
    let one = "Maximum Performance, one request";
    let markdown = rendered(&[&run]);
    assert!(
        selects(&markdown, one).contains("[1. Test CPU 9000](#run-1): llama.cpp (95.71"),
        "{}",
        selects(&markdown, one)
    );
    assert!(part(&markdown, "### When to Choose llama.cpp").contains(one), "{markdown}");
    let slower = rendered(&[&slowed(run, "llama.cpp", 3)]);
    assert!(selects(&slower, one).contains("): engine (89"), "{}", selects(&slower, one));
    assert!(part(&slower, "### When to Choose engine").contains(one));
    assert!(!part(&slower, "### When to Choose llama.cpp").contains(one));
}

#[test]
fn too_few_blocks_choose_nothing_and_say_why() {
    let (manifest, records) = testing::example();
    let few = (manifest, testing::first_blocks(&records, 5));
    let markdown = rendered(&[&few]);
    for use_case in METRIC_RULES {
        let words = selects(&markdown, use_case);
        assert!(words.contains("cannot be told: ") && words.contains("fewer than 6 cannot rank"), "{words}");
    }
    let choices = part(&markdown, "### When to Choose");
    assert!(METRIC_RULES.iter().all(|use_case| !choices.contains(use_case)), "{choices}");
    assert!(part(&markdown, "### The Bottom Line").contains("cannot be told on 1: "));
    // Two rows that were never measured in one block.
    let (manifest, mut records) = testing::example();
    records.retain(|r| (r.framework == "engine") == (r.block < 3));
    let words = rendered(&[&(manifest, records)]);
    let words = selects(&words, METRIC_RULES[0]);
    assert!(words.ends_with("cannot be told: llama.cpp and engine share no undisturbed block"), "{words}");
    let failed = rendered(&[&testing::all_failed()]);
    for use_case in METRIC_RULES {
        assert!(
            selects(&failed, use_case).ends_with("cannot be told: no row may be ranked"),
            "{use_case}: {failed}"
        );
    }
    assert!(selects(&failed, "GPU Acceleration").starts_with("none: "), "a claim alone recommends nothing");
    assert!(!failed.contains("### When to Choose"));
    assert!(failed.contains("**Rating:** cannot be told: "));
    assert!(failed.contains("It cannot be told how engine compares with llama.cpp"), "{failed}");
}

#[test]
fn a_row_that_is_not_ranked_is_never_chosen() {
    // candle fails a gate in the example, however fast it is made.
    let (manifest, records) = testing::example();
    let run = slowed(slowed((manifest, records), "llama.cpp", 9), "engine", 9);
    let markdown = rendered(&[&run]);
    let chosen = part(&markdown, "## Use Case Recommendations");
    assert!(chosen.contains("| Rust Applications |") && !chosen.contains("candle"), "{chosen}");
    assert!(!markdown.contains("### When to Choose candle"));
    assert!(!markdown.contains("### When to Choose ollama"), "it was not measured");
}

#[test]
fn memory_is_chosen_by_verdict_too() {
    let run = testing::example();
    let before = rendered(&[&run]);
    assert!(
        selects(&before, "Embedded Systems").contains("): engine ("),
        "{}",
        selects(&before, "Embedded Systems")
    );
    let after = rendered(&[&fatter(run, "engine", 4)]);
    assert!(
        selects(&after, "Embedded Systems").contains("): llama.cpp ("),
        "{}",
        selects(&after, "Embedded Systems")
    );
}

#[test]
fn the_bottom_line_counts_the_runs() {
    let (slow, fast) = (testing::example(), slowed(testing::example(), "llama.cpp", 3));
    let few = (fast.0.clone(), testing::first_blocks(&fast.1, 5));
    let markdown = rendered(&[&fast, &slow, &few]);
    let line = part(&markdown, "### The Bottom Line");
    assert!(
        line.contains("engine's decode against llama.cpp's, over 3 runs: faster on 1: [1. Test CPU 9000]"),
        "{line}"
    );
    assert!(
        line.contains("; slower on 1: [2. Test CPU 9000]")
            && line.contains("; cannot be told on 1: [3. Test CPU 9000]"),
        "{line}"
    );
    assert!(
        line.contains("- engine's peak memory against llama.cpp's, over 3 runs: smaller on 2: "),
        "{line}"
    );
    // The answer comes first.
    let summary = part(&markdown, "## Executive Summary");
    assert!(summary.contains("engine's decode against llama.cpp's, over 3 runs: faster on 1: "), "{summary}");
    let rating =
        |markdown: &str| part(markdown, "### engine's Performance Verdict").lines().nth(2).map(str::to_owned);
    assert_ne!(rating(&rendered(&[&slowed(testing::example(), "engine", 9)])), rating(&rendered(&[&fast])));
}

#[test]
fn stars_by_the_stated_formulas() {
    let of = |worths: &[f64], lines| feature_stars((worths.to_vec(), lines));
    assert_eq!((of(&[1.0; 4], 4), of(&[0.0; 4], 4), of(&[0.5; 4], 4)), (Some(5), Some(1), Some(3)));
    assert_eq!(
        (of(&[1.0; 2], 4), of(&[1.0; 1], 4), of(&[1.0; 2], 5), of(&[], 0)),
        (Some(5), None, None, Some(1))
    );
    assert_eq!((overall(&[5, 4]), overall(&[1, 2, 2]), overall(&[])), (Some(5), Some(2), None));
    assert_eq!(rating(2), "⭐⭐ (2/5 stars)");
}

#[test]
fn the_title_says_when_the_scenario_was_for_another_machine() {
    let mut run = testing::example();
    let title = |run: &Bundle| {
        let own = crate::report::render(&run.0, &run.1).markdown;
        let heading =
            |text: &str| text.lines().find(|l| l.starts_with("### 1. Test")).expect("a section").to_owned();
        assert_eq!(heading(&own), heading(&rendered(&[run])));
        heading(&own)
    };
    let spec = |name: &str| crate::scenario::PlatformSpec {
        name: name.into(),
        nominal_ghz: None,
        processors: vec![],
    };
    run.0.scenario.platform = Some(spec("Apple M2"));
    assert!(title(&run).ends_with(") (scenario for Apple M2; run on Test CPU 9000)"), "{}", title(&run));
    for fitting in [Some(spec("Test CPU 9000")), None] {
        run.0.scenario.platform = fitting;
        assert!(!title(&run).contains("scenario for"), "{}", title(&run));
    }
}
