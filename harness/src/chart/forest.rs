//! Ratio of each row to the baseline with its interval, on a logarithmic axis: a forest plot.

use super::bars::{draw_label, label_width, workload_words};
use super::canvas::{
    Anchor, BAND, BODY, Canvas, GRID, HEADING_HEIGHT, INK, MUTED, SMALL, STRONG, WIDTH, picture, text_width,
};
use super::palette::{colour, shape};
use super::{ChartKind, Drawing, shown_threads, threads_words};
use crate::sample::Metric;
use crate::stats::Ratio;
use crate::summary::{Summary, WorkloadSummary};
use crate::units::show_ratio;
use crate::verdict::Verdict;

pub(super) const KIND: ChartKind = ChartKind { id: "ratio", draw };

const PITCH: i32 = 28;
const GROUP_TITLE: i32 = 26;
const GROUP_GAP: i32 = 8;
const AXIS_HEIGHT: i32 = 52;
const TEXT_WIDTH: i32 = 255;
const TICKS: [f64; 21] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0,
    10.0, 20.0,
];

struct Group {
    title: String,
    rows: Vec<(usize, Ratio, Verdict)>,
}

struct Scale {
    lo: f64,
    hi: f64,
    from: i32,
    to: i32,
}

impl Scale {
    fn at(&self, ratio: f64) -> i32 {
        let share = (ratio.ln() - self.lo.ln()) / (self.hi.ln() - self.lo.ln());
        self.from + (share * f64::from(self.to - self.from)).round() as i32
    }
}

fn draw(summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
    let baseline = summary.baseline()?;
    let groups = groups(workload);
    if groups.is_empty() {
        return None;
    }
    let scale = scale(&groups, label_width(summary));
    let rows: i32 = groups.iter().map(|g| g.rows.len() as i32).sum();
    let bottom = HEADING_HEIGHT + groups.len() as i32 * (GROUP_TITLE + GROUP_GAP) + rows * PITCH;
    let title = format!("Ratio to {}", baseline.name);
    let alt = alt(summary, &title, &groups);
    let subtitle = format!(
        "{}; geometric means, 95% intervals; band: ±{}%",
        workload_words(workload),
        crate::units::show(summary.margin * 100.0).trim_end_matches('0').trim_end_matches('.')
    );
    let svg = picture(bottom + AXIS_HEIGHT, &title, &subtitle, &alt, |canvas| {
        let (below, above) = (scale.at(1.0 / (1.0 + summary.margin)), scale.at(1.0 + summary.margin));
        canvas.rect((below, HEADING_HEIGHT), (above, bottom), BAND);
        axis(canvas, &scale, bottom);
        let mut y = HEADING_HEIGHT;
        for group in &groups {
            canvas.text((20, y + 10), &group.title, STRONG, Anchor::Left);
            y += GROUP_TITLE;
            for (row, ratio, verdict) in &group.rows {
                draw_label(canvas, summary, *row, scale.from, y + PITCH / 2);
                draw_ratio(canvas, summary, &scale, (*row, ratio, *verdict), y + PITCH / 2);
                y += PITCH;
            }
            y += GROUP_GAP;
        }
    });
    Some(Drawing { alt, svg })
}

fn groups(workload: &WorkloadSummary) -> Vec<Group> {
    let mut groups = Vec::new();
    for (metric, word) in [(Metric::Decode, "decode"), (Metric::Prefill, "prefill")] {
        for threads in shown_threads(workload) {
            let rows: Vec<_> = workload
                .at(threads)
                .filter(|c| !c.gate_failed())
                .filter_map(|c| {
                    let comparison = c.comparison(metric)?;
                    Some((c.row, comparison.ratio?, comparison.judgement.verdict))
                })
                .collect();
            if !rows.is_empty() {
                groups.push(Group { title: format!("{word}, {}", threads_words(threads)), rows });
            }
        }
    }
    groups
}

/// From the least to the largest end of any interval, and 1, with a little air.
fn scale(groups: &[Group], left: i32) -> Scale {
    let ratios = || groups.iter().flat_map(|g| &g.rows).map(|r| r.1);
    let lo = ratios().map(|r| r.interval.map_or(r.value, |i| i.lo)).fold(0.95, f64::min);
    let hi = ratios().map(|r| r.interval.map_or(r.value, |i| i.hi)).fold(1.05, f64::max);
    let air = (hi / lo).powf(0.06);
    Scale { lo: lo / air, hi: hi * air, from: left, to: WIDTH - TEXT_WIDTH - 20 }
}

fn axis(canvas: &Canvas, scale: &Scale, bottom: i32) {
    let label = |tick: f64| format!("{tick}×");
    // 1 comes first, so that no other label can take its place.
    let mut taken: Vec<(i32, i32)> = Vec::new();
    for tick in std::iter::once(1.0).chain(TICKS.into_iter().filter(|&t| t != 1.0)) {
        let (x, half) = (scale.at(tick), text_width(&label(tick), SMALL) / 2 + 5);
        let is_free = taken.iter().all(|&(from, to)| x + half < from || x - half > to);
        if tick < scale.lo || tick > scale.hi || !is_free {
            continue;
        }
        taken.push((x - half, x + half));
        canvas.line((x, HEADING_HEIGHT), (x, bottom), if tick == 1.0 { MUTED } else { GRID }, 1);
        canvas.text((x, bottom + 12), &label(tick), SMALL, Anchor::Middle);
    }
    let middle = (scale.from + scale.to) / 2;
    canvas.text((middle, bottom + 34), "throughput / baseline's (right is faster)", SMALL, Anchor::Middle);
}

fn draw_ratio(
    canvas: &Canvas,
    summary: &Summary,
    scale: &Scale,
    (row, ratio, verdict): (usize, &Ratio, Verdict),
    y: i32,
) {
    let mut text = show_ratio(ratio.value);
    if let Some(interval) = ratio.interval {
        canvas.whisker_x(y, (scale.at(interval.lo), scale.at(interval.hi)), INK);
        text = format!("{text} [{}, {}]", show_ratio(interval.lo), show_ratio(interval.hi));
    }
    canvas.point((scale.at(ratio.value), y), 5, shape(row), colour(summary, row));
    let x = scale.to + 16;
    canvas.text((x, y), &text, SMALL, Anchor::Left);
    canvas.text((WIDTH - 16, y), verdict.word(), BODY, Anchor::Right);
    let words = format!("{}: {text}, {}, {} blocks", summary.rows[row].name, verdict.word(), ratio.n);
    canvas.value((scale.from, y - PITCH / 2), (scale.to, y + PITCH / 2), words);
}

fn alt(summary: &Summary, title: &str, groups: &[Group]) -> String {
    let groups: Vec<String> = groups
        .iter()
        .map(|g| {
            let rows: Vec<String> = g
                .rows
                .iter()
                .map(|(row, ratio, verdict)| {
                    format!("{} {} {}", summary.rows[*row].name, show_ratio(ratio.value), verdict.word())
                })
                .collect();
            format!("{}: {}", g.title, rows.join(", "))
        })
        .collect();
    format!("{title}, {}", groups.join("; "))
}
