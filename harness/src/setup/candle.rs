//! candle: its runner, a member of this workspace, built here for this processor.

use super::marker::Marker;
use super::step::Steps;
use super::{Provider, search, sha256_hex, version};
use crate::cache::Cache;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that the runner's Cargo.toml pins.
const CANDLE_VERSION: &str = "0.11.1";
/// candle chooses most of its SIMD when it is compiled.
const RUST_FLAGS: &str = "-C target-cpu=native";
/// The runner, from the workspace's root.
const RUNNER_DIR: &str = "harness/runners/candle";
const PROGRAM: &str = "candle-runner";

pub(super) static PROVIDER: Provider = Provider {
    ids: &["candle"],
    version: CANDLE_VERSION,
    program: |dir| Some(dir.join(PROGRAM)),
    sources: || workspace_root().and_then(|root| hash_sources(&root)).ok(),
    renew: |_, _| Ok(None),
    install,
};

fn install(cache: &Cache, dir: &Path, steps: &mut Steps) -> Result<Marker> {
    let root = workspace_root()?;
    let cargo = std::env::var_os("CARGO").map(PathBuf::from).or_else(|| search::find_any(&["cargo"]));
    let Some(cargo) = cargo else {
        bail!("cargo was not found on PATH: install Rust (https://rustup.rs)");
    };
    let sources = hash_sources(&root)?;
    let build_dir = cache.build_dir("candle");
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--locked", "--package", PROGRAM, "--target-dir"])
        .arg(&build_dir)
        .current_dir(&root)
        .env("RUSTFLAGS", RUST_FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    steps.run("building the runner for this processor (about 4 min on 2 cores)", &mut build)?;

    let built = build_dir.join("release").join(PROGRAM);
    let (temporary, program) = (dir.join(format!(".{PROGRAM}")), dir.join(PROGRAM));
    std::fs::copy(&built, &temporary).with_context(|| format!("{}: cannot copy", built.display()))?;
    std::fs::rename(&temporary, &program).with_context(|| format!("{}: cannot write", program.display()))?;
    let found = version::ask_version(&program, &["--version"])
        .with_context(|| format!("{}: the runner was built but does not run", program.display()))?;
    Ok(Marker::new(&found, sources, format!("cargo build --release, RUSTFLAGS=\"{RUST_FLAGS}\"")))
}

/// The workspace that holds the runner: around the current directory, around this program, or where this program
/// was compiled.
fn workspace_root() -> Result<PathBuf> {
    let compiled_in = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok(), Some(compiled_in)];
    match starts.iter().flatten().find_map(|start| root_above(start)) {
        Some(root) => Ok(root),
        None => bail!(
            "the sources of the candle runner ({RUNNER_DIR}) are neither above the current directory nor where \
             this program was built: run it in a checkout, or set HARNESS_CANDLE_RUNNER to a built runner"
        ),
    }
}

fn root_above(start: &Path) -> Option<PathBuf> {
    start.ancestors().find(|dir| dir.join(RUNNER_DIR).join("Cargo.toml").is_file()).map(Path::to_owned)
}

/// A hash over everything that decides what is built: the runner, the workspace's manifest and lock file, the flags.
fn hash_sources(root: &Path) -> Result<String> {
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    collect_files(&root.join(RUNNER_DIR), &mut files)?;
    files.sort();
    let mut all = format!("{RUST_FLAGS}\n");
    for file in files {
        let bytes = std::fs::read(&file).with_context(|| format!("{}: cannot read", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).display();
        all.push_str(&format!("{} {name}\n", sha256_hex(&bytes)));
    }
    Ok(sha256_hex(all.as_bytes()))
}

fn collect_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("{}: cannot list", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect_files(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_one_that_is_pinned() {
        let manifest = include_str!("../../runners/candle/Cargo.toml");
        assert!(manifest.contains(&format!("candle-core = \"={CANDLE_VERSION}\"")));
    }

    #[test]
    fn a_change_of_the_sources_changes_their_hash() {
        let dir = tempfile::tempdir().unwrap();
        let (root, runner) = (dir.path(), dir.path().join(RUNNER_DIR));
        std::fs::create_dir_all(runner.join("src")).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", "harness/runners/candle/Cargo.toml"] {
            std::fs::write(root.join(file), file).unwrap();
        }
        let before = hash_sources(root).unwrap();
        assert_eq!(hash_sources(root).unwrap(), before);
        std::fs::write(runner.join("src/main.rs"), "fn main() {}").unwrap();
        assert_ne!(hash_sources(root).unwrap(), before);
        assert_eq!(root_above(&runner.join("src")).as_deref(), Some(root));
        assert_eq!(root_above(Path::new("/")), None);
    }
}
