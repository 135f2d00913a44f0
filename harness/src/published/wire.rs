//! The file's shape.

use super::Span;
use serde::Deserialize;

/// Everything that the document states.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Version of this format.
    pub schema: u32,
    /// The document itself.
    pub document: Document,
    /// What the document says of where its figures come from.
    pub provenance: Vec<Provenance>,
    /// The model of all figures.
    pub model: Model,
    /// Names in the document of frameworks that the harness knows.
    pub frameworks: Vec<Known>,
    /// The table of the executive summary.
    pub quick_comparison: QuickComparison,
    /// A section each.
    pub platforms: Vec<Platform>,
    /// Why the baseline is faster, as the document asserts it.
    pub gap_causes: Vec<GapCause>,
    /// Tables of features.
    pub features: Vec<Features>,
    /// Normalized efficiency.
    pub efficiency: Efficiency,
    /// Memory efficiency.
    pub memory: Memory,
    /// What the document plans for its subject.
    pub roadmap: Roadmap,
    /// Share of the baseline's speed.
    pub spectrum: Vec<SpectrumRow>,
    /// Competitive position.
    pub position: Position,
    /// Figures that stand in sentences.
    pub statements: Vec<Statement>,
}

/// The document.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its heading.
    pub title: String,
    /// `2024-02-13`
    pub date: String,
    /// The framework that it is about, as it calls it.
    pub subject: String,
    /// That framework's version.
    pub subject_version: String,
    /// The framework that it compares with, as it calls it.
    pub baseline: String,
    /// What it compares.
    pub metric: String,
}

/// What the document says of where some figures come from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Frameworks; `all`.
    pub figures: Vec<String>,
    /// In a word.
    pub kind: String,
    /// In the document's sense.
    pub says: String,
}

/// The model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its quantization.
    pub quantization: String,
    /// Size of the file in MB, as the document gives it.
    pub size_mb: f64,
}

/// A framework of the harness and what the document calls it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Id in frameworks.yaml.
    pub id: String,
    /// Its names in the document.
    pub names: Vec<String>,
}

/// The table of the executive summary.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuickComparison {
    /// Id of the platform.
    pub platform: String,
    /// KV positions.
    pub context: u32,
    /// Compute threads.
    pub threads: u32,
    /// In the document's order.
    pub rows: Vec<QuickRow>,
}

/// A row of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuickRow {
    /// As the document calls it.
    pub framework: String,
    /// Column.
    pub language: String,
    /// Tokens per second.
    pub decode_tok_s: Span,
    /// Claimed difference from the baseline; `None` for the baseline.
    pub vs_baseline_percent: Option<i32>,
    /// Column.
    pub notes: String,
}

/// A platform of the document.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// For reference within the file.
    pub id: String,
    /// `Apple M2`
    pub name: String,
    /// `ARM64`, `x64`
    pub architecture: String,
    /// The scenario of this repository that is written for it.
    pub scenario: String,
    /// Cores or threads.
    pub cores: Cores,
    /// Clock, GHz.
    pub clock_ghz: Span,
    /// KV positions.
    pub context: u32,
    /// On one thread.
    pub single_thread: Vec<SingleRow>,
    /// On several, where the document has it.
    pub multi_thread: Option<MultiThread>,
}

/// How many processors, and what the document counts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cores {
    /// How many.
    pub count: u32,
    /// `cores` or `threads`.
    pub of: String,
}

/// A framework on one thread.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleRow {
    /// As the document calls it.
    pub framework: String,
    /// Id in frameworks.yaml, where the name alone does not tell.
    pub id: Option<String>,
    /// Column.
    pub implementation: String,
    /// Tokens per second.
    pub decode_tok_s: Span,
    /// Memory, MB.
    pub memory_mb: Span,
    /// Time to first token, ms.
    pub ttft_ms: Span,
}

/// The table of several threads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiThread {
    /// Compute threads.
    pub threads: u32,
    /// In the document's order.
    pub rows: Vec<MultiRow>,
}

/// A framework on several threads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiRow {
    /// As the document calls it.
    pub framework: String,
    /// Tokens per second.
    pub decode_tok_s: Span,
    /// Claimed, times one thread.
    pub scaling: f64,
    /// Claimed, percent; `None` where the table has no such column.
    pub efficiency_percent: Option<i32>,
}

/// A cause of the gap, with the impact that the document asserts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapCause {
    /// Its heading.
    pub cause: String,
    /// Percent of performance.
    pub impact_percent: Span,
}

/// A table of features.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Its heading.
    pub title: String,
    /// Columns, as the document calls them.
    pub frameworks: Vec<String>,
    /// In the document's order.
    pub rows: Vec<FeatureRow>,
}

/// A feature.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureRow {
    /// Its name.
    pub feature: String,
    /// A cell for each framework.
    pub cells: Vec<String>,
}

/// Normalized efficiency.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// Id of the platform.
    pub platform: String,
    /// Compute threads.
    pub threads: u32,
    /// The clock that the document divides by, GHz.
    pub clock_ghz: Span,
    /// In the document's order.
    pub rows: Vec<EfficiencyRow>,
}

/// A row of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficiencyRow {
    /// As the document calls it.
    pub framework: String,
    /// Tokens per second.
    pub decode_tok_s: Span,
    /// Claimed.
    pub per_ghz_core: f64,
    /// Claimed, of five.
    pub stars: usize,
}

/// Memory efficiency.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// KV positions.
    pub context: u32,
    /// Compute threads.
    pub threads: u32,
    /// In the document's order.
    pub rows: Vec<MemoryRow>,
}

/// A row of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryRow {
    /// As the document calls it.
    pub framework: String,
    /// Peak RSS, MB.
    pub peak_rss_mb: Span,
    /// Claimed, beyond the model's size.
    pub overhead_mb: f64,
    /// Claimed, of five.
    pub stars: usize,
    /// A word after the stars.
    #[serde(default)]
    pub remark: String,
}

/// What the document plans for its subject.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roadmap {
    /// Of the baseline's speed.
    pub target_percent_of_baseline: Span,
    /// In the document's order.
    pub steps: Vec<Step>,
}

/// A planned optimization.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub step: String,
    /// Hoped for, percent.
    pub gain_percent: Span,
}

/// A mark of the spectrum.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectrumRow {
    /// Framework.
    pub name: String,
    /// What it stands for.
    pub label: String,
    /// Of the baseline's speed.
    pub percent_of_baseline: Span,
}

/// Competitive position.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// What is judged.
    pub columns: Vec<String>,
    /// In the document's order.
    pub rows: Vec<PositionRow>,
}

/// A row of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionRow {
    /// As the document calls it.
    pub framework: String,
    /// Of five, for each column.
    pub stars: Vec<usize>,
}

/// A figure that stands in a sentence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// What it is said of.
    pub says: String,
    /// What it says, percent.
    pub percent: Option<Span>,
    /// What it says, of five stars.
    pub stars: Option<usize>,
    /// The figures of the document that it can be held against: the id of a platform, `quick_comparison`, `efficiency`, or
    /// `metal`.
    pub of: Option<String>,
    /// Whether the percentage is a gain rather than a share.
    #[serde(default)]
    pub is_gain: bool,
    /// Whether the document says "about": the percentage then agrees to the nearest five.
    #[serde(default)]
    pub is_about: bool,
}
