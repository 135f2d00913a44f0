//! Tests that are written in Python: of the modules that Python runners share, and of the runners.

use harness::cache::Cache;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder and module. Each sees its own folder and the one of what all runners share.
const TESTS: [(&str, &str); 4] = [
    (".", "test_harness_runner"),
    (".", "test_gguf_header"),
    ("mistral.rs", "test_mistralrs"),
    ("openvino-genai", "test_openvino"),
];

#[test]
fn python_runners_pass_the_tests_that_need_no_framework() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("runners/python");
    for (folder, module) in TESTS {
        let mut python = Command::new("python3");
        // Isolated from the user's packages, and writing nothing into the source tree.
        python.args(["-s", "-B", "-m", "unittest", module]).env("PYTHONPATH", &shared);
        match python.current_dir(shared.join(folder)).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no python3 on PATH");
                return;
            }
            Err(error) => panic!("python3 cannot be started: {error}"),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{module}: {said}");
                assert!(said.contains("Ran ") && !said.contains("Ran 0 tests"), "{module}: {said}");
            }
        }
    }
}

/// By the Python that `harness setup` made for each. Needs no network; says so where nothing is installed to test with.
#[test]
fn python_runners_pass_the_tests_that_need_their_framework() {
    let runners = Path::new(env!("CARGO_MANIFEST_DIR")).join("runners/python");
    let mut n_tested = 0;
    for folder in folders_with_tests(&runners) {
        let id = folder.file_name().unwrap().to_str().unwrap();
        let Some(python) = installed_python(id, &folder) else {
            eprintln!("skipped: the tests of {}: run `harness setup {id}` first", folder.display());
            continue;
        };
        let output = Command::new(&python)
            .args(["-B", "-W", "error::RuntimeWarning", "-m", "unittest", &format!("test_{id}")])
            .env("PYTHONPATH", &runners)
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", folder.display());
        assert!(!said.contains("Ran 0 tests"), "{}: {said}", folder.display());
        n_tested += 1;
    }
    eprintln!("{n_tested} runners tested");
}

/// Folders `<id>` that hold a `test_<id>.py`.
fn folders_with_tests(runners: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(runners).unwrap().map(|entry| entry.unwrap().path());
    let has_tests = |folder: &PathBuf| {
        let id = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        folder.join(format!("test_{id}.py")).is_file()
    };
    let found: Vec<PathBuf> = folders.filter(has_tests).collect();
    assert!(!found.is_empty(), "{}: no runner has tests", runners.display());
    found
}

/// The Python of an installation with the packages of this source tree's lock file.
fn installed_python(id: &str, folder: &Path) -> Option<PathBuf> {
    let wanted = std::fs::read(folder.join("requirements.lock")).ok()?;
    let versions = Cache::from_env().ok()?.root().join("frameworks").join(id);
    let mut dirs = std::fs::read_dir(versions).ok()?.filter_map(|entry| entry.ok().map(|e| e.path()));
    let dir =
        dirs.find(|dir| std::fs::read(dir.join("runner/requirements.lock")).is_ok_and(|l| l == wanted))?;
    let python = dir.join("bin/python");
    python.is_file().then_some(python)
}
