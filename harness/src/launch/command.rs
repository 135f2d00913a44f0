//! Programs that a launch runs beside its server, each to its end: `lms load`, say.

use super::{Limits, Stop, TICK};
use crate::framework::Failure;
use crate::sample::FailureKind;
use std::io::Read;
use std::process::{Command, Stdio};

/// How much of what such a program said is kept for a failure.
const OUTPUT_BYTES_MAX: u64 = 2000;

/// Runs `argv` to its end; a failure unless it says that it succeeded. What it starts and leaves running stays, since
/// that is what such a program may be for.
pub(super) fn run(argv: &[String], due: &str, limits: &Limits) -> Result<(), Stop> {
    let name = argv.first().map_or("", String::as_str);
    let failed =
        |error: std::io::Error| Failure::new(FailureKind::Spawn, format!("cannot start {name}: {error}"));
    // Not pipes: what it leaves running may hold them open.
    let mut said = tempfile::tempfile().map_err(failed)?;
    let mut command = Command::new(name);
    command.args(&argv[1.min(argv.len())..]).stdin(Stdio::null());
    command.stdout(said.try_clone().map_err(failed)?).stderr(said.try_clone().map_err(failed)?);
    limits.hidden_variables.iter().for_each(|name| {
        command.env_remove(name);
    });
    let mut child = command.spawn().map_err(failed)?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if let Err(stop) = limits.check(due) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(stop);
        }
        std::thread::sleep(TICK);
    };
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    let _ = std::io::Seek::rewind(&mut said);
    let _ = said.take(OUTPUT_BYTES_MAX).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let how = super::child::describe_exit(status);
    Err(Failure::new(FailureKind::Reported, format!("{name} {how}: {}", text.trim())).into())
}
