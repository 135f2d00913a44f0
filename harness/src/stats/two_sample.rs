//! Two independent samples: the ratio of two sessions, whose launches are paired with nothing.

use super::bootstrap::{bca, generator};
use super::student::student_quantile;
use super::{Interval, RESAMPLES, sorted};
use crate::prompts::below;

/// The ratio of two independent samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndependentRatio {
    /// Geometric mean of the second sample / that of the first.
    pub value: f64,
    /// Its 95% interval, see [`independent_ratio`]; `None` where a sample has fewer than two values.
    pub interval: Option<Interval>,
    /// Values of the first sample.
    pub n_a: usize,
    /// Values of the second.
    pub n_b: usize,
}

/// The ratio second / first of geometric means; `None` for an empty sample or values that are not positive.
///
/// Each end of the interval is that of the BCa bootstrap or of Welch's t, whichever lies further out, as for one sample
/// ([`super::log_ratio_interval`]). The bootstrap resamples each sample by itself. It is bias-corrected and accelerated (Efron 1987);
/// for two samples the influences of the values of both count, each over the size of its own sample.
pub fn independent_ratio(a: &[f64], b: &[f64], seed: u64) -> Option<IndependentRatio> {
    let positive = |v: &f64| *v > 0.0 && v.is_finite();
    if a.is_empty() || b.is_empty() || !a.iter().chain(b).all(positive) {
        return None;
    }
    let logs = |values: &[f64]| sorted(&values.iter().map(|v| v.ln()).collect::<Vec<_>>());
    let (a, b) = (logs(a), logs(b));
    let difference = mean(&b) - mean(&a);
    let interval = (a.len() > 1 && b.len() > 1).then(|| {
        let (bca, welch) = (bca_of_difference(&a, &b, difference, seed), welch(&a, &b, difference));
        Interval { lo: bca.lo.min(welch.lo), hi: bca.hi.max(welch.hi) }
    });
    Some(IndependentRatio {
        value: difference.exp(),
        interval: interval.map(|i| Interval { lo: i.lo.exp(), hi: i.hi.exp() }),
        n_a: a.len(),
        n_b: b.len(),
    })
}

/// The BCa interval of mean(b) − mean(a).
fn bca_of_difference(a: &[f64], b: &[f64], difference: f64, seed: u64) -> Interval {
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

/// Welch's 95% interval of mean(b) − mean(a) (Welch 1947), for samples that need not vary alike; Satterthwaite's degrees of freedom, rounded
/// down. Both have at least two values.
fn welch(a: &[f64], b: &[f64], difference: f64) -> Interval {
    // The squared standard error of a mean, and the degrees of freedom it is known with.
    let error = |samples: &[f64]| {
        let (centre, n) = (mean(samples), samples.len() as f64);
        (samples.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (n - 1.0) / n, n - 1.0)
    };
    let ((of_a, df_a), (of_b, df_b)) = (error(a), error(b));
    let sum = of_a + of_b;
    if sum == 0.0 {
        return Interval { lo: difference, hi: difference };
    }
    let df = sum.powi(2) / (of_a.powi(2) / df_a + of_b.powi(2) / df_b);
    let half = student_quantile((df as usize).max(1)) * sum.sqrt();
    Interval { lo: difference - half, hi: difference + half }
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
        let (a, b) = (sorted(&A), sorted(&B));
        let bca = bca_of_difference(&a, &b, mean(&b) - mean(&a), 1);
        assert!((ratio.value.ln() - -0.6333333333333333).abs() < 1e-12);
        assert!((bca.lo - -1.05208).abs() < 0.02, "{bca:?}");
        assert!((bca.hi - -0.33958).abs() < 0.02, "{bca:?}");
        assert!((acceleration(&A, &B) - -0.036368887105156206).abs() < 1e-12);
    }

    // By hand: variances of the means 1/3 and 4/3 with two degrees each are 25/9 / (1/18 + 16/18) = 2.94 degrees, so 2, whose t is √(2·0.95² / (1 − 0.95²)).
    #[test]
    fn welch_by_hand() {
        let half = (2.0 * 0.9025 / 0.0975f64).sqrt() * (5.0f64 / 3.0).sqrt();
        let interval = welch(&[4.0, 5.0, 6.0], &[6.0, 8.0, 10.0], 3.0);
        assert!(
            (interval.lo - (3.0 - half)).abs() < 1e-9 && (interval.hi - (3.0 + half)).abs() < 1e-9,
            "{interval:?}"
        );
        assert_eq!(welch(&[1.0, 1.0], &[2.0, 2.0], 1.0), Interval { lo: 1.0, hi: 1.0 });
        let whole =
            independent_ratio(&exp(&[4.0, 5.0, 6.0]), &exp(&[6.0, 8.0, 10.0]), 1).unwrap().interval.unwrap();
        assert!(whole.lo.ln() <= interval.lo + 1e-9 && whole.hi.ln() >= interval.hi - 1e-9);
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
