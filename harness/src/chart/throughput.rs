//! Decode throughput by framework, a group for each thread count.

use super::bars::Bars;
use super::{ChartKind, Drawing};
use crate::sample::Metric;
use crate::summary::{Summary, WorkloadSummary};
use crate::units::show;

pub(super) const KIND: ChartKind = ChartKind { id: "throughput", draw };

fn draw(summary: &Summary, workload: &WorkloadSummary) -> Option<Drawing> {
    let bars = Bars {
        title: "Decode throughput",
        value: |cell| cell.estimate(Metric::Decode),
        axis: "generated tokens per second (more is better)",
        unit: "tok/s",
        show,
    };
    bars.draw(summary, workload)
}
