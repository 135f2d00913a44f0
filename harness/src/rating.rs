//! Stars: one to five, by fixed steps.

use crate::units::fixed;

/// Stars for a share of the best row's efficiency: from 85% five, from 55% four, from 40% three, from 20% two, else one.
pub fn efficiency_stars(share: f64) -> usize {
    2 + [0.40, 0.55, 0.85].iter().filter(|&&step| share >= step).count() - usize::from(share < 0.20)
}

/// Stars for an overhead over the smallest positive one: up to 1.05 five, 1.25 four, 1.5 three, 2 two, else one. No
/// overhead at all is as good as the best.
pub fn memory_stars(overhead: f64, least: Option<f64>) -> usize {
    match least {
        Some(least) if overhead > 0.0 => {
            5 - [1.05, 1.25, 1.5, 2.0].iter().filter(|&&step| overhead / least > step).count()
        }
        _ => 5,
    }
}

/// The stars themselves.
pub fn stars(count: usize) -> String {
    "⭐".repeat(count)
}

/// Tokens per second per GHz and core: one decimal below 100, two in the subject's row.
pub fn show_per_ghz_core(value: f64, is_subject: bool) -> String {
    fixed(value, if is_subject { 2 } else { usize::from(value < 100.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efficiency_stars_by_share_of_the_best() {
        let rated = [1.0, 0.85, 0.84, 0.55, 0.54, 0.40, 0.39, 0.20, 0.19].map(efficiency_stars);
        assert_eq!(rated, [5, 5, 4, 4, 3, 3, 2, 2, 1]);
    }

    #[test]
    fn memory_stars_by_overhead_over_the_least() {
        let rated =
            [100.0, 105.0, 106.0, 125.0, 150.0, 151.0, 200.0, 201.0].map(|o| memory_stars(o, Some(100.0)));
        assert_eq!(rated, [5, 5, 4, 4, 3, 2, 2, 1]);
        assert_eq!(memory_stars(-5.0, Some(100.0)), 5);
        assert_eq!(memory_stars(-5.0, None), 5);
    }

    #[test]
    fn figures_per_ghz_core_as_the_reference_writes_them() {
        assert_eq!(show_per_ghz_core(26.286, false), "26.3");
        assert_eq!(show_per_ghz_core(17.049, true), "17.05");
        assert_eq!(show_per_ghz_core(123.4, false), "123");
    }
}
