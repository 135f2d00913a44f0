//! Outliers by Tukey's fences: shown, never removed.

use super::{quantile_of_sorted, sorted};

/// Interquartile ranges from the quartiles to the inner and to the outer fence (Tukey 1977).
const INNER_FENCE: f64 = 1.5;
const OUTER_FENCE: f64 = 3.0;

/// On which side of the fences a sample lies, and beyond which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TukeyClass {
    /// More than three interquartile ranges below the lower quartile.
    LowSevere,
    /// More than one and a half below it.
    LowMild,
    /// More than one and a half above the upper quartile.
    HighMild,
    /// More than three above it.
    HighSevere,
}

impl TukeyClass {
    /// As tables write it.
    pub fn words(self) -> &'static str {
        match self {
            TukeyClass::LowSevere => "low, severe",
            TukeyClass::LowMild => "low, mild",
            TukeyClass::HighMild => "high, mild",
            TukeyClass::HighSevere => "high, severe",
        }
    }

    /// Whether it lies beyond the outer fence.
    pub fn is_severe(self) -> bool {
        matches!(self, TukeyClass::LowSevere | TukeyClass::HighSevere)
    }

    /// Whether it lies below the quartiles.
    pub fn is_low(self) -> bool {
        matches!(self, TukeyClass::LowSevere | TukeyClass::LowMild)
    }
}

/// A sample outside the fences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its position among the samples given.
    pub index: usize,
    /// Its value.
    pub value: f64,
    /// Where it lies.
    pub class: TukeyClass,
}

/// The quartiles (type 7) and the fences around them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fences {
    q1: f64,
    q3: f64,
}

impl Fences {
    /// Those of `samples`; `None` for fewer than four, which have no quartiles worth the name.
    pub fn of(samples: &[f64]) -> Option<Fences> {
        let ascending = sorted(samples);
        (samples.len() >= 4).then(|| Fences {
            q1: quantile_of_sorted(&ascending, 0.25),
            q3: quantile_of_sorted(&ascending, 0.75),
        })
    }

    /// The class of `value`; `None` within the inner fences, and on them.
    pub fn class(self, value: f64) -> Option<TukeyClass> {
        let range = self.q3 - self.q1;
        let below = |fence: f64| value < self.q1 - fence * range;
        let above = |fence: f64| value > self.q3 + fence * range;
        if below(OUTER_FENCE) {
            Some(TukeyClass::LowSevere)
        } else if below(INNER_FENCE) {
            Some(TukeyClass::LowMild)
        } else if above(OUTER_FENCE) {
            Some(TukeyClass::HighSevere)
        } else if above(INNER_FENCE) {
            Some(TukeyClass::HighMild)
        } else {
            None
        }
    }
}

/// Samples outside the inner fences, in the order given. Fewer than four have no fences.
pub fn tukey_outliers(samples: &[f64]) -> Vec<Outlier> {
    let Some(fences) = Fences::of(samples) else { return Vec::new() };
    let outlier =
        |(index, &value): (usize, &f64)| Some(Outlier { index, value, class: fences.class(value)? });
    samples.iter().enumerate().filter_map(outlier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples: &[f64], expected: &[(usize, TukeyClass)]) {
        let classes: Vec<_> = tukey_outliers(samples).iter().map(|o| (o.index, o.class)).collect();
        assert_eq!(classes, expected, "{samples:?}");
        assert!(tukey_outliers(samples).iter().all(|o| o.value == samples[o.index]));
    }

    // By hand: quartiles 2 and 4 give fences −1 and 7, outer fences −4 and 10.
    #[test]
    fn fences_by_hand() {
        check(&[1.0, 2.0, 3.0, 4.0, 7.0], &[]);
        check(&[7.5, 1.0, 2.0, 3.0, 4.0], &[(0, TukeyClass::HighMild)]);
        check(&[1.0, 2.0, 3.0, 4.0, 10.0], &[(4, TukeyClass::HighMild)]);
        check(&[1.0, 2.0, 3.0, 4.0, 10.5], &[(4, TukeyClass::HighSevere)]);
        check(&[-1.5, 2.0, 3.0, 4.0, 5.0], &[(0, TukeyClass::LowMild)]);
        check(&[2.0, -4.5, 3.0, 4.0, 5.0], &[(1, TukeyClass::LowSevere)]);
        check(&[1.0, 1.0, 9.0], &[]);
        check(&[1.0, 1.0, 1.0, 1.0, 1.5], &[(4, TukeyClass::HighSevere)]);
    }

    #[test]
    fn classes_have_words_and_sides() {
        assert!(TukeyClass::LowSevere.is_low() && TukeyClass::LowSevere.is_severe());
        assert!(!TukeyClass::HighMild.is_low() && !TukeyClass::HighMild.is_severe());
        assert_eq!(TukeyClass::HighSevere.words(), "high, severe");
    }
}
