//! The same simulation, shorter. Seeds are fixed, so that nothing here is chance.

use crate::nights::Noise;
use crate::study;
use harness::history::RULES;

const fn normal(sd: f64) -> Noise {
    Noise { sd, is_heavy: false, correlation: 0.0 }
}

#[test]
fn alarms_are_seldom_false() {
    for sd in [0.01, 0.03] {
        let told = study::false_alarms(&normal(sd), &RULES, 6);
        assert!(told.regressions <= 0.7, "{sd}: {told:?}");
    }
}

#[test]
fn a_step_is_told_within_two_nights() {
    let [first, step, either] = study::step_found(&normal(0.02), 0.02, 10, 0.95, &RULES, 20);
    assert!(either >= 0.95 && either >= first.max(step), "{first} {step} {either}");
    let [_, _, nothing] = study::step_found(&normal(0.02), 0.02, 10, 1.0, &RULES, 20);
    assert!(nothing <= 0.05, "{nothing}");
}

#[test]
fn a_drift_is_told_within_five_weeks() {
    assert!(study::drift_found(&normal(0.01), 35, &RULES, 10) >= 0.9);
    assert!(study::drift_found(&normal(0.01), 3, &RULES, 10) <= 0.1);
}
