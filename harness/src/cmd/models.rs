//! `harness models`: what model files there are, and how to get them.

use super::more::MoreFrameworks;
use crate::cache::Cache;
use crate::model::{self, Progress, Stage, Tools};
use crate::scenario::{Known, Scenario};
use crate::units::bytes_to_mb;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do about model files.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// List the files in the cache.
    List,
    /// Get the model of a scenario, or its stand-in, and verify it.
    Fetch {
        /// The scenario.
        scenario: PathBuf,
        /// Frameworks that the scenario may name.
        #[command(flatten)]
        more: MoreFrameworks,
    },
    /// Write a synthetic model: a real shape, random weights.
    Synth {
        /// Name of the shape: `tinyllama-1.1b-q4_0`.
        shape: String,
        /// The file to write.
        out: PathBuf,
        /// Seed of the weights.
        #[arg(long, default_value_t = model::STAND_IN_SEED)]
        seed: u64,
    },
}

/// Does it.
pub fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::List => list(&Cache::from_env()?),
        Action::Fetch { scenario, more } => fetch(&scenario, &more.registry()?.known()),
        Action::Synth { shape, out, seed } => {
            let mut meter = Meter::new();
            model::synthesize(&shape, &out, seed, &mut |p| meter.show(p))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(cache: &Cache) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for (path, bytes) in model::cached(cache) {
        writeln!(out, "{:>10.1} MB  {}", bytes_to_mb(bytes), path.display())?;
    }
    eprintln!("in {}", cache.models_dir().display());
    Ok(ExitCode::SUCCESS)
}

fn fetch(path: &Path, known: &[Known]) -> Result<ExitCode> {
    let scenario = match Scenario::load(path, known) {
        Ok((scenario, _)) => scenario,
        Err(e) => {
            eprintln!("error: {e}");
            return Ok(ExitCode::from(2));
        }
    };
    let base_dir = path.parent().unwrap_or(Path::new("."));
    let mut meter = Meter::new();
    let file = model::ensure(&scenario.model, base_dir, &Cache::from_env()?, &Tools::default(), &mut |p| {
        meter.show(p)
    })
    .with_context(|| format!("the model of {}", path.display()))?;
    meter.end();
    if let Some(reason) = &file.stand_in_reason {
        eprintln!("{}: {reason}", file.name);
    }
    println!("{}", file.path.display());
    Ok(ExitCode::SUCCESS)
}

/// Shows progress: a bar on a terminal, otherwise a line for each stage.
pub struct Meter {
    bar: Option<ProgressBar>,
    stage: Option<Stage>,
}

impl Meter {
    /// Shows nothing before there is something.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        Self { bar, stage: None }
    }

    /// Shows `p`.
    pub fn show(&mut self, p: Progress) {
        let what = match p.stage {
            Stage::Download => "downloading",
            Stage::Wheel => "asking pip for the wheel",
            Stage::Extract => "extracting",
            Stage::Synthesize => "making the synthetic model",
            Stage::Verify => "verifying",
        };
        let is_new = self.stage.replace(p.stage) != Some(p.stage);
        match &self.bar {
            Some(bar) => {
                if is_new {
                    bar.reset();
                    let template = "{msg} {bar:30} {bytes} of {total_bytes} {bytes_per_sec} {eta}";
                    bar.set_style(
                        ProgressStyle::with_template(template)
                            .unwrap_or_else(|_| ProgressStyle::default_bar()),
                    );
                    bar.set_message(what);
                }
                p.total.inspect(|&t| bar.set_length(t));
                bar.set_position(p.done);
            }
            None if is_new => match p.total {
                Some(total) => eprintln!("{what}: {:.1} MB", bytes_to_mb(total)),
                None => eprintln!("{what}"),
            },
            None => {}
        }
    }

    /// Clears the bar.
    pub fn end(&self) {
        self.bar.as_ref().inspect(|bar| bar.finish_and_clear());
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}
