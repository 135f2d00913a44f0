//! The rows of a scenario: which of them can be measured here, with which program.

use super::Usage;
use crate::bundle::{FrameworkRecord, LibraryRecord, ProgramRecord, Unavailable};
use crate::cache::Cache;
use crate::escape::printable;
use crate::framework::llama_flags::Flags;
use crate::framework::registry::Entry;
use crate::framework::{Failure, Registry, notes_on_build, server_url};
use crate::sample::FailureKind;
use crate::scenario::{FrameworkSpec, Scenario};
use crate::setup::{self, Installation, Located};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A row of the scenario, as found here.
pub(super) struct Row {
    /// For the manifest.
    pub(super) record: FrameworkRecord,
    /// Settings, defaults included.
    pub(super) options: BTreeMap<String, String>,
    /// Where its program is.
    pub(super) program: Option<PathBuf>,
    /// The flags that it understands, where it was asked and told.
    pub(super) flags: Option<Flags>,
    /// Where what it made of the model file is.
    pub(super) prepared: Option<PathBuf>,
}

impl Row {
    pub(super) fn is_available(&self) -> bool {
        self.record.unavailable.is_none()
    }
}

/// How the rows' programs are to be found.
pub(super) struct Search<'a> {
    pub(super) registry: &'a Registry,
    pub(super) cache: &'a Cache,
    /// Directory of the scenario, from which its paths count.
    pub(super) base_dir: &'a Path,
    /// What is missing is installed first.
    pub(super) install: bool,
    /// The programs that the command line names.
    pub(super) given: &'a [GivenProgram],
    /// Rows may name servers on other hosts.
    pub(super) allow_remote: bool,
}

/// `LABEL_OR_ID=PATH`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenProgram {
    row: String,
    path: PathBuf,
}

impl std::str::FromStr for GivenProgram {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((row, path)) if !row.is_empty() && !path.is_empty() => {
                Ok(Self { row: row.to_owned(), path: PathBuf::from(path) })
            }
            _ => Err("write it as ROW=PATH, like llama.cpp=/opt/llama/llama-server".to_owned()),
        }
    }
}

impl GivenProgram {
    /// As an argument.
    pub(super) fn argument(&self) -> String {
        format!("{}={}", self.row, self.path.display())
    }

    fn is_for(&self, spec: &FrameworkSpec) -> bool {
        spec.is_meant_by(&self.row)
    }
}

impl Search<'_> {
    /// Refuses programs for rows that are not there or need none.
    fn check(&self, scenario: &Scenario) -> Result<(), Usage> {
        for given in self.given {
            let mut rows = scenario.frameworks.iter().filter(|spec| given.is_for(spec)).peekable();
            if rows.peek().is_none() {
                let labels: Vec<&str> = scenario.frameworks.iter().map(|f| f.label.as_str()).collect();
                let known = labels.join(", ");
                return Err(Usage(format!(
                    "--program {}: no such row; there are: {known}",
                    given.argument()
                )));
            }
            let needs_none =
                |spec: &FrameworkSpec| self.registry.get(&spec.id).is_some_and(|entry| !entry.has_program());
            if let Some(spec) = rows.find(|spec| needs_none(spec)) {
                return Err(Usage(format!(
                    "--program {}: {} needs no program",
                    given.argument(),
                    spec.label
                )));
            }
        }
        Ok(())
    }

    /// The program for a row; a label goes before an id.
    fn given(&self, spec: &FrameworkSpec) -> Option<&Path> {
        let by_label = self.given.iter().find(|given| given.row == spec.label);
        by_label.or_else(|| self.given.iter().find(|given| given.is_for(spec))).map(|g| g.path.as_path())
    }

    fn install(&self, scenario: &Scenario) {
        let is_wanted = |entry: &&Entry| {
            let mut rows = scenario.frameworks.iter().filter(|f| f.id == entry.id);
            let is_row = rows.any(|spec| self.given(spec).is_none());
            is_row && setup::can_install(&entry.id) && why_not_here(entry).is_none()
        };
        let wanted: Vec<&Entry> = self.registry.entries().iter().filter(is_wanted).collect();
        for (id, outcome) in setup::ensure(&wanted, false, self.cache) {
            if let Err(error) = outcome {
                eprintln!("{id}: {}", printable(&format!("{error:#}"))); // becomes a row: the program is looked for again below
            }
        }
    }
}

/// Looks for every row's program.
pub(super) fn find(scenario: &Scenario, search: &Search) -> Result<Vec<Row>> {
    search.check(scenario)?;
    if search.install {
        search.install(scenario);
    }
    let row = |spec: &FrameworkSpec| {
        let entry = search.registry.get(&spec.id).with_context(|| format!("no framework {}", spec.id))?;
        Ok(match provide(entry, spec, search) {
            Ok(Provided { options, program }) => {
                let (program, flags, record) = match program {
                    Some(FoundProgram { path, flags, record }) => (Some(path), flags, Some(record)),
                    None => (None, None, None),
                };
                let installation = program
                    .as_deref()
                    .and_then(|path| Installation::of(&entry.id, path, &entry.libraries, search.cache));
                let record =
                    FrameworkRecord { program: record, installation, ..described(entry, &spec.label) };
                Row { record, options, program, flags, prepared: None }
            }
            Err(failure) => Row {
                record: FrameworkRecord {
                    unavailable: Some(Unavailable { kind: failure.kind, reason: failure.message }),
                    ..described(entry, &spec.label)
                },
                options: BTreeMap::new(),
                program: None,
                flags: None,
                prepared: None,
            },
        })
    };
    scenario.frameworks.iter().map(row).collect()
}

fn why_not_here(entry: &Entry) -> Option<String> {
    entry.unsupported_reason(std::env::consts::OS, std::env::consts::ARCH)
}

/// What a row that can be measured runs with.
struct Provided {
    options: BTreeMap<String, String>,
    /// `None` where the row names a running server.
    program: Option<FoundProgram>,
}

struct FoundProgram {
    path: PathBuf,
    flags: Option<Flags>,
    record: ProgramRecord,
}

fn provide(entry: &Entry, spec: &FrameworkSpec, search: &Search) -> Result<Provided, Failure> {
    if let Some(reason) = why_not_here(entry) {
        return Err(Failure::new(FailureKind::Unsupported, reason));
    }
    let options = entry.options_of(&spec.options, search.base_dir)?;
    if server_url(&options, search.allow_remote)?.is_some() {
        return Ok(Provided { options, program: None });
    }
    let missing = |reason: String| Failure::new(FailureKind::Missing, reason);
    let located = match search.given(spec) {
        Some(path) => setup::given(path),
        None => setup::locate(entry, search.cache),
    };
    let located = located.map_err(|e| missing(e.to_string()))?;
    let hash = |path: &Path| {
        sha256_of(path).map_err(|e| missing(format!("{}: cannot be read: {e}", path.display())))
    };
    let flags = flags_of(entry, &located);
    let library = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(LibraryRecord { name, sha256: hash(&path)? })
    };
    let libraries = setup::libraries_of(&located.program, &entry.libraries);
    let record = ProgramRecord {
        path: located.program.display().to_string(),
        version: version_of(entry, &located),
        sha256: hash(&located.program)?,
        build: located.build.clone().unwrap_or_default(),
        libraries: libraries.into_iter().map(library).collect::<Result<_, Failure>>()?,
        notes: notes_on_build(entry, &options, flags.as_ref())?,
    };
    let program = Some(FoundProgram { path: located.program, flags, record });
    Ok(Provided { options, program })
}

/// The flags that the program understands, where its driver asks for them and it tells.
fn flags_of(entry: &Entry, located: &Located) -> Option<Flags> {
    let args: Vec<&str> = entry.flags_command.iter().skip(1).map(String::as_str).collect();
    let help = (!args.is_empty()).then(|| setup::ask_help(&located.program, &args))?;
    Flags::parse(&help.ok()?)
}

/// What is known from the installation, else what the program says of itself, else nothing: the launch may tell.
fn version_of(entry: &Entry, located: &Located) -> String {
    if let Some(version) = &located.version {
        return version.clone();
    }
    let args: Vec<&str> = entry.version_command.iter().skip(1).map(String::as_str).collect();
    let asked = (!args.is_empty()).then(|| setup::ask_version(&located.program, &args));
    asked.and_then(Result::ok).unwrap_or_default()
}

fn described(entry: &Entry, label: &str) -> FrameworkRecord {
    FrameworkRecord {
        label: label.to_owned(),
        id: entry.id.clone(),
        display_name: entry.display_name.clone(),
        language: entry.language.clone(),
        implementation: entry.implementation.clone(),
        notes: entry.notes.clone(),
        licence: entry.licence.clone(),
        home_page: entry.home_page.clone(),
        program: None,
        unavailable: None,
        prepared: None,
        installation: None,
        missing_model: None,
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs for a scenario with the rows `engine`, `cpp` (llama.cpp), two variants of `multi` (llama.cpp) and `scripted`
    /// (fake).
    fn check(given: &[&str]) -> Result<Vec<Option<PathBuf>>, String> {
        let text = "schema: 1\ntitle: T\nmodel: {name: M, quantization: Q4_0, source: {path: m.gguf}}\nframeworks:\n  - engine\n  \
                    - {id: llama.cpp, label: cpp}\n  - {id: llama.cpp, label: multi, variants: {repack: [on, off]}}\n  \
                    - {id: fake, label: scripted, options: {script: f.yaml}}\n\
                    baseline: cpp\nsubject: engine\nthreads: [1]\n\
                    workloads: [{name: chat, prompt_tokens: 8, generate_tokens: 8, context: 64}]\n";
        let registry = Registry::embedded().expect("valid");
        let scenario = Scenario::parse(Path::new("s.yaml"), text, &registry.known()).expect("valid");
        let given: Result<Vec<GivenProgram>, String> = given.iter().map(|text| text.parse()).collect();
        let search = Search {
            registry: &registry,
            cache: &Cache::at("/nonexistent"),
            base_dir: Path::new("/"),
            install: false,
            given: &given?,
            allow_remote: false,
        };
        search.check(&scenario).map_err(|usage| usage.to_string())?;
        Ok(scenario.frameworks.iter().map(|spec| search.given(spec).map(Path::to_owned)).collect())
    }

    #[test]
    fn programs_are_given_by_label_entry_or_id() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(check(&["cpp=/a"]), Ok(vec![None, path("/a"), None, None, None]));
        assert_eq!(check(&["llama.cpp=/a"]), Ok(vec![None, path("/a"), path("/a"), path("/a"), None]));
        assert_eq!(
            check(&["multi=/m=1", "cpp=/a"]),
            Ok(vec![None, path("/a"), path("/m=1"), path("/m=1"), None])
        );
        assert_eq!(check(&["engine=/old/harness"]), Ok(vec![path("/old/harness"), None, None, None, None]));
        let both = check(&["llama.cpp=/a", "multi+repack-off=/b"]);
        assert_eq!(
            both,
            Ok(vec![None, path("/a"), path("/a"), path("/b"), None]),
            "a label goes before an id"
        );
    }

    #[test]
    fn programs_for_no_row_are_refused() {
        let refused = |text: &str| check(&[text]).expect_err("refused");
        assert!(refused("ollama=/a").starts_with("--program ollama=/a: no such row; there are: engine, cpp"));
        assert_eq!(refused("scripted=/a"), "--program scripted=/a: scripted needs no program");
        for text in ["cpp", "cpp=", "=/a"] {
            assert!(refused(text).starts_with("write it as ROW=PATH"), "{text}");
        }
    }
}
