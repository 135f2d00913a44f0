//! `engine inspect`

use super::output;
use engine::gguf::Gguf;
use engine::inspect::inspect;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// GGUF file.
    model: PathBuf,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> super::Outcome {
    let inspection = inspect(&Gguf::open(&args.model)?);
    if args.json { output::json(&inspection) } else { output::print(&inspection.to_string()) }
}
