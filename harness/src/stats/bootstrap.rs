//! Bootstrap intervals: percentile for a median over launches, BCa for a mean of log ratios over blocks.

use super::normal;
use super::{Interval, quantile_of_sorted, sorted};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Resamples behind each interval.
pub const RESAMPLES: usize = 10_000;

/// Of more than 256 samples so many are drawn in all, but never fewer than [`RESAMPLES_MIN`] resamples: the ends of an interval then vary
/// by 3% of its half-width, and reports on thousands of launches take seconds.
const DRAWS_MAX: usize = RESAMPLES * 256;
const RESAMPLES_MIN: usize = 2_000;

/// Confidence of each interval.
pub const CONFIDENCE: f64 = 0.95;

/// The percentile bootstrap interval of the median; `None` for fewer than two samples.
pub fn percentile_median(samples: &[f64], seed: u64) -> Option<Interval> {
    let samples = sorted(samples);
    let statistics = resample(samples.len(), seed, |counts| median_of_counts(&samples, counts))?;
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Interval {
        lo: quantile_of_sorted(&statistics, tail),
        hi: quantile_of_sorted(&statistics, 1.0 - tail),
    })
}

/// The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987); `None` for fewer than two samples.
///
/// Ties with the estimate count half in the bias correction. Where the acceleration pushes an end past every
/// resample, that end is the outermost resample.
pub fn bca_mean(samples: &[f64], seed: u64) -> Option<Interval> {
    let samples = sorted(samples);
    let centre = mean(&samples);
    let statistics = resample(samples.len(), seed, |counts| mean_of_counts(&samples, counts))?;
    if samples.first() == samples.last() {
        return Some(Interval { lo: centre, hi: centre });
    }
    Some(bca(&statistics, centre, acceleration(&samples)))
}

/// The bias-corrected and accelerated interval from ascending `statistics` of resamples and the `estimate` itself.
pub(super) fn bca(statistics: &[f64], estimate: f64, acceleration: f64) -> Interval {
    let bias = bias_correction(statistics, estimate);
    let level = |p: f64| {
        let shifted = bias + normal::quantile(p);
        let denominator = 1.0 - acceleration * shifted;
        if denominator <= 0.0 {
            return if shifted > 0.0 { 1.0 } else { 0.0 };
        }
        normal::cdf(bias + shifted / denominator)
    };
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Interval {
        lo: quantile_of_sorted(statistics, level(tail)),
        hi: quantile_of_sorted(statistics, level(1.0 - tail)),
    }
}

/// Ascending statistics of [`RESAMPLES`] resamples, or fewer where there are many samples, of `n` samples, each given as how often it holds every sample.
fn resample(n: usize, seed: u64, statistic: impl Fn(&[u32]) -> f64) -> Option<Vec<f64>> {
    if n < 2 {
        return None;
    }
    let mut rng = generator(seed);
    let mut counts = vec![0; n];
    let resamples = (DRAWS_MAX / n).clamp(RESAMPLES_MIN, RESAMPLES);
    let mut statistics = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        counts.fill(0);
        for _ in 0..n {
            counts[below(&mut rng, n)] += 1;
        }
        statistics.push(statistic(&counts));
    }
    statistics.sort_by(f64::total_cmp);
    Some(statistics)
}

/// The median of ascending samples that stand `counts` times each, as many in all as there are samples.
fn median_of_counts(samples: &[f64], counts: &[u32]) -> f64 {
    let n = samples.len() as u32;
    let nth = |rank: u32| {
        let mut seen = 0;
        let found = counts.iter().position(|&count| {
            seen += count;
            seen > rank
        });
        samples[found.unwrap_or(samples.len() - 1)]
    };
    let (below, above) = (nth((n - 1) / 2), nth(n / 2));
    if below == above { below } else { below * 0.5 + above * 0.5 }
}

fn mean_of_counts(samples: &[f64], counts: &[u32]) -> f64 {
    let sum: f64 = samples.iter().zip(counts).map(|(s, &count)| s * f64::from(count)).sum();
    sum / samples.len() as f64
}

/// A generator whose stream depends on `seed` alone, on every platform.
pub(super) fn generator(seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// A number below `n`. The bias is below n / 2^32: far under what any number of resamples could show.
fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u64::from(rng.next_u32()) * n as u64) >> 32) as usize
}

pub(super) fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// z₀: how far the resamples' median lies from the estimate, in normal quantiles.
///
/// Sums of the same samples in another order differ in their last bits, so ties are told with a tolerance.
fn bias_correction(statistics: &[f64], centre: f64) -> f64 {
    let tie = 1e-9 * (statistics[statistics.len() - 1] - statistics[0]);
    let less = statistics.partition_point(|&s| s < centre - tie);
    let not_greater = statistics.partition_point(|&s| s <= centre + tie);
    normal::quantile((less + not_greater) as f64 / 2.0 / statistics.len() as f64)
}

/// a: a sixth of the skewness of the jackknife means.
fn acceleration(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    let sum: f64 = samples.iter().sum();
    let left_out: Vec<f64> = samples.iter().map(|s| (sum - s) / (n - 1.0)).collect();
    let centre = mean(&left_out);
    let moment = |power: i32| left_out.iter().map(|l| (centre - l).powi(power)).sum::<f64>();
    let squares = moment(2);
    if squares == 0.0 { 0.0 } else { moment(3) / (6.0 * squares.powf(1.5)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SKEWED: [f64; 8] = [0.12, 0.31, 0.08, 0.55, 0.21, 1.4, 0.17, 0.26];

    fn assert_near(interval: Interval, lo: f64, hi: f64, tolerance: f64) {
        assert!((interval.lo - lo).abs() < tolerance, "{interval:?}, expected lo {lo}");
        assert!((interval.hi - hi).abs() < tolerance, "{interval:?}, expected hi {hi}");
    }

    // Goldens: scipy.stats.bootstrap with 1,000,000 resamples; the tolerances are those of 10,000.
    #[test]
    fn intervals_agree_with_scipy() {
        assert_near(bca_mean(&SKEWED, 1).unwrap(), 0.20375, 0.86625, 0.02);
        let logs = [-0.41, -0.38, -0.40, -0.42, -0.395, -0.37];
        assert_near(bca_mean(&logs, 1).unwrap(), -0.408333, -0.381667, 0.001);
        assert_near(percentile_median(&SKEWED, 1).unwrap(), 0.12, 0.55, 1e-12);
    }

    // Golden: numpy, from the jackknife formula in Efron and Tibshirani (1993), 14.15.
    #[test]
    fn acceleration_agrees_with_numpy() {
        assert!((acceleration(&SKEWED) - 0.10737121060209397).abs() < 1e-12);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_seed_another() {
        assert_eq!(bca_mean(&SKEWED, 7), bca_mean(&SKEWED, 7));
        assert_ne!(bca_mean(&SKEWED, 7), bca_mean(&SKEWED, 8));
    }

    #[test]
    fn medians_of_counts_are_medians() {
        let samples = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(median_of_counts(&samples, &[0, 3, 0, 1]), 2.0);
        assert_eq!(median_of_counts(&samples, &[2, 0, 0, 2]), 4.5);
        assert_eq!(median_of_counts(&samples, &[0, 0, 0, 4]), 8.0);
        assert_eq!(median_of_counts(&samples[..3], &[1, 0, 2]), 4.0);
    }

    #[test]
    fn equal_samples_have_an_interval_of_no_width() {
        let point = Some(Interval { lo: 0.1, hi: 0.1 });
        assert_eq!(percentile_median(&[0.1; 6], 1), point);
        let bca = bca_mean(&[0.1; 6], 1).unwrap();
        assert_eq!(bca.lo, bca.hi);
    }

    fn samples() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec(0.5f64..2.0, 2..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn intervals_contain_their_estimates(samples in samples(), seed: u64) {
            let interval = percentile_median(&samples, seed).unwrap();
            let median = crate::stats::median(&samples).unwrap();
            prop_assert!(interval.lo <= median && median <= interval.hi, "{interval:?} {median}");
            let interval = bca_mean(&samples, seed).unwrap();
            let mean = mean(&sorted(&samples));
            prop_assert!(interval.lo <= mean && mean <= interval.hi, "{interval:?} {mean}");
        }

        #[test]
        fn order_does_not_matter(samples in samples(), seed: u64) {
            let mut reversed = samples.clone();
            reversed.reverse();
            prop_assert_eq!(percentile_median(&samples, seed), percentile_median(&reversed, seed));
            prop_assert_eq!(bca_mean(&samples, seed), bca_mean(&reversed, seed));
        }

        #[test]
        fn scaling_the_samples_scales_the_interval(samples in samples(), scale in 0.01f64..100.0) {
            let scaled: Vec<f64> = samples.iter().map(|s| s * scale).collect();
            for interval in [percentile_median, bca_mean] {
                let (one, many) = (interval(&samples, 3).unwrap(), interval(&scaled, 3).unwrap());
                prop_assert!((one.lo * scale - many.lo).abs() < 1e-9 * scale, "{one:?} {many:?}");
                prop_assert!((one.hi * scale - many.hi).abs() < 1e-9 * scale, "{one:?} {many:?}");
            }
        }
    }
}
