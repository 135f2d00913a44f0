//! Verdicts: what a ratio with its interval allows one to say, and why it may allow nothing.

use crate::sample::Metric;
use crate::stats::{Interval, Ratio};

/// Fewer blocks cannot rank: at five, the smallest two-sided sign-flip p is 0.0625.
pub const BLOCKS_TO_RANK: usize = 6;

/// What can be said of a row against the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Better, by more than the margin.
    Faster,
    /// Worse, by more than the margin.
    Slower,
    /// Within the margin.
    Equivalent,
    /// The data do not tell.
    Unresolved,
    /// There is nothing to be compared.
    Invalid,
}

/// A verdict with its reason, where the interval alone does not give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it could not be told; `None` for `faster`, `slower` and `equivalent`.
    pub reason: Option<String>,
}

impl Verdict {
    /// As tables write it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Faster => "faster",
            Verdict::Slower => "slower",
            Verdict::Equivalent => "equivalent",
            Verdict::Unresolved => "unresolved",
            Verdict::Invalid => "invalid",
        }
    }

    /// The same of memory, which is not fast or slow.
    pub fn word_for(self, metric: Metric) -> &'static str {
        match (self, metric) {
            (Verdict::Faster, Metric::PeakRss) => "smaller",
            (Verdict::Slower, Metric::PeakRss) => "larger",
            _ => self.word(),
        }
    }

    /// Whether it ranks two rows.
    pub fn ranks(self) -> bool {
        matches!(self, Verdict::Faster | Verdict::Slower)
    }
}

impl Judgement {
    /// Nothing to compare, because of `reason`.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Judgement { verdict: Verdict::Invalid, reason: Some(reason.into()) }
    }

    /// Nothing can be told, because of `reason`.
    pub fn unresolved(reason: impl Into<String>) -> Self {
        Judgement { verdict: Verdict::Unresolved, reason: Some(reason.into()) }
    }
}

/// Judges `ratio` (row / baseline) of `metric` with the equivalence margin δ.
///
/// The margin is taken as a factor, 1 + δ one way and 1 / (1 + δ) the other, so that swapping the rows swaps the verdict.
pub fn judge(metric: Metric, ratio: &Ratio, margin: f64) -> Judgement {
    if ratio.n < BLOCKS_TO_RANK {
        let blocks = if ratio.n == 1 { "block" } else { "blocks" };
        return Judgement::unresolved(format!(
            "{} paired {blocks}; fewer than {BLOCKS_TO_RANK} cannot rank",
            ratio.n
        ));
    }
    let Some(interval) = ratio.interval else {
        return Judgement::unresolved("no interval".to_owned());
    };
    judge_interval(metric, interval, margin)
}

/// The verdict of an interval of enough samples; see [`judge`].
pub fn judge_interval(metric: Metric, interval: Interval, margin: f64) -> Judgement {
    let (above, below) = (1.0 + margin, 1.0 / (1.0 + margin));
    let (larger, smaller) = match metric.higher_is_better() {
        true => (Verdict::Faster, Verdict::Slower),
        false => (Verdict::Slower, Verdict::Faster),
    };
    let verdict = if interval.lo > above {
        larger
    } else if interval.hi < below {
        smaller
    } else if interval.lo >= below && interval.hi <= above {
        Verdict::Equivalent
    } else {
        return Judgement::unresolved("the interval crosses the margin of equivalence".to_owned());
    };
    Judgement { verdict, reason: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(metric: Metric, n: usize, (lo, hi): (f64, f64), expected: Verdict) {
        let ratio = Ratio { value: (lo * hi).sqrt(), interval: Some(Interval { lo, hi }), n, p: 0.03125 };
        let judgement = judge(metric, &ratio, 0.02);
        assert_eq!(judgement.verdict, expected, "{metric:?} {n} [{lo}, {hi}]");
        assert_eq!(judgement.reason.is_none(), expected.ranks() || expected == Verdict::Equivalent);
    }

    #[test]
    fn intervals_beyond_the_margin_rank() {
        check(Metric::Decode, 6, (1.03, 1.10), Verdict::Faster);
        check(Metric::Decode, 6, (0.90, 0.97), Verdict::Slower);
        check(Metric::Decode, 6, (0.99, 1.01), Verdict::Equivalent);
        check(Metric::Decode, 6, (0.97, 0.99), Verdict::Unresolved);
        check(Metric::Decode, 6, (0.90, 1.10), Verdict::Unresolved);
        check(Metric::Decode, 6, (1.01, 1.10), Verdict::Unresolved);
    }

    #[test]
    fn less_is_better_for_times_and_memory() {
        check(Metric::TtftWarm, 6, (1.03, 1.10), Verdict::Slower);
        check(Metric::PeakRss, 6, (0.90, 0.97), Verdict::Faster);
        assert_eq!(Verdict::Faster.word_for(Metric::PeakRss), "smaller");
        assert_eq!(Verdict::Faster.word_for(Metric::Load), "faster");
    }

    #[test]
    fn five_blocks_never_rank() {
        check(Metric::Decode, 5, (2.0, 2.1), Verdict::Unresolved);
        check(Metric::Decode, 1, (2.0, 2.0), Verdict::Unresolved);
        check(Metric::Decode, 6, (2.0, 2.1), Verdict::Faster);
    }
}
