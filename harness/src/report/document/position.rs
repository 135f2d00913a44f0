//! Stars by formula: what was measured of each row, and what is claimed of its framework.

use super::Run;
use super::features::Column;
use super::recommend::{feature_stars, overall, rating};
use crate::framework::features::{Feature, Support};
use crate::rating::{efficiency_stars, memory_stars, stars};
use crate::report::text::{bold_if, md};
use crate::sample::Metric;
use crate::summary::CellSummary;
use serde::Serialize;

/// A row's stars.
#[derive(Debug, Serialize)]
pub(super) struct Position {
    platform: String,
    framework: String,
    performance: String,
    integration: String,
    ease: String,
    safety: String,
    memory: String,
    overall: String,
}

/// The measured stars of a row that may be ranked.
struct Measured {
    row: usize,
    performance: Option<usize>,
    memory: Option<usize>,
}

/// Every row that may be ranked on the fewest threads of each run's first workload.
pub(super) fn positions(runs: &[Run], columns: &[Column]) -> Vec<Position> {
    runs.iter().flat_map(|run| measured(run).into_iter().map(|m| position(run, &m, columns))).collect()
}

/// The mean of the subject's measured stars over all runs, and over how many; `None` where it has none.
pub(super) fn subject_rating(runs: &[Run]) -> Option<(String, usize)> {
    let of = |run: &Run| {
        let subject = measured(run).into_iter().find(|m| run.summary.rows[m.row].is_subject)?;
        Some([subject.performance, subject.memory])
    };
    let all: Vec<[Option<usize>; 2]> = runs.iter().filter_map(of).collect();
    let counts: Vec<usize> = all.iter().flatten().flatten().copied().collect();
    Some((rating(overall(&counts)?), all.len()))
}

fn measured(run: &Run) -> Vec<Measured> {
    let Some(workload) = run.summary.workloads.first() else { return Vec::new() };
    let Some(&threads) = workload.threads.first() else { return Vec::new() };
    let ranked: Vec<&CellSummary> = workload.at(threads).filter(|c| c.is_ranked()).collect();
    let decode = |cell: &CellSummary| cell.estimate(Metric::Decode).map(|e| e.value);
    let best = ranked.iter().filter_map(|c| decode(c)).fold(f64::MIN_POSITIVE, f64::max);
    let overheads = ranked.iter().filter_map(|c| c.memory.overhead_bytes).filter(|o| *o > 0.0);
    let least = overheads.min_by(f64::total_cmp);
    let stars_of = |cell: &&CellSummary| Measured {
        row: cell.row,
        performance: decode(cell).map(|v| efficiency_stars(v / best)),
        memory: cell.memory.overhead_bytes.map(|o| memory_stars(o, least)),
    };
    ranked.iter().map(stars_of).collect()
}

fn position(run: &Run, measured: &Measured, columns: &[Column]) -> Position {
    let row = &run.summary.rows[measured.row];
    let column = columns.iter().find(|c| c.id == row.id);
    let integration = column.and_then(|c| feature_stars(c.score(0)));
    let ease = column.and_then(|c| feature_stars(c.score(1)));
    let safety = column.and_then(|c| c.support(Feature::MemorySafety)).and_then(|support| match support {
        Support::Yes => Some(5),
        Support::Partial => Some(3),
        Support::No => Some(1),
        Support::Text => None,
    });
    let all = [measured.performance, integration, ease, safety, measured.memory];
    let counts: Vec<usize> = all.iter().flatten().copied().collect();
    let words = |count: Option<usize>| count.map_or_else(|| "–".to_owned(), stars);
    Position {
        platform: run.link(),
        framework: bold_if(row.is_subject, md(&row.name)),
        performance: words(measured.performance),
        integration: words(integration),
        ease: words(ease),
        safety: words(safety),
        memory: words(measured.memory),
        overall: words(overall(&counts).filter(|_| counts.len() == all.len())),
    }
}
