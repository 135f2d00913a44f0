//! From logits to what a runner tells of them.

/// The `k` largest of `logits` (\[n_vocab\]), largest first and the smaller id first of equals. Needs memory for `k`
/// entries only, so that telling does not show in the peak.
pub(super) fn largest(logits: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut kept: Vec<(u32, f32)> = Vec::with_capacity(k.min(logits.len()) + 1);
    for (id, &value) in (0u32..).zip(logits) {
        let is_full = kept.len() == k;
        if is_full && kept.last().is_none_or(|&(_, least)| value <= least) {
            continue;
        }
        let place = kept.partition_point(|&(_, other)| other >= value);
        kept.insert(place, (id, value));
        kept.truncate(k);
    }
    kept
}

/// The `k` largest natural log-probabilities of the softmax over all `logits`, largest first.
pub(super) fn largest_log_probabilities(logits: &[f32], k: usize) -> Vec<(u32, f32)> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - most).exp()).sum();
    let of = |logit: f32| (f64::from(logit - most) - sum.ln()) as f32;
    largest(logits, k).into_iter().map(|(id, logit)| (id, of(logit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_come_first_and_of_equals_the_smaller_id() {
        let logits = [1.0, 3.0, 2.0, 3.0, -1.0];
        assert_eq!(largest(&logits, 3), [(1, 3.0), (3, 3.0), (2, 2.0)]);
        assert_eq!(largest(&logits, 0), []);
        assert_eq!(largest(&logits, 9).len(), 5);
    }

    #[test]
    fn log_probabilities_are_over_all_logits() {
        let told = largest_log_probabilities(&[0.0, 3f32.ln(), 0.0], 1);
        assert_eq!(told[0].0, 1);
        assert!((f64::from(told[0].1).exp() - 0.6).abs() < 1e-6, "{told:?}");
        // Far beyond what an exponential can hold.
        let far = largest_log_probabilities(&[1e4, 1e4 - 1.0], 2);
        assert!((f64::from(far[0].1).exp() + f64::from(far[1].1).exp() - 1.0).abs() < 1e-6, "{far:?}");
    }

    proptest! {
        #[test]
        fn as_a_whole_sort_would(logits in proptest::collection::vec(-5i8..5, 0..60), k in 0usize..70) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all.truncate(k);
            prop_assert_eq!(largest(&logits, k), all);
        }
    }
}
