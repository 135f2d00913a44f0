//! Sessions of two frameworks that differ by nothing: what a machine's noise makes of them.

use harness::stats::{Interval, Ratio};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::f64::consts::{PI, SQRT_2};

/// Drift of the machine over a session, shared by both rows, as a share.
const DRIFT: f64 = 0.03;
/// Share of launches that are disturbed in a heavy-tailed session.
const DISTURBED_SHARE: f64 = 0.1;
/// What a disturbed launch takes longer, as a share: anything between.
const DISTURBED_BY: (f64, f64) = (0.05, 0.15);

/// What disturbs the launches of a session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise {
    /// Standard deviation of the log ratio of two undisturbed launches; each has 1/√2 of it.
    pub(crate) ratio_sd: f64,
    /// Whether the machine drifts by 3% from the first launch to the last.
    pub(crate) has_drift: bool,
    /// Whether a tenth of the launches, of either row, takes 5% to 15% longer.
    pub(crate) is_heavy: bool,
}

impl Noise {
    /// For a table.
    pub(crate) fn words(&self) -> String {
        let shape = if self.is_heavy { "heavy tails" } else { "normal" };
        let drift = if self.has_drift { ", drift" } else { "" };
        format!("{shape} {:.1}%{drift}", self.ratio_sd * 100.0)
    }

    /// Two figures for each of `blocks` blocks, of two rows that are the same program. The order in the block
    /// alternates, AB BA, so that drift meets both.
    pub(crate) fn session(&self, blocks: usize, seed: u64) -> Vec<(f64, f64)> {
        let mut draw = Draw::new(seed);
        let last = (2 * blocks - 1) as f64;
        let mut launch = |position: usize| {
            let drift = if self.has_drift { DRIFT * position as f64 / last } else { 0.0 };
            let mut log = drift + draw.normal() * self.ratio_sd / SQRT_2;
            if self.is_heavy && draw.uniform() < DISTURBED_SHARE {
                log -= (DISTURBED_BY.0 + (DISTURBED_BY.1 - DISTURBED_BY.0) * draw.uniform()).ln_1p();
            }
            100.0 * log.exp()
        };
        let mut block = |b: usize| {
            let (first, second) = (launch(2 * b), launch(2 * b + 1));
            if b.is_multiple_of(2) { (first, second) } else { (second, first) }
        };
        (0..blocks).map(&mut block).collect()
    }
}

/// The same session, had the first row been `factor` times as fast: every block's ratio is multiplied, and with it the
/// geometric mean and both ends of the interval (not p).
pub(crate) fn faster_by(ratio: &Ratio, factor: f64) -> Ratio {
    let interval = ratio.interval.map(|i| Interval { lo: i.lo * factor, hi: i.hi * factor });
    Ratio { value: ratio.value * factor, interval, ..*ratio }
}

/// Random numbers that depend on the seed alone.
struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Draw(ChaCha8Rng::seed_from_u64(seed))
    }

    /// From 0 to below 1.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (2.0 * PI * self.uniform()).cos()
    }
}
