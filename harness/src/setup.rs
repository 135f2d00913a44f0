//! Finding the frameworks' programs, and providing those that are missing.
//!
//! A program is the one that the command line names, or is looked for where its environment variable points, then in the cache if `harness setup` installed it
//! there, then on PATH. [`locate`] only looks; [`ensure`] installs what can be installed. An installation counts
//! only once it is whole: a marker is written last, so that an interrupted setup is started anew.

mod candle;
mod installation;
mod libraries;
mod llama_cpp;
mod marker;
mod prepare;
mod python;
mod remove;
mod search;
mod step;
mod version;

use crate::cache::Cache;
use crate::framework::registry::Entry;
use anyhow::{Context, Result};
use marker::{Lock, Marker, State};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use step::Steps;

pub use installation::Installation;
pub use libraries::libraries_of;
pub use prepare::{Preparation, Prepared, prepare};
pub use remove::{Piece, pieces, remove, removed_by_hand};
pub use version::{AskError, ask_help, ask_version};

/// What `setup` can install: one file and one line here for each; for those driven from Python see [`python`].
fn providers() -> impl Iterator<Item = &'static Provider> {
    [&llama_cpp::PROVIDER, &candle::PROVIDER].into_iter().chain(&python::PROVIDERS)
}

/// What a person has to do for the others.
const BY_HAND: [ByHand; 3] = [
    ByHand {
        id: "ollama",
        linux: "install Ollama (https://ollama.com/download/linux), so that `ollama` is on PATH, or name a running one: options {url}",
        macos: "install Ollama (https://ollama.com/download/mac, or `brew install ollama`), so that `ollama` is on PATH, or name a running one: options {url}",
    },
    ByHand {
        id: "lm-studio",
        linux: "install LM Studio or, without a screen, its `llmster` (https://lmstudio.ai), then run \
                `~/.lmstudio/bin/lms bootstrap`, so that `lms` is on PATH, or name a running one: options {url}",
        macos: "install LM Studio (https://lmstudio.ai), start it once and run `~/.lmstudio/bin/lms bootstrap`, so that \
                `lms` is on PATH, or name a running one: options {url}",
    },
    ByHand::anywhere(
        "ik_llama.cpp",
        "build it (https://github.com/ikawrakow/ik_llama.cpp: `cmake -B build -DGGML_NATIVE=ON`, `cmake --build build \
         --target llama-server`) and name its llama-server by `--program ik_llama.cpp=PATH` or HARNESS_IK_LLAMA_SERVER",
    ),
];

/// A framework that a person installs, by system.
struct ByHand {
    id: &'static str,
    linux: &'static str,
    macos: &'static str,
}

impl ByHand {
    const fn anywhere(id: &'static str, text: &'static str) -> Self {
        Self { id, linux: text, macos: text }
    }

    fn text(id: &str, os: &str) -> Option<&'static str> {
        let found = BY_HAND.iter().find(|by_hand| by_hand.id == id)?;
        Some(if os == "macos" { found.macos } else { found.linux })
    }
}

/// How the harness installs a framework.
#[derive(Debug)]
struct Provider {
    /// The frameworks that it serves.
    ids: &'static [&'static str],
    version: &'static str,
    /// The program inside an installation.
    program: fn(&Path) -> Option<PathBuf>,
    /// Hash over what it would be built from now, where that can change under one version.
    sources: fn() -> Option<String>,
    /// Makes a whole installation that is stale what it would be now, if that can be done without installing anew.
    renew: fn(&Path, &mut Steps) -> Result<Option<Marker>>,
    /// Installs into an empty directory.
    install: fn(&Cache, &Path, &mut Steps) -> Result<Marker>,
}

impl Provider {
    fn of(id: &str) -> Option<&'static Provider> {
        providers().find(|p| p.ids.contains(&id))
    }

    fn dir(&self, cache: &Cache) -> PathBuf {
        cache.framework_dir(self.ids[0], self.version)
    }
}

/// A framework's program, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Absolute path.
    pub program: PathBuf,
    /// Where it was found.
    pub how: How,
    /// Known from its installation; otherwise the program has to be asked: see [`ask_version`].
    pub version: Option<String>,
    /// How it was built, where the harness built it.
    pub build: Option<String>,
    /// What a person should know: built for another processor, from older sources.
    pub notes: Vec<String>,
}

impl Located {
    /// Another program of the same installation, such as llama-bench beside llama-server.
    pub fn beside(&self, name: &str) -> Option<PathBuf> {
        let real = self.program.canonicalize().ok();
        let dirs = [Some(&self.program), real.as_ref()].into_iter().flatten().filter_map(|p| p.parent());
        dirs.map(|dir| dir.join(name)).find(|path| search::is_program(path))
    }
}

/// Where a program was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The command line names it.
    Given,
    /// The environment variable of this name points at it.
    Variable(String),
    /// In the cache, installed by `harness setup`.
    Cache,
    /// On PATH.
    SearchPath,
    /// Where a file given by `--frameworks` says.
    FrameworksFile,
    /// It is this program.
    Itself,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            How::Given => f.write_str("by --program"),
            How::Variable(name) => write!(f, "by {name}"),
            How::Cache => f.write_str("installed by `harness setup`"),
            How::SearchPath => f.write_str("on PATH"),
            How::FrameworksFile => f.write_str("by --frameworks"),
            How::Itself => f.write_str("built with the harness"),
        }
    }
}

/// A framework's program, not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {remedy}")]
pub struct NotFound {
    /// What is the matter.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// Whether `harness setup` can install the framework `id`.
pub fn can_install(id: &str) -> bool {
    Provider::of(id).is_some()
}

/// Which of the programs that a setup needs are not on PATH, each as `a or b`.
pub fn missing_tools(needs: &[String]) -> Vec<&str> {
    let is_missing = |need: &&String| {
        let names: Vec<&str> = need.split(" or ").collect();
        search::find_any(&names).is_none()
    };
    needs.iter().filter(is_missing).map(String::as_str).collect()
}

/// The frameworks that `harness setup` installs when none are named.
pub fn installable_ids() -> impl Iterator<Item = &'static str> {
    providers().map(|p| p.ids[0])
}

/// Looks for a framework's program.
pub fn locate(wanted: &Entry, cache: &Cache) -> Result<Located, NotFound> {
    locate_in(wanted, cache, |name| std::env::var_os(name))
}

/// The program that the command line names.
pub fn given(path: &Path) -> Result<Located, NotFound> {
    let program = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if search::is_program(&program) {
        return Ok(plain(program, How::Given));
    }
    let reason = format!("--program names {}, which is not a program", program.display());
    Err(NotFound { reason, remedy: "correct or leave out the option".to_owned() })
}

/// The version of a program that was found: as its installation tells, else as the program itself does. It is asked in
/// any case, where it can be, so that one that no longer runs is noticed. `None`: it says so only when it is driven.
///
/// # Errors
/// If the program cannot be asked.
pub fn version_of(entry: &Entry, located: &Located) -> Result<Option<String>, AskError> {
    let asked = match entry.version_command.split_first() {
        Some((_, args)) if located.how != How::Itself => {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            Some(ask_version(&located.program, &args)?)
        }
        _ => None,
    };
    Ok(located.version.clone().or(asked))
}

/// Installs what is missing of `wanted`, or all of it with `force`; one answer for each, in order.
pub fn ensure(wanted: &[&Entry], force: bool, cache: &Cache) -> Vec<(String, Result<Located>)> {
    wanted.iter().map(|one| (one.id.clone(), ensure_one(one, force, cache))).collect()
}

fn ensure_one(wanted: &Entry, force: bool, cache: &Cache) -> Result<Located> {
    // Where a variable names the program nothing that could be installed would be used.
    if let Some(named) = by_variable(wanted, &|name| std::env::var_os(name)) {
        return Ok(named?);
    }
    match (locate(wanted, cache), Provider::of(&wanted.id)) {
        (Ok(located), _) if !force && !is_stale(&located) => Ok(located),
        (_, Some(provider)) if !wanted.programs.is_empty() => {
            install(wanted, provider, force, cache)?;
            Ok(locate(wanted, cache)?)
        }
        (found, _) => Ok(found?),
    }
}

/// An installation of ours that no longer is what a setup would make now.
fn is_stale(located: &Located) -> bool {
    located.how == How::Cache && !located.notes.is_empty()
}

fn install(wanted: &Entry, provider: &Provider, force: bool, cache: &Cache) -> Result<()> {
    let dir = provider.dir(cache);
    let _lock = Lock::take(&dir)?;
    let mut steps = Steps::start(provider.ids[0], &cache.logs_dir())?;
    // Another setup may have ended between the look and the lock.
    if !force && matches!(marker::state(&dir), State::Whole(m) if notes(provider, &m).is_empty()) {
        return Ok(());
    }
    steps.say(&format!("setting up version {} in {}", provider.version, dir.display()));
    if dir.exists() {
        let was_whole = matches!(marker::state(&dir), State::Whole(_));
        Marker::remove(&dir)?;
        if !force
            && was_whole
            && let Some(marker) = (provider.renew)(&dir, &mut steps)?
        {
            return marker.write(&dir);
        }
        std::fs::remove_dir_all(&dir).with_context(|| format!("{}: cannot remove", dir.display()))?;
    }
    if let Some(facts) = &wanted.setup {
        steps.say(&facts.to_string());
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("{}: cannot create", dir.display()))?;
    let marker = (provider.install)(cache, &dir, &mut steps)?;
    marker.write(&dir)
}

fn locate_in(
    wanted: &Entry,
    cache: &Cache,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Located, NotFound> {
    if wanted.programs.is_empty() {
        return itself();
    }
    if let Some(found) = by_variable(wanted, &variable) {
        return found;
    }
    let mut reason = match paths(wanted).next() {
        Some(path) => format!("{}: no such program", path.display()),
        None => format!("{} was not found on PATH", wanted.programs.join(" or ")),
    };
    if let Some(provider) = Provider::of(&wanted.id) {
        match installed(provider, cache) {
            Ok(located) => return Ok(located),
            Err(half) => reason = half.unwrap_or(reason),
        }
    }
    if let Some(program) = paths(wanted).find(|program| search::is_program(program)) {
        return Ok(plain(program.to_owned(), How::FrameworksFile));
    }
    let path = variable("PATH");
    let on_path = wanted.programs.iter().find_map(|name| search::find_on_path(name, path.as_deref()));
    match on_path {
        Some(program) => Ok(plain(program, How::SearchPath)),
        None => Err(NotFound { reason, remedy: remedy_of(wanted) }),
    }
}

/// Those of the programs that are named by a path.
fn paths(wanted: &Entry) -> impl Iterator<Item = &Path> {
    wanted.programs.iter().map(Path::new).filter(|program| program.is_absolute())
}

fn itself() -> Result<Located, NotFound> {
    match std::env::current_exe() {
        Ok(program) => {
            Ok(Located { version: Some(env!("CARGO_PKG_VERSION").to_owned()), ..plain(program, How::Itself) })
        }
        Err(error) => Err(NotFound {
            reason: format!("the path of this program cannot be had ({error})"),
            remedy: "start it by its path".to_owned(),
        }),
    }
}

fn by_variable(
    wanted: &Entry,
    variable: &impl Fn(&str) -> Option<OsString>,
) -> Option<Result<Located, NotFound>> {
    let name = wanted.program_variable.as_deref()?;
    let value = PathBuf::from(variable(name).filter(|value| !value.is_empty())?);
    let program = std::path::absolute(&value).unwrap_or(value);
    Some(if search::is_program(&program) {
        Ok(plain(program, How::Variable(name.to_owned())))
    } else {
        Err(NotFound {
            reason: format!("{name} names {}, which is not a program", program.display()),
            remedy: format!("correct or unset {name}"),
        })
    })
}

/// What the cache holds; an error with a text where it holds a half.
fn installed(provider: &Provider, cache: &Cache) -> Result<Located, Option<String>> {
    let dir = provider.dir(cache);
    match marker::state(&dir) {
        State::Absent { half_installed: false } => Err(None),
        State::Absent { half_installed: true } => Err(Some("its setup was interrupted".to_owned())),
        State::Whole(marker) => match (provider.program)(&dir).filter(|path| search::is_program(path)) {
            Some(program) => Ok(Located {
                program,
                how: How::Cache,
                notes: notes(provider, &marker),
                version: Some(marker.version),
                build: Some(marker.build),
            }),
            None => Err(Some(format!("its program is gone from {}", dir.display()))),
        },
    }
}

/// Why an installation should be made anew.
fn notes(provider: &Provider, marker: &Marker) -> Vec<String> {
    let is_older = (provider.sources)().is_some_and(|now| now != marker.sources);
    let is_foreign = !marker.cpu.is_empty() && marker.cpu != marker::cpu_identity();
    let older = is_older.then_some("built from other sources than those that are here now");
    let foreign = is_foreign.then_some("built for another processor");
    [older, foreign].into_iter().flatten().map(str::to_owned).collect()
}

fn remedy_of(wanted: &Entry) -> String {
    if can_install(&wanted.id) {
        return format!("run `harness setup {}`", wanted.id);
    }
    if let Some(text) = ByHand::text(&wanted.id, std::env::consts::OS) {
        return text.to_owned();
    }
    if let Some(path) = paths(wanted).next() {
        return format!("put it there, and make it executable: chmod +x {}", path.display());
    }
    let programs = wanted.programs.join(" or ");
    match &wanted.program_variable {
        Some(name) => format!("put {programs} on PATH, or set {name} to its path"),
        None => format!("put {programs} on PATH"),
    }
}

fn plain(program: PathBuf, how: How) -> Located {
    Located { program, how, version: None, build: None, notes: Vec::new() }
}

fn sha256_hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
