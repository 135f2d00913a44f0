//! Which change of a series is news: pure numbers in, changes out.

use crate::stats::{ChangeRule, Interval, change_points, median, sorted, student_p, student_quantile};

/// When a change of a series is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// When a change counts.
    pub change: ChangeRule,
    /// Largest p of Student's t test between both sides of a change that is told: the place of a change is chosen so that the
    /// sides differ most, and a year has many nights to choose on, so that far smaller ones come by chance.
    pub p_told: f64,
    /// Nights after a change without which it is not told: one night alone may be an outlier.
    pub confirm: usize,
    /// A change is news for so many nights from the one on which it was found.
    pub recent: usize,
}

/// Window 50, p 0.001, magnitude 2%, as Hunter and Otava have them; told from the second night on, for a week.
pub const RULES: Rules = Rules {
    change: ChangeRule { window: 50, p_max: 0.001, magnitude_min: 0.02 },
    p_told: 0.0001,
    confirm: 2,
    recent: 7,
};

/// The place of a change may shift by so many values while more come in.
const SHIFT_MAX: usize = 5;

/// A change of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first value after it.
    pub index: usize,
    /// Mean from the change before, or the start.
    pub before: f64,
    /// Mean until the next change, or the end.
    pub after: f64,
    /// Of Student's t test between both.
    pub p: f64,
    /// How far the median moves the same way, as a share: outliers move means alone.
    pub of_medians: f64,
    /// 95% interval of after / before − 1.
    pub interval: Interval,
    /// Values before it, back to the change before or the start.
    pub n_before: usize,
    /// Values from it on, to the next change or the end.
    pub n_after: usize,
    /// The value with which it was found, where that is one of the last [`Rules::recent`]; `None`: it was known before.
    pub found: Option<usize>,
}

/// The changes of `values` that are told, in order.
pub fn changes(values: &[f64], rules: &Rules) -> Vec<Change> {
    let mut changes = told(values, rules);
    // A change further back lies in windows that no new value reaches.
    let is_near = |change: &Change| change.index + 2 * rules.change.window > values.len();
    let mut is_open: Vec<bool> = changes.iter().map(is_near).collect();
    for n in (values.len().saturating_sub(rules.recent)..values.len()).rev() {
        if !is_open.contains(&true) {
            break;
        }
        let earlier = told(&values[..n], rules);
        for (change, is_open) in changes.iter_mut().zip(&mut is_open) {
            if *is_open && !earlier.iter().any(|other| is_same(other, change)) {
                change.found = Some(n);
                *is_open = false;
            }
        }
    }
    changes
}

fn told(values: &[f64], rules: &Rules) -> Vec<Change> {
    let mut at: Vec<usize> = change_points(values, &rules.change).iter().map(|point| point.index).collect();
    // A single outlier is a change there and back: of two points that are too close together the weaker one goes.
    while let Some(i) = at.windows(2).position(|pair| pair[1] - pair[0] < rules.confirm) {
        let is_second_weaker = change(values, &at, i + 1).p > change(values, &at, i).p;
        at.remove(i + usize::from(is_second_weaker));
    }
    let is_told = |change: &Change| {
        let is_confirmed = change.n_after >= rules.confirm;
        is_confirmed && change.p <= rules.p_told && change.of_medians > rules.change.magnitude_min
    };
    (0..at.len()).map(|i| change(values, &at, i)).filter(is_told).collect()
}

fn is_same(a: &Change, b: &Change) -> bool {
    a.index.abs_diff(b.index) <= SHIFT_MAX && (a.after > a.before) == (b.after > b.before)
}

/// Both sides of the `i`-th point: Student's t test and interval of the difference of their means, with common variance.
fn change(values: &[f64], at: &[usize], i: usize) -> Change {
    let start = if i == 0 { 0 } else { at[i - 1] };
    let end = at.get(i + 1).copied().unwrap_or(values.len());
    let (before, after) = (&values[start..at[i]], &values[at[i]..end]);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let squares = |part: &[f64]| part.iter().map(|v| (v - mean(part)).powi(2)).sum::<f64>();
    let (n, m) = (before.len() as f64, after.len() as f64);
    let df = (before.len() + after.len()).saturating_sub(2).max(1);
    let error = ((squares(before) + squares(after)) / df as f64 * (1.0 / n + 1.0 / m)).sqrt();
    let difference = mean(after) - mean(before);
    let share = difference / mean(before);
    let half = student_quantile(df) * error / mean(before);
    Change {
        index: at[i],
        before: mean(before),
        after: mean(after),
        p: student_p(difference / error, df),
        of_medians: ratio_of_medians(before, after) * share.signum(),
        interval: Interval { lo: share - half, hi: share + half },
        n_before: before.len(),
        n_after: after.len(),
        found: None,
    }
}

/// after / before − 1 of medians. Of an even number of values after it the middle one counts that is nearer to those before: of
/// two nights both must lie beyond, or one alone would do.
fn ratio_of_medians(before: &[f64], after: &[f64]) -> f64 {
    let Some(before) = median(before) else { return 0.0 };
    let after = sorted(after);
    let middle = [after[(after.len() - 1) / 2], after[after.len() / 2]];
    let share = |after: f64| after / before - 1.0;
    middle.into_iter().map(share).min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0)
}
