//! The result bundle: a directory that holds the evidence, written as it is gathered.

mod chain;
mod seal;
mod read;
mod flat;
mod write;

use crate::framework::registry::FrameworksFile;
use crate::machine::Machine;
use crate::plan::Plan;
use crate::preflight::Finding;
use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};

pub(crate) use chain::sha256_hex;
pub use flat::{samples_csv, write_samples_csv};
pub use read::{Bundle, BundleError, inspect, read};
pub use seal::{Complete, Fault, FaultKind, SEALED_SCHEMA, Seal};
pub use write::Writer;
pub(crate) use write::{hash_files, write_atomically};

/// Schema of [`Manifest`]; readers accept every older one and refuse a newer one. From 2 on, every line of
/// `samples.jsonl` has a chain value, and `complete.json` ends the bundle of a finished run.
pub const BUNDLE_SCHEMA: u32 = 2;

/// `manifest.json`: everything that a reader needs to know about a run besides its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`BUNDLE_SCHEMA`].
    pub schema: u32,
    /// `<date>-<host>-<scenario>`
    pub id: String,
    /// UTC, RFC 3339.
    pub created_at: String,
    /// The command that made it.
    pub command: Vec<String>,
    /// Version of the harness.
    pub harness_version: String,
    /// Commit of the harness's source, with `-dirty` where files differed; `None` outside a checkout.
    pub harness_commit: Option<String>,
    /// The scenario's text, as read.
    pub scenario_text: String,
    /// Its sha256.
    pub scenario_sha256: String,
    /// The scenario, as understood.
    pub scenario: Scenario,
    /// The machine.
    pub machine: Machine,
    /// What spoke against measuring on it when the run began.
    #[serde(default)]
    pub preflight: Vec<Finding>,
    /// The model file that was used.
    pub model: ModelRecord,
    /// Every framework of the scenario: what was found, or why not.
    pub frameworks: Vec<FrameworkRecord>,
    /// The frameworks.yaml that was added by `--frameworks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frameworks_file: Option<FrameworksFile>,
    /// Seed in use.
    pub seed: u64,
    /// The plan.
    pub plan: Plan,
}

/// The model file that a run used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// As the tables name it; a stand-in says so: `TinyLlama 1.1B (synthetic stand-in)`.
    pub name: String,
    /// `Q4_0`
    pub quantization: String,
    /// File name, without the directory.
    pub file_name: String,
    /// Size.
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// Set when a synthetic model stood in, with the reason.
    pub stand_in_reason: Option<String>,
    /// What decoding one token has to read; `None` in bundles of older versions and for unknown architectures.
    #[serde(default)]
    pub read_per_token: Option<ReadPerToken>,
}

/// Bytes that one token of decode has to read, whatever the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPerToken {
    /// Every weight once: all tensors but the embedding table, of which a token reads one row, unless the output is tied to it.
    pub weights_bytes: u64,
    /// Key and value of one position, all layers, in 16-bit floats.
    pub kv_bytes_per_position: u64,
}

/// A framework as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkRecord {
    /// Row label.
    pub label: String,
    /// Id in frameworks.yaml.
    pub id: String,
    /// `llama.cpp (CPU)`
    pub display_name: String,
    /// Columns `Language` and `Implementation` of the report.
    pub language: String,
    /// `C++ + AVX2`
    pub implementation: String,
    /// Column `Notes`.
    pub notes: String,
    /// SPDX.
    pub licence: String,
    /// Home page.
    pub home_page: String,
    /// The program, where it was found.
    pub program: Option<ProgramRecord>,
    /// Why it cannot be measured, if so.
    pub unavailable: Option<Unavailable>,
    /// What it made of the model file before anything was measured, if it has to.
    #[serde(default)]
    pub prepared: Option<crate::setup::Prepared>,
    /// What its installation consists of; `None` where there is none here, and in bundles of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<crate::setup::Installation>,
    /// What it does when the model file is missing; `None` where it is not given a file, and in bundles of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_model: Option<MissingModel>,
}

/// How a program took it that its model file is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingModel {
    /// Its exit code; `None` where it did not end by itself within the time that it was given, or by a signal.
    pub exit_code: Option<i32>,
    /// The error that it told, or the last line of its stderr.
    #[serde(default)]
    pub said: String,
}

impl MissingModel {
    /// Whether it ended by itself, told so by its exit code, and said a word about it.
    pub fn is_refused(&self) -> bool {
        self.exit_code.is_some_and(|code| code != 0) && !self.said.is_empty()
    }
}

/// A program file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRecord {
    /// Path, with the home directory written as `~`.
    pub path: String,
    /// Version that it gives of itself.
    pub version: String,
    /// Of the file.
    pub sha256: String,
    /// Build flags, as far as known.
    pub build: String,
    /// The shared libraries that are part of it, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub libraries: Vec<LibraryRecord>,
    /// What this build does otherwise than asked, or has no flag for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl ProgramRecord {
    /// Whether both are the same files. Libraries count where both were recorded: older bundles have none.
    pub fn is_same_as(&self, other: &ProgramRecord) -> bool {
        let are_told = !self.libraries.is_empty() && !other.libraries.is_empty();
        self.sha256 == other.sha256 && (!are_told || self.libraries == other.libraries)
    }
}

/// A shared library that is part of a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LibraryRecord {
    /// File name, links resolved: `libggml-cpu.so.0.26.0`.
    pub name: String,
    /// Of the file.
    pub sha256: String,
}

/// Why a framework cannot be measured here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// `missing` or `unsupported`.
    pub kind: crate::sample::FailureKind,
    /// The reason and the remedy.
    pub reason: String,
}

#[cfg(test)]
mod tests;
