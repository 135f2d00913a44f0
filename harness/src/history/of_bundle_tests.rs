//! The lines of a bundle.

use super::*;
use crate::bundle::{self, Bundle};
use crate::sample::Metric;
use crate::testing;

fn example() -> (tempfile::TempDir, Bundle) {
    let dir = tempfile::tempdir().unwrap();
    let (manifest, records) = testing::example();
    let bundle = bundle::read(&testing::write_bundle(dir.path(), &manifest, &records)).unwrap();
    (dir, bundle)
}

fn of(bundle: &Bundle, previous: Option<&str>, commits: &Commits) -> History {
    history_of(lines(&bundle.manifest, &bundle.records, &bundle.seal, previous, commits))
}

fn point<'a>(history: &'a History, row: &str, threads: u32, metric: Metric) -> &'a Point {
    let is_it = |p: &&Point| p.row == row && p.threads == threads && p.metric == metric;
    history.points.iter().find(is_it).unwrap()
}

#[test]
fn every_figure_of_a_bundle_has_a_line() {
    let (_dir, bundle) = example();
    let history = of(&bundle, None, &Commits::new());
    let [session] = &history.sessions[..] else { panic!("one session") };
    assert_eq!((&session.bundle, &session.bundle_sha256), (&bundle.manifest.id, &bundle.seal.head));
    assert_eq!((session.points, history.remarks.len()), (history.points.len(), 0));
    assert_eq!((session.baseline.label.as_str(), session.subject.as_str()), ("llama.cpp", "engine"));
    assert_eq!(session.row("engine").unwrap().commit, bundle.manifest.harness_commit);
    assert_eq!(session.row("llama.cpp").unwrap().commit, None);

    let engine = point(&history, "engine", 1, Metric::Decode);
    assert!((engine.ratio.unwrap() - 89.0 / 96.0).abs() < 0.02, "{engine:?}");
    assert_eq!((engine.n, engine.launches, &engine.out), (6, 6, &None));
    assert!(engine.lo < engine.ratio && engine.ratio < engine.hi && engine.value.unwrap() > 80.0);
    let baseline = point(&history, "llama.cpp", 1, Metric::Decode);
    assert!(baseline.ratio.is_none() && baseline.verdict.is_none() && baseline.value.is_some());
    let gated = point(&history, "candle", 1, Metric::Decode);
    assert!(gated.out.as_ref().unwrap().contains("right_output") && gated.ratio.is_some(), "{gated:?}");
    let missing = point(&history, "ollama", 1, Metric::Decode);
    assert!(missing.out.is_some() && missing.value.is_none() && missing.ratio.is_none());
}

#[test]
fn the_same_bundle_gives_the_same_lines_and_another_one_others() {
    let (_dir, bundle) = example();
    let ids = |h: &History| h.points.iter().map(|p| p.id).collect::<Vec<_>>();
    let history = of(&bundle, None, &Commits::new());
    assert_eq!(of(&bundle, None, &Commits::new()), history);
    let mut other = bundle.clone();
    other.seal.head = "0".repeat(64);
    assert!(ids(&of(&other, None, &Commits::new())).iter().all(|id| !ids(&history).contains(id)));
}

#[test]
fn five_blocks_do_not_enter() {
    let (_dir, mut bundle) = example();
    bundle.records = testing::first_blocks(&bundle.records, 5);
    let history = of(&bundle, None, &Commits::new());
    let engine = point(&history, "engine", 1, Metric::Decode);
    assert_eq!(engine.out.as_deref(), Some("5 paired blocks; fewer than 6 cannot rank"));
}

#[test]
fn the_subject_is_compared_with_its_last_good_version() {
    let (_dir, bundle) = example();
    let commits = Commits::from([("engine".to_owned(), "abc".to_owned())]);
    let history = of(&bundle, Some("llama.cpp"), &commits);
    assert_eq!(history.sessions[0].previous.as_deref(), Some("llama.cpp"));
    assert_eq!(history.sessions[0].row("engine").unwrap().commit.as_deref(), Some("abc"));
    let engine = point(&history, "engine", 1, Metric::Decode);
    let previous = engine.previous.as_ref().unwrap();
    assert_eq!((Some(previous.ratio), previous.n), (engine.ratio, 6), "the baseline stands for it here");
    assert_eq!(Some(&previous.verdict), engine.verdict.as_ref());
    assert!(point(&history, "candle", 1, Metric::Decode).previous.is_none());
    let gated = of(&bundle, Some("candle"), &commits);
    assert_eq!(point(&gated, "engine", 1, Metric::Decode).previous.as_ref().unwrap().verdict, "invalid");
    assert!(of(&bundle, None, &commits).sessions[0].previous.is_none());
}

#[test]
fn the_epoch_rests_on_what_is_measured_and_with_what() {
    let (_dir, bundle) = example();
    let epoch = |change: fn(&mut Bundle)| {
        let mut bundle = bundle.clone();
        change(&mut bundle);
        of(&bundle, None, &Commits::new()).sessions[0].epoch
    };
    let first = epoch(|_| ());
    let others: [fn(&mut Bundle); 6] = [
        |b| b.manifest.machine.id = "other".to_owned(),
        |b| b.manifest.machine.kernel = "other".to_owned(),
        |b| b.manifest.model.sha256 = "other".to_owned(),
        |b| b.manifest.scenario.workloads[0].generate_tokens += 1,
        |b| b.manifest.frameworks[0].program.as_mut().unwrap().version = "b99999".to_owned(),
        |b| b.manifest.frameworks[0].program.as_mut().unwrap().sha256 = "9".repeat(64),
    ];
    for (i, other) in others.into_iter().enumerate() {
        assert_ne!(epoch(other), first, "{i}");
    }
    let same: [fn(&mut Bundle); 3] = [
        |b| b.manifest.seed += 1,
        |b| b.manifest.scenario.blocks += 4,
        |b| b.manifest.frameworks[1].program.as_mut().unwrap().sha256 = "9".repeat(64),
    ];
    assert!(same.into_iter().all(|same| epoch(same) == first));
}
