//! `harness schema`: prints a JSON Schema.

use crate::protocol;
use anyhow::Result;
use std::io::Write;
use std::process::ExitCode;

/// Of what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A scenario, or what the runner protocol has on its lines
    #[arg(value_enum, default_value = "scenario")]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    Scenario,
    Job,
    Event,
}

/// Prints it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (job, event) = protocol::json_schemas();
    let text = match args.what {
        What::Scenario => crate::schema::scenario_schema(),
        What::Job => serde_json::to_string_pretty(&job)? + "\n",
        What::Event => serde_json::to_string_pretty(&event)? + "\n",
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
