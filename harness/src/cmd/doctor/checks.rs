//! The single looks: frameworks, model, tools for setting up, machine.

use crate::cache::Cache;
use crate::framework::Registry;
use crate::framework::registry::{Entry, SetupFacts};
use crate::machine::Machine;
use crate::model;
use crate::scenario::{FrameworkSpec, ModelSource, ModelSpec, Scenario};
use crate::setup;
use crate::units::bytes_to_mb;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Below this a setup of everything may not fit: builds, Python environments, and what is prepared of a model.
const WANTED_DISK_BYTES: u64 = 16_000_000_000;
/// Share of the processors that may be busy before measuring is pointless.
const LOAD_SHARE_LIMIT: f64 = 0.2;

/// Of a row that names its server.
const AT_URL: &str = "a server that runs already, at the `url` of a row; not looked for";

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// `framework`, `model`, `tool`, `machine`
    pub(super) area: &'static str,
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) found: String,
    /// The file that it is about.
    pub(super) path: Option<PathBuf>,
    /// What to do about it.
    pub(super) remedy: Option<String>,
    /// What `harness setup` does for it and takes, where it can install it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) setup: Option<SetupFacts>,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    /// Usable, with a reservation.
    Warning,
    Missing,
    /// Cannot be had here, whatever one does.
    Unsupported,
}

impl Status {
    pub(super) fn is_usable(self) -> bool {
        matches!(self, Status::Ok | Status::Warning)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Missing => "missing",
            Status::Unsupported => "n/a",
        }
    }
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            area: "machine",
            name: name.into(),
            status: Status::Ok,
            found: found.into(),
            path: None,
            remedy: None,
            setup: None,
        }
    }

    fn warning(name: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Warning, remedy: Some(remedy.into()), ..Self::ok(name, found) }
    }

    pub(super) fn missing(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { status: Status::Missing, remedy: Some(remedy.into()), ..Self::ok(name, found) }
    }

    fn of(self, area: &'static str) -> Self {
        Self { area, ..self }
    }

    fn at(self, path: PathBuf) -> Self {
        Self { path: Some(path), ..self }
    }
}

/// The frameworks of the scenario, or all.
pub(super) fn frameworks(registry: &Registry, scenario: Option<&Scenario>, cache: &Cache) -> Vec<Check> {
    let rows = |entry: &Entry| -> Vec<&FrameworkSpec> {
        scenario.map_or_else(Vec::new, |s| s.frameworks.iter().filter(|f| f.id == entry.id).collect())
    };
    let is_wanted = |entry: &&Entry| scenario.is_none() || !rows(entry).is_empty();
    let check = |entry: &Entry| {
        let by_url = rows(entry).iter().filter(|row| names_server(row)).count();
        if by_url > 0 && by_url == rows(entry).len() {
            return Check::ok(entry.id.as_str(), AT_URL);
        }
        framework(entry, cache)
    };
    registry.entries().iter().filter(is_wanted).map(|entry| check(entry).of("framework")).collect()
}

/// Whether a row names a server that runs already.
fn names_server(row: &FrameworkSpec) -> bool {
    row.options.get("url").is_some_and(|url| url != "none")
}

fn framework(entry: &Entry, cache: &Cache) -> Check {
    Check { setup: entry.setup.clone(), ..look_for(entry, cache) }
}

fn look_for(entry: &Entry, cache: &Cache) -> Check {
    let name = entry.id.as_str();
    if entry.is_by_url() {
        return Check::ok(name, AT_URL);
    }
    if let Some(reason) = entry.unsupported_reason(std::env::consts::OS, std::env::consts::ARCH) {
        let found = format!("cannot be measured here: {reason}");
        return Check { status: Status::Unsupported, ..Check::ok(name, found) };
    }
    let located = match setup::locate(entry, cache) {
        Ok(located) => located,
        Err(missing) => return not_there(entry, missing),
    };
    let place = format!("{} ({})", located.program.display(), located.how);
    let anew = if setup::can_install(name) {
        format!("run `harness setup --force {name}`")
    } else {
        "install it anew".to_owned()
    };
    match setup::version_of(entry, &located) {
        Err(error) => Check::missing(name, format!("{place}: {error}"), anew),
        Ok(version) => {
            let found = format!("{}, {place}", version.as_deref().unwrap_or("version told when it runs"));
            let check = match located.notes.as_slice() {
                [] => Check::ok(name, found),
                notes => Check::warning(name, format!("{found}; {}", notes.join("; ")), anew),
            };
            check.at(located.program)
        }
    }
}

/// What is not there can be set up, or not here and why, or is for a person to install.
fn not_there(entry: &Entry, missing: setup::NotFound) -> Check {
    let Some(facts) = &entry.setup else {
        return Check::missing(entry.id.as_str(), missing.reason, missing.remedy);
    };
    match setup::missing_tools(&facts.needs).as_slice() {
        [] => {
            let remedy = format!("{} ({facts})", missing.remedy);
            Check::missing(entry.id.as_str(), missing.reason, remedy)
        }
        tools => {
            let tools = tools.join(", ");
            let found = format!("{}; it cannot be set up here without {tools}", missing.reason);
            let remedy = format!("install {tools}, then {} ({facts})", missing.remedy);
            Check::missing(entry.id.as_str(), found, remedy)
        }
    }
}

/// The model file of `scenario`, which was read from `path`. It is not hashed here but whenever it is used.
pub(super) fn model(scenario: &Scenario, path: &Path, cache: &Cache) -> Check {
    let spec = &scenario.model;
    let name = format!("model {} {}", spec.name, spec.quantization);
    let fetch = format!("run `harness models fetch {}`, or let `harness run` do it", path.display());
    let check = match &spec.source {
        ModelSource::Synthetic { shape, .. } => Check::ok(name, format!("{shape} is made when it is needed")),
        ModelSource::Path(file) => {
            let file = path.parent().unwrap_or(Path::new(".")).join(file);
            match std::fs::metadata(&file) {
                Ok(meta) => Check::ok(name, show_file(&file, meta.len())).at(file),
                Err(error) => {
                    Check::missing(name, format!("{}: {error}", file.display()), "put the file there")
                }
            }
        }
        ModelSource::Url(_) | ModelSource::Wheel { .. } => match find_cached(spec, cache) {
            Some((file, bytes)) => Check::ok(name, show_file(&file, bytes)).at(file),
            None => Check::missing(name, "not in the cache", fetch),
        },
    };
    check.of("model")
}

fn find_cached(spec: &ModelSpec, cache: &Cache) -> Option<(PathBuf, u64)> {
    let dir = cache.models_dir().join(spec.sha256.as_ref()?);
    let mut files = model::cached(cache).into_iter();
    files.find(|(file, bytes)| file.starts_with(&dir) && spec.bytes.is_none_or(|wanted| wanted == *bytes))
}

fn show_file(path: &Path, bytes: u64) -> String {
    format!("{}, {:.1} MB", path.display(), bytes_to_mb(bytes))
}

/// What `harness setup` builds with.
pub(super) fn tools() -> Vec<Check> {
    let python_text = "import ensurepip, sys, venv; print(sys.version)";
    let tools = [
        ("python3 with venv", "python3", vec!["-c", python_text], "install python3 and python3-venv"),
        ("C++ compiler", "c++", vec!["--version"], "install one (Debian: `apt install g++`)"),
        ("cargo", "cargo", vec!["--version"], "install Rust (https://rustup.rs)"),
    ];
    let check = |(name, program, args, remedy): (&str, &str, Vec<&str>, &str)| {
        let check = match setup::ask_version(Path::new(program), &args) {
            Ok(version) => Check::ok(name, version),
            Err(error) => Check::warning(name, error.to_string(), format!("for `harness setup`: {remedy}")),
        };
        check.of("tool")
    };
    tools.into_iter().map(check).collect()
}

/// What the measurements depend on.
pub(super) fn machine(cache: &Cache) -> Vec<Check> {
    let machine = Machine::detect();
    let isa =
        if machine.isa.is_empty() { "no vector extensions known".to_owned() } else { machine.isa.join(" ") };
    let mut checks = vec![
        Check::ok(
            "processor",
            format!("{}, {} cores, {} logical: {isa}", machine.cpu, machine.cores, machine.logical),
        ),
        disk(cache),
        load(&machine),
        governor(&machine),
    ];
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let memory =
        format!("{:.1} GB available of {:.1}", gb(system.available_memory()), gb(machine.memory_bytes));
    checks.push(Check::ok("memory", memory));
    if let Some(limits) = &machine.container_limits {
        checks.push(Check::warning("container", limits.as_str(), "measure without limits, or say so"));
    }
    if let Some(hypervisor) = &machine.hypervisor {
        let remedy = "neighbours may disturb: look at the control rows of the report";
        checks.push(Check::warning("hypervisor", hypervisor.as_str(), remedy));
    }
    checks
}

fn disk(cache: &Cache) -> Check {
    let root = cache.root();
    let existing = root.ancestors().find(|dir| dir.exists()).unwrap_or(root);
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{:.1} GB free for {}", free_bytes as f64 / 1e9, root.display());
            if free_bytes >= WANTED_DISK_BYTES {
                Check::ok("disk", found)
            } else {
                let wanted = WANTED_DISK_BYTES / 1_000_000_000;
                Check::warning("disk", found, format!("setup and models want {wanted} GB: set HARNESS_CACHE"))
            }
        }
        Err(error) => Check::warning("disk", error.to_string(), "set HARNESS_CACHE to a usable directory"),
    }
}

fn load(machine: &Machine) -> Check {
    match machine.load_average {
        None => Check::ok("load", "unavailable"),
        Some(load) if load <= LOAD_SHARE_LIMIT * f64::from(machine.logical.max(1)) => {
            Check::ok("load", format!("{load:.2}"))
        }
        Some(load) => Check::warning("load", format!("{load:.2}"), "wait until other programs have ended"),
    }
}

fn governor(machine: &Machine) -> Check {
    match machine.governor.as_deref() {
        None => Check::ok("frequency governor", "unavailable"),
        Some("performance") => Check::ok("frequency governor", "performance"),
        Some(other) => Check::warning("frequency governor", other, "`performance` gives steadier figures"),
    }
}
