//! `samples.csv`: one line for each launch, for spreadsheets. Rebuilt from the records at any time.

use super::read::{Bundle, BundleError};
use crate::escape::csv_text;
use crate::sample::{LaunchRecord, Measured, Metric, Outcome};
use crate::units::ns_to_s;

const COLUMNS: [&str; 26] = [
    "launch_id",
    "block",
    "position",
    "role",
    "framework",
    "workload",
    "threads",
    "started_at",
    "wall_s",
    "outcome",
    "failure",
    "message",
    "version",
    "weights_class",
    "load_s",
    "ttft_warm_ms",
    "ttft_cold_ms",
    "prefill_tok_s",
    "decode_tok_s",
    "end_to_end_tok_s",
    "peak_rss_bytes",
    "rss_anon_bytes",
    "rss_file_bytes",
    "pss_bytes",
    "gates_passed",
    "gates_failed",
];

/// Writes `samples.csv` into the bundle.
pub fn write_samples_csv(bundle: &Bundle) -> Result<(), BundleError> {
    let path = bundle.dir.join("samples.csv");
    std::fs::write(&path, samples_csv(&bundle.records)).map_err(BundleError::io(&path))
}

/// The text of `samples.csv`.
pub fn samples_csv(records: &[LaunchRecord]) -> String {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let lines = records.iter().map(line);
    for line in std::iter::once(COLUMNS.map(str::to_owned).to_vec()).chain(lines) {
        csv.write_record(line).expect("writing to memory succeeds, and every line has the header's length");
    }
    let bytes = csv.into_inner().expect("writing to memory succeeds");
    String::from_utf8(bytes).expect("every field is text")
}

fn line(record: &LaunchRecord) -> Vec<String> {
    let mut cells = vec![
        record.launch_id.clone(),
        record.block.to_string(),
        record.position.to_string(),
        word(&record.role),
        csv_text(&record.framework),
        csv_text(&record.workload),
        record.threads.to_string(),
        record.started_at.clone(),
        ns_to_s(record.wall_ns).to_string(),
    ];
    match &record.outcome {
        Outcome::Measured(measured) => cells.extend(measured_cells(measured)),
        Outcome::Failed { kind, message, .. } => {
            cells.extend(["failed".into(), word(kind), csv_text(message)]);
        }
    }
    cells.resize(COLUMNS.len(), String::new());
    cells
}

fn measured_cells(m: &Measured) -> Vec<String> {
    let metric = |metric| m.metric(metric).map(|v| v.to_string()).unwrap_or_default();
    let bytes = |value: Option<u64>| value.map(|v| v.to_string()).unwrap_or_default();
    let failed: Vec<&str> = m.gates.iter().filter(|g| !g.passed).map(|g| g.name.as_str()).collect();
    vec![
        "measured".into(),
        String::new(),
        String::new(),
        csv_text(&m.version),
        word(&m.weights_class),
        metric(Metric::Load),
        metric(Metric::TtftWarm),
        metric(Metric::TtftCold),
        metric(Metric::Prefill),
        metric(Metric::Decode),
        metric(Metric::EndToEnd),
        bytes(m.memory.rss_peak_bytes),
        bytes(m.memory.rss_anon_bytes),
        bytes(m.memory.rss_file_bytes),
        bytes(m.memory.pss_bytes),
        m.gates_passed().to_string(),
        csv_text(&failed.join(" ")),
    ]
}

/// The name that a value has in JSON.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
