//! `harness compare`: two bundles side by side.

use crate::bundle::{self, Bundle};
use crate::comparison::{Comparison, Side, compare, markdown};
use crate::escape::printable;
use anyhow::Result;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Schema of what `--json` prints.
const JSON_SCHEMA: u32 = 1;
/// The two cannot be compared.
const EXIT_NOT_COMPARABLE: u8 = 2;
/// The subject got worse.
const EXIT_REGRESSION: u8 = 4;

/// Arguments of `harness compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle to compare with
    a: PathBuf,
    /// The bundle that is compared
    b: PathBuf,
    /// Compare two machines, without verdicts
    #[arg(long)]
    across_machines: bool,
    /// Exit with 4 if some metric of the subject is worse by more than the margin
    #[arg(long, conflicts_with = "across_machines")]
    fail_on_regression: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Compares B with A: 0 if that could be done, 2 if not, 4 for a regression where that was asked.
pub fn run(args: &Args) -> Result<ExitCode> {
    let comparison = match comparison(args) {
        Ok(comparison) => comparison,
        Err(reasons) => return refuse(args, &reasons),
    };
    if args.json {
        let document =
            json!({"schema": JSON_SCHEMA, "comparable": true, "reasons": [], "comparison": comparison});
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        print!("{}", markdown(&comparison));
    }
    if !args.fail_on_regression {
        return Ok(ExitCode::SUCCESS);
    }
    for line in comparison.regressions() {
        eprintln!(
            "regression: {}, {}, {} threads: {} is {}",
            printable(&line.framework),
            printable(&line.workload),
            line.threads,
            line.metric,
            line.verdict.unwrap_or_default()
        );
    }
    if comparison.regressions().next().is_some() {
        return Ok(ExitCode::from(EXIT_REGRESSION));
    }
    if let Some(reason) = comparison.blind_spot() {
        eprintln!("error: a regression could have gone unseen: {}", printable(&reason));
        return Ok(ExitCode::from(EXIT_NOT_COMPARABLE));
    }
    Ok(ExitCode::SUCCESS)
}

/// The comparison, or every reason why there is none.
fn comparison(args: &Args) -> Result<Comparison, Vec<String>> {
    let read = |dir| bundle::read(dir).map_err(|error| vec![error.to_string()]);
    let (a, b) = match (read(&args.a), read(&args.b)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => return Err([a.err(), b.err()].into_iter().flatten().flatten().collect()),
    };
    compare(side(&a), side(&b), args.across_machines)
}

fn side(bundle: &Bundle) -> Side<'_> {
    Side { manifest: &bundle.manifest, records: &bundle.records }
}

fn refuse(args: &Args, reasons: &[String]) -> Result<ExitCode> {
    if args.json {
        let document =
            json!({"schema": JSON_SCHEMA, "comparable": false, "reasons": reasons, "comparison": null});
        println!("{}", serde_json::to_string_pretty(&document)?);
    }
    eprintln!("error: these bundles cannot be compared:");
    reasons.iter().for_each(|reason| eprintln!("- {}", printable(reason)));
    Ok(ExitCode::from(EXIT_NOT_COMPARABLE))
}
