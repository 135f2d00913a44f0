//! `harness verify`: computes again whatever in a bundle can be, and names every difference.

use crate::audit::{Audit, audit};
use crate::bundle::BundleError;
use crate::escape::printable;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Schema of what `--json` prints.
const JSON_SCHEMA: u32 = 1;
/// A file that cannot be read, or is of a newer version.
const EXIT_UNREADABLE: u8 = 2;

/// Arguments of `harness verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bundles to verify
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Verifies the bundles: 0 if nothing differs, 1 if something does, 2 if one cannot be read.
pub fn run(args: &Args) -> Result<ExitCode> {
    let results: Vec<_> = args.bundles.iter().map(|dir| (dir.as_path(), audit(dir))).collect();
    if args.json {
        let bundles: Vec<Value> = results.iter().map(|(dir, result)| to_json(dir, result)).collect();
        println!("{}", serde_json::to_string_pretty(&json!({"schema": JSON_SCHEMA, "bundles": bundles}))?);
    } else {
        results.iter().for_each(|(dir, result)| show(dir, result));
    }
    let worst = results.iter().map(|(_, result)| exit_code(result)).max().unwrap_or(0);
    Ok(ExitCode::from(worst))
}

fn exit_code(result: &Result<Audit, BundleError>) -> u8 {
    match result {
        Ok(audit) => u8::from(!audit.is_clean()),
        Err(BundleError::Content { .. }) => 1,
        Err(_) => EXIT_UNREADABLE,
    }
}

fn show(dir: &Path, result: &Result<Audit, BundleError>) {
    let audit = match result {
        Ok(audit) => audit,
        Err(error) => {
            eprintln!("error: {}", printable(&error.to_string()));
            return;
        }
    };
    for finding in &audit.findings {
        eprintln!("{}/{}", dir.display(), printable(&finding.to_string()));
    }
    for note in &audit.notes {
        println!("{}: {}", dir.display(), printable(&note.to_string()));
    }
    let verdict = match audit.findings.len() {
        0 => "verified".to_owned(),
        1 => "not verified: 1 difference".to_owned(),
        n => format!("not verified: {n} differences"),
    };
    let chain = audit.chain.as_ref().map(|chain| format!(", chain {chain}")).unwrap_or_default();
    println!("{}: {verdict}; {} lines{chain}", dir.display(), audit.lines);
}

fn to_json(dir: &Path, result: &Result<Audit, BundleError>) -> Value {
    let dir = dir.display().to_string();
    match result {
        Ok(audit) => json!({"dir": dir, "verified": audit.is_clean(), "audit": audit, "error": null}),
        Err(error) => json!({"dir": dir, "verified": false, "audit": null, "error": error.to_string()}),
    }
}
