//! The tests of the module that Python runners share, which are written in Python.

use std::process::Command;

#[test]
fn the_module_of_python_runners_passes_its_own_tests() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/runners/python");
    let mut python = Command::new("python3");
    // Isolated from the user's packages and variables, and writing nothing into the source tree.
    python.args(["-E", "-s", "-B", "-m", "unittest", "test_harness_runner"]).current_dir(dir);
    match python.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no python3 on PATH");
        }
        Err(error) => panic!("python3 cannot be started: {error}"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert!(said.contains("Ran ") && !said.contains("Ran 0 tests"), "{said}");
        }
    }
}
