//! `harness track append`.

use super::File;
use crate::bundle::{self, Bundle};
use crate::escape::printable;
use crate::history::{Commits, Line, append, lines};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `harness track append`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bundles of finished runs
    #[arg(required = true, value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    #[command(flatten)]
    file: File,
    /// The row that is the subject's last good version, which it is compared with in the same blocks; without this the row
    /// labelled SUBJECT-previous, where there is one
    #[arg(long, value_name = "LABEL")]
    previous: Option<String>,
    /// The commit that a row's program was built from; the engine of the harness itself is known without
    #[arg(long = "commit", value_name = "LABEL=COMMIT")]
    commits: Vec<String>,
}

/// Adds what is not there yet, and says how many lines that were.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let commits = args.commits.iter().map(|text| commit(text)).collect::<Result<Commits>>()?;
    // All of them are read before anything is written.
    let of = |dir: &PathBuf| -> Result<(Bundle, Vec<Line>)> {
        let bundle = bundle::read(dir)?;
        let lines = of_bundle(&bundle, args, &commits)?;
        Ok((bundle, lines))
    };
    let all = args.bundles.iter().map(of).collect::<Result<Vec<_>>>()?;
    for (bundle, lines) in all {
        let done = append(&args.file.path, &lines)?;
        let shown = args.file.path.display();
        if let Some(repaired) = done.repaired {
            eprintln!("warning: {shown}: {repaired}");
        }
        let id = printable(&bundle.manifest.id);
        match done.new {
            0 => println!("{shown}: has {id} already ({} lines)", done.known),
            new => println!("{shown}: {new} lines of {id}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn commit(text: &str) -> Result<(String, String)> {
    let parts = text.split_once('=').filter(|(label, commit)| !label.is_empty() && !commit.is_empty());
    let (label, commit) = parts.with_context(|| format!("--commit {text}: write LABEL=COMMIT"))?;
    Ok((label.to_owned(), commit.to_owned()))
}

fn of_bundle(bundle: &Bundle, args: &Args, commits: &Commits) -> Result<Vec<Line>> {
    let Bundle { dir, manifest, records, seal } = bundle;
    // Older versions wrote neither chain nor mark of the end.
    if seal.is_chained && seal.complete.is_none() {
        bail!("{}: the run did not end; end it by `harness run SCENARIO --resume {0}`", dir.display());
    }
    for label in args.previous.iter().chain(commits.keys()) {
        if manifest.scenario.framework(label).is_none() {
            let labels: Vec<&str> = manifest.scenario.frameworks.iter().map(|f| f.label.as_str()).collect();
            bail!("{}: has no row {label}; its rows are {}", dir.display(), labels.join(", "));
        }
    }
    Ok(lines(manifest, records, seal, args.previous.as_deref(), commits))
}
