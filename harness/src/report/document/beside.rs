//! Published figures beside measured ones: every cell of theirs has its mark.

use crate::published::{Published, Table, audit, tables};
use crate::report::published::{TableView, shown};
use crate::report::text::md;
use serde::Serialize;

/// The mark of a published figure.
const MARK: &str = "†";

/// What the document shows of a published comparison.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    title: String,
    date: String,
    file: String,
    subject: String,
    baseline: String,
    target: String,
    platforms: Vec<TableView>,
    features: Vec<TableView>,
    efficiency: Vec<TableView>,
    memory: Vec<TableView>,
    position: Vec<TableView>,
    causes: Vec<Named>,
    steps: Vec<Named>,
    spectrum: Vec<Named>,
    provenance: Vec<Stated>,
    n_findings: usize,
}

#[derive(Debug, Serialize)]
struct Named {
    label: String,
    name: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Stated {
    figures: String,
    kind: String,
    says: String,
}

impl Beside {
    /// `file` is the document of its tables, as seen from the document under `reference/`.
    pub(super) fn of(published: &Published, file: &str) -> Beside {
        let tables = tables(published);
        let under = |heading: &str| -> Vec<TableView> {
            let chosen: Vec<Table> = tables
                .iter()
                .filter(|t| t.headings.first().is_some_and(|h| h == heading))
                .map(marked)
                .collect();
            let mut views = shown(&chosen);
            // The section's own heading is the document's.
            views.iter_mut().for_each(|view| view.headings.retain(|heading| heading != "## "));
            views
        };
        let named =
            |label: &str, name: &str, value: String| Named { label: md(label), name: md(name), value };
        let excels = format!("Where {} Excels", published.document.subject);
        Beside {
            title: md(&published.document.title),
            date: md(&published.document.date),
            file: file.to_owned(),
            subject: md(&published.document.subject),
            baseline: md(&published.document.baseline),
            target: format!("{}%", published.roadmap.target_percent_of_baseline),
            platforms: [under("Executive Summary"), under("Detailed Comparison by Platform")]
                .into_iter()
                .flatten()
                .collect(),
            features: under(&excels),
            efficiency: under("Normalized Efficiency Comparison"),
            memory: under("Memory Efficiency Comparison"),
            position: without_headings(under("Conclusion")),
            causes: published
                .gap_causes
                .iter()
                .map(|c| named("", &c.cause, format!("{}%", c.impact_percent)))
                .collect(),
            steps: published
                .roadmap
                .steps
                .iter()
                .map(|s| named("", &s.step, format!("+{}%", s.gain_percent)))
                .collect(),
            spectrum: published
                .spectrum
                .iter()
                .map(|s| named(&s.label, &s.name, format!("{}%", s.percent_of_baseline)))
                .collect(),
            provenance: published
                .provenance
                .iter()
                .map(|p| Stated { figures: md(&p.figures.join(", ")), kind: md(&p.kind), says: md(&p.says) })
                .collect(),
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
