//! A series as a line of text.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// So many of the last values are shown.
const VALUES_MAX: usize = 60;

/// The last values as bars from the least to the largest of them, with a line before each of `marks`.
pub fn sparkline(values: &[f64], marks: &[usize]) -> String {
    let from = values.len().saturating_sub(VALUES_MAX);
    let shown = &values[from..];
    let lo = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let hi = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut line = String::new();
    for (at, value) in shown.iter().enumerate() {
        if marks.contains(&(from + at)) {
            line.push('│');
        }
        let share = if hi > lo { (value - lo) / (hi - lo) } else { 0.5 };
        line.push(BARS[(share * (BARS.len() - 1) as f64).round() as usize]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_reach_from_the_least_to_the_largest() {
        assert_eq!(sparkline(&[1.0, 2.0, 1.5, 1.0], &[3]), "▁█▅│▁");
        assert_eq!(sparkline(&[1.0, 1.0], &[]), "▅▅");
        assert_eq!(sparkline(&[], &[0]), "");
        let long: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(sparkline(&long, &[10, 99]).chars().count(), VALUES_MAX + 1);
    }
}
