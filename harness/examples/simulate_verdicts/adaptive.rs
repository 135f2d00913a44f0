//! Sessions that add blocks until the interval is narrow: what looking several times costs.

use crate::session::Noise;
use harness::stats::{self, Ratio, Schedule, blocks_wanted, relative_width};

/// The ratios of `sessions` sessions, each at the number of blocks where the schedule ended it.
pub(crate) fn ratios(noise: &Noise, schedule: &Schedule, sessions: u64) -> Vec<Ratio> {
    (0..sessions).map(|seed| ratio(noise, schedule, seed)).collect()
}

fn ratio(noise: &Noise, schedule: &Schedule, seed: u64) -> Ratio {
    let pairs = noise.session(schedule.max as usize, seed);
    let mut measured = schedule.initial;
    loop {
        let so_far = &pairs[..measured as usize];
        let ratio = stats::paired_ratio(so_far, seed).expect("positive figures");
        let wanted = blocks_wanted(schedule, measured, &[relative_width(&ratio)]);
        if wanted == measured {
            return ratio;
        }
        measured = wanted;
    }
}

/// The median number of blocks, and the share of sessions that went to the cap.
pub(crate) fn lengths(ratios: &[Ratio], schedule: &Schedule) -> (f64, f64) {
    let blocks: Vec<f64> = ratios.iter().map(|r| r.n as f64).collect();
    let at_cap = ratios.iter().filter(|r| r.n == schedule.max as usize).count();
    (stats::median(&blocks).unwrap_or(0.0), at_cap as f64 / ratios.len() as f64)
}
