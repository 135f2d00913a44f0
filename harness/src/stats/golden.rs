//! Every statistic against numpy and scipy, and change points against Apache Otava: `scripts/check-statistics` and
//! `scripts/check-changepoints` write what is expected.

use super::*;
use serde::Deserialize;

const INPUTS: &str = include_str!("../../tests/golden/statistics/inputs.json");
const CHANGE_POINTS: &str = include_str!("../../tests/golden/changepoints/expected.json");
const EXPECTED: &str = include_str!("../../tests/golden/statistics/expected.json");

/// Ours are from 10,000 resamples and theirs from 1,000,000: the ends may differ by this share of the width. One
/// standard error is about 1%: 0.7% from the quantile, as much from the bias correction.
const BOOTSTRAP_TOLERANCE: f64 = 0.04;
/// Drawn p-values (2^16 draws): five standard errors at p = 0.5.
const DRAWN_P_TOLERANCE: f64 = 0.01;
/// Closed forms.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Inputs {
    log_ratios: Vec<Case>,
    launches: Vec<Case>,
    p_families: Vec<Vec<f64>>,
    series: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Expected {
    log_ratios: Vec<LogRatios>,
    launches: Vec<Launches>,
    p_families: Vec<Vec<f64>>,
    series: Vec<Series>,
    normal: Vec<(f64, f64)>,
    student_t: Vec<(usize, f64)>,
}

#[derive(Deserialize)]
struct LogRatios {
    name: String,
    bca: (f64, f64),
    student: (f64, f64),
    sign_flip_p: f64,
}

#[derive(Deserialize)]
struct Launches {
    name: String,
    median: f64,
    percentile: (f64, f64),
    quantiles: Vec<(f64, f64)>,
    classes: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct Series {
    name: String,
    tau: f64,
    p: f64,
    slope: f64,
}

fn files() -> (Inputs, Expected) {
    (serde_json::from_str(INPUTS).unwrap(), serde_json::from_str(EXPECTED).unwrap())
}

/// Each input with what is expected of it, which must be there for all.
fn paired<'a, E>(cases: &'a [Case], expected: &'a [E], name: fn(&E) -> &str) -> Vec<(&'a Case, &'a E)> {
    assert!(!cases.is_empty() && cases.len() == expected.len());
    assert!(cases.iter().zip(expected).all(|(c, e)| c.name == name(e)), "the same cases in the same order");
    cases.iter().zip(expected).collect()
}

fn assert_near(what: &str, seen: f64, expected: f64, tolerance: f64) {
    assert!((seen - expected).abs() <= tolerance, "{what}: {seen}, expected {expected} within {tolerance}");
}

fn assert_interval(what: &str, seen: Interval, (lo, hi): (f64, f64), tolerance: f64) {
    assert_near(&format!("{what}, lower end"), seen.lo, lo, tolerance);
    assert_near(&format!("{what}, upper end"), seen.hi, hi, tolerance);
}

#[test]
fn intervals_and_p_of_log_ratios() {
    let (inputs, expected) = files();
    for (case, expected) in paired(&inputs.log_ratios, &expected.log_ratios, |e| &e.name) {
        let (name, logs) = (&case.name, &case.values);
        let width = expected.bca.1 - expected.bca.0;
        let bca = bca_mean(logs, 1).unwrap();
        assert_interval(&format!("{name}: BCa"), bca, expected.bca, BOOTSTRAP_TOLERANCE * width);
        let student = student_mean(logs).unwrap();
        assert_interval(&format!("{name}: Student"), student, expected.student, TOLERANCE);
        let wider = log_ratio_interval(logs, 1).unwrap();
        let outer = Interval { lo: bca.lo.min(student.lo), hi: bca.hi.max(student.hi) };
        assert_interval(&format!("{name}: the wider"), wider, (outer.lo, outer.hi), TOLERANCE);
        let tolerance = if logs.len() <= EXACT_FLIPS_MAX { TOLERANCE } else { DRAWN_P_TOLERANCE };
        assert_near(&format!("{name}: sign-flip p"), sign_flip_p(logs, 1), expected.sign_flip_p, tolerance);
    }
}

#[test]
fn medians_quantiles_and_fences_of_launches() {
    let (inputs, expected) = files();
    for (case, expected) in paired(&inputs.launches, &expected.launches, |e| &e.name) {
        let (name, values) = (&case.name, &case.values);
        assert_near(&format!("{name}: median"), median(values).unwrap(), expected.median, TOLERANCE);
        // The median of a resample is one of few values, so that both give the very same ends.
        let interval = percentile_median(values, 1).unwrap();
        assert_interval(&format!("{name}: percentile"), interval, expected.percentile, TOLERANCE);
        for &(q, quantile) in &expected.quantiles {
            let seen = quantile_of_sorted(&sorted(values), q);
            assert_near(&format!("{name}: quantile {q}"), seen, quantile, TOLERANCE);
        }
        let outliers = tukey_outliers(values);
        let class = |i| outliers.iter().find(|o| o.index == i).map(|o| o.class.words().to_owned());
        let classes: Vec<_> = (0..values.len()).map(class).collect();
        assert_eq!(classes, expected.classes, "{name}");
    }
}

#[test]
fn holms_correction() {
    let (inputs, expected) = files();
    assert_eq!(inputs.p_families.len(), expected.p_families.len());
    for (family, expected) in inputs.p_families.iter().zip(&expected.p_families) {
        let corrected = holm(family);
        assert_eq!(corrected.len(), expected.len());
        for (seen, expected) in corrected.iter().zip(expected) {
            assert_near(&format!("Holm of {family:?}"), *seen, *expected, TOLERANCE);
        }
    }
}

#[test]
fn trends_of_series() {
    let (inputs, expected) = files();
    for (case, expected) in paired(&inputs.series, &expected.series, |e| &e.name) {
        let trend = trend(&case.values).unwrap();
        assert_near(&format!("{}: tau", case.name), trend.tau, expected.tau, TOLERANCE);
        assert_near(&format!("{}: p", case.name), trend.p, expected.p, TOLERANCE);
        assert_near(&format!("{}: slope", case.name), trend.slope, expected.slope, TOLERANCE);
    }
}

#[test]
fn distributions() {
    let (_, expected) = files();
    for (z, p) in expected.normal {
        assert_near(&format!("normal cdf of {z}"), normal::cdf(z), p, 1e-14);
    }
    for (df, t) in expected.student_t {
        let seen = student::two_sided_quantile(0.95, df);
        assert_near(&format!("t of {df} degrees"), seen, t, 1e-9 * t);
    }
}

#[derive(Deserialize)]
struct ChangePoints {
    synthetic: Vec<Nights>,
}

#[derive(Deserialize)]
struct Nights {
    name: String,
    values: Vec<f64>,
    window: usize,
    p_max: f64,
    magnitude_min: f64,
    change_points: Vec<usize>,
}

#[test]
fn change_points_of_otava() {
    let expected: ChangePoints = serde_json::from_str(CHANGE_POINTS).unwrap();
    assert!(expected.synthetic.iter().map(|case| case.change_points.len()).sum::<usize>() > 40);
    for case in &expected.synthetic {
        let rule = ChangeRule { window: case.window, p_max: case.p_max, magnitude_min: case.magnitude_min };
        let found: Vec<usize> = change_points(&case.values, &rule).iter().map(|p| p.index).collect();
        let is_near = |(a, b): (&usize, &usize)| a.abs_diff(*b) <= 1;
        let is_same = found.len() == case.change_points.len();
        let is_same = is_same && found.iter().zip(&case.change_points).all(is_near);
        assert!(is_same, "{}: {found:?}, expected {:?}", case.name, case.change_points);
    }
}
