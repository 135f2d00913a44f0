//! `harness schema`: prints the JSON Schema of scenarios.

use anyhow::Result;
use std::io::Write;
use std::process::ExitCode;

/// Prints it.
pub fn run() -> Result<ExitCode> {
    std::io::stdout().write_all(crate::schema::scenario_schema().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
