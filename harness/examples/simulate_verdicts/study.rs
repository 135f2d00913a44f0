//! What verdicts say of simulated sessions: how often wrongly, and what they find.

use crate::session::{Noise, faster_by};
use harness::sample::Metric;
use harness::stats::{self, Interval, Ratio};
use harness::verdict::{Verdict, judge};

/// δ, as in a scenario by default.
pub(crate) const MARGIN: f64 = 0.02;
/// The difference that is to be found.
pub(crate) const DIFFERENCE: f64 = 1.05;
/// How often it is to be found.
pub(crate) const POWER: f64 = 0.9;

/// Shares of sessions, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    /// Of equal rows: ranked.
    pub(crate) ranked_equal: f64,
    /// Of rows that differ by the margin exactly: ranked. The most that a false verdict can be had by.
    pub(crate) ranked_at_margin: f64,
    /// Of rows that differ by the margin exactly: called equivalent.
    pub(crate) equivalent_at_margin: f64,
    /// The interval contains the truth.
    pub(crate) coverage: f64,
    /// Of equal rows: called equivalent.
    pub(crate) equivalent_equal: f64,
    /// Of rows that differ by 5%: ranked, and rightly.
    pub(crate) found: f64,
    /// The smallest true difference, as a share, that is found in 90% of the sessions.
    pub(crate) smallest_found: f64,
}

/// The rates over ratios of rows that are equal in truth.
pub(crate) fn rates(ratios: &[Ratio]) -> Rates {
    let verdict = |r: &Ratio, factor: f64| judge(Metric::Decode, &faster_by(r, factor), MARGIN).verdict;
    let share = |holds: &dyn Fn(&Ratio) -> bool| {
        ratios.iter().filter(|r| holds(r)).count() as f64 / ratios.len() as f64
    };
    let at_margin = 1.0 + MARGIN;
    Rates {
        ranked_equal: share(&|r| verdict(r, 1.0).ranks()),
        ranked_at_margin: share(&|r| verdict(r, at_margin).ranks()),
        equivalent_at_margin: share(&|r| verdict(r, at_margin) == Verdict::Equivalent),
        coverage: share(&|r| r.interval.is_some_and(|i| i.lo <= 1.0 && 1.0 <= i.hi)),
        equivalent_equal: share(&|r| verdict(r, 1.0) == Verdict::Equivalent),
        found: share(&|r| verdict(r, DIFFERENCE) == Verdict::Faster),
        smallest_found: smallest_found(ratios),
    }
}

/// A factor lifts an interval beyond the margin once it exceeds (1 + δ) / lo: the 90% quantile of those.
fn smallest_found(ratios: &[Ratio]) -> f64 {
    let mut factors: Vec<f64> =
        ratios.iter().map(|r| r.interval.map_or(f64::INFINITY, |i| (1.0 + MARGIN) / i.lo)).collect();
    factors.sort_by(f64::total_cmp);
    let wanted = (POWER * factors.len() as f64).ceil() as usize;
    factors[wanted - 1] - 1.0
}

/// The ratios of `sessions` simulated sessions, as the harness computes them.
pub(crate) fn ratios(noise: &Noise, blocks: usize, sessions: u64) -> Vec<Ratio> {
    let ratio = |seed| stats::paired_ratio(&noise.session(blocks, seed), seed).expect("positive figures");
    (0..sessions).map(ratio).collect()
}

/// How an interval of log ratios could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Bca,
    Student,
    Wider,
}

impl Method {
    pub(crate) const ALL: [Method; 3] = [Method::Bca, Method::Student, Method::Wider];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Method::Bca => "BCa",
            Method::Student => "Student's t",
            Method::Wider => "the wider (used)",
        }
    }

    fn interval(self, logs: &[f64], seed: u64) -> Option<Interval> {
        match self {
            Method::Bca => stats::bca_mean(logs, seed),
            Method::Student => stats::student_mean(logs),
            Method::Wider => stats::log_ratio_interval(logs, seed),
        }
    }
}

/// The log ratios of `sessions` simulated sessions.
pub(crate) fn log_ratios(noise: &Noise, blocks: usize, sessions: u64) -> Vec<Vec<f64>> {
    let logs = |seed| noise.session(blocks, seed).iter().map(|(a, b)| (a / b).ln()).collect();
    (0..sessions).map(logs).collect()
}

/// The same sessions with intervals by `method`.
pub(crate) fn ratios_by(method: Method, sessions: &[Vec<f64>]) -> Vec<Ratio> {
    let ratio = |(seed, logs): (usize, &Vec<f64>)| Ratio {
        value: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
        interval: method.interval(logs, seed as u64).map(|i| Interval { lo: i.lo.exp(), hi: i.hi.exp() }),
        n: logs.len(),
        p: 1.0,
    };
    sessions.iter().enumerate().map(ratio).collect()
}

/// With the interval in use: the shares of sessions that differ by the margin and by 5% and would be ranked if a
/// verdict asked for a sign-flip p of at most 5% too, in a family of `family` rows as alike as can be (Holm
/// multiplies the smallest p by their number).
pub(crate) fn ranked_with_p(ratios: &[Ratio], sessions: &[Vec<f64>], family: f64) -> (f64, f64) {
    let share = |factor: f64| {
        let ranked = ratios.iter().zip(sessions).enumerate().filter(|(seed, (ratio, logs))| {
            let shifted: Vec<f64> = logs.iter().map(|l| l + factor.ln()).collect();
            judge(Metric::Decode, &faster_by(ratio, factor), MARGIN).verdict.ranks()
                && family * stats::sign_flip_p(&shifted, *seed as u64) <= stats::SIGNIFICANCE
        });
        ranked.count() as f64 / ratios.len() as f64
    };
    (share(1.0 + MARGIN), share(DIFFERENCE))
}
