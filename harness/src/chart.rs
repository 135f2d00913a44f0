//! Charts as SVG: one file and one line in [`KINDS`] for each. Pure, and the same bytes for the same summary.
//!
//! Text is placed by estimated widths, so no font is needed; the panel brings its own light background, so that a
//! chart reads on a dark page too.

mod axis;
mod bars;
mod canvas;
mod curves;
mod efficiency;
mod forest;
mod lines;
mod memory;
mod palette;
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
    /// The workload that it shows; `None` where it shows the whole session.
    pub workload: Option<String>,
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

/// A kind of chart that shows all workloads of a session.
pub struct SessionKind {
    /// Name of its file, without the extension.
    pub id: &'static str,
    /// Draws it; `None` where the summary holds nothing to draw.
    pub draw: fn(&Summary) -> Option<Drawing>,
}

/// Every kind of chart of a workload, in the report's order.
pub const KINDS: &[ChartKind] =
    &[throughput::KIND, forest::KIND, scaling::KIND, memory::KIND, ttft::KIND, efficiency::KIND];

/// Every kind of chart of a session, in the report's order.
pub const SESSION_KINDS: &[SessionKind] = &[curves::TTFT, curves::DECODE];

/// Whether a file of this name is a chart of some report.
pub fn is_chart(file_name: &str) -> bool {
    let is_kind = KINDS.iter().any(|kind| file_name.starts_with(&format!("{}-", kind.id)));
    let is_session = SESSION_KINDS.iter().any(|kind| file_name == format!("{}.svg", kind.id));
    file_name.ends_with(".svg") && (is_kind || is_session)
}

/// Draws every chart that the summary has data for.
pub fn charts(summary: &Summary) -> Vec<Chart> {
    let mut charts = Vec::new();
    for (index, workload) in summary.workloads.iter().enumerate() {
        for kind in KINDS {
            let Some(Drawing { alt, svg }) = (kind.draw)(summary, workload) else { continue };
            let name = &workload.workload.name;
            let file_name = format!("{}-{}.svg", kind.id, file_stem(summary, index));
            charts.push(Chart { id: kind.id, workload: Some(name.clone()), file_name, alt, svg });
        }
    }
    for kind in SESSION_KINDS {
        let Some(Drawing { alt, svg }) = (kind.draw)(summary) else { continue };
        charts.push(Chart { id: kind.id, workload: None, file_name: format!("{}.svg", kind.id), alt, svg });
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

    /// Two workloads of different lengths, so that every kind has something to draw.
    fn deep() -> Summary {
        let (mut manifest, mut records) = testing::example();
        let mut longer = manifest.scenario.workloads[0].clone();
        longer.name = "long".to_owned();
        longer.prompt_tokens *= 4;
        longer.context *= 4;
        manifest.scenario.workloads.push(longer);
        let more: Vec<_> = records
            .iter()
            .cloned()
            .map(|mut record| {
                record.workload = "long".to_owned();
                record
            })
            .collect();
        records.extend(more);
        summarize(&manifest, &records)
    }

    #[test]
    fn every_kind_draws_well_formed_labelled_svg() {
        let charts = charts(&deep());
        assert_eq!(charts.len(), 2 * KINDS.len() + SESSION_KINDS.len());
        for chart in &charts {
            assert!(chart.svg.starts_with("<svg "), "{}", chart.file_name);
            assert!(chart.svg.trim_end().ends_with("</svg>"), "{}", chart.file_name);
            assert!(chart.svg.contains("<title") && chart.svg.contains("<desc"), "{}", chart.file_name);
            assert!(!chart.svg.contains("NaN") && !chart.svg.contains("inf\""), "{}", chart.file_name);
            assert!(!chart.alt.is_empty() && !chart.alt.contains('\n'), "{}", chart.alt);
            assert!(chart.svg.contains("<g><title>engine: "), "{}: no values", chart.file_name);
            assert!(is_chart(&chart.file_name), "{}", chart.file_name);
        }
        assert!(!is_chart("notes.svg") && !is_chart("ttft-by-prompt.png"));
    }

    /// Boxes of the picture's texts as their widths are estimated, left, top, right, bottom, and its size.
    fn text_boxes(svg: &str) -> (Vec<([f64; 4], String)>, [f64; 2]) {
        let attribute = |tag: &str, name: &str| {
            let rest = tag.split_once(&format!(" {name}=\"")).map(|part| part.1)?;
            rest.split_once('"').map(|part| part.0.to_owned())
        };
        let number = |tag: &str, name: &str| attribute(tag, name).and_then(|text| text.parse::<f64>().ok());
        let texts = svg.split("<text").skip(1).map(|rest| {
            let (tag, rest) = rest.split_once('>').unwrap();
            let text = rest.split_once("</text>").unwrap().0.trim();
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            let (x, y, size) =
                (number(tag, "x").unwrap(), number(tag, "y").unwrap(), number(tag, "font-size").unwrap());
            let per_char = if tag.contains("font-weight=\"bold\"") { 0.62 } else { 0.57 };
            let width = text.chars().count() as f64 * size * per_char;
            let left = match attribute(tag, "text-anchor").as_deref() {
                Some("middle") => x - width / 2.0,
                Some("end") => x - width,
                _ => x,
            };
            let turned = [x - size / 2.0, y - width / 2.0, x + size / 2.0, y + width / 2.0];
            let flat = [left, y - size / 2.0, left + width, y + size / 2.0];
            (if tag.contains("rotate") { turned } else { flat }, text)
        });
        let boxes = texts.collect();
        (boxes, [number(svg, "width").unwrap(), number(svg, "height").unwrap()])
    }

    #[test]
    fn no_label_lies_on_another_or_outside_with_twelve_frameworks() {
        let (manifest, records) = testing::crowded();
        let crowded = summarize(&manifest, &records);
        assert_eq!(crowded.rows.len(), 12);
        for chart in charts(&crowded).into_iter().chain(charts(&deep())) {
            let (boxes, [width, height]) = text_boxes(&chart.svg);
            assert!(boxes.len() > 8, "{}", chart.file_name);
            for (at, ([left, top, right, bottom], text)) in boxes.iter().enumerate() {
                let is_inside = *left >= 0.0 && *top >= 0.0 && *right <= width && *bottom <= height;
                assert!(is_inside, "{}: {text} lies outside", chart.file_name);
                for ([l, t, r, b], other) in &boxes[at + 1..] {
                    let overlaps = left < r && l < right && top < b && t < bottom;
                    assert!(!overlaps, "{}: {text} lies on {other}", chart.file_name);
                }
            }
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
        let (manifest, records) = testing::crowded();
        for (name, summary) in [("deep", deep()), ("crowded", summarize(&manifest, &records))] {
            for chart in charts(&summary) {
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
