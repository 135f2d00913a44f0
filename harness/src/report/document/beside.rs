//! Published figures beside measured ones: every cell of theirs has its mark.

use crate::published::{Published, Table, audit, tables};
use crate::report::published::{Stated, TableView, shown};
use serde::Serialize;

/// The mark of a published figure.
const MARK: &str = "†";

/// What the document shows of a published comparison.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    stated: Stated,
    file: String,
    platforms: Vec<TableView>,
    features: Vec<TableView>,
    efficiency: Vec<TableView>,
    memory: Vec<TableView>,
    position: Vec<TableView>,
    n_findings: usize,
}

impl Beside {
    /// `file` is the document of its tables, as seen from the document under `reference/`.
    pub(super) fn of(published: &Published, file: &str) -> Beside {
        let tables = tables(published);
        let under = |heading: &str| -> Vec<TableView> {
            let is_there = |table: &&Table| table.headings.first().is_some_and(|first| first == heading);
            let chosen: Vec<Table> = tables.iter().filter(is_there).map(marked).collect();
            let mut views = shown(&chosen);
            // The section's own heading is the document's.
            views.iter_mut().for_each(|view| view.headings.retain(|heading| heading != "## "));
            views
        };
        let platforms = [under("Executive Summary"), under("Detailed Comparison by Platform")];
        Beside {
            stated: Stated::of(published),
            file: file.to_owned(),
            platforms: platforms.into_iter().flatten().collect(),
            features: under(&format!("Where {} Excels", published.document.subject)),
            efficiency: under("Normalized Efficiency Comparison"),
            memory: under("Memory Efficiency Comparison"),
            position: without_headings(under("Conclusion")),
            n_findings: audit(published).len(),
        }
    }
}

/// The table without its section's heading, which the document has already, and with a mark at its own headings and in every cell.
fn marked(table: &Table) -> Table {
    let mut table = table.clone();
    table.headings.remove(0);
    for heading in &mut table.headings {
        let name = heading.split_once(". ").map_or(heading.as_str(), |(_, name)| name);
        *heading = format!("{name} {MARK}");
    }
    // In the place of the section's, from whose level `shown` counts.
    table.headings.insert(0, String::new());
    for row in &mut table.rows {
        row.is_subject = false;
        for cell in row.cells.iter_mut().filter(|cell| !cell.is_empty()) {
            cell.push_str(&format!(" {MARK}"));
        }
    }
    table
}

fn without_headings(mut tables: Vec<TableView>) -> Vec<TableView> {
    tables.iter_mut().for_each(|table| table.headings.clear());
    tables
}
