//! `harness`: measures LLM inference frameworks side by side and writes the comparison down.
#![forbid(unsafe_code)]

use clap::Parser;
use std::process::ExitCode;

/// A reproducible cross-framework benchmark harness for LLM inference.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: harness::cmd::Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match harness::cmd::run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", harness::escape::printable_lines(&format!("{error:#}")));
            ExitCode::from(1)
        }
    }
}
