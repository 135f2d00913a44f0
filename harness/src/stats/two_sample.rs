//! Two independent samples: the ratio of two sessions, whose launches are paired with nothing.

use super::bootstrap::{bca, generator};
use super::{Interval, RESAMPLES, sorted};
use crate::prompts::below;

/// The ratio of two independent samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndependentRatio {
    /// Geometric mean of the second sample / that of the first.
    pub value: f64,
    /// Its 95% BCa interval; `None` where a sample has fewer than two values.
    pub interval: Option<Interval>,
    /// Values of the first sample.
    pub n_a: usize,
    /// Values of the second.
    pub n_b: usize,
}

/// The ratio second / first of geometric means; `None` for an empty sample or values that are not positive.
///
/// The interval resamples each sample by itself. It is bias-corrected and accelerated (Efron 1987); for two samples the
/// influences of the values of both count, each over the size of its own sample.
pub fn independent_ratio(a: &[f64], b: &[f64], seed: u64) -> Option<IndependentRatio> {
    let positive = |v: &f64| *v > 0.0 && v.is_finite();
    if a.is_empty() || b.is_empty() || !a.iter().chain(b).all(positive) {
        return None;
    }
    let logs = |values: &[f64]| sorted(&values.iter().map(|v| v.ln()).collect::<Vec<_>>());
    let (a, b) = (logs(a), logs(b));
    let difference = mean(&b) - mean(&a);
    let interval = (a.len() > 1 && b.len() > 1).then(|| interval_of_difference(&a, &b, difference, seed));
    Some(IndependentRatio {
        value: difference.exp(),
        interval: interval.map(|i| Interval { lo: i.lo.exp(), hi: i.hi.exp() }),
        n_a: a.len(),
        n_b: b.len(),
    })
}

/// The BCa interval of mean(b) − mean(a).
fn interval_of_difference(a: &[f64], b: &[f64], difference: f64, seed: u64) -> Interval {
    let mut rng = generator(seed);
    let mut resampled = |samples: &[f64]| {
        let n = samples.len();
        let sum: f64 = (0..n).map(|_| samples[below(&mut rng, n as u32) as usize]).sum();
        sum / n as f64
    };
    let mut statistics: Vec<f64> = (0..RESAMPLES).map(|_| resampled(b) - resampled(a)).collect();
    statistics.sort_by(f64::total_cmp);
    let width = statistics[RESAMPLES - 1] - statistics[0];
    let scale = a.iter().chain(b).fold(0.0f64, |most, v| most.max(v.abs()));
    if width <= 1e-12 * scale {
        return Interval { lo: difference, hi: difference };
    }
    bca(&statistics, difference, acceleration(a, b))
}

/// A sixth of the skewness of the influences: of a mean, each value's distance from it, over the sample's size.
fn acceleration(a: &[f64], b: &[f64]) -> f64 {
    let moment = |power: i32| {
        let of = |samples: &[f64], sign: f64| {
            let (centre, n) = (mean(samples), samples.len() as f64);
            samples.iter().map(|v| (sign * (v - centre) / n).powi(power)).sum::<f64>()
        };
        of(a, -1.0) + of(b, 1.0)
    };
    let squares = moment(2);
    if squares == 0.0 { 0.0 } else { moment(3) / (6.0 * squares.powf(1.5)) }
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: [f64; 8] = [0.12, 0.31, 0.08, 0.55, 0.21, 1.4, 0.17, 0.26];
    const B: [f64; 6] = [-0.41, -0.2, -0.40, 0.3, -0.395, -0.37];

    fn exp(logs: &[f64]) -> Vec<f64> {
        logs.iter().map(|l| l.exp()).collect()
    }

    // Goldens: a Python program of its own, by jackknife and 400,000 resamples; the tolerance is that of 10,000.
    #[test]
    fn agrees_with_another_implementation() {
        let ratio = independent_ratio(&exp(&A), &exp(&B), 1).unwrap();
        let interval = ratio.interval.unwrap();
        assert!((ratio.value.ln() - -0.6333333333333333).abs() < 1e-12);
        assert!((interval.lo.ln() - -1.05208).abs() < 0.02, "{interval:?}");
        assert!((interval.hi.ln() - -0.33958).abs() < 0.02, "{interval:?}");
        assert!((acceleration(&A, &B) - -0.036368887105156206).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_ratio() {
        assert_eq!(independent_ratio(&[], &[1.0], 1), None);
        assert_eq!(independent_ratio(&[1.0, 0.0], &[1.0], 1), None);
        assert_eq!(independent_ratio(&[2.0], &[1.0, 1.0], 1).unwrap().interval, None);
        let equal = independent_ratio(&[2.0; 6], &[3.0; 6], 1).unwrap();
        assert_eq!(equal.interval.map(|i| i.lo == i.hi), Some(true));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn intervals_contain_the_ratio_and_order_does_not_matter(
            a in proptest::collection::vec(0.5f64..2.0, 2..9), b in proptest::collection::vec(0.5f64..2.0, 2..9), seed: u64,
        ) {
            let ratio = independent_ratio(&a, &b, seed).unwrap();
            let interval = ratio.interval.unwrap();
            prop_assert!(interval.lo <= ratio.value * (1.0 + 1e-9) && ratio.value <= interval.hi * (1.0 + 1e-9), "{ratio:?}");
            let reversed: Vec<f64> = a.iter().rev().copied().collect();
            prop_assert_eq!(independent_ratio(&reversed, &b, seed), Some(ratio));
        }
    }
}
