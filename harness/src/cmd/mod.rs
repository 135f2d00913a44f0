//! The commands: one file each, one line each in [`Command`].

pub mod schema;
pub mod setup;

use anyhow::Result;
use std::process::ExitCode;

/// What `harness` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the JSON Schema of scenarios.
    Schema,
    /// Install the frameworks that are missing.
    Setup(setup::Args),
}

/// Runs a command; its exit code follows the list in the README.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Schema => schema::run(),
        Command::Setup(args) => setup::run(&args),
    }
}
