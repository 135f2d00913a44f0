//! The commands: one file each, one line each in [`Command`].

pub mod check_runner;
pub mod child;
pub mod compare;
pub mod doctor;
pub mod models;
pub mod more;
pub mod report;
pub mod run;
pub mod runner;
pub mod schema;
pub mod setup;
pub mod track;
pub mod verify;

use anyhow::Result;
use std::process::ExitCode;

/// What `harness` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Measure what a scenario says and write the report.
    Run(run::Args),
    /// List, fetch or make model files.
    #[command(subcommand)]
    Models(models::Action),
    /// Write the reports of bundles, or check that they are up to date.
    Report(report::Args),
    /// Compute again whatever in bundles can be, and name every difference.
    Verify(verify::Args),
    /// Compare a bundle with an earlier one.
    Compare(compare::Args),
    /// Keep the history of nightly sessions, and tell regressions.
    #[command(subcommand)]
    Track(track::Action),
    /// Exercise a runner and say what it does wrong.
    CheckRunner(check_runner::Args),
    /// Print the JSON Schema of scenarios, or of the runner protocol.
    Schema(schema::Args),
    /// Speak the runner protocol
    #[command(hide = true, subcommand)]
    Runner(runner::Runner),
    /// Become another program that dies with this one's parent
    #[command(hide = true)]
    LaunchChild(child::Args),
    /// Install the frameworks that are missing.
    Setup(setup::Args),
    /// Say what is there, which version, and what to do about the rest.
    Doctor(doctor::Args),
}

/// Runs a command; its exit code follows the list in the README.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Models(action) => models::run(action),
        Command::Report(args) => report::run(args),
        Command::Verify(args) => verify::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Track(action) => track::run(action),
        Command::CheckRunner(args) => check_runner::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Runner(which) => runner::run(&which),
        Command::LaunchChild(args) => child::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}
