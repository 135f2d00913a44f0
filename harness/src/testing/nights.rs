//! Scripted nights of a history.

use crate::history::{Baseline, HISTORY_SCHEMA, Id, Line, Point, RowVersion, Session};
use crate::sample::Metric;
use crate::units::rfc3339_utc;

/// The lines of night number `night` of a scripted history: decode of `engine` on 2 threads at `ratio` times `llama.cpp`'s.
pub(crate) fn night(night: usize, ratio: f64) -> Vec<Line> {
    let bundle = format!("night-{night:03}");
    let id = Id::of(&[&bundle]);
    let row = |label: &str, commit: Option<String>| RowVersion {
        label: label.to_owned(),
        framework: label.to_owned(),
        name: label.to_owned(),
        version: "1".to_owned(),
        program_sha256: "0".repeat(64),
        commit,
    };
    let session = Session {
        schema: HISTORY_SCHEMA,
        id,
        bundle,
        bundle_sha256: format!("{night:064x}"),
        begun_at: rfc3339_utc(1_767_225_600 + 86_400 * night as u64),
        scenario: "nightly".to_owned(),
        machine: "machine-a".to_owned(),
        cpu: "Example CPU".to_owned(),
        kernel: "Linux 6.1".to_owned(),
        model_sha256: "1".repeat(64),
        model: "Example 1B Q4_0".to_owned(),
        work: Id::of(&["work"]),
        baseline: Baseline {
            label: "llama.cpp".to_owned(),
            version: "b1".to_owned(),
            program_sha256: "2".repeat(64),
        },
        epoch: Id::of(&["epoch"]),
        subject: "engine".to_owned(),
        previous: None,
        margin: 0.02,
        harness_version: "0.1.0".to_owned(),
        harness_commit: None,
        rows: vec![row("llama.cpp", None), row("engine", Some(format!("c0ffee{night:06}")))],
        withdrawn: None,
        points: 2,
    };
    let point = |row: &str, ratio: Option<f64>| Point {
        schema: HISTORY_SCHEMA,
        id: Id::of(&[&id.to_string(), row]),
        session: id,
        row: row.to_owned(),
        workload: "chat".to_owned(),
        threads: 2,
        metric: Metric::Decode,
        ratio,
        lo: ratio.map(|r| r * 0.98),
        hi: ratio.map(|r| r * 1.02),
        n: ratio.map_or(0, |_| 10),
        verdict: ratio.map(|_| "unresolved".to_owned()),
        value: Some(50.0 * ratio.unwrap_or(1.0)),
        value_lo: None,
        value_hi: None,
        launches: 10,
        out: None,
        previous: None,
    };
    let points = [point("llama.cpp", None), point("engine", Some(ratio))];
    std::iter::once(Line::Session(Box::new(session))).chain(points.map(Line::Point)).collect()
}

/// A history of such nights, of which the `night`-th may be changed.
pub(crate) fn nights(ratios: &[f64], mut change: impl FnMut(usize, &mut Line)) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, ratio) in ratios.iter().enumerate() {
        let mut added = night(number, *ratio);
        added.iter_mut().for_each(|line| change(number, line));
        lines.append(&mut added);
    }
    lines
}

/// A ratio around 1.05 that wobbles by 1% and never changes for long.
pub(crate) fn steady(nights: usize) -> Vec<f64> {
    (0..nights).map(|i| 1.05 * (1.0 + 0.01 * ((i * 7919 % 13) as f64 / 6.0 - 1.0))).collect()
}
