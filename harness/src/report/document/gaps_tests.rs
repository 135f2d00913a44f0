use super::tests::{section_of, source};
use super::*;
use crate::bundle::ReadPerToken;
use crate::machine::ReadBandwidth;
use crate::testing;

fn gaps_of(sources: &[Source]) -> String {
    let markdown = render_document(sources, None);
    crate::report::tests::assert_tables_are_whole(&markdown);
    section_of(&markdown, "## Performance Gap Analysis", "## Where Each").to_owned()
}

/// The example beside an ablation of so many blocks, in which leaving the prefetch out leaves `slow` of the speed.
fn with_ablation(blocks: u32, slow: f64) -> String {
    let (run, ablation) = (testing::example(), testing::ablation(blocks, slow));
    gaps_of(&[source(&ablation, "runs/ablation"), source(&run, "runs/a")])
}

#[track_caller]
fn check(markdown: &str, wanted: &str) {
    assert!(markdown.contains(wanted), "{wanted}\n{markdown}");
}

#[test]
fn the_gap_analysis() {
    insta::assert_snapshot!(with_ablation(6, 0.6));
}

#[test]
fn sentences_on_parts_follow_the_data() {
    let (half, most) = (with_ablation(6, 0.5), with_ablation(6, 0.9));
    check(&half, "Decode on 1 thread: what costs most alone is `without prefetch`: 0.5");
    check(&half, "Together, `without prefetch+entry`: 0.2");
    check(&half, "| `without prefetch` | -5");
    check(&most, "Decode on 1 thread: what costs most alone is `without prefetch`: 0.9");
    check(&most, "Together, `without prefetch+entry`: 0.4");
    // A part that makes it slower is said to.
    let faster = with_ablation(6, 1.5);
    check(&faster, "no single change costs anything that can be told");
    check(&faster, "Faster so: `without prefetch`");
}

#[test]
fn too_few_blocks_rank_no_part() {
    let few = with_ablation(2, 0.5);
    check(&few, "Decode on 1 thread: nothing can be told: 2 paired blocks; fewer than 6 cannot rank.");
    assert!(!few.contains("what costs most"), "{few}");
}

#[test]
fn a_part_is_explained_and_its_bundle_is_named() {
    let markdown = with_ablation(6, 0.5);
    check(
        &markdown,
        "no line of weights is asked for ahead of its use; the thread pool is entered once for each",
    );
    check(&markdown, "[2026-01-02-test-box-ablation](runs/ablation/report.md)");
    let (run, ablation) = (testing::example(), testing::ablation(6, 0.5));
    let whole = render_document(&[source(&ablation, "runs/ablation"), source(&run, "runs/a")], None);
    assert!(!whole.contains("#run-2") && whole.contains("#run-1"), "no platform section of its own");
    check(&whole, "| gap analysis | [2026-01-02-test-box-ablation](runs/ablation/report.md) |");
}

#[test]
fn options_make_an_ablation_and_names_do_not() {
    let is = |change: fn(&mut Manifest)| {
        let mut run = testing::ablation(6, 0.5);
        change(&mut run.0);
        ablation::is_ablation(&source(&run, "runs/a"))
    };
    assert!(is(|_| ()));
    assert!(!is(|m| m.scenario.frameworks.iter_mut().for_each(|f| f.options.clear())), "the same thrice");
    assert!(!is(|m| m.scenario.frameworks[3].id = "candle".to_owned()), "a rival among them");
    let example = testing::example();
    assert!(!ablation::is_ablation(&source(&example, "runs/a")));
}

#[test]
fn a_document_of_ablations_alone_has_no_gap_to_tell() {
    let ablation = testing::ablation(6, 0.5);
    let markdown = gaps_of(&[source(&ablation, "runs/ablation")]);
    check(&markdown, "Nothing was measured that tells it.");
    check(&markdown, "`without prefetch`");
}

#[test]
fn what_was_not_measured_is_said() {
    let mut run = testing::example();
    check(&gaps_of(&[source(&run, "runs/a")]), "The read bandwidth was not measured in this run");
    check(&gaps_of(&[source(&run, "runs/a")]), "No ablation session is among the bundles");
    run.0.machine.read_bandwidth =
        vec![ReadBandwidth { threads: 1, best_gb_s: 20.0, median_gb_s: 19.0, streams: 2 }];
    run.0.model.read_per_token =
        Some(ReadPerToken { weights_bytes: 98_000_000, kv_bytes_per_position: 23_040 });
    let known = gaps_of(&[source(&run, "runs/a")]);
    check(&known, "a token reads 101 MB, and memory gives 20.0 GB/s: engine decodes at ");
    check(&known, "Both read the same bytes");
    check(
        &known,
        "llama-bench, which serves nobody, decodes 98.75 tok/s on 1 thread where llama.cpp was measured at 95.71 (+3%)",
    );
}

/// The example with the times of one row's tokens so many times as long.
fn slowed(label: &str, factor: u64) -> (Manifest, Vec<LaunchRecord>) {
    let mut run = testing::example();
    for record in run.1.iter_mut().filter(|r| r.framework == label) {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.requests.iter_mut().flat_map(|r| &mut r.token_at_ns).for_each(|ns| *ns *= factor);
        }
    }
    run
}

#[test]
fn the_heading_follows_the_verdicts() {
    let (slower, faster) = (slowed("engine", 3), slowed("llama.cpp", 3));
    check(&gaps_of(&[source(&slower, "runs/a")]), "### Why engine is slower than llama.cpp");
    check(&gaps_of(&[source(&faster, "runs/b")]), "### Why engine is faster than llama.cpp");
    let both = gaps_of(&[source(&slower, "runs/a"), source(&faster, "runs/b")]);
    check(&both, "### What separates engine from llama.cpp");
}

#[test]
fn threads_are_judged_by_block() {
    let mut run = testing::example();
    check(&gaps_of(&[source(&run, "runs/a")]), "whether threads change the gap cannot be told, 0.9");
    for record in run.1.iter_mut().filter(|r| r.framework == "engine" && r.threads == 2) {
        if let Outcome::Measured(m) = &mut record.outcome {
            m.requests.iter_mut().flat_map(|r| &mut r.token_at_ns).for_each(|ns| *ns *= 4);
        }
    }
    check(&gaps_of(&[source(&run, "runs/a")]), "llama.cpp gains on engine with threads: 0.2");
    let clean = testing::crowded();
    check(&gaps_of(&[source(&clean, "runs/a")]), "on 16 threads: ");
}
