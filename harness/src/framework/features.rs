//! What frameworks.yaml claims of a framework that a run cannot measure: each claim with its value and its source.

use serde::{Deserialize, Serialize};

/// What can be claimed, in the order of the report's tables. What a run checks itself (native dependencies, the files of
/// an installation, how a missing model is refused) is no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// A library for programs in Rust, the subject's language.
    NativeIntegration,
    /// Published as a package or as binaries.
    PackageDistribution,
    /// An HTTP server with OpenAI's interface.
    OpenaiServer,
    /// Ready binaries for several systems.
    CrossPlatformBinary,
    /// A Python package by its own makers.
    PythonIntegration,
    /// Runs on a GPU.
    GpuSupport,
    /// Types checked before it runs.
    TypeSafety,
    /// Means to look into a run.
    Debugging,
    /// Memory errors ruled out by the language.
    MemorySafety,
    /// A documented way in.
    LearningCurve,
    /// One model used by several threads.
    ThreadSafety,
    /// Several requests at a time.
    ConcurrentSessions,
    /// Logs and metrics.
    LoggingTelemetry,
    /// Models loaded and unloaded, or processes added, as demand is.
    AutoScaling,
}

/// How far a feature is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It is.
    Yes,
    /// It is not, and the source says so or lists all that is.
    No,
    /// In part; the note says which.
    Partial,
    /// Neither: the note is the value.
    Text,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WireClaim")]
pub struct Claim {
    /// How far.
    pub value: Support,
    /// A few words; never empty where `value` is `partial` or `text`.
    pub note: String,
    /// Who says so.
    pub source: Source,
}

/// Where a claim comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A page of the framework's own documentation or repository, or of its language's.
    Url(String),
    /// A file of this repository, as seen from its root.
    File(String),
}

/// Before the path of a file of this repository.
const FILE_PREFIX: &str = "file:";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireClaim {
    value: Support,
    #[serde(default)]
    note: String,
    source: String,
}

impl TryFrom<WireClaim> for Claim {
    type Error = String;

    fn try_from(wire: WireClaim) -> Result<Claim, String> {
        let WireClaim { value, note, source } = wire;
        if note.trim().is_empty() && matches!(value, Support::Partial | Support::Text) {
            return Err("a claim of `partial` or `text` needs a `note`: say which part, or what".into());
        }
        let source = match source.strip_prefix(FILE_PREFIX) {
            Some(path) if !path.is_empty() => Source::File(path.to_owned()),
            None if is_page(&source) => Source::Url(source),
            _ => {
                return Err(format!(
                    "`{source}` is no source: give an https:// page of the framework's own, or {FILE_PREFIX}PATH of a file of this repository"
                ));
            }
        };
        Ok(Claim { value, note, source })
    }
}

/// An address that can stand in a document as it is.
fn is_page(source: &str) -> bool {
    source.starts_with("https://")
        && !source.contains(|c: char| c.is_whitespace() || c.is_control() || "<>|`\"".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Registry;

    fn entry(features: &str) -> Result<(), String> {
        let text = format!(
            "schema: 1\nframeworks:\n  - id: x\n    display_name: x\n    language: C\n    implementation: C\n    licence: MIT\n    \
             home_page: h\n    notes: n\n    weights_class: A\n    driver: none\n    reason: later\n    features:\n{features}"
        );
        Registry::parse(&text).map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_claim_has_a_known_name_a_value_and_a_source() {
        assert_eq!(entry("      gpu_support: {value: yes, source: 'https://x.org/a'}\n"), Ok(()));
        assert_eq!(
            entry("      debugging: {value: text, note: n, source: 'file:engine/README.md'}\n"),
            Ok(())
        );
        let refused = |features: &str, words: &[&str]| {
            let error = entry(features).expect_err(features);
            for word in ["frameworks.yaml: ", "line 1"].iter().chain(words) {
                assert!(error.contains(word), "{features}: {error}");
            }
        };
        refused(
            "      colour: {value: yes, source: 'https://x.org'}\n",
            &["unknown variant `colour`", "gpu_support"],
        );
        refused(
            "      debugging: {value: maybe, source: 'https://x.org'}\n",
            &["unknown variant `maybe`", "partial"],
        );
        refused("      debugging: {value: yes}\n", &["missing field `source`"]);
        refused(
            "      debugging: {value: yes, source: hearsay}\n",
            &["`hearsay` is no source: give an https:// page"],
        );
        refused("      debugging: {value: yes, source: 'https://x.org/> <b>'}\n", &["is no source"]);
        refused("      debugging: {value: yes, source: 'file:'}\n", &["is no source"]);
        refused("      debugging: {value: partial, source: 'https://x.org'}\n", &["needs a `note`"]);
        refused("      debugging: {value: yes, by: me, source: 'https://x.org'}\n", &["unknown field `by`"]);
    }

    #[test]
    fn files_that_the_registry_names_as_sources_are_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let registry = Registry::embedded().expect("valid");
        let mut n_claims = 0;
        for entry in registry.entries() {
            for (feature, claim) in &entry.features {
                n_claims += 1;
                if let Source::File(path) = &claim.source {
                    assert!(root.join(path).is_file(), "{}: {feature:?}: {path}", entry.id);
                }
            }
        }
        assert!(n_claims > 50, "{n_claims}");
    }
}
