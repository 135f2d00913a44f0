//! The command line: one file for each command, one line in [`Command`].

mod bench;
mod generate;
mod inspect;
mod output;
mod perplexity;
mod synth;
mod tokenize;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What a command gives: nothing, or an error of the engine.
type Outcome = engine::Result<()>;

/// A CPU inference engine for GGUF language models.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log spans and events to stderr: error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<tracing_subscriber::filter::LevelFilter>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Continue a prompt.
    Generate(generate::Args),
    /// Time prefill and decode, as llama-bench does.
    Bench(bench::Args),
    /// Turn text into token ids; reads stdin without --text.
    Tokenize(tokenize::Args),
    /// Perplexity of a text, and divergence from another engine's distribution.
    Perplexity(perplexity::Args),
    /// Say what is in a model file.
    Inspect(inspect::Args),
    /// Make a synthetic model: real shape, random weights.
    Synth(synth::Args),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(level) = cli.log {
        use tracing_subscriber::fmt::format::FmtSpan;
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
        log.with_span_events(FmtSpan::CLOSE).init();
    }
    let outcome = match cli.command {
        Command::Generate(args) => generate::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Perplexity(args) => perplexity::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Synth(args) => synth::run(&args),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    // Wrong usage or a file that cannot be used is 2; what fails on the way is 1.
    let failed_on_the_way = matches!(error.kind(), engine::ErrorKind::Worker);
    ExitCode::from(if failed_on_the_way { 1 } else { 2 })
}
