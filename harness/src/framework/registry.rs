//! `frameworks.yaml`: what is said about each framework, parsed strictly.

use super::features::{Claim, Feature};
use super::{Failure, driver_names};
use crate::protocol::WeightsClass;
use crate::sample::FailureKind;
use crate::scenario::Known;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The file that ships with the program.
const EMBEDDED: &str = include_str!("../../frameworks.yaml");
/// The schema of that file.
const REGISTRY_SCHEMA: u32 = 1;

/// Every framework that the harness knows.
#[derive(Debug, Clone)]
pub struct Registry {
    entries: Vec<Entry>,
    added: Option<FrameworksFile>,
}

/// A frameworks.yaml that was added to the one that ships with the program. A bundle keeps it, so that anybody can see
/// which commands were started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworksFile {
    /// Where it was.
    pub path: String,
    /// Of the file as it was read; private paths in `text` are redacted in a bundle.
    pub sha256: String,
    /// What it said.
    pub text: String,
}

/// A framework.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Unique: `llama.cpp`.
    pub id: String,
    /// `llama.cpp (CPU)`
    pub display_name: String,
    /// Column of the report.
    pub language: String,
    /// Column of the report.
    pub implementation: String,
    /// SPDX.
    pub licence: String,
    /// Home page.
    pub home_page: String,
    /// For the report.
    pub notes: String,
    /// Unless the framework itself says otherwise.
    pub weights_class: WeightsClass,
    /// The protocol to drive it with.
    pub driver: String,
    /// The protocol of its own benchmark, if it has one.
    pub cross_check: Option<String>,
    /// Why it is not driven; set exactly for the driver `none`.
    pub reason: Option<String>,
    /// How a runner is started, with placeholders.
    pub command: Vec<String>,
    /// Makes of the model file, once, what the runner loads; with placeholders. Empty: nothing has to be made.
    pub prepare: Vec<String>,
    /// Environment of the runner, with placeholders.
    pub environment: BTreeMap<String, String>,
    /// The runner's times are simulated: load is what it says, not what the launcher's clock says.
    pub self_reported_load: bool,
    /// Names of the program; empty: it is harness itself, or none is needed.
    pub programs: Vec<String>,
    /// Environment variable that names the program file.
    pub program_variable: Option<String>,
    /// Environment variable that holds the key of its server; no other program gets it.
    pub key_variable: Option<String>,
    /// Prints the version.
    pub version_command: Vec<String>,
    /// Prints the flags that the program understands, where its driver has to know: builds and forks differ.
    pub flags_command: Vec<String>,
    /// How the shared libraries begin that are part of the program: `libggml`.
    pub libraries: Vec<String>,
    /// What `harness setup` does for it and takes.
    pub setup: Option<SetupFacts>,
    /// What is claimed of it, each with its source.
    pub features: BTreeMap<Feature, Claim>,
    /// `os-arch`, empty for all.
    pub platforms: Vec<String>,
    /// Options of a row, with their defaults.
    pub options: BTreeMap<String, String>,
    /// Those of them that are paths, relative to the scenario's directory.
    pub path_options: Vec<String>,
}

/// What a setup does, needs and takes: seen once on a machine of two cores, rounded up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupFacts {
    /// From where, and how.
    pub how: String,
    /// Programs that it needs on PATH, each with those that would do as well: `c++ or g++`.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What is downloaded, MB.
    pub download_mb: u32,
    /// What it takes on the disk, MB.
    pub disk_mb: u32,
    /// How long it takes, minutes.
    pub minutes: u32,
}

impl std::fmt::Display for SetupFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { how, download_mb, disk_mb, minutes, .. } = self;
        write!(
            f,
            "{how}; {download_mb} MB to download, {disk_mb} MB on the disk, about {minutes} min on two cores"
        )
    }
}

/// What is wrong with a frameworks.yaml.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not YAML, or not of this shape; the message has line and column.
    #[error("frameworks.yaml: {0}")]
    Syntax(#[from] serde_yaml::Error),
    /// An entry that contradicts itself.
    #[error("frameworks.yaml: {id}: {what}")]
    Entry {
        /// Of the entry.
        id: String,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// In a file that was added.
    #[error("{path}: {what}")]
    Added {
        /// The file.
        path: String,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// Of another schema.
    #[error("frameworks.yaml: schema {0} is not known; this harness reads schema {REGISTRY_SCHEMA}")]
    Schema(u32),
}

impl Registry {
    /// The registry that ships with the program.
    pub fn embedded() -> Result<Registry, RegistryError> {
        Registry::parse(EMBEDDED)
    }

    /// Reads the text of a frameworks.yaml.
    pub fn parse(text: &str) -> Result<Registry, RegistryError> {
        let wire: WireRegistry = serde_yaml::from_str(text)?;
        if wire.schema != REGISTRY_SCHEMA {
            return Err(RegistryError::Schema(wire.schema));
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(wire.frameworks.len());
        for wire_entry in wire.frameworks {
            let entry = Entry::try_from(wire_entry)?;
            if entries.iter().any(|e| e.id == entry.id) {
                return Err(RegistryError::Entry { id: entry.id, what: "is listed twice".into() });
            }
            entries.push(entry);
        }
        Ok(Registry { entries, added: None })
    }

    /// With the entries of a further file added, whose text was read from `path`. A program with a slash in its name is
    /// a path from the file's directory.
    ///
    /// # Errors
    /// If the text is no frameworks.yaml, or has an id that is known already.
    pub fn with_file(mut self, path: &Path, text: &str) -> Result<Registry, RegistryError> {
        let name = path.display().to_string();
        let wrong = |what: String| RegistryError::Added { path: name.clone(), what };
        let more = Registry::parse(text).map_err(|error| {
            let what = error.to_string();
            wrong(what.strip_prefix("frameworks.yaml: ").unwrap_or(&what).to_owned())
        })?;
        let dir = path.parent().unwrap_or(Path::new("."));
        for mut entry in more.entries {
            if self.get(&entry.id).is_some() {
                return Err(wrong(format!(
                    "{}: there is a framework of this id already; choose another",
                    entry.id
                )));
            }
            if entry.self_reported_load {
                let what = "`self_reported_load` is for the simulated frameworks of the harness: take it out";
                return Err(wrong(format!("{}: {what}", entry.id)));
            }
            for program in entry.programs.iter_mut().filter(|program| program.contains('/')) {
                *program = super::path_arg(&dir.join(&*program)).map_err(|error| wrong(error.message))?;
            }
            self.entries.push(entry);
        }
        let sha256 = format!("{:x}", Sha256::digest(text));
        self.added = Some(FrameworksFile { path: name, sha256, text: text.to_owned() });
        Ok(self)
    }

    /// The further file, if there is one.
    pub fn added(&self) -> Option<&FrameworksFile> {
        self.added.as_ref()
    }

    /// The framework `id`.
    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.id == id)
    }

    /// All of them, as listed.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a scenario may name of them.
    pub fn known(&self) -> Vec<Known<'_>> {
        let entries = self.entries.iter();
        entries
            .map(|e| Known { id: &e.id, options: e.options.keys().map(String::as_str).collect() })
            .collect()
    }

    /// Their ids, as listed.
    pub fn ids(&self) -> Vec<&str> {
        self.entries.iter().map(|e| e.id.as_str()).collect()
    }
}

impl Entry {
    /// The entry's defaults with a row's settings on top; an unknown or missing one is an error. Paths become
    /// absolute, from `base_dir`.
    pub fn options_of(
        &self,
        row: &BTreeMap<String, String>,
        base_dir: &Path,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let unsupported = |message: String| Failure::new(FailureKind::Unsupported, message);
        let mut options = self.options.clone();
        for (name, value) in row {
            if options.insert(name.clone(), value.clone()).is_none() {
                let known: Vec<&str> = self.options.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
                return Err(unsupported(format!("{} has no option `{name}`; it has: {known}", self.id)));
            }
        }
        if let Some((name, _)) = options.iter().find(|(_, value)| value.is_empty()) {
            return Err(unsupported(format!("{} needs the option `{name}`", self.id)));
        }
        for (_, value) in options.iter_mut().filter(|(name, _)| self.path_options.contains(name)) {
            *value = super::path_arg(&base_dir.join(&*value))?;
        }
        Ok(options)
    }

    /// Whether another program can take the place of the one that it runs.
    pub fn has_program(&self) -> bool {
        !self.programs.is_empty() || self.command.iter().any(|part| part.contains("{program}"))
    }

    /// Whether it is a server that runs already, wherever a row says, and nothing of it can be looked for.
    pub fn is_by_url(&self) -> bool {
        self.programs.is_empty() && self.options.get("url").is_some_and(String::is_empty)
    }

    /// Why the framework cannot run on `os`-`arch`, or is not driven at all.
    pub fn unsupported_reason(&self, os: &str, arch: &str) -> Option<String> {
        let here = format!("{os}-{arch}");
        if let Some(reason) = &self.reason {
            return Some(reason.clone());
        }
        (!self.platforms.is_empty() && !self.platforms.contains(&here))
            .then(|| format!("it exists for {} only, and this machine is {here}", self.platforms.join(", ")))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRegistry {
    schema: u32,
    frameworks: Vec<WireEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEntry {
    id: String,
    display_name: String,
    language: String,
    implementation: String,
    licence: String,
    home_page: String,
    notes: String,
    weights_class: WeightsClass,
    driver: String,
    cross_check: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    prepare: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    self_reported_load: bool,
    #[serde(default)]
    programs: Vec<String>,
    program_variable: Option<String>,
    key_variable: Option<String>,
    #[serde(default)]
    version_command: Vec<String>,
    #[serde(default)]
    flags_command: Vec<String>,
    #[serde(default)]
    libraries: Vec<String>,
    setup: Option<SetupFacts>,
    #[serde(default)]
    features: BTreeMap<Feature, Claim>,
    #[serde(default)]
    platforms: Vec<String>,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(default)]
    path_options: Vec<String>,
}

impl TryFrom<WireEntry> for Entry {
    type Error = RegistryError;

    fn try_from(wire: WireEntry) -> Result<Entry, RegistryError> {
        let wrong = |what: String| Err(RegistryError::Entry { id: wire.id.clone(), what });
        let known = |driver: &str| driver_names().any(|name| name == driver);
        if wire.driver != "none" && !known(&wire.driver) {
            let names: Vec<&str> = driver_names().collect();
            return wrong(format!("no driver `{}`; there are none, {}", wire.driver, names.join(", ")));
        }
        if let Some(driver) = wire.cross_check.as_deref().filter(|d| !known(d)) {
            return wrong(format!("no driver `{driver}` for cross_check"));
        }
        if (wire.driver == "none") != wire.reason.is_some() {
            return wrong("give `reason` exactly where driver is none".into());
        }
        if (wire.driver == "runner") == wire.command.is_empty() {
            return wrong("give `command` exactly where driver is runner".into());
        }
        if wire.command.first().is_some_and(|program| program.contains("{option.")) {
            return wrong("`command` begins with an option: a scenario could start any program by it".into());
        }
        if wire.driver != "runner" && !wire.prepare.is_empty() {
            return wrong("`prepare` is for driver runner".into());
        }
        if let Some(name) = wire.path_options.iter().find(|name| !wire.options.contains_key(*name)) {
            return wrong(format!("`{name}` of path_options is no option"));
        }
        if wire.self_reported_load && wire.driver != "runner" {
            return wrong("`self_reported_load` is for driver runner".into());
        }
        Ok(Entry {
            id: wire.id,
            display_name: wire.display_name,
            language: wire.language,
            implementation: wire.implementation,
            licence: wire.licence,
            home_page: wire.home_page,
            notes: wire.notes,
            weights_class: wire.weights_class,
            driver: wire.driver,
            cross_check: wire.cross_check,
            reason: wire.reason,
            command: wire.command,
            prepare: wire.prepare,
            environment: wire.environment,
            self_reported_load: wire.self_reported_load,
            programs: wire.programs,
            program_variable: wire.program_variable,
            key_variable: wire.key_variable,
            version_command: wire.version_command,
            flags_command: wire.flags_command,
            libraries: wire.libraries,
            setup: wire.setup,
            features: wire.features,
            platforms: wire.platforms,
            options: wire.options,
            path_options: wire.path_options,
        })
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
