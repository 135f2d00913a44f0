//! Memory by framework: the file-backed and the anonymous part, the peak, and the model file as a line.

use super::axis::Axis;
use super::bars::{draw_axis, draw_label, label_width, workload_words};
use super::canvas::{Anchor, BODY, Canvas, HEADING_HEIGHT, INK, MUTED, SMALL, WIDTH, picture};
use super::palette::{colour, tint};
use super::{ChartKind, Drawing, threads_words};
use crate::sample::Metric;
use crate::summary::{CellSummary, Summary, WorkloadSummary};
use crate::units::{BYTES_PER_MB, show_mb};

pub(super) const KIND: ChartKind = ChartKind { id: "memory", draw };

const BAR: i32 = 18;
const PITCH: i32 = 34;
const LEGEND_HEIGHT: i32 = 30;
const AXIS_HEIGHT: i32 = 52;
const VALUE_WIDTH: i32 = 80;

fn draw(summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
    let threads = *workload.threads.first()?;
    let cells: Vec<&CellSummary> = workload.shown_at(&summary.rows, threads).collect();
    let drawn = cells.iter().filter(|c| !c.gate_failed());
    let sizes =
        drawn.filter_map(|c| peak(c).into_iter().chain(parts(c).map(|(f, a)| f + a)).reduce(f64::max));
    let model = summary.model_bytes as f64;
    let largest = sizes.reduce(f64::max)?.max(model);
    let bottom = HEADING_HEIGHT + LEGEND_HEIGHT + cells.len() as i32 * PITCH;
    let axis = Axis::from_zero(largest / BYTES_PER_MB, label_width(summary), WIDTH - VALUE_WIDTH - 20, 5);
    let alt = alt(summary, &cells, threads);
    let subtitle = format!("{}, {}; medians over launches", workload_words(workload), threads_words(threads));
    let svg = picture(bottom + AXIS_HEIGHT, "Memory", &subtitle, &alt, |canvas| {
        draw_axis(canvas, &axis, bottom, "MB (10^6 bytes; less is better)");
        legend(canvas, axis.at(0.0));
        for (i, cell) in cells.iter().enumerate() {
            let y = HEADING_HEIGHT + LEGEND_HEIGHT + i as i32 * PITCH + PITCH / 2;
            draw_label(canvas, summary, cell.row, axis.at(0.0), y);
            bar(canvas, summary, cell, &axis, y);
        }
        let x = axis.at(model / BYTES_PER_MB);
        canvas.dashed((x, HEADING_HEIGHT + LEGEND_HEIGHT), (x, bottom), INK);
    });
    Some(Drawing { alt, svg })
}

fn bar(canvas: &Canvas, summary: &Summary, cell: &CellSummary, axis: &Axis, y: i32) {
    let at = |bytes: f64| axis.at(bytes / BYTES_PER_MB);
    let mut right = axis.at(0.0);
    if cell.gate_failed() {
        return canvas.text((right + 8, y), "invalid: a gate failed", SMALL, Anchor::Left);
    }
    match parts(cell) {
        Some((file, anon)) => {
            canvas.rect((at(0.0), y - BAR / 2), (at(file), y + BAR / 2), tint(colour(summary, cell.row)));
            canvas.rect((at(file), y - BAR / 2), (at(file + anon), y + BAR / 2), colour(summary, cell.row));
            right = right.max(at(file + anon));
        }
        None if peak(cell).is_some() => {}
        None => return canvas.text((right + 8, y), "not measured", SMALL, Anchor::Left),
    }
    if let Some(peak) = peak(cell) {
        canvas.line((at(peak), y - BAR / 2 - 3), (at(peak), y + BAR / 2 + 3), INK, 3);
        right = right.max(at(peak));
        canvas.text((right + 9, y), &show_mb(peak), BODY, Anchor::Left);
    }
    canvas.value((at(0.0), y - PITCH / 2), (right + VALUE_WIDTH, y + PITCH / 2), words(summary, cell));
}

/// `engine: 639 MB (6.8 file-backed, 632 anonymous)`
fn words(summary: &Summary, cell: &CellSummary) -> String {
    let peak = peak(cell).map_or("–".to_owned(), show_mb);
    let parts = parts(cell)
        .map(|(file, anon)| format!(" ({} file-backed, {} anonymous)", show_mb(file), show_mb(anon)));
    format!("{}: {peak} MB{}", summary.rows[cell.row].name, parts.unwrap_or_default())
}

fn legend(canvas: &Canvas, x: i32) {
    let y = HEADING_HEIGHT + 10;
    canvas.rect((x, y - 6), (x + 14, y + 6), tint(MUTED));
    canvas.text((x + 20, y), "file-backed", SMALL, Anchor::Left);
    canvas.rect((x + 105, y - 6), (x + 119, y + 6), MUTED);
    canvas.text((x + 125, y), "anonymous", SMALL, Anchor::Left);
    canvas.line((x + 215, y - 8), (x + 215, y + 8), INK, 3);
    canvas.text((x + 223, y), "peak RSS", SMALL, Anchor::Left);
    canvas.dashed((x + 300, y), (x + 324, y), INK);
    canvas.text((x + 330, y), "model file", SMALL, Anchor::Left);
}

fn peak(cell: &CellSummary) -> Option<f64> {
    cell.estimate(Metric::PeakRss).map(|e| e.value)
}

/// File-backed and anonymous bytes.
fn parts(cell: &CellSummary) -> Option<(f64, f64)> {
    Some((cell.memory.file_bytes?, cell.memory.anon_bytes?))
}

fn alt(summary: &Summary, cells: &[&CellSummary], threads: u32) -> String {
    let rows: Vec<String> = cells
        .iter()
        .filter(|c| !c.gate_failed())
        .filter_map(|c| {
            let name = &summary.rows[c.row].name;
            let parts = parts(c)
                .map(|(file, anon)| format!(" ({} file-backed, {} anonymous)", show_mb(file), show_mb(anon)));
            Some(format!("{name} {}{}", show_mb(peak(c)?), parts.unwrap_or_default()))
        })
        .collect();
    format!(
        "Peak RSS in MB on {}: {}; the model file has {}",
        threads_words(threads),
        rows.join(", "),
        show_mb(summary.model_bytes as f64)
    )
}
