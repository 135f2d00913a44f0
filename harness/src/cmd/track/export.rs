//! `harness track export`.

use super::{File, Filter, read};
use crate::bundle::write_atomically;
use crate::history::{Better, bencher, github, otava};
use crate::report::render_trends;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `harness track export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What for
    #[arg(long, value_enum)]
    format: Format,
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    filter: Filter,
    /// Write there instead of to stdout; for otava a directory
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Bencher Metric Format: the newest figures
    Bmf,
    /// github-action-benchmark, customBiggerIsBetter: the newest throughputs
    GithubBigger,
    /// github-action-benchmark, customSmallerIsBetter: the newest times and memory
    GithubSmaller,
    /// Apache Otava: a CSV file for each epoch of each series, and otava.yaml
    Otava,
    /// One self-contained page: every series with its picture, changes and epochs
    Html,
}

/// Writes the history in another form.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = args.filter.wanted()?;
    let history = read(&args.file)?;
    let text = match args.format {
        Format::Bmf => pretty(&bencher(&history, wanted))?,
        Format::GithubBigger => pretty(&github(&history, Better::Bigger, wanted))?,
        Format::GithubSmaller => pretty(&github(&history, Better::Smaller, wanted))?,
        Format::Html => render_trends(&history, wanted).html(),
        Format::Otava => {
            let Some(dir) = &args.out else {
                bail!("--format otava: several files; name a directory by --out")
            };
            for file in otava(&history, wanted) {
                put(&dir.join(&file.name), &file.content)?;
            }
            println!("{}", dir.join("otava.yaml").display());
            return Ok(ExitCode::SUCCESS);
        }
    };
    match &args.out {
        Some(out) => {
            put(out, &text)?;
            println!("{}", out.display());
        }
        None => print!("{text}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn pretty(value: &serde_json::Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn put(path: &Path, text: &str) -> Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    write_atomically(path, text.as_bytes()).with_context(|| path.display().to_string())
}
