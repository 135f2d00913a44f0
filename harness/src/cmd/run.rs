//! `harness run`: from a scenario to a report.

mod ending;
mod estimate;
mod frameworks;
mod launching;
mod loading;
mod looking;
mod missing;
mod planning;
mod preparing;
mod progress;
mod provenance;
mod refusing;
mod verifying;

use super::more::MoreFrameworks;
use crate::bundle::{self, Bundle};
use crate::escape::{printable_lines, shell_word};
use crate::framework::server_url::ALLOW_REMOTE_FLAG;
use crate::launch::Interrupted;
use crate::sample::{LaunchRecord, Outcome, Role};
use anyhow::Result;
use launching::Ended;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where bundles go.
const RUNS_DIR: &str = "reports/runs";
/// A wrong scenario, file or option.
const EXIT_USAGE: u8 = 2;
/// Finished, but at least one launch could not be measured, or a gate failed.
const EXIT_INCOMPLETE: u8 = 3;
/// Interrupted; can be resumed.
const EXIT_INTERRUPTED: u8 = 130;

/// What to run, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scenario
    scenario: PathBuf,
    /// Measure these rows only, by label or framework id
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    only: Vec<String>,
    /// Leave these rows out
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    skip: Vec<String>,
    #[command(flatten)]
    more: MoreFrameworks,
    /// Install what is missing first
    #[arg(long)]
    setup: bool,
    /// The program of a row, by label or framework id: goes before the cache, PATH and environment variables
    #[arg(long = "program", value_name = "ROW=PATH")]
    programs: Vec<frameworks::GivenProgram>,
    /// Instead of the scenario's number of blocks
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    blocks: Option<u32>,
    /// Where to make the bundle's directory
    #[arg(long, value_name = "DIR", default_value = RUNS_DIR)]
    out: PathBuf,
    /// Go on with the bundle of a run that did not end
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["only", "skip", "blocks", "out", "seed", "dry_run"])]
    resume: Option<PathBuf>,
    /// With --resume: make no more launches, and end the run with those that it has; the report says so
    #[arg(long, requires = "resume")]
    end: bool,
    /// Show the plan, measure nothing
    #[arg(long)]
    dry_run: bool,
    /// Let the scenario name servers on other machines, to which prompts are then sent
    #[arg(long)]
    allow_remote: bool,
    /// Instead of the scenario's seed
    #[arg(long)]
    seed: Option<u64>,
}

/// An error of the user's: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs the scenario.
pub fn run(args: &Args) -> Result<ExitCode> {
    match pipeline(args) {
        Err(error) if error.is::<Usage>() => {
            eprintln!("error: {}", printable_lines(&error.to_string()));
            Ok(ExitCode::from(EXIT_USAGE))
        }
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted before anything was measured; there is no bundle");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
        result => result,
    }
}

fn pipeline(args: &Args) -> Result<ExitCode> {
    if let (true, Some(dir)) = (args.end, &args.resume) {
        ending::end(&args.scenario, dir)?;
        return conclude(dir);
    }
    let loaded = loading::load(args)?;
    let planned = planning::plan(args, &loaded)?;
    let forecast = planning::forecast(args, &loaded, &planned);
    let time = planning::time(&planned, &forecast);
    if args.dry_run {
        planning::show(&planned, time);
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{time}");
    let (dir, ended) = launching::launch(args, &loaded, planned, forecast)?;
    if ended == Ended::Interrupted {
        let resume = resume_command(args, &dir);
        eprintln!("interrupted; go on with: {resume}\nor leave it at what was measured: {resume} --end");
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    conclude(&dir)
}

/// Writes what follows from the evidence of a run that has ended.
fn conclude(dir: &Path) -> Result<ExitCode> {
    let bundle = summarize(dir)?;
    report(&bundle)?;
    Ok(exit_code(&bundle))
}

/// Reads the evidence back, as anybody could.
fn summarize(dir: &Path) -> Result<Bundle> {
    let bundle = bundle::read(dir)?;
    bundle::write_samples_csv(&bundle)?;
    Ok(bundle)
}

/// Writes the report and says where it is.
fn report(bundle: &Bundle) -> Result<()> {
    let path = super::report::write(bundle, &bundle.dir)?;
    println!("{}", path.display());
    Ok(())
}

fn exit_code(bundle: &Bundle) -> ExitCode {
    // A cross-check that failed is said in the report; it is no framework.
    let measured = bundle.records.iter().filter(|r| r.role != Role::CrossCheck);
    let n_failed = measured.clone().filter(|r| matches!(r.outcome, Outcome::Failed { .. })).count();
    let has_failed_gate =
        |r: &&LaunchRecord| matches!(&r.outcome, Outcome::Measured(m) if m.gates.iter().any(|g| !g.passed));
    let n_invalid = measured.filter(has_failed_gate).count();
    if n_failed > 0 {
        eprintln!("{n_failed} launches could not be measured; the report says why");
    }
    if n_invalid > 0 {
        eprintln!("{n_invalid} launches did other work than was asked; the report says which gate failed");
    }
    if n_failed + n_invalid > 0 { ExitCode::from(EXIT_INCOMPLETE) } else { ExitCode::SUCCESS }
}

/// With all that the run was told which its bundle does not tell, as a shell reads it.
fn resume_command(args: &Args, dir: &Path) -> String {
    let path = |path: &Path| path.display().to_string();
    let mut words = vec!["harness".to_owned(), "run".to_owned(), path(&args.scenario)];
    if let Some(file) = args.more.file() {
        words.extend(["--frameworks".to_owned(), path(file)]);
    }
    words.extend(["--resume".to_owned(), path(dir)]);
    for given in &args.programs {
        words.extend(["--program".to_owned(), given.argument()]);
    }
    if args.allow_remote {
        words.push(ALLOW_REMOTE_FLAG.to_owned());
    }
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_command_that_resumes_can_be_pasted_into_a_shell() {
        let check = |arguments: &[&str], dir: &str, wanted: &str| {
            let cli = Cli::parse_from(["run"].iter().chain(arguments));
            assert_eq!(resume_command(&cli.args, Path::new(dir)), wanted);
        };
        check(&["a.yaml", "--only", "x"], "runs/1", "harness run a.yaml --resume runs/1");
        check(
            &["my file.yaml", "--allow-remote", "--program", "cpp=/opt/l c/x", "--frameworks", "f.yaml"],
            "my runs/1",
            "harness run 'my file.yaml' --frameworks f.yaml --resume 'my runs/1' --program 'cpp=/opt/l c/x' --allow-remote",
        );
    }
}
