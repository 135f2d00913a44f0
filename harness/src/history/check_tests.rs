//! What a check says of scripted histories.

use super::*;
use crate::sample::Metric;
use crate::testing::{nights, steady};

fn checked<R>(lines: Vec<Line>, look: impl FnOnce(&Checked) -> R) -> R {
    let history = history_of(lines);
    look(&check(&history, &RULES, |_| true))
}

/// What a check of these nights tells: for the worse or not, the night of the change, the night on which it was found.
fn told(ratios: &[f64]) -> Vec<(bool, String, String)> {
    checked(nights(ratios, |_, _| {}), |checked| {
        assert_eq!((checked.series, checked.unjudged.len()), (1, 0));
        let told = |f: &Finding| (f.is_regression, f.bad.bundle.clone(), f.found.bundle.clone());
        checked.findings.iter().map(told).collect()
    })
}

fn stepped(n: usize, at: usize, factor: f64) -> Vec<f64> {
    let mut ratios = steady(n);
    ratios[at..].iter_mut().for_each(|ratio| *ratio *= factor);
    ratios
}

fn tells(is_regression: bool, bad: usize, found: usize) -> Vec<(bool, String, String)> {
    vec![(is_regression, format!("night-{bad:03}"), format!("night-{found:03}"))]
}

#[test]
fn a_step_is_told_from_its_second_night_on_for_a_week() {
    assert_eq!(told(&stepped(61, 60, 0.93)), [], "one night may be an outlier");
    for n in 62..=68 {
        assert_eq!(told(&stepped(n, 60, 0.93)), tells(true, 60, 61), "{n} nights");
    }
    assert_eq!(told(&stepped(69, 60, 0.93)), [], "no news any more");
}

#[test]
fn an_improvement_is_told_as_that() {
    assert_eq!(told(&stepped(64, 60, 1.08)), tells(false, 60, 61));
}

#[test]
fn noise_and_few_nights_tell_nothing() {
    for n in [1, 2, 3, 40, 200] {
        assert_eq!(told(&steady(n)), [], "{n} nights");
    }
    checked(nights(&steady(2), |_, _| {}), |checked| assert_eq!(checked.young, 1));
    assert_eq!(told(&stepped(62, 60, 0.985)), [], "less than 2%");
}

#[test]
fn an_outlier_tells_nothing_and_hides_no_step() {
    let mut ratios = steady(80);
    ratios[60] *= 0.85;
    for n in 61..=80 {
        assert_eq!(told(&ratios[..n]), [], "{n} nights");
    }
    let mut ratios = stepped(66, 61, 0.93);
    ratios[60] *= 0.85;
    let told = told(&ratios);
    assert!(
        matches!(&told[..], [(true, bad, _)] if ["night-060", "night-061"].contains(&&**bad)),
        "{told:?}"
    );
}

#[test]
fn a_drift_is_told_within_five_weeks() {
    let mut ratios = steady(95);
    for (night, ratio) in ratios[60..].iter_mut().enumerate() {
        *ratio *= 0.99f64.powf((night + 1) as f64 / 7.0);
    }
    let first = (61..=95).find(|&n| told(&ratios[..n]).iter().any(|f| f.0));
    assert!(first.is_some_and(|n| n <= 90), "{first:?}");
}

#[test]
fn what_was_made_good_again_is_no_regression() {
    let mut ratios = stepped(66, 58, 0.93);
    ratios[63..].iter_mut().for_each(|ratio| *ratio /= 0.93);
    assert!(told(&ratios).iter().all(|finding| !finding.0), "{:?}", told(&ratios));
}

#[test]
fn a_finding_names_commits_bundles_and_means() {
    let lines = nights(&stepped(64, 60, 0.93), |_, _| {});
    checked(lines, |checked| {
        let [finding] = &checked.findings[..] else { panic!("{checked:?}") };
        assert_eq!(finding.key.to_string(), "nightly/engine/chat/t2/decode_tok_s@machine-a");
        assert_eq!(finding.commits, (Some("c0ffee000059"), Some("c0ffee000060")));
        assert_eq!((finding.good.bundle.as_str(), finding.n), ("night-059", (60, 4)));
        assert!(
            (finding.before - 1.05).abs() < 0.01 && (finding.after - 1.05 * 0.93).abs() < 0.02,
            "{finding:?}"
        );
        let (share, interval) = (finding.change.0, finding.change.1.unwrap());
        assert!(interval.lo < share && share < interval.hi && interval.hi < -0.02, "{finding:?}");
        assert!(finding.sparkline.contains('│') && finding.p.unwrap() < 1e-4);
    });
}

#[test]
fn series_are_never_compared_across_epochs() {
    let change = |part: fn(&mut Session)| {
        let lines = nights(&stepped(64, 60, 0.8), |night, line| {
            if let (60.., Line::Session(session)) = (night, line) {
                part(session);
                session.epoch = Id::of(&["another"]);
            }
        });
        let history = history_of(lines);
        assert_eq!(check(&history, &RULES, |_| true).findings, []);
        let series = history.series();
        let [_, last] = &series[0].epochs()[..] else { panic!("two epochs") };
        assert_eq!((last.range.clone(), last.entered.len()), (60..64, 4));
        last.changed.clone()
    };
    assert_eq!(change(|s| s.kernel = "Linux 7".to_owned()), ["kernel"]);
    assert_eq!(change(|s| s.model_sha256 = "9".repeat(64)), ["model"]);
    assert_eq!(change(|s| s.work = Id::of(&["more"])), ["work"]);
    assert_eq!(change(|s| s.baseline.version = "b2".to_owned()), ["version of the baseline"]);
    assert_eq!(change(|_| ()), ["settings of the baseline"]);
}

#[test]
fn another_machine_is_another_series() {
    let lines = nights(&stepped(64, 60, 0.8), |night, line| {
        if let (60.., Line::Session(session)) = (night, line) {
            session.machine = "machine-b".to_owned();
        }
    });
    checked(lines, |checked| assert_eq!((checked.series, checked.findings.len()), (2, 0)));
}

#[test]
fn withdrawn_and_unranked_nights_are_kept_and_do_not_enter() {
    let mut ratios = steady(70);
    ratios[60..64].fill(0.5);
    let lines = nights(&ratios, |night, line| match line {
        Line::Session(session) if (60..62).contains(&night) => {
            session.withdrawn = Some("too noisy".to_owned())
        }
        Line::Point(point) if (62..64).contains(&night) => point.out = Some("a gate failed".to_owned()),
        _ => {}
    });
    let history = history_of(lines);
    let series = history.series();
    assert_eq!(series[0].nights.len(), 70);
    assert_eq!(series[0].nights[60].ratio(), Err("too noisy"));
    assert_eq!(series[0].nights[62].ratio(), Err("a gate failed"));
    assert_eq!(series[0].epochs()[0].entered.len(), 66);
    assert_eq!(check(&history, &RULES, |_| true).findings, []);
}

#[test]
fn the_newest_night_that_does_not_enter_is_named() {
    let lines = nights(&steady(10), |night, line| {
        if let (9, Line::Point(point)) = (night, line) {
            point.out = Some("crashed".to_owned());
        }
    });
    checked(lines, |checked| {
        let [unjudged] = &checked.unjudged[..] else { panic!("{checked:?}") };
        assert!(unjudged.is_subject && unjudged.reason == "crashed");
    });
}

#[test]
fn a_subject_without_any_figure_is_named_whichever_metric_is_asked_for() {
    let newest = |launches: usize| {
        let lines = nights(&steady(10), |night, line| {
            if let (9, Line::Point(point)) = (night, line) {
                (point.out, point.launches) = (Some("crashed".to_owned()), launches);
            }
        });
        let history = history_of(lines);
        let checked = check(&history, &RULES, |key| key.metric == Metric::Prefill);
        checked.unjudged.iter().map(|u| (u.is_subject, u.reason.clone())).collect::<Vec<_>>()
    };
    assert_eq!(newest(0), [(true, "crashed".to_owned())]);
    assert_eq!(newest(10), [], "decode was measured, and is not asked for");
}

/// The last of twenty nights, compared with the last good version.
fn first_night(verdict: &str, ratio: f64) -> Vec<Line> {
    nights(&steady(20), |night, line| match line {
        Line::Session(session) => {
            session.previous = Some("engine-previous".to_owned());
            let previous = RowVersion {
                label: "engine-previous".to_owned(),
                commit: Some("600d".to_owned()),
                ..session.rows[1].clone()
            };
            session.rows.push(previous);
        }
        Line::Point(point) if night == 19 && point.row == "engine" => {
            let (lo, hi) = (Some(ratio * 0.99), Some(ratio * 1.01));
            point.previous = Some(Box::new(Against { ratio, lo, hi, n: 10, verdict: verdict.to_owned() }));
        }
        Line::Point(_) => {}
    })
}

#[test]
fn the_first_night_tells_what_the_session_itself_found() {
    checked(first_night("slower", 0.95), |checked| {
        let [finding] = &checked.findings[..] else { panic!("{checked:?}") };
        assert_eq!((finding.kind, finding.is_regression, finding.n), (Kind::FirstNight, true, (10, 10)));
        assert_eq!(finding.commits, (Some("600d"), Some("c0ffee000019")));
        assert_eq!(finding.bad.bundle, "night-019");
        let interval = finding.change.1.unwrap();
        assert!((finding.change.0 + 0.05).abs() < 1e-9 && interval.hi < -0.04, "{finding:?}");
    });
    checked(first_night("faster", 1.05), |checked| {
        assert_eq!(checked.findings.iter().map(|f| f.is_regression).collect::<Vec<_>>(), [false]);
    });
    for verdict in ["equivalent", "unresolved", "invalid"] {
        checked(first_night(verdict, 0.95), |checked| assert_eq!(checked.findings, []));
    }
    // The night after, it is history.
    let mut lines = first_night("slower", 0.95);
    lines.extend(crate::testing::night(20, 1.05));
    checked(lines, |checked| assert_eq!(checked.findings, []));
}

#[test]
fn the_last_good_version_moves_only_where_nothing_speaks_against_it() {
    let moves = |lines: Vec<Line>| checked(lines, |checked| checked.last_good_moves());
    assert!(moves(nights(&steady(3), |_, _| {})), "there is none yet");
    assert!(moves(first_night("equivalent", 1.0)));
    assert!(moves(first_night("faster", 1.05)));
    for verdict in ["slower", "unresolved", "invalid"] {
        assert!(!moves(first_night(verdict, 0.95)), "{verdict}");
    }
    let mut lines = first_night("equivalent", 1.0);
    for line in &mut lines {
        if let Line::Point(point) = line {
            point.previous = None;
        }
    }
    assert!(!moves(lines), "not compared");
    assert!(!moves(nights(&stepped(62, 60, 0.93), |_, _| {})), "a change point");
    let failed = nights(&steady(10), |night, line| {
        if let (9, Line::Point(point)) = (night, line) {
            point.out = Some("crashed".to_owned());
        }
    });
    assert!(!moves(failed));
    assert!(!moves(Vec::new()));
}

#[test]
fn the_last_good_version_is_no_series() {
    let mut lines = first_night("slower", 0.95);
    for line in crate::testing::night(19, 1.0) {
        if let Line::Point(point) = line {
            let id = Id::of(&["previous"]);
            lines.push(Line::Point(Point { row: "engine-previous".to_owned(), id, ..point }));
        }
    }
    checked(lines, |checked| assert_eq!(checked.series, 1));
}
