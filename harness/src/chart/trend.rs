//! A series over its nights: the ratio to the baseline with its interval, changes with the means between them, and epochs.

use super::Drawing;
use super::axis::Axis;
use super::canvas::{
    Anchor, Canvas, GRID, HEADING_HEIGHT, INK, MUTED, SMALL, STRONG, WIDTH, fit, picture, text_width,
};
use super::palette::{accent, tint};
use super::threads_words;
use crate::history::{Change, Epoch, Night, RULES, Series, changes};
use crate::summary::metric_key;
use crate::units::show_ratio;

/// The last nights that are drawn: more would be less than two pixels each.
const NIGHTS_MAX: usize = 330;
const LEFT: i32 = 64;
const RIGHT: i32 = WIDTH - 20;
const TOP: i32 = HEADING_HEIGHT + 10;
const BOTTOM: i32 = TOP + 220;
const HEIGHT: i32 = BOTTOM + 42;
const TICKS: u32 = 5;

/// An epoch as far as it is drawn: its first night's place on the axis, and what it holds.
struct Part<'a> {
    from: usize,
    epoch: Epoch<'a>,
    changes: Vec<Change>,
}

/// Where nights and ratios lie.
struct Scale {
    /// Number of the first night that is drawn.
    first: usize,
    n: usize,
    lo: f64,
    hi: f64,
}

impl Scale {
    fn x(&self, night: usize) -> i32 {
        let place = night.saturating_sub(self.first) as f64 + 0.5;
        LEFT + (place / self.n.max(1) as f64 * f64::from(RIGHT - LEFT)).round() as i32
    }

    fn y(&self, ratio: f64) -> i32 {
        let share = (ratio.clamp(self.lo, self.hi) - self.lo) / (self.hi - self.lo);
        BOTTOM - (share * f64::from(BOTTOM - TOP)).round() as i32
    }
}

/// Draws a series; `None` where no night of it enters.
pub fn trend(series: &Series) -> Option<Drawing> {
    let parts = parts(series);
    let n_nights: usize = parts.iter().map(|part| part.epoch.entered.len()).sum();
    let scale = scale(&parts, n_nights)?;
    let baseline = &series.nights.last()?.session.baseline;
    let key = &series.key;
    let title = format!(
        "{}: {} of {}, {}",
        key.row,
        metric_key(key.metric),
        key.workload,
        threads_words(key.threads)
    );
    let subtitle = format!(
        "ratio to {} by night with 95% intervals; dashed: a change; grey line: a new epoch",
        baseline.label
    );
    let alt = alt(&title, &parts, n_nights);
    let svg = picture(HEIGHT, &fit(&title, WIDTH - 40, STRONG), &subtitle, &alt, |canvas| {
        axis(canvas, &scale);
        for part in &parts {
            draw_part(canvas, &scale, part);
        }
        dates(canvas, &scale, &parts);
    });
    Some(Drawing { alt, svg })
}

fn parts<'a>(series: &Series<'a>) -> Vec<Part<'a>> {
    let mut from = 0;
    let part = |epoch: Epoch<'a>| {
        let changes = changes(&epoch.ratios(), &RULES);
        let part = Part { from, epoch, changes };
        from += part.epoch.entered.len();
        part
    };
    let mut parts: Vec<Part> = series.epochs().into_iter().map(part).collect();
    parts.retain(|part| !part.epoch.entered.is_empty());
    parts
}

/// From the least to the largest end of the intervals that are drawn, with a little air.
fn scale(parts: &[Part], n_nights: usize) -> Option<Scale> {
    let first = n_nights.saturating_sub(NIGHTS_MAX);
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    for part in parts {
        for (at, (night, ratio)) in part.epoch.entered.iter().enumerate() {
            if part.from + at >= first {
                lo = lo.min(night.point.lo.unwrap_or(*ratio)).min(*ratio);
                hi = hi.max(night.point.hi.unwrap_or(*ratio)).max(*ratio);
            }
        }
    }
    let air = ((hi - lo) * 0.06).max(hi * 0.005);
    (hi >= lo).then(|| Scale { first, n: n_nights - first, lo: lo - air, hi: hi + air })
}

fn axis(canvas: &Canvas, scale: &Scale) {
    for (y, label) in Axis::between(scale.lo, scale.hi, BOTTOM, TOP, TICKS).ticks() {
        canvas.line((LEFT, y), (RIGHT, y), GRID, 1);
        canvas.text((LEFT - 8, y), &format!("{label}×"), SMALL, Anchor::Right);
    }
}

fn draw_part(canvas: &Canvas, scale: &Scale, part: &Part) {
    let own = accent(0);
    let entered = &part.epoch.entered;
    let shown = |at: &usize| part.from + at >= scale.first;
    let x = |at: usize| scale.x(part.from + at);
    if part.from > scale.first {
        let edge = (scale.x(part.from - 1) + scale.x(part.from)) / 2;
        canvas.line((edge, TOP), (edge, BOTTOM), MUTED, 2);
    }
    for at in (0..entered.len()).filter(shown) {
        if let (Some(lo), Some(hi)) = (entered[at].0.point.lo, entered[at].0.point.hi) {
            canvas.line((x(at), scale.y(lo)), (x(at), scale.y(hi)), tint(own), 2);
        }
    }
    let mut edges = vec![0];
    edges.extend(part.changes.iter().map(|change| change.index));
    edges.push(entered.len());
    for change in part.changes.iter().filter(|change| shown(&change.index)) {
        canvas.dashed((x(change.index), TOP), (x(change.index), BOTTOM), accent(1));
    }
    for range in edges.windows(2).filter(|range| range[1] > range[0] && shown(&(range[1] - 1))) {
        let mean =
            entered[range[0]..range[1]].iter().map(|e| e.1).sum::<f64>() / (range[1] - range[0]) as f64;
        let from = range[0].max(scale.first.saturating_sub(part.from));
        canvas.line((x(from), scale.y(mean)), (x(range[1] - 1), scale.y(mean)), INK, 2);
    }
    for at in (0..entered.len()).filter(shown) {
        let (night, ratio) = &entered[at];
        let place = (x(at), scale.y(*ratio));
        canvas.dot(place, if scale.n > 120 { 2 } else { 3 }, own);
        canvas.value((place.0 - 3, place.1 - 6), (place.0 + 3, place.1 + 6), words(night, *ratio));
    }
}

/// `2026-11-25: 1.05 [1.03, 1.07], 10 blocks, commit 1a2b3c4d5e6f`
fn words(night: &Night, ratio: f64) -> String {
    let Night { session, point } = *night;
    let ends = point.lo.zip(point.hi).map(|(lo, hi)| format!(" [{}, {}]", show_ratio(lo), show_ratio(hi)));
    let commit = session.row(&point.row).and_then(|row| row.commit.as_deref());
    let commit = commit.map(|commit| format!(", commit {}", commit.get(..12).unwrap_or(commit)));
    let (ends, commit) = (ends.unwrap_or_default(), commit.unwrap_or_default());
    format!("{}: {}{ends}, {} blocks{commit}", session.day(), show_ratio(ratio), point.n)
}

/// The day of the first night, of each epoch's first where there is room, and of the last.
fn dates(canvas: &Canvas, scale: &Scale, parts: &[Part]) {
    let nights = || {
        parts.iter().flat_map(|part| {
            part.epoch.entered.iter().enumerate().map(|(at, e)| (part.from + at, e.0.session.day()))
        })
    };
    let mut free_from = LEFT;
    let Some((last, last_day)) = nights().last() else { return };
    let half = text_width(last_day, SMALL) / 2 + 4;
    let end = scale.x(last).min(RIGHT - half);
    let starts = nights().filter(|(at, _)| {
        *at == scale.first || parts.iter().any(|part| part.from == *at && *at > scale.first)
    });
    for (at, day) in starts {
        let x = scale.x(at).max(LEFT + half);
        if x - half >= free_from && x + half < end - half {
            canvas.text((x, BOTTOM + 16), day, SMALL, Anchor::Middle);
            free_from = x + half;
        }
    }
    canvas.text((end, BOTTOM + 16), last_day, SMALL, Anchor::Middle);
}

fn alt(title: &str, parts: &[Part], n_nights: usize) -> String {
    let last = parts.last().and_then(|part| part.epoch.entered.last());
    let last = last.map(|(night, ratio)| format!("; last {} on {}", show_ratio(*ratio), night.session.day()));
    let changes: Vec<String> = parts
        .iter()
        .flat_map(|part| part.changes.iter().map(move |change| (part, change)))
        .map(|(part, change)| {
            let day = part.epoch.entered[change.index].0.session.day();
            format!("{} to {} on {day}", show_ratio(change.before), show_ratio(change.after))
        })
        .collect();
    let changes = if changes.is_empty() { "no change".to_owned() } else { changes.join(", ") };
    let epochs = if parts.len() == 1 { "1 epoch".to_owned() } else { format!("{} epochs", parts.len()) };
    let nights = if n_nights == 1 { "1 night".to_owned() } else { format!("{n_nights} nights") };
    format!("{title}: {nights} in {epochs}{}; {changes}", last.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Id, Line, history_of};
    use crate::testing::{nights, steady};

    fn example() -> Vec<Line> {
        let mut ratios = steady(90);
        ratios[70..].iter_mut().for_each(|ratio| *ratio *= 0.93);
        nights(&ratios, |night, line| {
            if let (0..20, Line::Session(session)) = (night, line) {
                session.epoch = Id::of(&["before"]);
            }
        })
    }

    #[test]
    fn changes_and_epochs_are_drawn_and_told() {
        let history = history_of(example());
        let drawing = trend(&history.series()[0]).unwrap();
        assert!(drawing.alt.contains("90 nights in 2 epochs; last 0.9"), "{}", drawing.alt);
        assert!(drawing.alt.contains("on 2026-03-12"), "{}", drawing.alt);
        assert_eq!(drawing.svg.matches("<circle").count(), 90);
        assert!(
            drawing.svg.contains("2026-01-01") && drawing.svg.contains("2026-03-31"),
            "first and last day"
        );
        assert!(!drawing.svg.contains("NaN"));
        if let Ok(dir) = std::env::var("CHARTS_DIR") {
            std::fs::write(format!("{dir}/trend.svg"), &drawing.svg).unwrap();
        }
    }

    #[test]
    fn long_and_short_series_are_drawn_and_empty_ones_are_not() {
        let circles = |n: usize| {
            let history = history_of(nights(&steady(n), |_, _| {}));
            trend(&history.series()[0]).unwrap().svg.matches("<circle").count()
        };
        assert_eq!((circles(1), circles(2), circles(800)), (1, 2, NIGHTS_MAX));
        let history = history_of(nights(&steady(3), |_, line| {
            if let Line::Point(point) = line {
                point.out = Some("failed".to_owned());
            }
        }));
        assert_eq!(trend(&history.series()[0]), None);
    }
}
