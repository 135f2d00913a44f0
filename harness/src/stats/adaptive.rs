//! When to stop: blocks are added on a fixed schedule until the intervals are narrow enough.

use super::Ratio;

/// Numbers of blocks at which the intervals are looked at: each about 1.4 times the one before, so that one more look
/// narrows an interval by about a sixth.
pub const LOOKS: [u32; 11] = [6, 10, 14, 20, 28, 40, 56, 80, 112, 160, 200];

/// How many blocks a session may take, and what it takes them for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Blocks that are measured in any case.
    pub initial: u32,
    /// Blocks at most; never below `initial`.
    pub max: u32,
    /// Full width, relative to the ratio, that every 95% interval is to stay below: 0.02 for ±1%.
    pub target_ci: f64,
}

impl Schedule {
    /// The numbers of blocks at which the intervals are looked at, ascending: `initial`, the [`LOOKS`] between, `max`.
    pub fn looks(&self) -> Vec<u32> {
        let max = self.max.max(self.initial);
        let between = LOOKS.into_iter().filter(|&n| n > self.initial && n < max);
        let mut looks: Vec<u32> = std::iter::once(self.initial).chain(between).collect();
        if max > self.initial {
            looks.push(max);
        }
        looks
    }
}

/// Full width of a ratio's interval relative to the ratio; `None` without an interval.
pub fn relative_width(ratio: &Ratio) -> Option<f64> {
    let interval = ratio.interval?;
    Some((interval.hi - interval.lo) / ratio.value)
}

/// How many blocks the session wants in all, after `measured` of them gave the intervals' relative `widths`, one for
/// each ranked ratio ([`relative_width`]).
///
/// `measured` itself if all are narrower than the target, if nothing is ranked, or if the cap is reached; otherwise the
/// next number of the schedule. A ratio without an interval is not narrow enough.
pub fn blocks_wanted(schedule: &Schedule, measured: u32, widths: &[Option<f64>]) -> u32 {
    if measured < schedule.initial {
        return schedule.initial;
    }
    let is_narrow = |width: &Option<f64>| width.is_some_and(|w| w < schedule.target_ci);
    if widths.iter().all(is_narrow) {
        return measured;
    }
    schedule.looks().into_iter().find(|&n| n > measured).unwrap_or(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Interval;

    const SCHEDULE: Schedule = Schedule { initial: 6, max: 40, target_ci: 0.02 };

    #[test]
    fn blocks_are_added_until_every_interval_is_narrow() {
        let check = |measured, widths: &[Option<f64>], expected| {
            assert_eq!(blocks_wanted(&SCHEDULE, measured, widths), expected, "{measured} {widths:?}");
        };
        check(0, &[], 6);
        check(6, &[Some(0.019), Some(0.01)], 6);
        check(6, &[Some(0.019), Some(0.02)], 10);
        check(6, &[Some(0.019), None], 10);
        check(10, &[Some(0.05)], 14);
        check(12, &[Some(0.05)], 14);
        check(28, &[Some(0.05)], 40);
        check(40, &[Some(0.05)], 40);
        check(45, &[Some(0.05)], 45);
        check(14, &[], 14);
        check(6, &[Some(f64::NAN)], 10);
    }

    #[test]
    fn looks_begin_with_the_first_blocks_and_end_at_the_cap() {
        let looks = |initial, max| Schedule { initial, max, target_ci: 0.02 }.looks();
        assert_eq!(looks(6, 40), [6, 10, 14, 20, 28, 40]);
        assert_eq!(looks(8, 24), [8, 10, 14, 20, 24]);
        assert_eq!(looks(6, 6), [6]);
        assert_eq!(looks(12, 6), [12]);
    }

    #[test]
    fn every_session_ends() {
        let mut measured = 0;
        for _ in 0..7 {
            measured = blocks_wanted(&SCHEDULE, measured, &[None]);
        }
        assert_eq!(measured, 40);
    }

    #[test]
    fn widths_are_relative() {
        let ratio = Ratio { value: 2.0, interval: Some(Interval { lo: 1.9, hi: 2.2 }), n: 6, p: 0.1 };
        assert!((relative_width(&ratio).unwrap() - 0.15).abs() < 1e-12);
        assert_eq!(relative_width(&Ratio { interval: None, ..ratio }), None);
    }
}
