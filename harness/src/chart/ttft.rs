//! Time to first token of a warm request, a group for each thread count.

use super::bars::Bars;
use super::{ChartKind, Drawing};
use crate::sample::Metric;
use crate::summary::{Summary, WorkloadSummary};
use crate::units::show_ms;

pub(super) const KIND: ChartKind = ChartKind { id: "ttft", draw };

fn draw(summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
    let bars = Bars {
        title: "Time to first token, warm",
        value: |cell| cell.estimate(Metric::TtftWarm),
        axis: "milliseconds from request to first token (less is better)",
        unit: "ms",
        show: show_ms,
    };
    bars.draw(summary, workload)
}
