//! Change points of a series: E-divisive means with Student's t for significance.
//!
//! The method is that of Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance Regressions" (ICPE 2023),
//! upon Matteson and James, "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data" (JASA 2014). In
//! windows that overlap by half, the series is split again and again where the energy distance between both sides is largest, as
//! long as a t test finds the sides different at a tenfold level. Then the points are taken together, and whichever is weakest is
//! removed, until each is significant and large enough between its neighbours. Nothing is drawn: the same series, the same points.

use super::student::two_sided_cdf;

/// When a change counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangeRule {
    /// Values that are looked at together, at least 2.
    pub window: usize,
    /// Largest p of a change.
    pub p_max: f64,
    /// Changes of the mean by this share or less do not count.
    pub magnitude_min: f64,
}

/// Where the mean of a series changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The first value after the change.
    pub index: usize,
    /// Mean from the change before, or the start.
    pub before: f64,
    /// Mean until the next change, or the end.
    pub after: f64,
    /// Of Student's t test between both, as Hunter computes it.
    pub p: f64,
}

/// In the first pass p may be so many times larger: what is weak there may be strong with all of its neighbours.
const FIRST_PASS: f64 = 10.0;

impl ChangePoint {
    /// The larger of the changes from before to after and from after to before, as a share.
    pub fn magnitude(&self) -> f64 {
        let change = |from: f64, to: f64| if from == 0.0 { 0.0 } else { (to / from - 1.0).abs() };
        change(self.before, self.after).max(change(self.after, self.before))
    }
}

/// The change points of `values`, ascending.
pub fn change_points(values: &[f64], rule: &ChangeRule) -> Vec<ChangePoint> {
    merge(values, &split(values, rule), rule)
}

/// Indices of the points that are weakly significant in some window, ascending.
fn split(values: &[f64], rule: &ChangeRule) -> Vec<usize> {
    let (mut found, mut start) = (Vec::new(), 0);
    while start < values.len() {
        let end = (start + rule.window).min(values.len());
        let in_window = divide(&values[start..end], rule.p_max * FIRST_PASS);
        let last = in_window.last().map_or(0, |&at| start + at);
        found.extend(in_window.iter().map(|&at| start + at));
        start = last.max(start + (rule.window / 2).max(1));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Removes the weakest point until all are strong.
///
/// After a removal Hunter takes the two points after it anew and leaves the one before it as it was; so do we while points are
/// removed, to find the same ones. What is returned rests on all of a point's neighbours.
fn merge(values: &[f64], found: &[usize], rule: &ChangeRule) -> Vec<ChangePoint> {
    let sums = Sums::of(values);
    let mut at = found.to_vec();
    let compare = |at: &[usize], i: usize| {
        let start = if i == 0 { 0 } else { at[i - 1] };
        sums.compare(start, at[i], at.get(i + 1).copied().unwrap_or(values.len()))
    };
    let mut points: Vec<ChangePoint> = (0..at.len()).map(|i| compare(&at, i)).collect();
    while let Some(weakest) = weakest(&points, rule) {
        at.remove(weakest);
        points.remove(weakest);
        for i in (weakest..points.len()).take(2) {
            points[i] = compare(&at, i);
        }
    }
    (0..at.len()).map(|i| compare(&at, i)).collect()
}

/// The point with the largest p, if that is too large, else the one with the smallest change, if that is too small.
fn weakest(points: &[ChangePoint], rule: &ChangeRule) -> Option<usize> {
    let by_p = first_max(points.iter().map(|point| point.p))?;
    if points[by_p].p >= rule.p_max {
        return Some(by_p);
    }
    let by_magnitude = first_max(points.iter().map(|point| -point.magnitude()))?;
    (points[by_magnitude].magnitude() <= rule.magnitude_min).then_some(by_magnitude)
}

fn first_max(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, value) in values.enumerate() {
        if best.is_none_or(|(_, max)| value > max) {
            best = Some((i, value));
        }
    }
    best.map(|(i, _)| i)
}

/// Where a part of a window begins and ends, and where in it its sides are farthest apart.
type Part = (usize, usize, Option<(usize, f64)>);

/// Splits a window where its sides are farthest apart, as long as they differ; indices ascending.
fn divide(values: &[f64], p_max: f64) -> Vec<usize> {
    let sums = Sums::of(values);
    let mut parts: Vec<Part> = vec![(0, values.len(), farthest(values))];
    let distance = |part: &Part| part.2.map_or(-1.0, |(_, distance)| distance);
    while let Some(i) = first_max(parts.iter().map(distance)) {
        let (start, end, Some((at, _))) = parts[i] else { break };
        let at = start + at;
        if sums.compare(start, at, end).p > p_max {
            break;
        }
        let halves = [(start, at), (at, end)].map(|(a, b)| (a, b, farthest(&values[a..b])));
        parts.splice(i..=i, halves);
    }
    parts.iter().skip(1).map(|part| part.0).collect()
}

/// The split of `values` with the largest energy distance (q̂ of Matteson and James, α = 1) between all before it and as many
/// after it as make it largest: where the second part begins, and the distance. `None` for fewer than two values.
fn farthest(values: &[f64]) -> Option<(usize, f64)> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    // sums[j][i]: distance of value j from the first i values.
    let mut sums = vec![0.0; n * (n + 1)];
    for (j, a) in values.iter().enumerate() {
        let row = &mut sums[j * (n + 1)..(j + 1) * (n + 1)];
        for (i, b) in values.iter().enumerate() {
            row[i + 1] = row[i] + (a - b).abs();
        }
    }
    let sum = |j: usize, i: usize| sums[j * (n + 1) + i];
    let mut best = (1, f64::NEG_INFINITY);
    let mut within_left = 0.0;
    for at in 1..n {
        within_left += sum(at - 1, at - 1);
        let (mut between, mut within_right) = (0.0, 0.0);
        for last in at..n {
            between += sum(last, at);
            within_right += sum(last, last) - sum(last, at);
            let distance = energy(at, last + 1 - at, between, within_left, within_right);
            if distance > best.1 {
                best = (at, distance);
            }
        }
    }
    Some(best)
}

/// Twice the mean distance between two samples of `n` and `m` values less those within each, times nm / (n + m).
fn energy(n: usize, m: usize, between: f64, within_left: f64, within_right: f64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let left = if n > 1.0 { m / (n - 1.0) * within_left } else { 0.0 };
    let right = if m > 1.0 { n / (m - 1.0) * within_right } else { 0.0 };
    2.0 / (n + m) * (between - left - right)
}

/// Running sums, from which means and variances of any part follow.
struct Sums {
    /// Taken from every value, so that squares of what is left lose nothing.
    shift: f64,
    sums: Vec<(f64, f64)>,
}

impl Sums {
    fn of(values: &[f64]) -> Sums {
        let shift = values.first().copied().unwrap_or(0.0);
        let mut sums = vec![(0.0, 0.0)];
        let (mut sum, mut squares) = (0.0, 0.0);
        for value in values {
            let v = value - shift;
            (sum, squares) = (sum + v, squares + v * v);
            sums.push((sum, squares));
        }
        Sums { shift, sums }
    }

    /// Number, mean and sum of squared deviations of a part that is not empty.
    fn part(&self, start: usize, end: usize) -> (f64, f64, f64) {
        let n = (end - start) as f64;
        let (sum, squares) = (self.sums[end].0 - self.sums[start].0, self.sums[end].1 - self.sums[start].1);
        (n, self.shift + sum / n, (squares - sum * sum / n).max(0.0))
    }

    /// Both sides of `at` between `start` and `end`.
    fn compare(&self, start: usize, at: usize, end: usize) -> ChangePoint {
        let ((n, before, left), (m, after, right)) = (self.part(start, at), self.part(at, end));
        ChangePoint { index: at, before, after, p: t_test(n, m, after - before, left, right) }
    }
}

/// Two-sided p of Student's t test between parts of `n` and `m` values with these sums of squared deviations.
///
/// Hunter takes each part's variance over n where Student's has n − 1; so do we, to find the same points.
fn t_test(n: f64, m: f64, difference: f64, left: f64, right: f64) -> f64 {
    let df = n + m - 2.0;
    if df < 1.0 {
        return 1.0;
    }
    let pooled = ((n - 1.0) * (left / n) + (m - 1.0) * (right / m)) / df;
    let error = (pooled * (1.0 / n + 1.0 / m)).sqrt();
    match error > 0.0 {
        true => 1.0 - two_sided_cdf((difference / error).abs(), df as usize),
        false => f64::from(u8::from(difference == 0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: ChangeRule = ChangeRule { window: 50, p_max: 0.001, magnitude_min: 0.02 };

    fn indices(values: &[f64]) -> Vec<usize> {
        change_points(values, &RULE).iter().map(|point| point.index).collect()
    }

    /// 1% to and fro around 1.
    fn noise(n: usize) -> Vec<f64> {
        (0..n).map(|i| 1.0 + 0.01 * ((i * 7919 % 13) as f64 / 6.0 - 1.0)).collect()
    }

    // By hand: between {0, 0} and {1, 1} all four distances are 1, within there is none: 2/4 · 4.
    #[test]
    fn distance_by_hand() {
        assert_eq!(farthest(&[0.0, 0.0, 1.0, 1.0]), Some((2, 2.0)));
        assert_eq!(farthest(&[0.0, 3.0]), Some((1, 3.0)));
        assert_eq!(farthest(&[5.0]), None);
        // {0} against {1, 3}: between 4, within the right 2: 2/3 · (4 − 1/1 · 2); against {1} alone: 1; {0, 1} against {3}:
        // between 5, within the left 1: 2/3 · (5 − 1).
        let (at, distance) = farthest(&[0.0, 1.0, 3.0]).unwrap();
        assert_eq!(at, 2);
        assert!((distance - 8.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn steps_are_found_where_they_are() {
        let mut values = noise(120);
        assert_eq!(indices(&values), Vec::<usize>::new());
        values[70..].iter_mut().for_each(|v| *v *= 0.95);
        assert_eq!(indices(&values), [70]);
        values[100..].iter_mut().for_each(|v| *v *= 1.10);
        assert_eq!(indices(&values), [70, 100]);
        let points = change_points(&values, &RULE);
        assert!((points[0].magnitude() - 0.0526).abs() < 0.003, "{points:?}");
        assert!(points[0].after < points[0].before && points[1].after > points[1].before);
    }

    #[test]
    fn small_steps_and_short_series_are_none() {
        let mut values = noise(100);
        values[50..].iter_mut().for_each(|v| *v *= 0.985);
        assert_eq!(indices(&values), Vec::<usize>::new(), "significant, but within 2%");
        for n in 0..3 {
            assert_eq!(indices(&[1.0, 2.0, 3.0][..n]), Vec::<usize>::new());
        }
        assert_eq!(indices(&[1.0; 80]), Vec::<usize>::new());
        let mut exact = [1.0; 80];
        exact[40..].fill(0.9);
        assert_eq!(indices(&exact), [40]);
    }
}
