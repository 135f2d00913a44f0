//! Decode throughput relative to one thread, with the ideal line.

use super::bars::workload_words;
use super::canvas::{
    Anchor, BODY, Canvas, GRID, HEADING_HEIGHT, MUTED, SMALL, STRONG, WIDTH, colour, fit, picture,
};
use super::{ChartKind, Drawing, threads_words};
use crate::stats::Interval;
use crate::summary::{Summary, WorkloadSummary};
use crate::units::fixed;

pub(super) const KIND: ChartKind = ChartKind { id: "scaling", draw };

const HEIGHT: i32 = 420;
const LEFT: i32 = 70;
const RIGHT: i32 = WIDTH - 220;
const BOTTOM: i32 = HEIGHT - 62;
const TOP: i32 = HEADING_HEIGHT + 10;
const LABEL_GAP: i32 = 18;
/// From this many threads on, both axes are logarithmic.
const LOG_FROM_THREADS: u32 = 16;

struct Line {
    row: usize,
    points: Vec<(u32, f64, Option<Interval>)>,
}

/// Both axes go from 1 thread, 1×, or from 0 on linear axes.
struct Scale {
    max: f64,
    log: bool,
}

impl Scale {
    fn share(&self, value: f64) -> f64 {
        if self.log { value.max(0.5).log2() / self.max.log2() } else { value / self.max }
    }

    fn x(&self, threads: f64) -> i32 {
        LEFT + (self.share(threads) * f64::from(RIGHT - LEFT)).round() as i32
    }

    fn y(&self, scaling: f64) -> i32 {
        BOTTOM - (self.share(scaling) * f64::from(BOTTOM - TOP)).round() as i32
    }
}

fn draw(summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
    let lines = lines(summary, workload);
    if lines.is_empty() {
        return None;
    }
    let most = f64::from(*workload.threads.last()?);
    let highest =
        lines.iter().flat_map(|l| &l.points).map(|p| p.2.map_or(p.1, |i| i.hi)).fold(most, f64::max);
    let scale = Scale { max: highest, log: most >= f64::from(LOG_FROM_THREADS) };
    let alt = alt(summary, &lines);
    let subtitle =
        format!("{}; decode(T) / decode(1), paired by block, 95% intervals", workload_words(workload));
    let svg = picture(HEIGHT, "Thread scaling", &subtitle, &alt, |canvas| {
        axes(canvas, &scale, &workload.threads);
        canvas.dashed((scale.x(1.0), scale.y(1.0)), (scale.x(most), scale.y(most)), MUTED);
        for (i, line) in lines.iter().enumerate() {
            draw_line(canvas, line, &scale, i as i32 * 5 - (lines.len() as i32 - 1) * 5 / 2);
        }
        labels(canvas, summary, &lines, &scale, most);
    });
    Some(Drawing { alt, svg })
}

fn lines(summary: &Summary, workload: &WorkloadSummary) -> Vec<Line> {
    let line = |row: usize| {
        let single = workload.cell(row, 1).filter(|c| c.n_measured > 0 && !c.gate_failed())?;
        let mut points = vec![(single.threads, 1.0, None)];
        points.extend(workload.threads.iter().filter_map(|&threads| {
            let cell = workload.cell(row, threads).filter(|c| !c.gate_failed())?;
            cell.scaling.map(|r| (threads, r.value, r.interval))
        }));
        (points.len() > 1).then_some(Line { row, points })
    };
    (0..summary.rows.len()).filter_map(line).collect()
}

fn axes(canvas: &Canvas, scale: &Scale, threads: &[u32]) {
    let ticks: Vec<u32> = if scale.log {
        (0..).map(|p| 1 << p).take_while(|&v: &u32| f64::from(v) <= scale.max).collect()
    } else {
        (0..=scale.max.floor() as u32).collect()
    };
    for tick in ticks {
        let y = scale.y(f64::from(tick));
        canvas.line((LEFT, y), (RIGHT, y), GRID, 1);
        canvas.text((LEFT - 10, y), &format!("{tick}×"), SMALL, Anchor::Right);
    }
    let mut last = -24;
    for &count in threads {
        let x = scale.x(f64::from(count));
        canvas.line((x, BOTTOM), (x, BOTTOM + 5), MUTED, 1);
        if x - last >= 24 {
            canvas.text((x, BOTTOM + 16), &count.to_string(), SMALL, Anchor::Middle);
            last = x;
        }
    }
    canvas.line((LEFT, BOTTOM), (RIGHT, BOTTOM), MUTED, 1);
    canvas.text(((LEFT + RIGHT) / 2, BOTTOM + 40), "threads", SMALL, Anchor::Middle);
    canvas.text_upwards((24, (TOP + BOTTOM) / 2), "speed-up over one thread (×)", SMALL);
}

/// Intervals at the same thread count stand a few pixels apart.
fn draw_line(canvas: &Canvas, line: &Line, scale: &Scale, offset: i32) {
    let points: Vec<(i32, i32)> =
        line.points.iter().map(|p| (scale.x(f64::from(p.0)) + offset, scale.y(p.1))).collect();
    canvas.path(&points, colour(line.row), 2);
    for (point, (_, _, interval)) in points.iter().zip(&line.points) {
        if let Some(interval) = interval {
            canvas.whisker_y(point.0, (scale.y(interval.lo), scale.y(interval.hi)), colour(line.row));
        }
        canvas.dot(*point, 4, colour(line.row));
    }
}

/// Names beside the lines' ends, moved apart where they would collide, each tied to its line.
fn labels(canvas: &Canvas, summary: &Summary, lines: &[Line], scale: &Scale, most: f64) {
    let mut ends: Vec<(i32, i32, Option<&Line>)> = lines
        .iter()
        .filter_map(|l| l.points.last().map(|p| (scale.y(p.1), scale.x(f64::from(p.0)), Some(l))))
        .collect();
    ends.push((scale.y(most), scale.x(most), None));
    ends.sort_by_key(|e| (e.0, e.2.map_or(0, |l| l.row + 1)));
    let mut free_from = TOP;
    for (y, x, line) in ends {
        let label_y = y.max(free_from);
        free_from = label_y + LABEL_GAP;
        let tint = line.map_or(MUTED, |l| colour(l.row));
        canvas.path(&[(x + 12, y), (RIGHT + 22, label_y), (RIGHT + 28, label_y)], tint, 1);
        let (text, font) = match line {
            None => ("ideal".to_owned(), SMALL),
            Some(l) => {
                let row = &summary.rows[l.row];
                let value = l.points.last().map_or(1.0, |p| p.1);
                let font = if row.is_subject { STRONG } else { BODY };
                (format!("{} {}×", fit(&row.name, 120, font), fixed(value, 2)), font)
            }
        };
        canvas.text((RIGHT + 33, label_y), &text, font, Anchor::Left);
    }
}

fn alt(summary: &Summary, lines: &[Line]) -> String {
    let rows: Vec<String> = lines
        .iter()
        .map(|l| {
            let points: Vec<String> = l.points[1..]
                .iter()
                .map(|p| format!("{}× on {}", fixed(p.1, 2), threads_words(p.0)))
                .collect();
            format!("{} {}", summary.rows[l.row].name, points.join(", "))
        })
        .collect();
    format!("Decode speed-up over one thread: {}", rows.join("; "))
}
