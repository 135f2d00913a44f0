//! Frameworks that are driven from Python: a virtual environment for each, with packages pinned by hash, and in it the
//! runner, whose sources are embedded here.
//!
//! ```text
//! <installation>/bin/<id>-runner      the program
//! <installation>/runner/…             harness_runner.py, gguf_header.py, runner.py, requirements.lock
//! <installation>/lib, bin, …          the environment
//! ```

use super::marker::Marker;
use super::step::Steps;
use super::{Provider, search, sha256_hex, version};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What all of them share: the runner's side of the protocol, and a reader of the model file's header.
const SHARED: [(&str, &str); 2] = [
    ("harness_runner.py", include_str!("../../runners/python/harness_runner.py")),
    ("gguf_header.py", include_str!("../../runners/python/gguf_header.py")),
];
const LOCK_FILE: &str = "requirements.lock";
/// The line of a requirements.in that names the oldest Python: read by `scripts/lock-python` too.
const PYTHON_KEY: &str = "# python: ";
/// Settings of the user's that would put packages elsewhere, or bring others in.
const FOREIGN: [&str; 6] =
    ["PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PYTHONPATH", "PYTHONHOME"];

/// A framework's runner.
struct Runner {
    id: &'static str,
    /// The package that is the framework.
    package: &'static str,
    /// Its version, as its lock file has it.
    version: &'static str,
    requirements: &'static str,
    lock: &'static str,
    /// Name and text.
    sources: &'static [(&'static str, &'static str)],
}

/// The provider of the runner in `runners/python/<id>`: its id, package, version and sources.
macro_rules! provider {
    ($id:literal, $package:literal, $version:literal, [$($file:literal),+]) => {{
        const RUNNER: Runner = Runner {
            id: $id,
            package: $package,
            version: $version,
            requirements: include_str!(concat!("../../runners/python/", $id, "/requirements.in")),
            lock: include_str!(concat!("../../runners/python/", $id, "/requirements.lock")),
            sources: &[$(($file, include_str!(concat!("../../runners/python/", $id, "/", $file)))),+],
        };
        Provider {
            ids: &[$id],
            version: $version,
            program: |dir| Some(RUNNER.program(dir)),
            sources: || Some(RUNNER.hash()),
            renew: |dir, steps| RUNNER.renew(dir, steps),
            install: |_, dir, steps| RUNNER.install(dir, steps),
        }
    }};
}

/// A further framework is one folder, one line here and one entry in frameworks.yaml.
pub(super) static PROVIDERS: [Provider; 4] = [
    provider!("onnxruntime", "onnxruntime", "1.32.0", ["runner.py", "graph.py", "source.py", "blocks.py"]),
    provider!("transformers", "transformers", "5.24.0", ["runner.py"]),
    provider!("mistral.rs", "mistralrs", "0.9.5", ["runner.py", "ids.py"]),
    provider!("openvino-genai", "openvino-genai", "2026.4.1.0", ["runner.py"]),
];

impl Runner {
    fn program(&self, dir: &Path) -> PathBuf {
        dir.join("bin").join(format!("{}-runner", self.id))
    }

    /// What is written beside the environment.
    fn files(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.sources.iter().copied().chain(SHARED).chain([(LOCK_FILE, self.lock)])
    }

    fn hash(&self) -> String {
        let lines = self.files().map(|(name, text)| format!("{} {name}\n", sha256_hex(text.as_bytes())));
        sha256_hex(lines.collect::<String>().as_bytes())
    }

    /// What is installed is only what the lock file names, whose hashes stand in for trust in where it comes from.
    fn install(&self, dir: &Path, steps: &mut Steps) -> Result<Marker> {
        let python = find_python(self.oldest_python()?, steps)
            .with_context(|| format!("{} {} needs Python", self.package, self.version))?;
        let mut venv = Command::new(&python);
        venv.args(["-I", "-m", "venv"]).arg(dir);
        steps
            .run("making a virtual environment", &mut venv)
            .context("python3 cannot make virtual environments (Debian: `apt install python3-venv`)")?;
        let runner_dir = self.write_files(dir)?;
        let mut pip = Command::new(dir.join("bin/python"));
        pip.args(["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"])
            .args(["--require-hashes", "--no-deps", "--only-binary", ":all:", "--progress-bar", "off", "-r"])
            .arg(runner_dir.join(LOCK_FILE));
        FOREIGN.iter().for_each(|name| {
            pip.env_remove(name);
        });
        let n_packages = pinned(self.lock).count();
        steps.run(&format!("installing the packages of its lock file (at most {n_packages})"), &mut pip)?;
        self.try_out(dir, steps)
    }

    /// An environment of the same lock file needs only the runner of today.
    fn renew(&self, dir: &Path, steps: &mut Steps) -> Result<Option<Marker>> {
        match std::fs::read_to_string(dir.join("runner").join(LOCK_FILE)) {
            Ok(lock) if lock == self.lock => {
                self.write_files(dir)?;
                self.try_out(dir, steps).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Writes the runner beside the environment; returns its folder.
    fn write_files(&self, dir: &Path) -> Result<PathBuf> {
        let runner_dir = dir.join("runner");
        for (name, text) in self.files() {
            write(&runner_dir.join(name), text)?;
        }
        let program = self.program(dir);
        write(&program, &start_script(&self.hash()))?;
        make_executable(&program)?;
        Ok(runner_dir)
    }

    fn try_out(&self, dir: &Path, steps: &mut Steps) -> Result<Marker> {
        let program = self.program(dir);
        steps
            .run("trying it", Command::new(&program).arg("--check"))
            .context("it was installed but does not run")?;
        let found = version::ask_version(&program, &["--version"])
            .with_context(|| format!("{}: it was installed but does not run", program.display()))?;
        if found != self.version {
            bail!("{} {found} was installed instead of {}", self.package, self.version);
        }
        let python = version::ask_version(&dir.join("bin/python"), &["--version"])?;
        let hash = self.hash();
        let build =
            format!("packages from the Python Package Index by hash, Python {python}, runner {}", &hash[..8]);
        Ok(Marker::portable(self.version, hash, build))
    }

    fn oldest_python(&self) -> Result<(u32, u32)> {
        let found = self.requirements.lines().find_map(|line| line.strip_prefix(PYTHON_KEY));
        found.and_then(parse_python).with_context(|| format!("{}: requirements.in names no Python", self.id))
    }
}

/// The environment's own Python, deaf to the user's variables and packages. `exec`, so that the runner is the process
/// that was started; `-I` would hide the runner's own folder from it.
///
/// It names the hash of the runner and its lock file: a bundle records this script's own, which so stands for all of them.
fn start_script(sources: &str) -> String {
    format!(
        "#!/bin/sh\n# sources {sources}\nbin=$(dirname -- \"$0\")\nexec \"$bin/python\" -E -s \"$bin/../runner/runner.py\" \"$@\"\n"
    )
}

/// The python3 on PATH, if it is new enough.
fn find_python(oldest: (u32, u32), steps: &mut Steps) -> Result<PathBuf> {
    let wanted = format!("{}.{} or newer", oldest.0, oldest.1);
    let Some(python) = search::find_any(&["python3"]) else {
        bail!("python3 was not found on PATH: install Python {wanted}");
    };
    let mut ask = Command::new(&python);
    let said = steps.run("asking Python for its version", ask.args(["-I", "--version"]))?;
    match said.split_whitespace().last().and_then(parse_python) {
        Some(found) if found >= oldest => Ok(python),
        _ => bail!("{} is {said}: install Python {wanted}, and put it on PATH as python3", python.display()),
    }
}

/// Major and minor number of `3.11.7`.
fn parse_python(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The packages of a lock file, as `name==version`.
fn pinned(lock: &str) -> impl Iterator<Item = &str> {
    let starts = lock.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()));
    starts.filter_map(|line| line.split_whitespace().next())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("{}: cannot create", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("{}: cannot write", path.display()))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("{}: cannot be made executable", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_path: &Path) -> Result<()> {
    bail!("Python runners are set up on Linux and macOS only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The folders of runners.
    fn folders() -> Vec<PathBuf> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("runners/python");
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.join("requirements.in").is_file()).collect()
    }

    #[test]
    fn every_folder_has_its_provider_and_entry() {
        let folders: BTreeSet<String> =
            folders().iter().map(|dir| dir.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        let provided: BTreeSet<String> = PROVIDERS.iter().map(|p| p.ids[0].to_owned()).collect();
        assert_eq!(folders, provided);
        let registry = crate::framework::Registry::embedded().unwrap();
        for id in provided {
            let entry = registry.get(&id).unwrap();
            assert_eq!((entry.driver.as_str(), &entry.programs), ("runner", &vec![format!("{id}-runner")]));
            assert_eq!(entry.version_command, ["{program}", "--version"]);
            assert!(entry.program_variable.is_some(), "{id}");
        }
    }

    #[test]
    fn lock_files_pin_everything_by_hash_and_name_no_place() {
        for dir in folders() {
            let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
            let lock = read(LOCK_FILE);
            assert!(pinned(&lock).all(|package| package.contains("==")), "{}", dir.display());
            let entries = lock.split("\n").filter(|line| line.contains("==")).count();
            assert!(entries > 0 && lock.matches("--hash=sha256:").count() >= entries, "{}", dir.display());
            assert!(!lock.contains("://") && !lock.contains("-index"), "{}", dir.display());
            let wanted = read("requirements.in");
            for package in pinned(&wanted) {
                assert!(pinned(&lock).any(|p| p == package), "{}: lock {package} anew", dir.display());
            }
            let python = wanted.lines().find_map(|line| line.strip_prefix(PYTHON_KEY)).and_then(parse_python);
            assert!(python >= Some((3, 10)), "{}", dir.display());
        }
    }

    #[test]
    fn versions_are_those_that_are_locked() {
        // A provider tells its version; the package that has it is the framework's.
        for provider in &PROVIDERS {
            let dir = folders().into_iter().find(|dir| dir.ends_with(provider.ids[0])).unwrap();
            let wanted = std::fs::read_to_string(dir.join("requirements.in")).unwrap();
            let end = format!("=={}", provider.version);
            assert!(pinned(&wanted).any(|package| package.ends_with(&end)), "{}", provider.ids[0]);
        }
    }

    #[test]
    fn python_versions_are_numbers() {
        assert_eq!(parse_python("3.11.7"), Some((3, 11)));
        assert_eq!(parse_python("3.9"), Some((3, 9)));
        assert!(parse_python("3.9") < Some((3, 11)));
        assert_eq!(parse_python("three"), None);
    }

    #[test]
    #[cfg(unix)]
    fn a_changed_runner_needs_no_new_environment() {
        const RUNNER: Runner = Runner {
            id: "x",
            package: "x",
            version: "1.0",
            requirements: "# python: 3.10\n",
            lock: "x==1.0\n",
            sources: &[("runner.py", "new")],
        };
        let dir = tempfile::tempdir().unwrap();
        let mut steps = Steps::start("x", dir.path()).unwrap();
        let python = dir.path().join("bin/python");
        let script = "#!/bin/sh\ncase \"$*\" in *--check) exit 0;; *runner.py*) echo x 1.0;; *) echo Python 3.11.7;; esac\n";
        write(&python, script).unwrap();
        make_executable(&python).unwrap();
        assert_eq!(RUNNER.renew(dir.path(), &mut steps).unwrap(), None, "not whole");
        let file = |name: &str| dir.path().join("runner").join(name);
        write(&file("runner.py"), "old").unwrap();
        write(&file(LOCK_FILE), "x==0.9\n").unwrap();
        assert_eq!(RUNNER.renew(dir.path(), &mut steps).unwrap(), None, "of other packages");
        assert_eq!(std::fs::read_to_string(file("runner.py")).unwrap(), "old");
        write(&file(LOCK_FILE), RUNNER.lock).unwrap();
        let marker = RUNNER.renew(dir.path(), &mut steps).unwrap().expect("the same packages");
        assert_eq!((marker.version.as_str(), &marker.sources), ("1.0", &RUNNER.hash()));
        assert_eq!(std::fs::read_to_string(file("runner.py")).unwrap(), "new");
        assert!(marker.cpu.is_empty(), "it runs on every processor");
        let newer = Runner { version: "1.1", ..RUNNER };
        assert!(newer.renew(dir.path(), &mut steps).unwrap_err().to_string().contains("1.0 was installed"));
    }

    #[test]
    #[cfg(unix)]
    fn the_start_script_finds_its_folder_whatever_the_current_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("with space");
        let program = home.join("bin/x-runner");
        write(&program, &start_script("0123")).unwrap();
        make_executable(&program).unwrap();
        let python = home.join("bin/python");
        write(&python, "#!/bin/sh\necho \"$@\"\n").unwrap();
        make_executable(&python).unwrap();
        let output = Command::new(&program).args(["--prepare", "a b"]).current_dir("/").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let runner = home.join("bin/../runner/runner.py");
        assert_eq!(said.trim(), format!("-E -s {} --prepare a b", runner.display()));
    }
}
