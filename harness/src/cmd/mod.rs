//! The commands: one file each, one line each in [`Command`].

pub mod report;
pub mod schema;

use anyhow::Result;
use std::process::ExitCode;

/// What `harness` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write the reports of bundles, or check that they are up to date.
    Report(report::Args),
    /// Print the JSON Schema of scenarios.
    Schema,
}

/// Runs a command; its exit code follows the list in the README.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Report(args) => report::run(args),
        Command::Schema => schema::run(),
    }
}
