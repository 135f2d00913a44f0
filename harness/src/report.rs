//! The report in Markdown: templates hold the words, this module the figures. Pure: the same bundle, the same bytes.

mod document;
mod facts;
mod method;
mod published;
mod tables;
mod text;
mod trends;
mod trust;
mod variants;
mod verification;
mod view;

use crate::bundle::Manifest;
use crate::chart::{Chart, charts};
pub use document::{Document, Nightly, Source, render_document, render_document_with};
pub use published::render_published;
pub use trends::{Trends, render_trends};

use crate::sample::LaunchRecord;
use crate::summary::{summarize, to_csv};
use tera::{Context, Tera};
use text::Footnotes;

/// A report and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `report.md`; it refers to the charts as `charts/<name>`.
    pub markdown: String,
    /// File name and SVG of each chart.
    pub charts: Vec<(String, String)>,
    /// `summary.csv`
    pub summary_csv: String,
}

impl Rendered {
    /// The report as one HTML page with its charts.
    pub fn html(&self) -> String {
        crate::html::page(&self.markdown, |path| {
            let name = path.strip_prefix("charts/")?;
            self.charts.iter().find(|chart| chart.0 == name).map(|chart| chart.1.as_str())
        })
    }
}

const TEMPLATES: [(&str, &str); 20] = [
    ("published.md.tera", include_str!("../templates/published.md.tera")),
    ("table.md.tera", include_str!("../templates/table.md.tera")),
    ("features.md.tera", include_str!("../templates/features.md.tera")),
    ("recommend.md.tera", include_str!("../templates/recommend.md.tera")),
    ("tally.md.tera", include_str!("../templates/tally.md.tera")),
    ("conclusion.md.tera", include_str!("../templates/conclusion.md.tera")),
    ("document.md.tera", include_str!("../templates/document.md.tera")),
    ("evolution.md.tera", include_str!("../templates/evolution.md.tera")),
    ("trends.md.tera", include_str!("../templates/trends.md.tera")),
    ("gaps.md.tera", include_str!("../templates/gaps.md.tera")),
    ("gap_words.md.tera", include_str!("../templates/gap_words.md.tera")),
    ("report.md.tera", include_str!("../templates/report.md.tera")),
    ("facts.md.tera", include_str!("../templates/facts.md.tera")),
    ("summary.md.tera", include_str!("../templates/summary.md.tera")),
    ("platform.md.tera", include_str!("../templates/platform.md.tera")),
    ("efficiency.md.tera", include_str!("../templates/efficiency.md.tera")),
    ("memory.md.tera", include_str!("../templates/memory.md.tera")),
    ("evidence.md.tera", include_str!("../templates/evidence.md.tera")),
    ("verification.md.tera", include_str!("../templates/verification.md.tera")),
    ("methodology.md.tera", include_str!("../templates/methodology.md.tera")),
];

/// Renders the report of one bundle.
pub fn render(manifest: &Manifest, records: &[LaunchRecord]) -> Rendered {
    let summary = summarize(manifest, records);
    let charts = charts(&summary);
    let own = view::Charts { dir: "charts", charts: &charts };
    let view = view::view(manifest, records, &summary, &own, &mut Footnotes::default());
    let mut context = Context::from_serialize(&view).expect("the view is a map of plain values");
    context.insert("number", &1);
    context.insert("report", "");
    let markdown =
        templates().render("report.md.tera", &context).expect("the templates name only what the view holds");
    Rendered {
        markdown: text::tidy(&markdown),
        charts: charts.into_iter().map(|Chart { file_name, svg, .. }| (file_name, svg)).collect(),
        summary_csv: to_csv(&summary),
    }
}

fn templates() -> Tera {
    let mut tera = Tera::default();
    tera.add_raw_templates(TEMPLATES).expect("the templates are part of the program and parse");
    tera
}

#[cfg(test)]
mod tests;
