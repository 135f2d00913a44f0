//! Nights of one series: ratios to the baseline with the noise of sessions, and what happens to them.

use harness::sample::Metric;
use harness::stats;
use harness::verdict::{Verdict, judge};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::f64::consts::PI;

/// Equivalence margin of sessions.
const MARGIN: f64 = 0.02;
/// One night in so many is disturbed where tails are heavy: an outlier of three to six standard deviations either way.
const DISTURBED_ONE_IN: f64 = 20.0;

/// How the ratio of two programs that do not change varies from night to night.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    /// Standard deviation of the log ratio of a session.
    pub(crate) sd: f64,
    /// Whether one night in twenty is an outlier.
    pub(crate) is_heavy: bool,
    /// Correlation of a night with the one before.
    pub(crate) correlation: f64,
}

impl Noise {
    /// For a table.
    pub(crate) fn words(&self) -> String {
        let shape = if self.is_heavy { "outliers" } else { "normal" };
        let correlated = if self.correlation > 0.0 {
            format!(", correlation {}", self.correlation)
        } else {
            String::new()
        };
        format!("{shape} {:.1}%{correlated}", self.sd * 100.0)
    }

    /// `n` nights of a true ratio of 1.
    pub(crate) fn nights(&self, n: usize, seed: u64) -> Vec<f64> {
        let mut draw = Draw::new(seed);
        let mut state = draw.normal();
        let fresh = (1.0 - self.correlation * self.correlation).sqrt();
        let mut night = || {
            state = self.correlation * state + fresh * draw.normal();
            let is_outlier = self.is_heavy && draw.uniform() < 1.0 / DISTURBED_ONE_IN;
            let outlier = if is_outlier {
                (3.0 + 3.0 * draw.uniform()) * if draw.uniform() < 0.5 { -1.0 } else { 1.0 }
            } else {
                0.0
            };
            (self.sd * (state + outlier)).exp()
        };
        (0..n).map(|_| night()).collect()
    }
}

/// Whether a session of `blocks` blocks, whose log ratios vary by `block_sd`, finds a program of `ratio` times the speed of the
/// last good version slower.
pub(crate) fn first_night_finds(ratio: f64, block_sd: f64, blocks: usize, seed: u64) -> bool {
    let mut draw = Draw::new(seed);
    let pairs: Vec<(f64, f64)> =
        (0..blocks).map(|_| (ratio * (block_sd * draw.normal()).exp(), 1.0)).collect();
    let found = stats::paired_ratio(&pairs, seed).map(|r| judge(Metric::Decode, &r, MARGIN).verdict);
    found == Some(Verdict::Slower)
}

/// Random numbers that depend on the seed alone.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Draw(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From 0 to below 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * PI * self.uniform()).cos()
    }
}
