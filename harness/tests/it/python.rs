//! The tests of the Python runners that need no framework, which are written in Python.

use std::path::Path;
use std::process::Command;

/// Folder and module. Each sees its own folder and the one of what all runners share.
const TESTS: [(&str, &str); 4] = [
    (".", "test_harness_runner"),
    (".", "test_gguf_header"),
    ("mistral.rs", "test_mistralrs"),
    ("openvino-genai", "test_openvino"),
];

#[test]
fn python_runners_pass_their_own_tests() {
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
