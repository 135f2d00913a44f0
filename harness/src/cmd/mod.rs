//! The commands: one file each, one line each in [`Command`].

pub mod doctor;
pub mod models;
pub mod schema;
pub mod setup;

use anyhow::Result;
use std::process::ExitCode;

/// What `harness` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say what is there, which version, and what to do about the rest.
    Doctor(doctor::Args),
    /// List, fetch or make model files.
    #[command(subcommand)]
    Models(models::Action),
    /// Print the JSON Schema of scenarios.
    Schema,
    /// Install the frameworks that are missing.
    Setup(setup::Args),
}

/// Ids of the frameworks that a scenario may name. To be replaced by the registry's when that module is here.
const KNOWN_FRAMEWORKS: [&str; 11] = [
    "engine",
    "candle",
    "llama.cpp",
    "llama.cpp-metal",
    "ollama",
    "lm-studio",
    "onnxruntime",
    "transformers",
    "mistral.rs",
    "openvino-genai",
    "fake",
];

/// Runs a command; its exit code follows the list in the README.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Doctor(args) => doctor::run(&args),
        Command::Models(action) => models::run(action, &KNOWN_FRAMEWORKS),
        Command::Schema => schema::run(),
        Command::Setup(args) => setup::run(&args),
    }
}
