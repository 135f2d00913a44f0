//! The tables of a published comparison, made again from its figures.

use super::text::{bold_if, md, tidy};
use crate::published::{Finding, Provenance, Published, Table, audit, tables};
use serde::Serialize;
use tera::Context;

#[derive(Serialize)]
struct View {
    stated: Stated,
    file: String,
    model: String,
    quantization: String,
    size_mb: String,
    metric: String,
    tables: Vec<TableView>,
    findings: Vec<FindingView>,
}

/// What a published document says beside its tables.
#[derive(Debug, Serialize)]
pub(super) struct Stated {
    title: String,
    date: String,
    subject: String,
    baseline: String,
    target: String,
    provenance: Vec<ProvenanceView>,
    causes: Vec<NamedValue>,
    steps: Vec<NamedValue>,
    spectrum: Vec<NamedValue>,
}

#[derive(Debug, Serialize)]
struct ProvenanceView {
    figures: String,
    kind: String,
    says: String,
}

#[derive(Debug, Serialize)]
pub(super) struct TableView {
    pub(super) headings: Vec<String>,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct NamedValue {
    label: String,
    name: String,
    value: String,
}

#[derive(Serialize)]
struct FindingView {
    place: String,
    framework: String,
    what: String,
    claimed: String,
    recomputed: String,
    from: String,
}

/// Renders every table of `published`, and the audit. `file` is the name of the file that it was read from.
pub fn render_published(published: &Published, file: &str) -> String {
    let context = Context::from_serialize(view(published, file)).expect("the view is a map of plain values");
    let markdown = super::templates()
        .render("published.md.tera", &context)
        .expect("the template names only what the view holds");
    tidy(&markdown)
}

fn view(published: &Published, file: &str) -> View {
    let finding = |f: &Finding| FindingView {
        place: md(&f.place),
        framework: md(&f.framework),
        what: md(&f.what),
        claimed: md(&f.claimed),
        recomputed: md(&f.recomputed),
        from: md(&f.from),
    };
    View {
        stated: Stated::of(published),
        file: file.to_owned(),
        model: md(&published.model.name),
        quantization: md(&published.model.quantization),
        size_mb: published.model.size_mb.to_string(),
        metric: md(&published.document.metric),
        tables: shown(&tables(published)),
        findings: audit(published).iter().map(finding).collect(),
    }
}

impl Stated {
    pub(super) fn of(published: &Published) -> Stated {
        let document = &published.document;
        let value =
            |label: &str, name: &str, value: String| NamedValue { label: md(label), name: md(name), value };
        let provenance = |p: &Provenance| ProvenanceView {
            figures: md(&p.figures.join(", ")),
            kind: md(&p.kind),
            says: md(&p.says),
        };
        let causes = published.gap_causes.iter();
        let steps = published.roadmap.steps.iter();
        let spectrum = published.spectrum.iter();
        Stated {
            title: md(&document.title),
            date: md(&document.date),
            subject: md(&document.subject),
            baseline: md(&document.baseline),
            target: format!("{}%", published.roadmap.target_percent_of_baseline),
            provenance: published.provenance.iter().map(provenance).collect(),
            causes: causes.map(|c| value("", &c.cause, format!("{}%", c.impact_percent))).collect(),
            steps: steps.map(|s| value("", &s.step, format!("+{}%", s.gain_percent))).collect(),
            spectrum: spectrum
                .map(|s| value(&s.label, &s.name, format!("{}%", s.percent_of_baseline)))
                .collect(),
        }
    }
}

/// The tables with those of their headings that the table before did not stand under, and the subject in bold.
pub(super) fn shown(tables: &[Table]) -> Vec<TableView> {
    let mut before: &[String] = &[];
    let mut views = Vec::new();
    for table in tables {
        let n_shared = table.headings.iter().zip(before).take_while(|(a, b)| a == b).count();
        let headings = (2..).zip(&table.headings).skip(n_shared);
        views.push(TableView {
            headings: headings.map(|(level, text)| format!("{} {}", "#".repeat(level), md(text))).collect(),
            columns: table.columns.iter().map(|title| md(title)).collect(),
            rows: table
                .rows
                .iter()
                .map(|row| row.cells.iter().map(|cell| bold_if(row.is_subject, md(cell))).collect())
                .collect(),
        });
        before = &table.headings;
    }
    views
}
