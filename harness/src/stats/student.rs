//! Student's t: the interval of a mean of few values.

use super::Interval;
use super::bootstrap::{CONFIDENCE, mean};
use std::f64::consts::FRAC_2_PI;

/// Beyond every quantile asked for here: one degree of freedom at 95% has 12.7.
const T_MAX: f64 = 1e4;

/// Student's 95% interval of the mean, mean ± t·s/√n with n − 1 degrees of freedom (Student 1908): it covers as often
/// as it says for normal values however few they are, and more often where outliers lie on both sides. `None` for
/// fewer than two samples.
pub fn student_mean(samples: &[f64]) -> Option<Interval> {
    if samples.len() < 2 {
        return None;
    }
    let (n, centre) = (samples.len() as f64, mean(samples));
    let squares: f64 = samples.iter().map(|s| (s - centre).powi(2)).sum();
    let half = two_sided_quantile(CONFIDENCE, samples.len() - 1) * (squares / (n - 1.0) / n).sqrt();
    Some(Interval { lo: centre - half, hi: centre + half })
}

/// The probability that |T| is at most `t`, for `df` ≥ 1 degrees of freedom: the finite sums of Abramowitz and Stegun,
/// 26.7.3 and 26.7.4.
pub(crate) fn two_sided_cdf(t: f64, df: usize) -> f64 {
    let theta = (t / (df as f64).sqrt()).atan();
    let (sin, cos) = theta.sin_cos();
    let is_odd = df % 2 == 1;
    let mut power = usize::from(is_odd);
    let (mut term, mut sum) = (if is_odd { cos } else { 1.0 }, 0.0);
    while power + 2 <= df {
        sum += term;
        term *= cos * cos * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    if is_odd { FRAC_2_PI * (theta + sin * sum) } else { sin * sum }
}

/// Two-sided p of the statistic `t` with `df` ≥ 1 degrees of freedom; 0 for an infinite one.
pub fn student_p(t: f64, df: usize) -> f64 {
    if t.is_finite() { 1.0 - two_sided_cdf(t.abs(), df) } else { 0.0 }
}

/// The t that |T| stays below with 95%, for `df` ≥ 1 degrees of freedom.
pub fn student_quantile(df: usize) -> f64 {
    two_sided_quantile(CONFIDENCE, df)
}

/// The t that |T| stays below with probability `p`, by bisection.
pub(crate) fn two_sided_quantile(p: f64, df: usize) -> f64 {
    let (mut lo, mut hi) = (0.0, T_MAX);
    while hi - lo > 1e-12 * hi.max(1.0) {
        let mid = 0.5 * (lo + hi);
        if two_sided_cdf(mid, df) < p { lo = mid } else { hi = mid }
    }
    0.5 * (lo + hi)
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: one degree of freedom is the Cauchy distribution, half of which lies within ±1; for two,
    // P(|T| ≤ t) = t / √(2 + t²).
    #[test]
    fn small_degrees_of_freedom_by_hand() {
        assert!((two_sided_cdf(1.0, 1) - 0.5).abs() < 1e-15);
        assert!((two_sided_cdf(2.0, 2) - 2.0 / 6f64.sqrt()).abs() < 1e-15);
        assert!((two_sided_quantile(0.5, 1) - 1.0).abs() < 1e-11);
    }

    // By hand: −1, 0, 1 have s = 1; t of two degrees at 95% is √(2·0.95² / (1 − 0.95²)).
    #[test]
    fn interval_by_hand() {
        let half = (2.0 * 0.9025 / 0.0975f64).sqrt() / 3f64.sqrt();
        let interval = student_mean(&[4.0, 5.0, 6.0]).unwrap();
        assert!((interval.lo - (5.0 - half)).abs() < 1e-9 && (interval.hi - (5.0 + half)).abs() < 1e-9);
        assert_eq!(student_mean(&[0.5; 4]), Some(Interval { lo: 0.5, hi: 0.5 }));
        assert_eq!(student_mean(&[1.0]), None);
    }
}
