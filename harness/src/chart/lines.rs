//! Lines over a numeric axis, each with its name at its end.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Font, GRID, HEADING_HEIGHT, MUTED, SMALL, WIDTH};
use super::palette::Shape;
use plotters::style::RGBColor;

pub(super) const LEFT: i32 = 70;
pub(super) const RIGHT: i32 = WIDTH - 220;
pub(super) const TOP: i32 = HEADING_HEIGHT + 10;
/// Below the plot: ticks and the axis title.
const FOOT: i32 = 62;
const LABEL_GAP: i32 = 18;

/// A line.
pub(super) struct Line {
    /// In pixels, from left to right.
    pub(super) points: Vec<(i32, i32)>,
    /// Ends of the points' intervals, in pixels.
    pub(super) whiskers: Vec<Option<(i32, i32)>>,
    /// What each point tells.
    pub(super) values: Vec<String>,
    /// Colour.
    pub(super) colour: RGBColor,
    /// Shape of the points; `None` for a dashed line without points.
    pub(super) shape: Option<Shape>,
    /// Name, and value of its last point.
    pub(super) label: String,
    /// Of the label.
    pub(super) font: Font,
}

/// Height of a picture with so many lines: their labels need room.
pub(super) fn height(n_lines: usize) -> i32 {
    (TOP + n_lines as i32 * LABEL_GAP + FOOT).max(420)
}

/// Where the plot of a picture of this height ends.
pub(super) fn bottom(height: i32) -> i32 {
    height - FOOT
}

/// Draws the lines, then their labels beside their ends, moved apart where they would collide, each tied to its line.
pub(super) fn draw(canvas: &Canvas, lines: &[Line], bottom: i32) {
    for line in lines {
        match line.shape {
            None => line.points.windows(2).for_each(|pair| canvas.dashed(pair[0], pair[1], line.colour)),
            Some(shape) => draw_line(canvas, line, shape),
        }
    }
    let mut ends: Vec<(i32, &Line)> = lines.iter().filter_map(|l| Some((l.points.last()?.1, l))).collect();
    ends.sort_by_key(|end| end.0);
    let places = apart(&ends.iter().map(|end| end.0).collect::<Vec<_>>(), bottom);
    for ((y, line), label_y) in ends.into_iter().zip(places) {
        let x = line.points.last().map_or(RIGHT, |point| point.0);
        canvas.path(&[(x + 7, y), (RIGHT + 22, label_y), (RIGHT + 28, label_y)], line.colour, 1);
        canvas.text((RIGHT + 33, label_y), &line.label, line.font, Anchor::Left);
    }
}

fn draw_line(canvas: &Canvas, line: &Line, shape: Shape) {
    canvas.path(&line.points, line.colour, 2);
    for ((&point, whisker), value) in line.points.iter().zip(&line.whiskers).zip(&line.values) {
        if let Some(ends) = whisker {
            canvas.whisker_y(point.0, *ends, line.colour);
        }
        canvas.point(point, 4, shape, line.colour);
        canvas.value((point.0 - 7, point.1 - 7), (point.0 + 7, point.1 + 7), value);
    }
}

/// Places for labels that want to be at `wanted`, ascending: as near as they can, none over another, none below `bottom`.
fn apart(wanted: &[i32], bottom: i32) -> Vec<i32> {
    let mut places: Vec<i32> = Vec::with_capacity(wanted.len());
    for &y in wanted {
        let free = places.last().map_or(TOP, |last| last + LABEL_GAP);
        places.push(y.max(free));
    }
    let mut limit = bottom;
    for place in places.iter_mut().rev() {
        *place = (*place).min(limit);
        limit = *place - LABEL_GAP;
    }
    places
}

/// Grid lines and labels of the vertical axis, its title, and the base line.
pub(super) fn draw_y(canvas: &Canvas, axis: &Axis, bottom: i32, title: &str, unit: &str) {
    for (y, label) in axis.ticks() {
        draw_tick(canvas, y, &format!("{label}{unit}"));
    }
    draw_base(canvas, bottom, title);
}

/// A grid line with its label.
pub(super) fn draw_tick(canvas: &Canvas, y: i32, label: &str) {
    canvas.line((LEFT, y), (RIGHT, y), GRID, 1);
    canvas.text((LEFT - 10, y), label, SMALL, Anchor::Right);
}

/// The base line, and the title of the vertical axis.
pub(super) fn draw_base(canvas: &Canvas, bottom: i32, title: &str) {
    canvas.line((LEFT, bottom), (RIGHT, bottom), MUTED, 1);
    canvas.text_upwards((20, (TOP + bottom) / 2), title, SMALL);
}

/// Ticks of the horizontal axis, those labelled that have room, and its title.
pub(super) fn draw_x(canvas: &Canvas, ticks: &[(i32, String)], bottom: i32, title: &str) {
    let mut last = i32::MIN / 2;
    for (x, label) in ticks {
        canvas.line((*x, bottom), (*x, bottom + 5), MUTED, 1);
        let width = super::canvas::text_width(label, SMALL) + 6;
        if x - last >= width {
            canvas.text((*x, bottom + 16), label, SMALL, Anchor::Middle);
            last = *x;
        }
    }
    canvas.text(((LEFT + RIGHT) / 2, bottom + 40), title, SMALL, Anchor::Middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart_and_inside() {
        assert_eq!(apart(&[100, 105, 300], 350), [100, 118, 300]);
        assert_eq!(apart(&[340, 345, 349], 350), [314, 332, 350]);
        assert!(apart(&[], 350).is_empty());
    }
}
