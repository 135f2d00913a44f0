//! Which change of a series is news: pure numbers in, changes out.

use crate::stats::{ChangePoint, ChangeRule, Interval, change_points, student_quantile};

/// When a change of a series is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// When a change counts.
    pub change: ChangeRule,
    /// Nights after a change without which it is not told: one night alone may be an outlier.
    pub confirm: usize,
    /// A change is news for so many nights from the one on which it was found.
    pub recent: usize,
}

/// Window 50, p 0.001, magnitude 2%, as Hunter and Otava have them; told from the second night on, for a week.
pub const RULES: Rules =
    Rules { change: ChangeRule { window: 50, p_max: 0.001, magnitude_min: 0.02 }, confirm: 2, recent: 7 };

/// The place of a change may shift by so many values while more come in.
const SHIFT_MAX: usize = 5;

/// A change of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Where, and between which means.
    pub point: ChangePoint,
    /// 95% interval of after / before − 1.
    pub interval: Interval,
    /// Values before it, back to the change before or the start.
    pub n_before: usize,
    /// Values from it on, to the next change or the end.
    pub n_after: usize,
    /// The value with which it was found, where that is one of the last [`Rules::recent`]; `None`: it was known before.
    pub found: Option<usize>,
}

/// The changes of `values`, in order.
pub fn changes(values: &[f64], rules: &Rules) -> Vec<Change> {
    let points = confirmed(values, rules);
    let mut changes: Vec<Change> = (0..points.len()).map(|i| change(values, &points, i)).collect();
    // A change further back lies in windows that no new value reaches.
    let is_near = |change: &Change| change.point.index + 2 * rules.change.window > values.len();
    if !changes.iter().any(is_near) {
        return changes;
    }
    let mut is_open: Vec<bool> = changes.iter().map(is_near).collect();
    for n in (values.len().saturating_sub(rules.recent)..values.len()).rev() {
        if !is_open.contains(&true) {
            break;
        }
        let earlier = confirmed(&values[..n], rules);
        for (change, is_open) in changes.iter_mut().zip(&mut is_open) {
            if *is_open && !earlier.iter().any(|point| is_same(point, &change.point)) {
                change.found = Some(n);
                *is_open = false;
            }
        }
    }
    changes
}

/// Change points with enough values after them.
fn confirmed(values: &[f64], rules: &Rules) -> Vec<ChangePoint> {
    let mut points = change_points(values, &rules.change);
    points.retain(|point| point.index + rules.confirm <= values.len());
    points
}

fn is_same(a: &ChangePoint, b: &ChangePoint) -> bool {
    a.index.abs_diff(b.index) <= SHIFT_MAX && (a.after > a.before) == (b.after > b.before)
}

fn change(values: &[f64], points: &[ChangePoint], i: usize) -> Change {
    let point = points[i];
    let start = if i == 0 { 0 } else { points[i - 1].index };
    let end = points.get(i + 1).map_or(values.len(), |next| next.index);
    let (before, after) = (&values[start..point.index], &values[point.index..end]);
    let squares = |part: &[f64], mean: f64| part.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let (n, m) = (before.len() as f64, after.len() as f64);
    // Student's interval of a difference of means with common variance, over the mean before.
    let df = (before.len() + after.len()).saturating_sub(2).max(1);
    let pooled = (squares(before, point.before) + squares(after, point.after)) / df as f64;
    let half = student_quantile(df) * (pooled * (1.0 / n + 1.0 / m)).sqrt() / point.before;
    let share = point.after / point.before - 1.0;
    Change {
        point,
        interval: Interval { lo: share - half, hi: share + half },
        n_before: before.len(),
        n_after: after.len(),
        found: None,
    }
}
