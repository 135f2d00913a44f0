//! Decode for each GHz of clock and each thread, where the clock is known.

use super::bars::Bars;
use super::{ChartKind, Drawing};
use crate::sample::Metric;
use crate::stats::{Estimate, Interval};
use crate::summary::{CellSummary, Summary, WorkloadSummary};
use crate::units::show;

pub(super) const KIND: ChartKind = ChartKind { id: "efficiency", draw };

fn draw(summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
    let bars = Bars {
        title: "Efficiency",
        value: per_ghz_core,
        axis: "decoded tokens per second for each GHz and thread (more is better)",
        unit: "tok/s per GHz and thread",
        show,
    };
    bars.draw(summary, workload)
}

/// Decode with its interval, divided by the clock and the threads, which are given and not measured.
fn per_ghz_core(cell: &CellSummary) -> Option<Estimate> {
    let (decode, value) = (cell.estimate(Metric::Decode)?, cell.decode_per_ghz_core?);
    let share = value / decode.value;
    let interval = decode.interval.map(|i| Interval { lo: i.lo * share, hi: i.hi * share });
    Some(Estimate { value, interval, n: decode.n })
}
