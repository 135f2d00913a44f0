//! YAML to [`Scenario`]: bytes, text, one document, the wire types, and only then the domain type. Every refusal
//! names file, line, key and remedy.

use super::convert::Raw;
use super::explain::explain;
use super::locate::{self, KeyPath};
use super::wire::{SCENARIO_SCHEMA, Wire};
use super::{Known, Scenario};
use std::fmt;
use std::path::{Path, PathBuf};

/// Largest scenario that is read; an honest one has a few kilobytes.
pub const MAX_SCENARIO_BYTES: u64 = 1 << 20;

/// Something wrong in a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// `workloads[0].context`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => f.write_str(&self.message),
            key => write!(f, "{key}: {}", self.message),
        }
    }
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It is not YAML text of a sensible size.
    #[error("{}:{}: {problem}", file.display(), problem.line)]
    Syntax {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: Problem,
    },
    /// It is YAML, but not a scenario.
    #[error("{}", listed(file, problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong, in the order of lines; at least one.
        problems: Vec<Problem>,
    },
}

impl ScenarioError {
    /// What is wrong in the text; empty where the file could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ScenarioError::Read { .. } => &[],
            ScenarioError::Syntax { problem, .. } => std::slice::from_ref(problem),
            ScenarioError::Invalid { problems, .. } => problems,
        }
    }
}

/// Reads the scenario at `path`; the second value is its text. `known` are the frameworks that there are.
pub(super) fn load(path: &Path, known: &[Known]) -> Result<(Scenario, String), ScenarioError> {
    let read = |cause| ScenarioError::Read { file: path.to_owned(), cause };
    let syntax = |line, message: String| ScenarioError::Syntax {
        file: path.to_owned(),
        problem: Problem { line, key: String::new(), message },
    };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > MAX_SCENARIO_BYTES {
        let message =
            format!("has {size} bytes, a scenario at most {MAX_SCENARIO_BYTES}; is this the right file?");
        return Err(syntax(1, message));
    }
    let text = match String::from_utf8(std::fs::read(path).map_err(read)?) {
        Ok(text) => text,
        Err(e) => {
            let valid = e.utf8_error().valid_up_to();
            let line = 1 + e.as_bytes()[..valid].iter().filter(|&&b| b == b'\n').count();
            return Err(syntax(line, format!("is not UTF-8 text (at byte {valid}); save it as UTF-8")));
        }
    };
    Ok((parse(path, &text, known)?, text))
}

/// Reads a scenario from its text; `path` names it in errors, and its stem becomes the scenario's name.
pub(super) fn parse(path: &Path, text: &str, known: &[Known]) -> Result<Scenario, ScenarioError> {
    let file = || path.to_owned();
    let invalid = |problems| ScenarioError::Invalid { file: file(), problems };
    let only_syntax = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Err(problem) = one_document(only_syntax) {
        return Err(ScenarioError::Syntax { file: file(), problem });
    }
    check_schema(only_syntax).map_err(|p| invalid(vec![p]))?;
    let wire: Wire =
        serde_yaml::from_str(only_syntax).map_err(|e| invalid(vec![explain(only_syntax, &e)]))?;
    let name = path.file_stem().map_or_else(|| "scenario".into(), |s| s.to_string_lossy().into_owned());
    Scenario::try_from(Raw { name, wire, known }).map_err(|findings| {
        let problem = |f: super::convert::Finding| Problem {
            line: locate::line_of(only_syntax, &f.path),
            key: f.path.to_string(),
            message: f.message,
        };
        let mut problems: Vec<Problem> = findings.into_iter().map(problem).collect();
        problems.sort_by_key(|p| p.line);
        invalid(problems)
    })
}

/// Exactly one well-formed document, and something in it.
fn one_document(text: &str) -> Result<(), Problem> {
    let problem = |line, message: &str| Problem { line, key: String::new(), message: message.to_owned() };
    const EMPTY: &str = "is empty; a scenario begins with `schema: 1` (see scenarios/README.md)";
    if text.trim().is_empty() {
        return Err(problem(1, EMPTY));
    }
    match serde_yaml::from_str::<Option<serde::de::IgnoredAny>>(text) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(problem(1, EMPTY)),
        Err(e) => {
            let line = e.location().map_or(1, |l| l.line());
            let message = match e.to_string() {
                m if m.starts_with("EOF") => EMPTY.to_owned(),
                m if m.contains("more than one document") => {
                    let line = locate::second_document_line(text).unwrap_or(line);
                    return Err(problem(line, "a second document begins; keep one scenario in a file"));
                }
                m => format!("is not YAML: {m}"),
            };
            Err(problem(line, &message))
        }
    }
}

/// The schema number, before anything else: a newer scenario has keys that this harness cannot know.
fn check_schema(text: &str) -> Result<(), Problem> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        schema: Option<u32>,
    }
    let found = serde_yaml::from_str::<Numbered>(text).map_err(|e| explain(text, &e))?.schema;
    let message = match found {
        Some(SCENARIO_SCHEMA) => return Ok(()),
        Some(n) if n > SCENARIO_SCHEMA => {
            format!("this harness reads {SCENARIO_SCHEMA} (got {n}); use a newer harness")
        }
        Some(n) => format!("must be {SCENARIO_SCHEMA} (got {n})"),
        None => format!("missing key; a scenario begins with `schema: {SCENARIO_SCHEMA}`"),
    };
    let line = locate::line_of(text, &KeyPath::default().key("schema"));
    Err(Problem { line, key: "schema".to_owned(), message })
}

fn listed(file: &Path, problems: &[Problem]) -> String {
    let line = |p: &Problem| format!("{}:{}: {p}", file.display(), p.line);
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}
