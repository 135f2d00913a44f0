//! Outliers by Tukey's fences: shown, never removed.

use super::{quantile_of_sorted, sorted};

/// A sample outside the fences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its position among the samples given.
    pub index: usize,
    /// Its value.
    pub value: f64,
    /// Beyond three interquartile ranges, not only one and a half.
    pub far: bool,
}

/// Samples beyond 1.5 interquartile ranges from the quartiles, in the order given. Fewer than four have no fences.
pub fn tukey_outliers(samples: &[f64]) -> Vec<Outlier> {
    if samples.len() < 4 {
        return Vec::new();
    }
    let ascending = sorted(samples);
    let (q1, q3) = (quantile_of_sorted(&ascending, 0.25), quantile_of_sorted(&ascending, 0.75));
    let iqr = q3 - q1;
    let beyond = |value: f64, fences: f64| value < q1 - fences * iqr || value > q3 + fences * iqr;
    samples
        .iter()
        .enumerate()
        .filter(|&(_, &value)| beyond(value, 1.5))
        .map(|(index, &value)| Outlier { index, value, far: beyond(value, 3.0) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: quartiles 2 and 4 give fences −1 and 7, outer fences −4 and 10.
    #[test]
    fn fences_by_hand() {
        assert_eq!(tukey_outliers(&[1.0, 2.0, 3.0, 4.0, 7.0]), []);
        assert_eq!(
            tukey_outliers(&[7.5, 1.0, 2.0, 3.0, 4.0]),
            [Outlier { index: 0, value: 7.5, far: false }]
        );
        assert_eq!(
            tukey_outliers(&[1.0, 2.0, 3.0, 4.0, 10.5]),
            [Outlier { index: 4, value: 10.5, far: true }]
        );
        assert_eq!(tukey_outliers(&[1.0, 1.0, 9.0]), [], "three samples have no fences");
    }
}
