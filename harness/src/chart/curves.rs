//! How a metric goes with the length of what came before: a line for each row over the workloads of a session.

use super::axis::Axis;
use super::bars::row_font;
use super::canvas::{fit, picture};
use super::lines::{self, Line};
use super::palette::{colour, shape};
use super::{Drawing, SessionKind, threads_words};
use crate::sample::Metric;
use crate::scenario::Workload;
use crate::summary::Summary;
use crate::units::{show, show_ms};

/// Time to first token against the prompt's length.
pub(super) const TTFT: SessionKind =
    SessionKind { id: "ttft-by-prompt", draw: |summary| BY_PROMPT.draw(summary) };
/// Decode against the tokens that are in the cache on average while the counted ones are generated.
pub(super) const DECODE: SessionKind =
    SessionKind { id: "decode-by-depth", draw: |summary| BY_DEPTH.draw(summary) };

const BY_PROMPT: Curves = Curves {
    title: "Time to first token by prompt length",
    metric: Metric::TtftWarm,
    length: |w| f64::from(w.prompt_tokens),
    x: "prompt tokens",
    y: "TTFT, warm (ms; less is better)",
    unit: "ms",
    show: show_ms,
};
const BY_DEPTH: Curves = Curves {
    title: "Decode by depth",
    metric: Metric::Decode,
    length: |w| f64::from(w.prompt_tokens) + f64::from(w.generate_tokens) / 2.0,
    x: "tokens in the cache (the prompt and half of what is generated)",
    y: "decode (tok/s; more is better)",
    unit: "tok/s",
    show,
};

/// A chart of this kind.
struct Curves {
    title: &'static str,
    metric: Metric,
    length: fn(&Workload) -> f64,
    x: &'static str,
    y: &'static str,
    unit: &'static str,
    show: fn(f64) -> String,
}

/// A row at one length.
struct Point {
    length: f64,
    value: f64,
    ends: Option<(f64, f64)>,
}

impl Curves {
    /// Draws it on the fewest threads; `None` unless some row has figures at two lengths.
    fn draw(&self, summary: &Summary) -> Option<Drawing> {
        let threads = *summary.workloads.first()?.threads.first()?;
        let rows: Vec<(usize, Vec<Point>)> = (0..summary.rows.len())
            .map(|row| (row, self.points(summary, row, threads)))
            .filter(|(_, points)| points.len() > 1)
            .collect();
        let all = || rows.iter().flat_map(|(_, points)| points);
        let max = all().map(|p| p.ends.map_or(p.value, |e| e.1)).reduce(f64::max)?;
        let min = all().map(|p| p.ends.map_or(p.value, |e| e.0)).fold(f64::INFINITY, f64::min);
        let longest = all().map(|p| p.length).fold(0.0, f64::max);
        let height = lines::height(rows.len());
        let bottom = lines::bottom(height);
        let y = Axis::for_values(min, max, bottom, lines::TOP, 5);
        let x = Axis::from_zero(longest, lines::LEFT, lines::RIGHT, 6);
        let alt = self.alt(summary, &rows, threads);
        let subtitle = format!("{}; medians over launches, 95% bootstrap intervals", threads_words(threads));
        let svg = picture(height, self.title, &subtitle, &alt, |canvas| {
            let title = if y.is_log() { format!("{}, logarithmic", self.y) } else { self.y.to_owned() };
            lines::draw_y(canvas, &y, bottom, &title, "");
            lines::draw_x(canvas, &x.ticks(), bottom, self.x);
            let drawn: Vec<Line> = rows.iter().map(|row| self.line(summary, row, &x, &y)).collect();
            lines::draw(canvas, &drawn, bottom);
        });
        Some(Drawing { alt, svg })
    }

    /// A row's values by length; of workloads of one length the first.
    fn points(&self, summary: &Summary, row: usize, threads: u32) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for workload in &summary.workloads {
            let length = (self.length)(&workload.workload);
            let cell = workload.cell(row, threads).filter(|cell| !cell.gate_failed());
            let Some(estimate) = cell.and_then(|cell| cell.estimate(self.metric)) else { continue };
            if points.iter().all(|point| point.length != length) {
                let ends = estimate.interval.map(|i| (i.lo, i.hi));
                points.push(Point { length, value: estimate.value, ends });
            }
        }
        points.sort_by(|a, b| a.length.total_cmp(&b.length));
        points
    }

    fn line(&self, summary: &Summary, (row, points): &(usize, Vec<Point>), x: &Axis, y: &Axis) -> Line {
        let own = &summary.rows[*row];
        let font = row_font(own.is_subject);
        let last = points.last().map_or(0.0, |p| p.value);
        let words = |p: &Point| {
            let ends = p.ends.map(|(lo, hi)| format!(" [{}, {}]", (self.show)(lo), (self.show)(hi)));
            let ends = ends.unwrap_or_default();
            format!("{}: {} {}{ends} at {}", own.name, (self.show)(p.value), self.unit, show(p.length))
        };
        Line {
            points: points.iter().map(|p| (x.at(p.length), y.at(p.value))).collect(),
            whiskers: points.iter().map(|p| p.ends.map(|(lo, hi)| (y.at(lo), y.at(hi)))).collect(),
            values: points.iter().map(words).collect(),
            colour: colour(summary, *row),
            shape: Some(shape(*row)),
            label: format!("{} {}", fit(&own.name, 128, font), (self.show)(last)),
            font,
        }
    }

    fn alt(&self, summary: &Summary, rows: &[(usize, Vec<Point>)], threads: u32) -> String {
        let row = |(row, points): &(usize, Vec<Point>)| {
            let at = |p: &Point| format!("{} at {}", (self.show)(p.value), show(p.length));
            let points: Vec<String> = points.iter().map(at).collect();
            format!("{} {}", summary.rows[*row].name, points.join(", "))
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        format!("{} in {} on {}: {}", self.title, self.unit, threads_words(threads), rows.join("; "))
    }
}
