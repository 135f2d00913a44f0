//! What the rules of `track check` make of simulated nights.

use crate::nights::{Noise, first_night_finds};
use harness::history::{Change, Rules, changes};
use std::thread::{available_parallelism, scope};

/// Nights before something happens.
const NIGHTS_BEFORE: usize = 60;

/// Alarms of series in which nothing happens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct FalseAlarms {
    /// Regressions told, per series and year of 365 nights.
    pub(crate) regressions: f64,
    /// Improvements told.
    pub(crate) improvements: f64,
}

/// Every night of `years` series of a year each is checked.
pub(crate) fn false_alarms(noise: &Noise, rules: &Rules, years: u64) -> FalseAlarms {
    let counts = for_seeds(years, |seed| {
        let nights = noise.nights(365, seed);
        let told = (1..=nights.len()).flat_map(|n| news(&nights[..n], rules));
        told.fold((0.0, 0.0), |(worse, better), change| match change.after < change.before {
            true => (worse + 1.0, better),
            false => (worse, better + 1.0),
        })
    });
    let mean = |of: fn(&(f64, f64)) -> f64| counts.iter().map(of).sum::<f64>() / years as f64;
    FalseAlarms { regressions: mean(|c| c.0), improvements: mean(|c| c.1) }
}

/// Share of series in which a step to `ratio` is told within two nights: by the first-night alarm, by a change point, by either.
pub(crate) fn step_found(
    noise: &Noise,
    block_sd: f64,
    blocks: usize,
    ratio: f64,
    rules: &Rules,
    series: u64,
) -> [f64; 3] {
    let found = for_seeds(series, |seed| {
        let mut nights = noise.nights(NIGHTS_BEFORE + 2, seed);
        nights[NIGHTS_BEFORE..].iter_mut().for_each(|night| *night *= ratio);
        // The last good version stays what it is until a night finds nothing wrong, so that there are two nights to find it on.
        let first_night = (0..2).any(|night| first_night_finds(ratio, block_sd, blocks, seed * 2 + night));
        let step = (1..=2).any(|n| is_worse_after(&nights[..NIGHTS_BEFORE + n], rules, NIGHTS_BEFORE - 3));
        [first_night, step, first_night || step].map(f64::from)
    });
    std::array::from_fn(|i| found.iter().map(|f| f[i]).sum::<f64>() / series as f64)
}

/// Share of series in which a loss of 1% a week is told within so many nights.
pub(crate) fn drift_found(noise: &Noise, nights: usize, rules: &Rules, series: u64) -> f64 {
    let found = for_seeds(series, |seed| {
        let mut values = noise.nights(NIGHTS_BEFORE + nights, seed);
        for (night, value) in values[NIGHTS_BEFORE..].iter_mut().enumerate() {
            *value *= 0.99f64.powf((night + 1) as f64 / 7.0);
        }
        f64::from(
            (1..=nights).any(|n| is_worse_after(&values[..NIGHTS_BEFORE + n], rules, NIGHTS_BEFORE - 3)),
        )
    });
    found.iter().sum::<f64>() / series as f64
}

/// Whether a regression that begins at `from` or later is told.
fn is_worse_after(nights: &[f64], rules: &Rules, from: usize) -> bool {
    news(nights, rules).iter().any(|c| c.index >= from && c.after < c.before)
}

/// What is told on the last night and was not before.
fn news(nights: &[f64], rules: &Rules) -> Vec<Change> {
    let rules = Rules { recent: 1, ..*rules };
    changes(nights, &rules).into_iter().filter(|change| change.found.is_some()).collect()
}

/// `of` for every seed, by all processors, in order.
fn for_seeds<T: Send>(n: u64, of: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let n_threads = available_parallelism().map_or(1, usize::from) as u64;
    let of = &of;
    scope(|scope| {
        let part = |i| move || (n * i / n_threads..n * (i + 1) / n_threads).map(of).collect::<Vec<T>>();
        let threads: Vec<_> = (0..n_threads).map(|i| scope.spawn(part(i))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}
