//! Drift over a session: Kendall's rank correlation of values with their order.

use super::{median, normal};
use std::collections::BTreeMap;

/// Up to this many values the distribution of the statistic is computed, ties included; beyond, it is taken as normal.
pub const EXACT_TREND_MAX: usize = 50;

/// Fewer values have no trend to speak of.
const VALUES_MIN: usize = 3;

/// Whether values rise or fall with their order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Kendall's τ_b: 1 for values that only rise, −1 for values that only fall, 0 where all are equal.
    pub tau: f64,
    /// Two-sided p of the hypothesis that every order was as likely.
    pub p: f64,
    /// Values.
    pub n: usize,
    /// Change from one value to the next as a share, +0.01 for a rise of 1%: from the median of all pairwise slopes of
    /// the logarithms (Theil 1950, Sen 1968), so that single outliers do not move it.
    pub slope: f64,
}

/// The trend of positive values in the order in which they were taken (Mann 1945, Kendall 1975); `None` for fewer than
/// three, or if one is not positive.
///
/// p counts, among all orders of the same values, those with at least as many ordered pairs too many one way or the
/// other; beyond [`EXACT_TREND_MAX`] values it is the normal approximation with the variance corrected for ties.
pub fn trend(values_in_order: &[f64]) -> Option<Trend> {
    let n = values_in_order.len();
    if n < VALUES_MIN || !values_in_order.iter().all(|v| *v > 0.0 && v.is_finite()) {
        return None;
    }
    let mut score = 0i64;
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for (i, earlier) in values_in_order.iter().enumerate() {
        for (j, later) in values_in_order.iter().enumerate().skip(i + 1) {
            score += i64::from(later > earlier) - i64::from(later < earlier);
            slopes.push((later / earlier).ln() / (j - i) as f64);
        }
    }
    let ties = tie_groups(values_in_order);
    let pairs = |count: usize| (count * (count - 1) / 2) as f64;
    let untied = pairs(n) - ties.iter().map(|&g| pairs(g)).sum::<f64>();
    Some(Trend {
        tau: if untied == 0.0 { 0.0 } else { score as f64 / (untied * pairs(n)).sqrt() },
        p: if n <= EXACT_TREND_MAX { exact_p(score, &ties) } else { normal_p(score, n, &ties) },
        n,
        slope: median(&slopes)?.exp_m1(),
    })
}

/// How often each distinct value occurs.
fn tie_groups(values: &[f64]) -> Vec<usize> {
    let mut groups: BTreeMap<u64, usize> = BTreeMap::new();
    for value in values {
        // Positive floats order as their bits.
        *groups.entry(value.to_bits()).or_default() += 1;
    }
    groups.into_values().collect()
}

/// The share of all distinct orders whose score is at least as far from 0 as `score`.
///
/// A score is the number of untied pairs less twice the inversions, and the inversions of an order of values with ties
/// are distributed as a product of Gaussian binomials: each further group of equal values goes into the earlier ones.
fn exact_p(score: i64, groups: &[usize]) -> f64 {
    let mut distribution = vec![1.0];
    let mut n_placed = 0;
    for &group in groups {
        distribution = convolve(&distribution, &inversions_of_two(n_placed, group));
        n_placed += group;
    }
    let n_untied = distribution.len() as i64 - 1;
    let far = |&(inversions, _): &(usize, &f64)| (n_untied - 2 * inversions as i64).abs() >= score.abs();
    let p: f64 = distribution.iter().enumerate().filter(far).map(|(_, share)| share).sum();
    p.min(1.0)
}

/// The distribution of the inversions between `a` equal values and `b` others that are equal, over all their orders.
///
/// Whichever value stands last decides: one of the a has inversions with none of the b before it or with all, so
/// that the Gaussian binomials follow a recursion of sums alone, taken here in shares so that nothing overflows.
fn inversions_of_two(a: usize, b: usize) -> Vec<f64> {
    // row[j]: the distribution for i and j values, 0 ≤ j ≤ b, i growing.
    let mut row: Vec<Vec<f64>> = vec![vec![1.0]; b + 1];
    for i in 1..=a {
        for j in 1..=b {
            let mut next = vec![0.0; i * j + 1];
            let share_of_b = j as f64 / (i + j) as f64;
            // One of the b stands last: no inversion with the i before it.
            for (inversions, share) in row[j - 1].iter().enumerate() {
                next[inversions] += share_of_b * share;
            }
            // One of the a stands last: an inversion with each of the j before it.
            for (inversions, share) in row[j].iter().enumerate() {
                next[inversions + j] += (1.0 - share_of_b) * share;
            }
            row[j] = next;
        }
    }
    row.swap_remove(b)
}

fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            product[i + j] += x * y;
        }
    }
    product
}

fn normal_p(score: i64, n: usize, groups: &[usize]) -> f64 {
    let term = |count: usize| {
        let c = count as f64;
        c * (c - 1.0) * (2.0 * c + 5.0)
    };
    let variance = (term(n) - groups.iter().map(|&g| term(g)).sum::<f64>()) / 18.0;
    if variance <= 0.0 {
        return 1.0;
    }
    (2.0 * normal::cdf(-(score.abs() as f64) / variance.sqrt())).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // By hand: of the 24 orders of four values, two are as extreme as a strict rise.
    #[test]
    fn a_strict_rise_by_hand() {
        let rise = trend(&[1.0, 2.0, 4.0, 8.0]).unwrap();
        assert_eq!((rise.tau, rise.n), (1.0, 4));
        assert!((rise.p - 2.0 / 24.0).abs() < 1e-15);
        assert!((rise.slope - 1.0).abs() < 1e-12, "doubles each time");
        let fall = trend(&[8.0, 4.0, 2.0, 1.0]).unwrap();
        assert_eq!((fall.tau, fall.p), (-1.0, rise.p));
        assert!((fall.slope + 0.5).abs() < 1e-12, "halves each time");
    }

    // By hand: the six orders of 1, 1, 2, 2 have scores 4, 2, 0, 0, −2, −4.
    #[test]
    fn ties_by_hand() {
        let tied = trend(&[1.0, 1.0, 2.0, 2.0]).unwrap();
        assert!((tied.p - 2.0 / 6.0).abs() < 1e-15);
        assert!((tied.tau - 4.0 / 24f64.sqrt()).abs() < 1e-15);
        let less = trend(&[1.0, 2.0, 1.0, 2.0]).unwrap();
        assert!((less.p - 4.0 / 6.0).abs() < 1e-15, "{less:?}");
    }

    #[test]
    fn what_has_no_trend() {
        let flat = trend(&[2.0; 6]).unwrap();
        assert_eq!((flat.tau, flat.p, flat.slope), (0.0, 1.0, 0.0));
        assert_eq!(trend(&[2.0; 60]).unwrap().p, 1.0);
        assert_eq!(trend(&[1.0, 2.0]), None);
        assert_eq!(trend(&[1.0, 0.0, 2.0]), None);
        assert_eq!(trend(&[1.0, f64::NAN, 2.0]), None);
    }

    #[test]
    fn one_outlier_does_not_move_the_slope_much() {
        let slope = |values: &[f64]| trend(values).unwrap().slope;
        let steady: Vec<f64> = (0..10).map(|i| 1.01f64.powi(i)).collect();
        let mut disturbed = steady.clone();
        disturbed[4] *= 0.5;
        assert!((slope(&steady) - 0.01).abs() < 1e-12);
        assert!((slope(&disturbed) - 0.01).abs() < 1e-3, "{}", slope(&disturbed));
    }

    /// Every order of `values`, by Heap's swaps.
    fn scores_of_all_orders(values: &mut Vec<f64>, k: usize, scores: &mut Vec<i64>) {
        if k <= 1 {
            let of = |i: usize, j: usize| i64::from(values[j] > values[i]) - i64::from(values[j] < values[i]);
            scores.push(
                (0..values.len()).flat_map(|j| (0..j).map(move |i| (i, j))).map(|(i, j)| of(i, j)).sum(),
            );
            return;
        }
        for i in 0..k {
            scores_of_all_orders(values, k - 1, scores);
            let other = if k.is_multiple_of(2) { i } else { 0 };
            values.swap(other, k - 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn exact_p_is_that_of_all_orders(values in proptest::collection::vec(1u8..5, 3..7)) {
            let mut values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let trend = trend(&values).unwrap();
            let score = |v: &[f64]| -> i64 {
                let n = v.len();
                let pairs = (0..n).flat_map(|j| (0..j).map(move |i| (i, j)));
                pairs.map(|(i, j)| i64::from(v[j] > v[i]) - i64::from(v[j] < v[i])).sum()
            };
            let observed = score(&values).abs();
            let mut scores = Vec::new();
            let n = values.len();
            scores_of_all_orders(&mut values, n, &mut scores);
            let share = scores.iter().filter(|s| s.abs() >= observed).count() as f64 / scores.len() as f64;
            prop_assert!((trend.p - share).abs() < 1e-12, "{} {share}", trend.p);
        }
    }
}
