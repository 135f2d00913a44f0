//! Horizontal bars with intervals, in groups that share one axis; points where values lie too far apart for bars.

use super::Drawing;
use super::axis::Axis;
use super::canvas::{
    Anchor, BODY, Canvas, Font, GRID, HEADING_HEIGHT, INK, MUTED, SMALL, STRONG, WIDTH, fit, picture,
    text_width,
};
use super::palette::{colour, shape, tint};
use super::{shown_threads, threads_words};
use crate::stats::Estimate;
use crate::summary::{CellSummary, NotRanked, Summary, WorkloadSummary};

/// What a bar chart shows.
pub(super) struct Bars<'a> {
    /// Heading.
    pub(super) title: &'a str,
    /// The value of a cell.
    pub(super) value: fn(&CellSummary) -> Option<Estimate>,
    /// Axis title, with the unit.
    pub(super) axis: &'a str,
    /// The unit.
    pub(super) unit: &'a str,
    /// How a value is written.
    pub(super) show: fn(f64) -> String,
}

const BAR: i32 = 16;
const PITCH: i32 = 28;
const GROUP_TITLE: i32 = 26;
const GROUP_GAP: i32 = 10;
const AXIS_HEIGHT: i32 = 52;
const VALUE_WIDTH: i32 = 80;

impl Bars<'_> {
    /// Draws one group for each thread count; `None` when there is no value to draw.
    pub(super) fn draw(&self, summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
        let shown = shown_threads(workload);
        let cells = workload.cells.iter().filter(|c| shown.contains(&c.threads));
        let estimates: Vec<Estimate> = cells.filter_map(|c| self.estimate(c)).collect();
        if estimates.is_empty() {
            return None;
        }
        let ends = |e: &Estimate| {
            (
                e.interval.map_or(e.value, |i| i.lo.min(e.value)),
                e.interval.map_or(e.value, |i| i.hi.max(e.value)),
            )
        };
        let max = estimates.iter().map(|e| ends(e).1).fold(0.0, f64::max);
        let min = estimates.iter().map(|e| ends(e).0).fold(f64::INFINITY, f64::min);
        let n_groups = shown.len() as i32;
        let n_bars = shown.iter().flat_map(|&t| workload.shown_at(&summary.rows, t)).count() as i32;
        let plot_height = n_groups * (GROUP_TITLE + GROUP_GAP) + n_bars * PITCH;
        let height = HEADING_HEIGHT + plot_height + AXIS_HEIGHT;
        let left = label_width(summary);
        let axis = Axis::for_values(min, max, left, WIDTH - VALUE_WIDTH - 20, 5);
        let alt = self.alt(summary, workload);
        let subtitle =
            format!("{}; medians over launches, 95% bootstrap intervals", workload_words(workload));
        let svg = picture(height, self.title, &subtitle, &alt, |canvas| {
            let bottom = HEADING_HEIGHT + plot_height;
            let title =
                if axis.is_log() { format!("{}, logarithmic", self.axis) } else { self.axis.to_owned() };
            draw_axis(canvas, &axis, bottom, &title);
            let mut y = HEADING_HEIGHT;
            for &threads in &shown {
                canvas.text((20, y + 10), &threads_words(threads), STRONG, Anchor::Left);
                y += GROUP_TITLE;
                for cell in workload.shown_at(&summary.rows, threads) {
                    self.bar(canvas, summary, cell, &axis, y + PITCH / 2);
                    y += PITCH;
                }
                y += GROUP_GAP;
            }
        });
        Some(Drawing { alt, svg })
    }

    fn estimate(&self, cell: &CellSummary) -> Option<Estimate> {
        if cell.gate_failed() { None } else { (self.value)(cell) }
    }

    fn bar(&self, canvas: &Canvas, summary: &Summary, cell: &CellSummary, axis: &Axis, y: i32) {
        draw_label(canvas, summary, cell.row, axis.start(), y);
        let Some(estimate) = self.estimate(cell) else {
            let word = if cell.gate_failed() { "invalid: a gate failed" } else { "not measured" };
            canvas.text((axis.start() + 8, y), word, SMALL, Anchor::Left);
            return;
        };
        let requantized = matches!(cell.not_ranked, Some(NotRanked::Requantized(_)));
        let own = colour(summary, cell.row);
        let fill = if requantized { tint(own) } else { own };
        let end = axis.at(estimate.value).max(axis.start() + 1);
        if axis.is_log() {
            canvas.line((axis.start(), y), (end, y), GRID, 1);
        } else {
            canvas.rect((axis.start(), y - BAR / 2), (end, y + BAR / 2), fill);
        }
        let mut right = end;
        let mut words =
            format!("{}: {} {}", summary.rows[cell.row].name, (self.show)(estimate.value), self.unit);
        if let Some(interval) = estimate.interval {
            canvas.whisker_x(y, (axis.at(interval.lo), axis.at(interval.hi)), INK);
            right = right.max(axis.at(interval.hi));
            words += &format!(" [{}, {}]", (self.show)(interval.lo), (self.show)(interval.hi));
        }
        if axis.is_log() {
            canvas.point((end, y), 5, shape(cell.row), fill);
        }
        canvas.text((right + 9, y), &(self.show)(estimate.value), BODY, Anchor::Left);
        let words = format!("{words}, {}, {} launches", threads_words(cell.threads), estimate.n);
        canvas.value((axis.start(), y - PITCH / 2), (right + VALUE_WIDTH, y + PITCH / 2), words);
    }

    fn alt(&self, summary: &Summary, workload: &WorkloadSummary) -> String {
        let groups: Vec<String> = shown_threads(workload)
            .into_iter()
            .map(|threads| {
                let values: Vec<String> = workload
                    .shown_at(&summary.rows, threads)
                    .filter_map(|c| Some((c, self.estimate(c)?)))
                    .map(|(c, e)| format!("{} {}", summary.rows[c.row].name, (self.show)(e.value)))
                    .collect();
                format!("{}: {}", threads_words(threads), values.join(", "))
            })
            .collect();
        format!("{} in {} on {}", self.title, self.unit, groups.join("; "))
    }
}

/// "chat: 256 prompt + 64 generated tokens, context 320"
pub(super) fn workload_words(workload: &WorkloadSummary) -> String {
    let w = &workload.workload;
    format!(
        "{}: {} prompt + {} generated tokens, context {}",
        fit(&w.name, 160, SMALL),
        w.prompt_tokens,
        w.generate_tokens,
        w.context
    )
}

/// Space for the rows' names, and the pixel where the plot starts.
pub(super) fn label_width(summary: &Summary) -> i32 {
    let widest = summary.rows.iter().map(|r| text_width(&r.name, row_font(r.is_subject))).max().unwrap_or(0);
    20 + widest.min(220) + 10
}

/// A row's name, right-aligned before the plot.
pub(super) fn draw_label(canvas: &Canvas, summary: &Summary, row: usize, x: i32, y: i32) {
    let font = row_font(summary.rows[row].is_subject);
    let name = fit(&summary.rows[row].name, 220, font);
    canvas.text((x - 8, y), &name, font, Anchor::Right);
}

/// Of a row's name.
pub(super) fn row_font(is_subject: bool) -> Font {
    if is_subject { STRONG } else { BODY }
}

/// Grid lines, tick labels and the axis title below the plot.
pub(super) fn draw_axis(canvas: &Canvas, axis: &Axis, bottom: i32, title: &str) {
    let ticks = axis.ticks();
    for (x, label) in &ticks {
        canvas.line((*x, HEADING_HEIGHT), (*x, bottom), GRID, 1);
        canvas.text((*x, bottom + 12), label, SMALL, Anchor::Middle);
    }
    canvas.line((axis.start(), HEADING_HEIGHT), (axis.start(), bottom), MUTED, 1);
    let middle = (axis.start() + ticks.last().map_or(axis.start(), |t| t.0)) / 2;
    canvas.text((middle, bottom + 34), title, SMALL, Anchor::Middle);
}
