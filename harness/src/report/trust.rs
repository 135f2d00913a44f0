//! What a reader may hold against the figures: the control pair, disturbed blocks, the share of what memory allows.

use super::tables::{Cells, interval_words};
use super::text::{md, message};
use super::view::metric_words;
use crate::sample::Metric;
use crate::stats::SIGNIFICANCE;
use crate::summary::{CellSummary, ControlCheck, Disturbance, Drift, HarnessShare, Summary, WorkloadSummary};
use crate::units::{fixed, show};
use crate::verdict::Verdict;
use crate::withdrawal::Kind;

/// The baseline against itself.
pub(super) fn control(summary: &Summary) -> Vec<Cells> {
    let row = |c: &ControlCheck| {
        let ratio = c.ratio.map_or("–".to_owned(), |ratio| {
            let interval = ratio.interval.map(|i| format!(" {}", interval_words(i, |v| fixed(v, 3))));
            format!("{}{}", fixed(ratio.value, 3), interval.unwrap_or_default())
        });
        let verdict = c.judgement.verdict;
        let reason = c.judgement.reason.as_deref().filter(|_| verdict == Verdict::Invalid);
        Cells::from([
            ("cell", format!("{}, threads {}", md(&c.workload), c.threads)),
            ("metric", metric_words(c.metric).to_owned()),
            ("ratio", ratio),
            ("n", c.ratio.map_or(0, |ratio| ratio.n).to_string()),
            (
                "verdict",
                format!("{}{}", verdict.word(), reason.map(|r| format!(": {r}")).unwrap_or_default()),
            ),
        ])
    };
    summary.control.iter().map(row).collect()
}

/// What was withdrawn block by block.
pub(super) fn disturbances(summary: &Summary) -> Vec<Cells> {
    let alone = |d: &Disturbance| match &d.row {
        Some(label) => {
            let row = summary.rows.iter().find(|r| r.label == *label);
            format!(": {}", md(row.map_or(label, |r| &r.name)))
        }
        None => String::new(),
    };
    let row = |d: &Disturbance| {
        let reasons: Vec<String> =
            d.reasons.iter().map(|(id, reason)| format!("{}: {}", md(id), message(reason))).collect();
        Cells::from([
            ("block", d.block.to_string()),
            ("cell", format!("{}, threads {}{}", md(&d.workload), d.threads, alone(d))),
            ("reasons", reasons.join("; ")),
        ])
    };
    summary.disturbances.iter().map(row).collect()
}

/// Decode against the measured read bandwidth, for every cell that has both.
pub(super) fn roofline(summary: &Summary) -> Vec<Cells> {
    let mut rows = Vec::new();
    for workload in &summary.workloads {
        for cell in workload.cells.iter().filter(|c| !c.gate_failed()) {
            let Some((roofline, decode)) = cell.roofline.zip(cell.estimate(Metric::Decode)) else { continue };
            rows.push(Cells::from([
                ("framework", md(&summary.rows[cell.row].name)),
                ("cell", format!("{}, threads {}", md(&workload.workload.name), cell.threads)),
                ("tok_s", show(decode.value)),
                ("mb_per_token", fixed(roofline.bytes_per_token / 1e6, 1)),
                ("read_gb_s", fixed(roofline.read_gb_s, 1)),
                ("share", format!("{:.0}%", roofline.share * 100.0)),
            ]));
        }
    }
    rows
}

/// Cells whose prefill or decode rises or falls over the blocks, clearly.
pub(super) fn drifts(summary: &Summary) -> Vec<Cells> {
    let clear = summary.drifts.iter().filter(|d| d.p_holm <= SIGNIFICANCE);
    let row = |d: &Drift| {
        Cells::from([
            ("framework", md(&summary.rows[d.row].name)),
            ("cell", format!("{}, threads {}", md(&d.workload), d.threads)),
            ("metric", metric_words(d.metric).to_owned()),
            ("slope", format!("{:+.2}%", d.trend.slope * 100.0)),
            ("tau", fixed(d.trend.tau, 2)),
            ("p", fixed(d.p_holm, 3)),
        ])
    };
    clear.map(row).collect()
}

/// What the harness took beside each row.
pub(super) fn harness_shares(summary: &Summary) -> Vec<Cells> {
    let row = |s: &HarnessShare| {
        Cells::from([
            ("framework", md(&summary.rows[s.row].name)),
            ("median", format!("{:.2}%", s.median * 100.0)),
            ("max", format!("{:.2}%", s.max * 100.0)),
            ("n", s.n.to_string()),
        ])
    };
    summary.harness_shares.iter().map(row).collect()
}

/// What this system does not tell, in words.
pub(super) fn unseen(summary: &Summary) -> Vec<&'static str> {
    let words = |kind: &Kind| match kind {
        Kind::CanaryDrift => "the canary",
        Kind::Steal => "stolen time",
        Kind::OtherCpu => "processor time of others",
        Kind::InvoluntarySwitches => "involuntary context switches",
        Kind::Swap => "swapping",
        Kind::MajorFaults => "major faults",
        Kind::Throttling => "throttling",
        Kind::Pause => "pauses",
    };
    summary.unseen.iter().map(words).collect()
}

/// Joules per token, for every cell that has them.
pub(super) fn energy(summary: &Summary) -> Vec<Cells> {
    let cells = summary.workloads.iter().flat_map(|w| w.cells.iter().map(move |c| (w, c)));
    let row = |(workload, cell): (&WorkloadSummary, &CellSummary)| {
        let joules = cell.energy_j_per_token.filter(|_| !cell.gate_failed())?;
        Some(Cells::from([
            ("framework", md(&summary.rows[cell.row].name)),
            ("cell", format!("{}, threads {}", md(&workload.workload.name), cell.threads)),
            ("joules", show(joules)),
        ]))
    };
    cells.filter_map(row).collect()
}
