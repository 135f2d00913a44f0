//! The commands: one file each, one line each in [`Command`].

pub mod child;
pub mod runner;
pub mod schema;
pub mod setup;

use anyhow::Result;
use std::process::ExitCode;

/// What `harness` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the JSON Schema of scenarios.
    Schema,

    /// Speak the runner protocol
    #[command(hide = true, subcommand)]
    Runner(runner::Runner),
    /// Become another program that dies with this one's parent
    #[command(hide = true)]
    LaunchChild(child::Args),

    /// Install the frameworks that are missing.
    Setup(setup::Args),

}

/// Runs a command; its exit code follows the list in the README.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Schema => schema::run(),

        Command::Runner(which) => runner::run(&which),
        Command::LaunchChild(args) => child::run(&args),

        Command::Setup(args) => setup::run(&args),

    }
}
