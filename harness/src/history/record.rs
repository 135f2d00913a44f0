//! What a line of a history holds.

use super::id::Id;
use crate::sample::Metric;
use serde::{Deserialize, Serialize};

/// Schema of every [`Line`]; readers accept every older one and refuse a newer one.
pub const HISTORY_SCHEMA: u32 = 1;

/// A line of a history: `{"session":{…}}` or `{"point":{…}}`.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every line is a point, and a box for each would cost more than it saves"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// What is the same for all figures of a bundle.
    Session(Box<Session>),
    /// A figure.
    Point(Point),
}

/// A bundle that was appended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// [`HISTORY_SCHEMA`].
    pub schema: u32,
    /// Made of bundle id and hash.
    pub id: Id,
    /// [`crate::bundle::Manifest::id`].
    pub bundle: String,
    /// The end of the bundle's hash chain, which vouches for manifest and samples; of bundles without a chain the manifest's
    /// sha256. 64 hexadecimal digits.
    pub bundle_sha256: String,
    /// When the session began: UTC, RFC 3339.
    pub begun_at: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Of the machine; see [`crate::machine::Machine::id`].
    pub machine: String,
    /// Its processor, for a person.
    pub cpu: String,
    /// Kernel name and release.
    pub kernel: String,
    /// Of the model file.
    pub model_sha256: String,
    /// Its name, for a person.
    pub model: String,
    /// Hash of the part of the scenario that decides what is measured: workloads, threads, requests, batch, KV type.
    pub work: Id,
    /// The row that ratios are taken to.
    pub baseline: Baseline,
    /// Made of machine, kernel, model, work and baseline: figures are compared within one epoch alone.
    pub epoch: Id,
    /// Label of the row that the session is about.
    pub subject: String,
    /// Label of the row that is the subject's last good version, where there is one. It is no series of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// δ: ratios within 1 ± δ are equivalent.
    pub margin: f64,
    /// Version of the harness.
    pub harness_version: String,
    /// Its commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness_commit: Option<String>,
    /// What each row was.
    pub rows: Vec<RowVersion>,
    /// Why no figure of this session enters a series, if so: the control pair differed from itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// Points that belong to it: a crash may have left fewer in the file.
    pub points: usize,
}

/// The baseline of a session: another version is another epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Row label.
    pub label: String,
    /// Version that it gives of itself.
    pub version: String,
    /// Of its program file.
    pub program_sha256: String,
}

/// What a row of a session was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowVersion {
    /// Row label.
    pub label: String,
    /// Id in frameworks.yaml.
    pub framework: String,
    /// As the tables name it.
    pub name: String,
    /// Version that it gives of itself; empty where it was not found.
    pub version: String,
    /// Of its program file; empty where it was not found.
    pub program_sha256: String,
    /// Commit that it was built from, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// One metric of one cell in one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// [`HISTORY_SCHEMA`].
    pub schema: u32,
    /// Made of session, row, workload, threads and metric.
    pub id: Id,
    /// [`Session::id`].
    pub session: Id,
    /// Row label.
    pub row: String,
    /// Workload name.
    pub workload: String,
    /// Threads.
    pub threads: u32,
    /// Metric, in the file under its name in `summary.csv`.
    #[serde(with = "super::id::metric_names")]
    pub metric: Metric,
    /// Row / baseline, paired by block in this session; `None` for the baseline itself and where there was no such block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Lower end of its 95% interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lo: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hi: Option<f64>,
    /// Blocks that the ratio rests on.
    #[serde(default)]
    pub n: usize,
    /// The verdict on the row against the baseline; `None` where there is no ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Median over launches, in the metric's unit (memory in bytes); `None` where nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of its 95% interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_lo: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_hi: Option<f64>,
    /// Launches that the median rests on.
    #[serde(default)]
    pub launches: usize,
    /// Why it does not enter its series, if so: it failed, or its gates did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// The subject against its last good version, in the same blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<Against>>,
}

/// The subject against its last good version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Subject / previous, paired by block.
    pub ratio: f64,
    /// Lower end of its 95% interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lo: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hi: Option<f64>,
    /// Blocks.
    pub n: usize,
    /// What the session's own statistics say of it: `slower`, `faster`, `equivalent`, `unresolved`, `invalid`; of memory `larger`
    /// and `smaller`.
    pub verdict: String,
}

impl Line {
    /// Its schema.
    pub fn schema(&self) -> u32 {
        match self {
            Line::Session(session) => session.schema,
            Line::Point(point) => point.schema,
        }
    }

    /// Its id.
    pub fn id(&self) -> Id {
        match self {
            Line::Session(session) => session.id,
            Line::Point(point) => point.id,
        }
    }

    /// The line as written, without its end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and lists of them")
    }
}

impl Session {
    /// The row with this label.
    pub fn row(&self, label: &str) -> Option<&RowVersion> {
        self.rows.iter().find(|row| row.label == label)
    }

    /// The day that it began on: `2026-11-25`.
    pub fn day(&self) -> &str {
        self.begun_at.get(..10).unwrap_or(&self.begun_at)
    }
}
