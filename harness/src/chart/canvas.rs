//! A drawing surface in pixels over plotters' SVG backend, with the charts' palette.

use super::palette::Shape;
use crate::escape::printable;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::cell::RefCell;
use std::fmt::Write;

/// Width of every chart.
pub(super) const WIDTH: i32 = 760;

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(31, 41, 51);
/// Secondary text.
pub(super) const MUTED: RGBColor = RGBColor(95, 105, 117);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(225, 229, 234);
/// A band behind the data.
pub(super) const BAND: RGBColor = RGBColor(238, 241, 245);
const PANEL: RGBColor = RGBColor(255, 255, 255);
const BORDER: RGBColor = RGBColor(208, 215, 222);

/// Where text hangs on its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The point is at its left.
    Left,
    /// The point is its middle.
    Middle,
    /// The point is at its right.
    Right,
}

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    /// Pixels.
    pub(super) size: u32,
    /// Weight.
    pub(super) bold: bool,
    /// Colour.
    pub(super) colour: RGBColor,
}

/// Ordinary text.
pub(super) const BODY: Font = Font { size: 13, bold: false, colour: INK };
/// The subject's name.
pub(super) const STRONG: Font = Font { size: 13, bold: true, colour: INK };
/// Ticks, footnotes.
pub(super) const SMALL: Font = Font { size: 12, bold: false, colour: MUTED };
const TITLE: Font = Font { size: 16, bold: true, colour: INK };

/// The surface. Drawing to memory cannot fail.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    /// Places that tell a value: corners and words.
    values: RefCell<Vec<([i32; 4], String)>>,
}

/// Draws a chart with its panel, heading and subheading; returns the SVG with title and description.
pub(super) fn picture(
    height: i32,
    title: &str,
    subtitle: &str,
    description: &str,
    draw: impl FnOnce(&Canvas),
) -> String {
    let mut svg = String::new();
    let values = {
        let backend = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32));
        let canvas = Canvas { area: backend.into_drawing_area(), values: RefCell::default() };
        canvas.rect((0, 0), (WIDTH, height), BORDER);
        canvas.rect((1, 1), (WIDTH - 1, height - 1), PANEL);
        canvas.text((20, 26), &fit(title, WIDTH - 40, TITLE), TITLE, Anchor::Left);
        canvas.text((20, 47), &fit(subtitle, WIDTH - 40, SMALL), SMALL, Anchor::Left);
        draw(&canvas);
        canvas.area.present().expect("drawing to memory succeeds");
        canvas.values.take()
    };
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    svg.insert_str(end, &value_places(&values));
    let labels = format!("<title>{}</title>\n<desc>{}</desc>\n", xml(title), xml(description));
    svg.replacen("<svg ", "<svg role=\"img\" ", 1).replacen(">\n", &format!(">\n{labels}"), 1)
}

/// Invisible places over the marks, which a browser shows the words of.
fn value_places(values: &[([i32; 4], String)]) -> String {
    let mut places = String::new();
    for ([x, y, width, height], words) in values {
        let words = xml(words);
        writeln!(
            places,
            "<g><title>{words}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill-opacity=\"0\"/></g>"
        )
        .expect("writing to memory succeeds");
    }
    places
}

/// Height taken by the heading.
pub(super) const HEADING_HEIGHT: i32 = 66;

impl<'a> Canvas<'a> {
    /// A filled rectangle.
    pub(super) fn rect(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        self.draw(&Rectangle::new([from, to], colour.filled()));
    }

    /// A straight line.
    pub(super) fn line(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor, width: u32) {
        self.draw(&PathElement::new([from, to], colour.stroke_width(width)));
    }

    /// A polyline.
    pub(super) fn path(&self, points: &[(i32, i32)], colour: RGBColor, width: u32) {
        self.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width)));
    }

    /// A straight dashed line.
    pub(super) fn dashed(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let dashes = (dx.hypot(dy) / 10.0).ceil().max(1.0);
        let at = |share: f64| (from.0 + (dx * share).round() as i32, from.1 + (dy * share).round() as i32);
        for dash in 0..dashes as u32 {
            let start = f64::from(dash) / dashes;
            self.line(at(start), at(start + 0.6 / dashes), colour, 2);
        }
    }

    /// A filled disc.
    pub(super) fn dot(&self, at: (i32, i32), radius: i32, colour: RGBColor) {
        self.draw(&Circle::new(at, radius, colour.filled()));
    }

    /// A point of some shape, about as large as a disc of this radius.
    pub(super) fn point(&self, (x, y): (i32, i32), radius: i32, shape: Shape, colour: RGBColor) {
        let r = radius;
        let corners = match shape {
            Shape::Circle => return self.dot((x, y), r, colour),
            Shape::Square => return self.rect((x - r, y - r), (x + r, y + r), colour),
            Shape::Diamond => vec![(x - r - 1, y), (x, y - r - 1), (x + r + 1, y), (x, y + r + 1)],
            Shape::Triangle => vec![(x - r - 1, y + r), (x, y - r - 1), (x + r + 1, y + r)],
        };
        self.draw(&Polygon::new(corners, colour.filled()));
    }

    /// What a browser shows for the place between two corners.
    pub(super) fn value(&self, from: (i32, i32), to: (i32, i32), words: impl Into<String>) {
        let corners = [from.0, from.1, (to.0 - from.0).max(1), (to.1 - from.1).max(1)];
        self.values.borrow_mut().push((corners, words.into()));
    }

    /// A horizontal interval with ends.
    pub(super) fn whisker_x(&self, y: i32, (x0, x1): (i32, i32), colour: RGBColor) {
        self.line((x0, y), (x1, y), colour, 2);
        self.line((x0, y - 4), (x0, y + 4), colour, 2);
        self.line((x1, y - 4), (x1, y + 4), colour, 2);
    }

    /// A vertical interval with ends.
    pub(super) fn whisker_y(&self, x: i32, (y0, y1): (i32, i32), colour: RGBColor) {
        self.line((x, y0), (x, y1), colour, 2);
        self.line((x - 4, y0), (x + 4, y0), colour, 2);
        self.line((x - 4, y1), (x + 4, y1), colour, 2);
    }

    /// Text, centred vertically on its point.
    pub(super) fn text(&self, at: (i32, i32), text: &str, font: Font, anchor: Anchor) {
        self.styled(at, text, font, anchor, FontTransform::None);
    }

    /// Text that reads upwards.
    pub(super) fn text_upwards(&self, at: (i32, i32), text: &str, font: Font) {
        self.styled(at, text, font, Anchor::Middle, FontTransform::Rotate270);
    }

    fn styled(&self, at: (i32, i32), text: &str, font: Font, anchor: Anchor, turn: FontTransform) {
        let h_pos = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let weight = if font.bold { FontStyle::Bold } else { FontStyle::Normal };
        // The backend divides sizes by 1.24.
        let desc = FontDesc::new(FontFamily::SansSerif, f64::from(font.size) * 1.24, weight).transform(turn);
        let style = TextStyle::from(desc).color(&font.colour).pos(Pos::new(h_pos, VPos::Center));
        self.draw(&Text::new(printable(text), at, style));
    }

    fn draw<'e, E>(&self, element: &'e E)
    where
        E: plotters::element::Drawable<SVGBackend<'a>>,
        &'e E: plotters::element::PointCollection<'e, (i32, i32)>,
    {
        self.area.draw(element).expect("drawing to memory succeeds");
    }
}

/// Estimated width of text in pixels, on the safe side of common sans-serif fonts.
pub(super) fn text_width(text: &str, font: Font) -> i32 {
    let per_char = if font.bold { 0.62 } else { 0.57 };
    (text.chars().count() as f64 * f64::from(font.size) * per_char).ceil() as i32
}

/// `text`, cut to fit into `width`.
pub(super) fn fit(text: &str, width: i32, font: Font) -> String {
    if text_width(text, font) <= width {
        return text.to_owned();
    }
    let mut cut: String = text.to_owned();
    while !cut.is_empty() && text_width(&cut, font) + text_width("…", font) > width {
        cut.pop();
    }
    cut.trim_end().to_owned() + "…"
}

fn xml(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_becomes_markup_or_breaks_the_picture() {
        let name = "\u{1b}[31m<script>a & b</script>\u{202e}";
        let svg = picture(200, name, name, name, |canvas| {
            canvas.text((20, 80), name, BODY, Anchor::Left);
            canvas.text_upwards((20, 120), name, BODY);
        });
        assert_eq!(svg.matches("&lt;script&gt;a &amp; b&lt;/script&gt;").count(), 6, "{svg}");
        assert!(!svg.contains("<script") && !svg.contains(['\u{1b}', '\u{202e}']), "{svg}");
    }
}
