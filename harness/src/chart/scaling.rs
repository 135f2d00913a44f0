//! Decode throughput relative to one thread, with the ideal line and what the read bandwidth allows.

use super::axis::Axis;
use super::bars::{row_font, workload_words};
use super::canvas::{MUTED, SMALL, fit, picture};
use super::lines::{self, Line};
use super::palette::{colour, shape};
use super::{ChartKind, Drawing, threads_words};
use crate::stats::Interval;
use crate::summary::{Summary, WorkloadSummary};
use crate::units::fixed;

pub(super) const KIND: ChartKind = ChartKind { id: "scaling", draw };

/// From this number of threads on, both axes are logarithmic.
const LOG_FROM_THREADS: f64 = 16.0;

/// A row's speed-up at each thread count that has one.
struct Speedups {
    row: usize,
    points: Vec<(u32, f64, Option<Interval>)>,
}

/// Both axes go from 1 thread, 1×, or from 0 on linear axes.
struct Scale {
    max: f64,
    log: bool,
    bottom: i32,
}

impl Scale {
    fn share(&self, value: f64) -> f64 {
        if self.log { value.max(0.5).log2() / self.max.log2() } else { value / self.max }
    }

    fn x(&self, threads: u32) -> i32 {
        lines::LEFT + (self.share(f64::from(threads)) * f64::from(lines::RIGHT - lines::LEFT)).round() as i32
    }

    fn y(&self, speedup: f64) -> i32 {
        self.bottom - (self.share(speedup) * f64::from(self.bottom - lines::TOP)).round() as i32
    }
}

fn draw(summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
    let all = speedups(summary, workload);
    if all.is_empty() {
        return None;
    }
    let most = *workload.threads.last()?;
    let bandwidth = bandwidth(workload);
    let highest = all
        .iter()
        .flat_map(|s| &s.points)
        .map(|p| p.2.map_or(p.1, |i| i.hi))
        .chain(bandwidth.iter().map(|b| b.1))
        .fold(f64::from(most), f64::max);
    let height = lines::height(all.len() + 2);
    let bottom = lines::bottom(height);
    let scale = Scale { max: highest, log: f64::from(most) >= LOG_FROM_THREADS, bottom };
    let alt = alt(summary, &all, &bandwidth);
    let subtitle =
        format!("{}; decode(T) / decode(1), paired by block, 95% intervals", workload_words(workload));
    let svg = picture(height, "Thread scaling", &subtitle, &alt, |canvas| {
        axes(canvas, &scale, &workload.threads);
        let mut drawn = vec![limit(&scale, &[(1, 1.0), (most, f64::from(most))], "ideal")];
        if bandwidth.len() > 1 {
            drawn.push(limit(&scale, &bandwidth, "read bandwidth"));
        }
        drawn.extend(all.iter().map(|one| line(summary, one, &scale)));
        lines::draw(canvas, &drawn, bottom);
    });
    Some(Drawing { alt, svg })
}

fn speedups(summary: &Summary, workload: &WorkloadSummary) -> Vec<Speedups> {
    let of = |row: usize| {
        let single = workload.cell(row, 1).filter(|c| c.n_measured > 0 && !c.gate_failed())?;
        let mut points = vec![(single.threads, 1.0, None)];
        points.extend(workload.threads.iter().filter_map(|&threads| {
            let cell = workload.cell(row, threads).filter(|c| !c.gate_failed())?;
            cell.scaling.map(|r| (threads, r.value, r.interval))
        }));
        (points.len() > 1).then_some(Speedups { row, points })
    };
    (0..summary.rows.len()).filter_map(of).collect()
}

/// The read bandwidth at each thread count that it was measured at, as a multiple of one thread's.
fn bandwidth(workload: &WorkloadSummary) -> Vec<(u32, f64)> {
    let at = |threads: u32| workload.at(threads).find_map(|c| Some(c.roofline.as_ref()?.read_gb_s));
    let Some(single) = at(1) else { return Vec::new() };
    workload.threads.iter().filter_map(|&threads| Some((threads, at(threads)? / single))).collect()
}

fn axes(canvas: &super::canvas::Canvas, scale: &Scale, threads: &[u32]) {
    if scale.log {
        let powers = (0..).map(|p| 1u32 << p).take_while(|&v| f64::from(v) <= scale.max);
        for tick in powers {
            lines::draw_tick(canvas, scale.y(f64::from(tick)), &format!("{tick}×"));
        }
        lines::draw_base(canvas, scale.bottom, "speed-up over one thread (×)");
    } else {
        let axis = Axis::between(0.0, scale.max, scale.bottom, lines::TOP, 5);
        lines::draw_y(canvas, &axis, scale.bottom, "speed-up over one thread (×)", "×");
    }
    let ticks: Vec<(i32, String)> = threads.iter().map(|&t| (scale.x(t), t.to_string())).collect();
    lines::draw_x(canvas, &ticks, scale.bottom, "threads");
}

/// A dashed line of what cannot be exceeded.
fn limit(scale: &Scale, points: &[(u32, f64)], name: &str) -> Line {
    let last = points.last().map_or(1.0, |p| p.1);
    Line {
        points: points.iter().map(|p| (scale.x(p.0), scale.y(p.1))).collect(),
        whiskers: Vec::new(),
        values: Vec::new(),
        colour: MUTED,
        shape: None,
        label: format!("{name} {}×", fixed(last, 2)),
        font: SMALL,
    }
}

fn line(summary: &Summary, Speedups { row, points }: &Speedups, scale: &Scale) -> Line {
    let own = &summary.rows[*row];
    let font = row_font(own.is_subject);
    let words = |(threads, value, interval): &(u32, f64, Option<Interval>)| {
        let interval = interval.map(|i| format!(" [{}, {}]", fixed(i.lo, 2), fixed(i.hi, 2)));
        format!(
            "{}: {}×{}, {}",
            own.name,
            fixed(*value, 2),
            interval.unwrap_or_default(),
            threads_words(*threads)
        )
    };
    Line {
        points: points.iter().map(|p| (scale.x(p.0), scale.y(p.1))).collect(),
        whiskers: points.iter().map(|p| p.2.map(|i| (scale.y(i.lo), scale.y(i.hi)))).collect(),
        values: points.iter().map(words).collect(),
        colour: colour(summary, *row),
        shape: Some(shape(*row)),
        label: format!("{} {}×", fit(&own.name, 128, font), fixed(points.last().map_or(1.0, |p| p.1), 2)),
        font,
    }
}

fn alt(summary: &Summary, all: &[Speedups], bandwidth: &[(u32, f64)]) -> String {
    let on = |(threads, value): (u32, f64)| format!("{}× on {}", fixed(value, 2), threads_words(threads));
    let row = |s: &Speedups| {
        let points: Vec<String> = s.points[1..].iter().map(|p| on((p.0, p.1))).collect();
        format!("{} {}", summary.rows[s.row].name, points.join(", "))
    };
    let rows: Vec<String> = all.iter().map(row).collect();
    let limit = match bandwidth.last().filter(|last| last.0 > 1) {
        Some(&last) => format!("; the read bandwidth {}", on(last)),
        None => String::new(),
    };
    format!("Decode speed-up over one thread: {}{limit}", rows.join("; "))
}
