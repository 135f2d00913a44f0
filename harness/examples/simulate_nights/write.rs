//! A history of many years, to see how long a check takes.

use crate::nights::Noise;
use anyhow::Context;
use harness::history::{Baseline, HISTORY_SCHEMA, Id, Line, Point, Session};
use harness::sample::Metric;
use harness::units::rfc3339_utc;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const WORKLOADS: u64 = 10;
const NIGHT_S: u64 = 86_400;
/// Of 2026-01-01.
const FIRST_NIGHT_S: u64 = 1_767_225_600;

/// Writes `n_series` series of `years` × 365 nights, a tenth of which have a step each year.
pub(crate) fn write(path: &Path, years: u64, n_series: u64) -> anyhow::Result<()> {
    let nights = (years * 365) as usize;
    let noise = Noise { sd: 0.02, is_heavy: false, correlation: 0.0 };
    let series: Vec<Vec<f64>> = (0..n_series)
        .map(|seed| {
            let mut values = noise.nights(nights, seed);
            if seed % 10 == 0 {
                let level = |night: usize| if (night / 365).is_multiple_of(2) { 1.0 } else { 0.93 };
                values.iter_mut().enumerate().for_each(|(night, value)| *value *= level(night));
            }
            values
        })
        .collect();
    let shown = || path.display().to_string();
    let mut out = BufWriter::new(File::create(path).with_context(shown)?);
    for night in 0..nights {
        let session = session(night, n_series);
        let id = session.id;
        writeln!(out, "{}", Line::Session(Box::new(session)).to_json()).with_context(shown)?;
        for (number, values) in (0u64..).zip(&series) {
            writeln!(out, "{}", Line::Point(point(id, number, values[night])).to_json())
                .with_context(shown)?;
        }
    }
    out.flush().with_context(shown)
}

fn session(night: usize, n_series: u64) -> Session {
    let bundle = format!("night-{night}");
    Session {
        schema: HISTORY_SCHEMA,
        id: Id::of(&[&bundle]),
        bundle_sha256: "0".repeat(64),
        begun_at: rfc3339_utc(FIRST_NIGHT_S + NIGHT_S * night as u64),
        scenario: "simulated".to_owned(),
        machine: "simulated".to_owned(),
        cpu: "simulated".to_owned(),
        kernel: "simulated".to_owned(),
        model_sha256: "0".repeat(64),
        model: "simulated".to_owned(),
        work: Id::of(&[]),
        baseline: Baseline {
            label: "base".to_owned(),
            version: "1".to_owned(),
            program_sha256: "0".repeat(64),
        },
        epoch: Id::of(&[]),
        subject: "row-0".to_owned(),
        previous: None,
        margin: 0.02,
        harness_version: "simulated".to_owned(),
        harness_commit: None,
        rows: Vec::new(),
        withdrawn: None,
        points: n_series as usize,
        bundle,
    }
}

fn point(session: Id, number: u64, ratio: f64) -> Point {
    let (row, workload) = (format!("row-{}", number / WORKLOADS), format!("work-{}", number % WORKLOADS));
    Point {
        schema: HISTORY_SCHEMA,
        id: Id::of(&[&session.to_string(), &row, &workload]),
        session,
        row,
        workload,
        threads: 1,
        metric: Metric::Decode,
        ratio: Some(ratio),
        lo: Some(ratio * 0.97),
        hi: Some(ratio * 1.03),
        n: 10,
        verdict: Some("unresolved".to_owned()),
        value: Some(100.0 * ratio),
        value_lo: Some(97.0 * ratio),
        value_hi: Some(103.0 * ratio),
        launches: 10,
        out: None,
        previous: None,
    }
}
