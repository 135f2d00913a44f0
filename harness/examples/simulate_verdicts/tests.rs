//! The same simulation, shorter. Seeds are fixed, so that nothing here is chance; the bounds leave four standard
//! errors of 400 sessions, so that another seed would pass too.

use crate::adaptive;
use crate::session::{Noise, faster_by};
use crate::study::{self, Method};
use harness::stats::{self, Schedule};

const SESSIONS: u64 = 400;
const QUIET: Noise = Noise { ratio_sd: 0.01, has_drift: true, is_heavy: false };
const USUAL: Noise = Noise { ratio_sd: 0.03, has_drift: true, is_heavy: false };
const HEAVY: Noise = Noise { ratio_sd: 0.02, has_drift: true, is_heavy: true };

#[test]
fn six_blocks_seldom_rank_what_is_equal_and_find_what_is_not() {
    let rates = study::rates(&study::ratios(&HEAVY, 6, SESSIONS));
    assert!(rates.ranked_equal < 0.03 && rates.ranked_at_margin < 0.06 && rates.coverage > 0.91, "{rates:?}");
    let rates = study::rates(&study::ratios(&QUIET, 6, SESSIONS));
    assert!(rates.found > 0.95 && rates.smallest_found < 0.05, "{rates:?}");
    assert!(rates.equivalent_equal > 0.8, "{rates:?}");
}

#[test]
fn a_bootstrap_alone_is_too_narrow_for_six_blocks() {
    let sessions = study::log_ratios(&USUAL, 6, SESSIONS);
    let rates = |method| study::rates(&study::ratios_by(method, &sessions));
    let (bca, student, wider) = (rates(Method::Bca), rates(Method::Student), rates(Method::Wider));
    assert!(bca.coverage < 0.91 && wider.coverage > 0.91, "{bca:?} {wider:?}");
    assert!(wider.coverage >= student.coverage && wider.ranked_equal <= student.ranked_equal, "{student:?}");
    assert!(wider.ranked_equal < 0.03 && wider.ranked_at_margin < 0.06, "{wider:?}");
}

#[test]
fn blocks_are_added_where_they_are_needed() {
    let schedule = Schedule { initial: 6, max: 14, target_ci: 0.03 };
    let length = |noise| adaptive::lengths(&adaptive::ratios(noise, &schedule, 50), &schedule);
    let ((quiet, quiet_at_cap), (usual, usual_at_cap)) = (length(&QUIET), length(&USUAL));
    assert!(quiet < usual && quiet_at_cap < usual_at_cap, "{quiet} {usual}");
}

#[test]
fn a_faster_row_multiplies_its_interval() {
    let pairs = USUAL.session(6, 1);
    let faster: Vec<_> = pairs.iter().map(|&(a, b)| (1.05 * a, b)).collect();
    let (seen, wanted) =
        (stats::paired_ratio(&faster, 1).unwrap(), faster_by(&stats::paired_ratio(&pairs, 1).unwrap(), 1.05));
    let (seen, wanted) = (seen.interval.unwrap(), wanted.interval.unwrap());
    assert!((seen.lo - wanted.lo).abs() < 1e-9 && (seen.hi - wanted.hi).abs() < 1e-9);
}

#[test]
fn simulated_noise_has_the_spread_that_it_is_given() {
    let logs: Vec<f64> = study::log_ratios(&USUAL, 20, SESSIONS).concat();
    let (n, mean) = (logs.len() as f64, logs.iter().sum::<f64>() / logs.len() as f64);
    let sd = (logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
    assert!(mean.abs() < 0.002 && (sd - 0.03).abs() < 0.001, "{mean} {sd}");
    assert_ne!(USUAL.session(6, 1), USUAL.session(6, 2));
    assert_eq!(USUAL.session(6, 1), USUAL.session(6, 1));
}
