//! `harness track`: the history of nightly sessions.

mod append;
mod check;
mod export;
mod show;
mod text;

use crate::escape::printable;
use crate::history::{self, History, Key, WATCHED, metric_named};
use crate::sample::Metric;
use anyhow::{Result, anyhow};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the history is looked for.
const HISTORY_FILE: &str = "reports/history/nightly.jsonl";
/// Schema of what `--json` prints.
const JSON_SCHEMA: u32 = 1;
/// The bundle, the history or the usage is wrong.
const EXIT_WRONG: u8 = 2;

/// What to do with the history.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Add the figures of bundles; what is there already stays as it is
    Append(append::Args),
    /// Tell regressions of the newest sessions; exits with 4 for one
    Check(check::Args),
    /// List series with their last value, changes and epochs
    Show(show::Args),
    /// Write the history for other tools, or as a page
    Export(export::Args),
}

/// Which history.
#[derive(Debug, clap::Args)]
pub struct File {
    /// The history
    #[arg(long = "history", value_name = "FILE", default_value = HISTORY_FILE)]
    path: PathBuf,
}

/// Which series of it.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// Only series whose name has one of these texts in it; a name is SCENARIO/ROW/WORKLOAD/tTHREADS/METRIC@MACHINE
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    series: Vec<String>,
    /// Only these metrics, by their names in summary.csv, or `all`
    #[arg(long, value_name = "METRIC", value_delimiter = ',', default_values_t = WATCHED.map(|m| crate::summary::metric_key(m).to_owned()))]
    metrics: Vec<String>,
}

impl Filter {
    /// Whether a series is asked for.
    ///
    /// # Errors
    /// If a metric has a name that there is not.
    fn wanted(&self) -> Result<impl Fn(&Key) -> bool + '_> {
        let named = |name: &String| match name.as_str() {
            "all" => Ok(Metric::ALL.to_vec()),
            name => metric_named(name).map(|metric| vec![metric]).ok_or_else(|| {
                let names = Metric::ALL.map(crate::summary::metric_key).join(", ");
                anyhow!("--metrics: {} is not a metric; there are {names} and all", printable(name))
            }),
        };
        let metrics = self.metrics.iter().map(named).collect::<Result<Vec<_>>>()?.concat();
        let is_named = |key: &Key| {
            let name = key.to_string();
            self.series.is_empty() || self.series.iter().any(|text| name.contains(text))
        };
        Ok(move |key: &Key| metrics.contains(&key.metric) && is_named(key))
    }
}

/// Runs it.
pub fn run(action: Action) -> Result<ExitCode> {
    let done = match action {
        Action::Append(args) => append::run(&args),
        Action::Check(args) => check::run(&args),
        Action::Show(args) => show::run(&args),
        Action::Export(args) => export::run(&args),
    };
    done.or_else(|error| {
        eprintln!("error: {}", printable(&format!("{error:#}")));
        Ok(ExitCode::from(EXIT_WRONG))
    })
}

/// Reads the history and says on stderr what is not as it should be.
fn read(file: &File) -> Result<History> {
    let history = history::read(&file.path)?;
    for remark in &history.remarks {
        eprintln!("warning: {}: {}", file.path.display(), printable(&remark.to_string()));
    }
    Ok(history)
}
