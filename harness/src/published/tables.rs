//! The document's tables from its figures: stated cells as stated, derived ones computed.

use super::{MultiThread, Platform, Published, Span};
use crate::rating::{efficiency_stars, memory_stars, show_per_ghz_core, stars};
use crate::units::{fixed, show_difference, show_percent};

/// A table of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Headings above it, outermost first; the last is its own.
    pub headings: Vec<String>,
    /// Titles of its columns.
    pub columns: Vec<String>,
    /// In the document's order.
    pub rows: Vec<TableRow>,
}

/// A row of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// One for each column, not escaped.
    pub cells: Vec<String>,
    /// Whether it is the subject's.
    pub is_subject: bool,
}

/// Every table, in the document's order.
pub fn tables(published: &Published) -> Vec<Table> {
    let mut tables = vec![quick(published)];
    for (number, platform) in (1..).zip(&published.platforms) {
        let heading = format!("{number}. {}", platform_heading(platform));
        tables.push(single(published, platform, &heading));
        tables.extend(
            platform.multi_thread.as_ref().map(|multi| threads(published, platform, multi, &heading)),
        );
    }
    tables.extend(features(published));
    tables.extend([efficiency(published), memory(published), position(published)]);
    tables
}

/// `Apple M2 ARM64 (8 cores, 3.5 GHz)`
pub(super) fn platform_heading(platform: &Platform) -> String {
    let Platform { name, architecture, cores, clock_ghz, .. } = platform;
    format!("{name} {architecture} ({} {}, {clock_ghz} GHz)", cores.count, cores.of)
}

fn quick(published: &Published) -> Table {
    let quick = &published.quick_comparison;
    let platform = published.platform(&quick.platform).map_or("", |p| &p.name);
    let heading =
        format!("Quick Comparison ({platform}, Context={}, {})", quick.context, threads_word(quick.threads));
    let base = quick.rows.iter().find(|row| row.framework == published.document.baseline);
    let rows = quick.rows.iter().map(|row| {
        let versus = match base {
            Some(base) if base.framework == row.framework => "Baseline".to_owned(),
            Some(base) => show_difference(row.decode_tok_s.midpoint() / base.decode_tok_s.midpoint()),
            None => String::new(),
        };
        let tok_s = row.decode_tok_s.to_string();
        [row.framework.clone(), row.language.clone(), tok_s, versus, row.notes.clone()]
    });
    let versus = format!("vs {}", published.document.baseline);
    let columns = ["Framework", "Language", "Tok/s", &versus, "Notes"];
    table(published, &["Executive Summary", &heading], &columns, rows)
}

fn single(published: &Published, platform: &Platform, heading: &str) -> Table {
    let rows = platform.single_thread.iter().map(|row| {
        let figures = [&row.decode_tok_s, &row.memory_mb, &row.ttft_ms].map(Span::to_string);
        [vec![row.framework.clone(), row.implementation.clone()], figures.to_vec()].concat()
    });
    let columns = ["Framework", "Implementation", "Tok/s", "Memory (MB)", "TTFT (ms)"];
    table(published, &[DETAILED, heading, "Single-Thread Performance"], &columns, rows)
}

fn threads(published: &Published, platform: &Platform, multi: &MultiThread, heading: &str) -> Table {
    let has_efficiency = multi.rows.iter().any(|row| row.efficiency_percent.is_some());
    let rows = multi.rows.iter().map(|row| {
        let scaling = platform
            .single(published, published.id_of(&row.framework))
            .map(|single| scaling(&row.decode_tok_s, &single.decode_tok_s));
        let efficiency = scaling.map(|(factor, _)| show_percent(factor / f64::from(multi.threads)));
        let mut cells = vec![
            row.framework.clone(),
            row.decode_tok_s.to_string(),
            scaling.map(show_scaling).unwrap_or_default(),
        ];
        cells.extend(has_efficiency.then(|| efficiency.unwrap_or_default()));
        cells
    });
    let columns = ["Framework", "Tok/s", "Scaling", "Efficiency"];
    let columns = &columns[..if has_efficiency { 4 } else { 3 }];
    let title = format!("Multi-Thread Performance ({} threads)", multi.threads);
    table(published, &[DETAILED, heading, &title], columns, rows)
}

/// Times one thread, by midpoints, and whether a range went into it.
pub(super) fn scaling(multi: &Span, single: &Span) -> (f64, bool) {
    (multi.midpoint() / single.midpoint(), multi.is_range() || single.is_range())
}

/// Two decimals; one where a range went into it.
pub(super) fn show_scaling((factor, is_of_ranges): (f64, bool)) -> String {
    format!("{}x", fixed(factor, if is_of_ranges { 1 } else { 2 }))
}

fn features(published: &Published) -> Vec<Table> {
    let section = format!("Where {} Excels", published.document.subject);
    let tables = (1..).zip(&published.features).map(|(number, features)| {
        let heading = format!("{number}. {}", features.title);
        let columns: Vec<&str> =
            std::iter::once("Feature").chain(features.frameworks.iter().map(String::as_str)).collect();
        let rows = features.rows.iter().map(|row| [vec![row.feature.clone()], row.cells.clone()].concat());
        table(published, &[&section, &heading], &columns, rows)
    });
    tables.collect()
}

fn efficiency(published: &Published) -> Table {
    let efficiency = &published.efficiency;
    let ghz = efficiency.clock_ghz.midpoint() * f64::from(efficiency.threads);
    let per_core = |row: &super::EfficiencyRow| row.decode_tok_s.midpoint() / ghz;
    let best = efficiency.rows.iter().map(per_core).fold(f64::MIN_POSITIVE, f64::max);
    let rows = efficiency.rows.iter().map(|row| {
        let is_subject = row.framework == published.document.subject;
        let shown = show_per_ghz_core(per_core(row), is_subject);
        let rating = stars(efficiency_stars(per_core(row) / best));
        [row.framework.clone(), row.decode_tok_s.to_string(), efficiency.clock_ghz.to_string(), shown, rating]
    });
    let platform = published.platform(&efficiency.platform).map_or("", |p| &p.name);
    let heading = format!("{platform} ({})", threads_word(efficiency.threads));
    let columns = ["Framework", "Tok/s", "GHz", "Tok/s per GHz/core", "Efficiency Rating"];
    table(published, &["Normalized Efficiency Comparison", &heading], &columns, rows)
}

fn memory(published: &Published) -> Table {
    let memory = &published.memory;
    let overhead = |row: &super::MemoryRow| row.peak_rss_mb.midpoint() - published.model.size_mb;
    let least = memory.rows.iter().map(overhead).filter(|o| *o > 0.0).min_by(f64::total_cmp);
    let rows = memory.rows.iter().map(|row| {
        let rating = format!("{} {}", stars(memory_stars(overhead(row), least)), row.remark);
        let peak = row.peak_rss_mb.to_string();
        [row.framework.clone(), peak, format!("{} MB", fixed(overhead(row), 0)), rating.trim_end().to_owned()]
    });
    let heading = format!(
        "Peak RSS (Resident Set Size) - Context={}, {}",
        memory.context,
        threads_word(memory.threads)
    );
    let columns = ["Framework", "Peak RSS (MB)", "Overhead", "Efficiency"];
    table(published, &["Memory Efficiency Comparison", &heading], &columns, rows)
}

fn position(published: &Published) -> Table {
    let position = &published.position;
    let columns: Vec<&str> =
        std::iter::once("Framework").chain(position.columns.iter().map(String::as_str)).collect();
    let rows = position.rows.iter().map(|row| {
        let cells = row.stars.iter().map(|&count| stars(count));
        std::iter::once(row.framework.clone()).chain(cells).collect::<Vec<_>>()
    });
    table(published, &["Conclusion", "Competitive Position"], &columns, rows)
}

const DETAILED: &str = "Detailed Comparison by Platform";

fn threads_word(threads: u32) -> String {
    if threads == 1 { "Single-Thread".to_owned() } else { format!("{threads} Threads") }
}

fn table<R: Into<Vec<String>>>(
    published: &Published,
    headings: &[&str],
    columns: &[&str],
    rows: impl Iterator<Item = R>,
) -> Table {
    let row = |cells: Vec<String>| TableRow {
        is_subject: cells.first().is_some_and(|first| *first == published.document.subject),
        cells,
    };
    Table {
        headings: headings.iter().map(|&h| h.to_owned()).collect(),
        columns: columns.iter().map(|&c| c.to_owned()).collect(),
        rows: rows.map(|cells| row(cells.into())).collect(),
    }
}
