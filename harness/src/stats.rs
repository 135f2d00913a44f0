//! Statistics: medians, intervals, paired comparisons, outliers, trends, when to stop. Pure and deterministic:
//! every resample comes from a seeded generator, and samples are sorted first, so that their order does not matter.

mod adaptive;
mod bootstrap;
mod divisive;
#[cfg(test)]
mod golden;
mod normal;
mod outlier;
mod paired;
mod student;
mod trend;
mod two_sample;

pub use adaptive::{LOOKS, Schedule, blocks_wanted, relative_width};
pub use bootstrap::{CONFIDENCE, RESAMPLES, bca_mean, percentile_median};
pub use divisive::{ChangePoint, ChangeRule, change_points};
pub use outlier::{Fences, Outlier, TukeyClass, tukey_outliers};
pub use paired::{EXACT_FLIPS_MAX, Ratio, SIGNIFICANCE, holm, log_ratio_interval, paired_ratio, sign_flip_p};
pub use student::{student_mean, student_p, student_quantile};
pub use trend::{EXACT_TREND_MAX, Trend, trend};
pub use two_sample::{IndependentRatio, independent_ratio};

/// A closed interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

/// A median over launches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The median.
    pub value: f64,
    /// Its 95% bootstrap interval; `None` for fewer than two launches.
    pub interval: Option<Interval>,
    /// Launches.
    pub n: usize,
}

/// The median with its interval; `None` for no samples.
pub fn estimate(samples: &[f64], seed: u64) -> Option<Estimate> {
    let value = median(samples)?;
    Some(Estimate { value, interval: percentile_median(samples, seed), n: samples.len() })
}

/// The median; `None` for no samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    (!samples.is_empty()).then(|| quantile_of_sorted(&sorted(samples), 0.5))
}

/// `samples` in ascending order.
pub(crate) fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The `q`-quantile of a non-empty ascending slice, linear between order statistics (type 7 of Hyndman and Fan).
pub(crate) fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    // Two equal neighbours must give that very value, which the weighted sum need not.
    if sorted[below] == sorted[above] {
        return sorted[below];
    }
    let share = position - below as f64;
    sorted[below] * (1.0 - share) + sorted[above] * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_samples() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    // Golden: numpy.quantile([1, 2, 4, 8, 16], q), method "linear".
    #[test]
    fn quantiles_are_linear_between_order_statistics() {
        let s = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (q, expected) in [(0.0, 1.0), (0.1, 1.4), (0.25, 2.0), (0.6, 5.6), (0.975, 15.2), (1.0, 16.0)] {
            assert!((quantile_of_sorted(&s, q) - expected).abs() < 1e-12, "q = {q}");
        }
    }

    #[test]
    fn one_launch_has_an_estimate_and_no_interval() {
        assert_eq!(estimate(&[5.0], 1), Some(Estimate { value: 5.0, interval: None, n: 1 }));
        assert_eq!(estimate(&[], 1), None);
    }
}
