//! Which variant of a framework stands in the main tables, beside those that do not.

use super::tables::{Cells, interval_words};
use super::text::md;
use crate::sample::Metric;
use crate::summary::{CellSummary, Choice, Summary, WorkloadSummary};
use crate::units::show;

/// One line for each variant of each entry, by workload and thread count.
pub(super) fn variants(summary: &Summary) -> Vec<Cells> {
    let mut lines = Vec::new();
    for workload in &summary.workloads {
        for choice in &workload.choices {
            let cells = choice.variants.iter().filter_map(|&row| workload.cell(row, choice.threads));
            lines.extend(cells.map(|cell| line(summary, workload, choice, cell)));
        }
    }
    lines
}

fn line(summary: &Summary, workload: &WorkloadSummary, choice: &Choice, cell: &CellSummary) -> Cells {
    let row = &summary.rows[cell.row];
    let settings = row.variant.iter().flat_map(|v| &v.settings);
    let settings: Vec<String> = settings.map(|(name, value)| format!("{} {}", md(name), md(value))).collect();
    let decode = cell.estimate(Metric::Decode).map_or("–".to_owned(), |e| {
        let interval = e.interval.map(|i| format!(" {}", interval_words(i, show)));
        show(e.value) + &interval.unwrap_or_default()
    });
    let is_shown = workload.shown_at(&summary.rows, choice.threads).any(|c| c.row == cell.row);
    Cells::from([
        ("framework", md(&choice.of)),
        ("cell", format!("{}, threads {}", md(&workload.workload.name), choice.threads)),
        ("settings", settings.join(", ")),
        ("decode", decode),
        ("shown", if is_shown { "yes" } else { "no" }.to_owned()),
        ("label", md(&row.label)),
    ])
}
