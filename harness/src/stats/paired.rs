//! Paired comparison by block: the ratio of two frameworks that ran in the same blocks.

use super::bootstrap::{bca_mean, generator, mean};
use super::normal;
use super::student::student_mean;
use super::{Interval, sorted};
use rand_chacha::rand_core::Rng;

/// Up to this many blocks every sign pattern is enumerated (2^16 of them); beyond, 2^16 are drawn.
pub const EXACT_FLIPS_MAX: usize = 16;

/// Up to this many blocks sign patterns are drawn; beyond, the sum of flipped differences is as good as normal.
const DRAWN_FLIPS_MAX: usize = 256;

/// The level that a p-value is read against.
pub const SIGNIFICANCE: f64 = 0.05;

/// A ratio of two frameworks, paired by block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Geometric mean of the blocks' ratios.
    pub value: f64,
    /// 95% interval over blocks, see [`log_ratio_interval`]; `None` for fewer than two.
    pub interval: Option<Interval>,
    /// Blocks in which both were measured.
    pub n: usize,
    /// Two-sided paired sign-flip p of the log ratios, uncorrected.
    pub p: f64,
}

/// The ratio numerator / denominator over pairs of one block each; `None` for no pairs or values that are not positive.
pub fn paired_ratio(pairs: &[(f64, f64)], seed: u64) -> Option<Ratio> {
    let positive = |v: f64| v > 0.0 && v.is_finite();
    if pairs.is_empty() || !pairs.iter().all(|&(a, b)| positive(a) && positive(b)) {
        return None;
    }
    let logs = sorted(&pairs.iter().map(|(a, b)| (a / b).ln()).collect::<Vec<_>>());
    Some(Ratio {
        value: mean(&logs).exp(),
        interval: log_ratio_interval(&logs, seed).map(|i| Interval { lo: i.lo.exp(), hi: i.hi.exp() }),
        n: logs.len(),
        p: sign_flip_p(&logs, seed),
    })
}

/// The 95% interval of the mean of log ratios: at each end the BCa bootstrap's or Student's, whichever lies further out.
///
/// A bootstrap over n values is too narrow for few of them: it resamples a spread that is too small by (n − 1) / n and
/// takes it for known. Student's interval holds for any n, but is symmetric. METHODOLOGY.md has the simulation by
/// which this was chosen. `None` for fewer than two.
pub fn log_ratio_interval(logs: &[f64], seed: u64) -> Option<Interval> {
    let (bca, student) = (bca_mean(logs, seed)?, student_mean(&sorted(logs))?);
    Some(Interval { lo: bca.lo.min(student.lo), hi: bca.hi.max(student.hi) })
}

/// Two-sided p of the hypothesis that the differences are symmetric around 0, by flipping their signs: exact up to
/// [`EXACT_FLIPS_MAX`] differences; beyond, from 2^16 seeded draws, the observed pattern counted among them; for more than 256 by
/// the normal distribution that the flipped sum tends to, whose variance is the sum of squares.
pub fn sign_flip_p(differences: &[f64], seed: u64) -> f64 {
    let n = differences.len();
    let observed = differences.iter().sum::<f64>().abs();
    if n > DRAWN_FLIPS_MAX {
        let deviation = differences.iter().map(|d| d * d).sum::<f64>().sqrt();
        return if deviation == 0.0 { 1.0 } else { 2.0 * normal::cdf(-observed / deviation) };
    }
    // Sums of the same magnitudes in other signs may differ in their last bits.
    let threshold = observed - 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let patterns = 1u32 << EXACT_FLIPS_MAX.min(n);
    if n <= EXACT_FLIPS_MAX {
        let extreme = |pattern: &u32| flipped_sum(differences, |i| pattern >> i & 1 == 1).abs() >= threshold;
        return (0..patterns).filter(extreme).count() as f64 / f64::from(patterns);
    }
    let mut rng = generator(seed);
    let mut signs = 0;
    let mut flip = |i: usize| {
        // 64 signs a draw.
        if i.is_multiple_of(64) {
            signs = rng.next_u64();
        }
        signs >> (i % 64) & 1 == 1
    };
    let count = (0..patterns).filter(|_| flipped_sum(differences, &mut flip).abs() >= threshold).count();
    (count + 1) as f64 / f64::from(patterns + 1)
}

fn flipped_sum(differences: &[f64], mut flip: impl FnMut(usize) -> bool) -> f64 {
    differences.iter().enumerate().map(|(i, d)| if flip(i) { -d } else { *d }).sum()
}

/// Holm's step-down correction of a family of p-values, in the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut running = 0.0f64;
    for (rank, &i) in order.iter().enumerate() {
        running = running.max(p_values[i] * (p_values.len() - rank) as f64).min(1.0);
        corrected[i] = running;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // By hand: with all differences on one side only the two uniform patterns are as extreme, 2 / 2^n.
    #[test]
    fn the_smallest_p_is_two_patterns_in_all() {
        assert_eq!(sign_flip_p(&[0.1, 0.2, 0.3, 0.1, 0.2], 1), 2.0 / 32.0);
        assert_eq!(sign_flip_p(&[-0.1, -0.2, -0.3, -0.1, -0.2, -0.3], 1), 2.0 / 64.0);
        assert_eq!(sign_flip_p(&[0.0, 0.0], 1), 1.0);
        assert!(sign_flip_p(&[0.1; 20], 1) < 1e-4, "drawn, not enumerated");
    }

    // Golden: scipy.stats.permutation_test(…, permutation_type="samples", n_resamples=inf).
    #[test]
    fn flips_agree_with_scipy() {
        let differences = [0.03, -0.01, 0.05, 0.02, 0.04, -0.02, 0.01, 0.06];
        assert_eq!(sign_flip_p(&differences, 1), 0.0859375);
    }

    #[test]
    fn the_normal_limit_continues_what_is_drawn() {
        let differences =
            |n: usize| -> Vec<f64> { (0..n).map(|i| ((i * 7919) % 101) as f64 / 50.0 - 0.93).collect() };
        let (drawn, limit) = (sign_flip_p(&differences(256), 1), sign_flip_p(&differences(257), 1));
        assert!((0.05..0.9).contains(&drawn) && (drawn - limit).abs() < 0.02, "{drawn} {limit}");
        assert_eq!(sign_flip_p(&[0.0; 300], 1), 1.0);
    }

    // By hand: sorted 0.01·4, 0.02·3, 0.03·2, 0.5·1 with running maximum.
    #[test]
    fn holm_by_hand() {
        let corrected = holm(&[0.02, 0.01, 0.5, 0.03]);
        for (got, expected) in corrected.iter().zip([0.06, 0.04, 0.5, 0.06]) {
            assert!((got - expected).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.7, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    // By hand: ratios 2 and 8 have the geometric mean 4.
    #[test]
    fn ratios_are_geometric_means() {
        let ratio = paired_ratio(&[(2.0, 1.0), (8.0, 1.0)], 1).unwrap();
        assert!((ratio.value - 4.0).abs() < 1e-12);
        assert_eq!(ratio.n, 2);
        assert_eq!(paired_ratio(&[(1.0, 0.0)], 1), None);
        assert_eq!(paired_ratio(&[], 1), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn swapping_the_sides_inverts_the_ratio(pairs in proptest::collection::vec((0.5f64..2.0, 0.5f64..2.0), 2..9)) {
            let swapped: Vec<_> = pairs.iter().map(|&(a, b)| (b, a)).collect();
            let (one, other) = (paired_ratio(&pairs, 1).unwrap(), paired_ratio(&swapped, 1).unwrap());
            prop_assert!((one.value * other.value - 1.0).abs() < 1e-9);
            prop_assert!((one.p - other.p).abs() < 1e-12);
        }

        #[test]
        fn a_common_drift_of_both_sides_cancels(pairs in proptest::collection::vec((0.5f64..2.0, 0.5f64..2.0), 2..9), drift in 0.1f64..10.0) {
            let drifted: Vec<_> = pairs.iter().map(|&(a, b)| (a * drift, b * drift)).collect();
            let (one, other) = (paired_ratio(&pairs, 1).unwrap(), paired_ratio(&drifted, 1).unwrap());
            prop_assert!((one.value / other.value - 1.0).abs() < 1e-9);
        }
    }
}
