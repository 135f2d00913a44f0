//! Charts as SVG: one file and one line in [`KINDS`] for each. Pure, and the same bytes for the same summary.
//!
//! Text is placed by estimated widths, so no font is needed; the panel brings its own light background, so that a
//! chart reads on a dark page too.

mod bars;
mod canvas;
mod forest;
mod memory;
mod scaling;
mod throughput;
mod trend;
mod ttft;

pub use trend::trend;

use crate::summary::{Summary, WorkloadSummary};

/// A chart, drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Id of its kind.
    pub id: &'static str,
    /// The workload that it shows.
    pub workload: String,
    /// `throughput-chat.svg`
    pub file_name: String,
    /// What it shows, with the figures, for those who cannot see it.
    pub alt: String,
    /// The picture.
    pub svg: String,
}

/// What a kind of chart yields for one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawing {
    /// See [`Chart::alt`].
    pub alt: String,
    /// See [`Chart::svg`].
    pub svg: String,
}

/// A kind of chart.
pub struct ChartKind {
    /// Start of its file names.
    pub id: &'static str,
    /// Draws it; `None` where the summary holds nothing to draw.
    pub draw: fn(&Summary, &WorkloadSummary) -> Option<Drawing>,
}

/// Every kind of chart, in the report's order.
pub const KINDS: &[ChartKind] = &[throughput::KIND, forest::KIND, scaling::KIND, memory::KIND, ttft::KIND];

/// Draws every chart that the summary has data for.
pub fn charts(summary: &Summary) -> Vec<Chart> {
    let mut charts = Vec::new();
    for (index, workload) in summary.workloads.iter().enumerate() {
        for kind in KINDS {
            let Some(Drawing { alt, svg }) = (kind.draw)(summary, workload) else { continue };
            let name = &workload.workload.name;
            let file_name = format!("{}-{}.svg", kind.id, file_stem(summary, index));
            charts.push(Chart { id: kind.id, workload: name.clone(), file_name, alt, svg });
        }
    }
    charts
}

/// The workload's name as part of a file name; two names that look alike as such get a number.
fn file_stem(summary: &Summary, index: usize) -> String {
    let slug = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
    };
    let own = slug(&summary.workloads[index].workload.name);
    let is_taken = summary.workloads[..index].iter().any(|w| slug(&w.workload.name) == own);
    if is_taken { format!("{own}-{}", index + 1) } else { own }
}

/// Thread counts that get a group of their own: all of up to three, else the first, a middle one and the last.
fn shown_threads(workload: &WorkloadSummary) -> Vec<u32> {
    match &*workload.threads {
        [first, _, _, .., last] => vec![*first, workload.threads[workload.threads.len() / 2], *last],
        few => few.to_vec(),
    }
}

/// "1 thread", "4 threads".
fn threads_words(threads: u32) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::summarize;
    use crate::testing;

    fn example() -> Summary {
        let (manifest, records) = testing::example();
        summarize(&manifest, &records)
    }

    #[test]
    fn every_kind_draws_well_formed_labelled_svg() {
        let charts = charts(&example());
        assert_eq!(charts.len(), KINDS.len());
        for chart in &charts {
            assert!(chart.svg.starts_with("<svg "), "{}", chart.file_name);
            assert!(chart.svg.trim_end().ends_with("</svg>"), "{}", chart.file_name);
            assert!(chart.svg.contains("<title") && chart.svg.contains("<desc"), "{}", chart.file_name);
            assert!(!chart.svg.contains("NaN") && !chart.svg.contains("inf\""), "{}", chart.file_name);
            assert!(!chart.alt.is_empty() && !chart.alt.contains('\n'), "{}", chart.alt);
        }
    }

    #[test]
    fn the_same_summary_gives_the_same_bytes() {
        assert_eq!(charts(&example()), charts(&example()));
    }

    #[test]
    #[ignore = "writes charts to $CHARTS_DIR, to be looked at"]
    fn write_charts() {
        let dir = std::env::var("CHARTS_DIR").unwrap();
        for (name, (manifest, records)) in [("example", testing::example()), ("crowded", testing::crowded())]
        {
            for chart in charts(&summarize(&manifest, &records)) {
                std::fs::write(format!("{dir}/{name}-{}", chart.file_name), &chart.svg).unwrap();
            }
        }
    }

    #[test]
    fn nothing_measured_draws_nothing() {
        let (manifest, records) = testing::all_failed();
        assert_eq!(charts(&summarize(&manifest, &records)), []);
    }

    #[test]
    fn a_hostile_name_is_text() {
        let (mut manifest, records) = testing::example();
        manifest.frameworks[0].display_name = "</text><script>".to_owned();
        for chart in charts(&summarize(&manifest, &records)) {
            assert!(!chart.svg.contains("<script"), "{}", chart.file_name);
        }
    }
}
