//! Colours and shapes of rows: one hue for a framework in every chart of every run, a lighter shade for each further row of it.

use crate::summary::Summary;
use plotters::style::RGBColor;

/// The hues: Okabe and Ito's, which colour-blind readers tell apart, without its yellow, which is too light on white, and with
/// five darker ones. Shapes and dashes tell rows apart besides.
const PALETTE: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(73, 0, 146),
    RGBColor(130, 60, 10),
    RGBColor(0, 73, 73),
    RGBColor(160, 110, 235),
    RGBColor(140, 130, 20),
];

/// Frameworks with a hue of their own, by id.
const KNOWN: [&str; 12] = [
    "engine",
    "llama.cpp",
    "candle",
    "onnxruntime",
    "transformers",
    "mistral.rs",
    "openvino-genai",
    "ollama",
    "lm-studio",
    "ik_llama.cpp",
    "llama.cpp-metal",
    "llama.cpp-cuda",
];

/// The lightest shade's part of white.
const LIGHTEST: f64 = 0.65;

/// How points of a row look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Diamond,
    Triangle,
}

/// The colour of a row, the same in every chart.
pub(super) fn colour(summary: &Summary, row: usize) -> RGBColor {
    let id = &summary.rows[row].id;
    let same = || summary.rows.iter().enumerate().filter(|(_, other)| other.id == *id);
    let (n, nth) = (same().count(), same().filter(|(at, _)| *at < row).count());
    lighter(PALETTE[hue(summary, id)], LIGHTEST * nth as f64 / n.max(2) as f64)
}

/// The shape of a row's points.
pub(super) fn shape(row: usize) -> Shape {
    [Shape::Circle, Shape::Square, Shape::Diamond, Shape::Triangle][row % 4]
}

/// The hue of what is no row.
pub(super) fn accent(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// A lighter shade of a colour.
pub(super) fn tint(colour: RGBColor) -> RGBColor {
    lighter(colour, 0.6)
}

/// Index of a framework's hue. One without its own takes what the known ones of the run leave, in the order of rows.
fn hue(summary: &Summary, id: &str) -> usize {
    let known = |id: &str| KNOWN.iter().position(|known| *known == id);
    if let Some(hue) = known(id) {
        return hue;
    }
    let is_taken = |hue: &usize| summary.rows.iter().any(|row| row.id == KNOWN[*hue]);
    let free: Vec<usize> = (0..PALETTE.len()).filter(|hue| !is_taken(hue)).collect();
    let mut strangers: Vec<&str> = Vec::new();
    for row in &summary.rows {
        if known(&row.id).is_none() && !strangers.contains(&row.id.as_str()) {
            strangers.push(&row.id);
        }
    }
    let nth = strangers.iter().position(|stranger| *stranger == id).unwrap_or(0);
    if free.is_empty() { nth % PALETTE.len() } else { free[nth % free.len()] }
}

fn lighter(RGBColor(r, g, b): RGBColor, white: f64) -> RGBColor {
    let mix = |c: u8| (f64::from(c) + (255.0 - f64::from(c)) * white).round() as u8;
    RGBColor(mix(r), mix(g), mix(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::summarize;
    use crate::testing;
    use std::collections::BTreeSet;

    #[test]
    fn twelve_frameworks_have_twelve_hues_and_keep_them() {
        let (manifest, records) = testing::crowded();
        let summary = summarize(&manifest, &records);
        let hues: BTreeSet<_> =
            (0..summary.rows.len()).map(|row| colour(&summary, row)).map(|c| (c.0, c.1, c.2)).collect();
        assert_eq!(hues.len(), 12);
        let (manifest, records) = testing::example();
        let small = summarize(&manifest, &records);
        let of = |summary: &Summary, id: &str| {
            colour(summary, summary.rows.iter().position(|r| r.id == id).unwrap())
        };
        for id in ["engine", "llama.cpp", "candle"] {
            assert_eq!(of(&summary, id), of(&small, id), "{id}");
        }
    }

    #[test]
    fn rows_of_one_framework_are_shades_of_its_hue() {
        let (manifest, records) = testing::ablation(6, 0.9);
        let summary = summarize(&manifest, &records);
        let shades: Vec<RGBColor> = (0..summary.rows.len()).map(|row| colour(&summary, row)).collect();
        assert_eq!(shades[0], PALETTE[0]);
        assert!(shades.windows(2).all(|pair| pair[0].0 < pair[1].0), "{shades:?}");
    }
}
