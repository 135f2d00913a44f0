//! `harness doctor`: what is there, which version, and what to do about the rest.

mod checks;

use super::more::MoreFrameworks;
use crate::cache::Cache;
use crate::escape::printable;
use crate::framework::Registry;
use crate::scenario::Scenario;
use anyhow::{Context, Result};
use checks::Check;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A wrong scenario.
const EXIT_USAGE: u8 = 2;
/// Something that the scenario needs is not there.
const EXIT_INCOMPLETE: u8 = 3;
/// Schema of the JSON.
const DOCTOR_SCHEMA: u32 = 1;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look at what this scenario needs; without it at everything, and nothing is required
    scenario: Option<PathBuf>,
    #[command(flatten)]
    more: MoreFrameworks,
    /// Write one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found, as `--json` writes it.
#[derive(Debug, Serialize)]
struct Findings {
    schema: u32,
    scenario: Option<PathBuf>,
    /// Whether everything that the scenario needs is there.
    is_ready: bool,
    checks: Vec<Check>,
}

/// Looks, reports, and says by its exit code whether the scenario can run.
pub fn run(args: &Args) -> Result<ExitCode> {
    let registry = match args.more.registry() {
        Ok(registry) => registry,
        Err(error) => {
            eprintln!("error: {}", printable(&error.to_string()));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let scenario = match args.scenario.as_deref().map(|path| load(path, &registry)).transpose() {
        Ok(scenario) => scenario,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let findings = examine(args, &registry, scenario.as_ref(), &Cache::from_env()?);
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &findings).context("cannot write the findings")?;
        writeln!(out)?;
    } else if out.is_terminal() {
        writeln!(out, "{}", table(&findings.checks))?;
    } else {
        findings.checks.iter().try_for_each(|check| writeln!(out, "{}", plain_line(check)))?;
    }
    if let (Some(path), false) = (&args.scenario, args.json) {
        let verdict = if findings.is_ready { "everything is there" } else { "something is missing" };
        writeln!(out, "{}: {verdict}", path.display())?;
    }
    Ok(if findings.is_ready { ExitCode::SUCCESS } else { ExitCode::from(EXIT_INCOMPLETE) })
}

fn load(path: &Path, registry: &Registry) -> Result<Scenario, crate::scenario::ScenarioError> {
    Scenario::load(path, &registry.known()).map(|(scenario, _)| scenario)
}

fn examine(args: &Args, registry: &Registry, scenario: Option<&Scenario>, cache: &Cache) -> Findings {
    let mut checks = checks::frameworks(registry, scenario, cache);
    if let (Some(scenario), Some(path)) = (scenario, &args.scenario) {
        checks.push(checks::model(scenario, path, cache));
    }
    // Only these two are needed by the scenario itself; the rest helps to set up and to measure well.
    let is_ready = scenario.is_none() || checks.iter().all(|check| check.status.is_usable());
    checks.extend(checks::tools());
    checks.extend(checks::machine(cache));
    Findings { schema: DOCTOR_SCHEMA, scenario: args.scenario.clone(), is_ready, checks }
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "what", "found", "what to do"]);
    for check in checks {
        let remedy = check.remedy.as_deref().unwrap_or_default();
        let (name, found, remedy) = (printable(&check.name), printable(&check.found), printable(remedy));
        table.add_row([check.status.word(), name.as_str(), found.as_str(), remedy.as_str()]);
    }
    table
}

fn plain_line(check: &Check) -> String {
    let remedy = check.remedy.as_ref().map(|text| format!(" -> {text}")).unwrap_or_default();
    printable(&format!("{:<8} {}: {}{remedy}", check.status.word(), check.name, check.found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_all_of_it() {
        let check = Check::missing("model x", "not in the cache", "fetch it");
        assert_eq!(plain_line(&check), "missing  model x: not in the cache -> fetch it");
        assert!(table(&[check]).to_string().contains("fetch it"));
    }

    #[test]
    fn an_empty_cache_is_not_ready_for_a_scenario_that_needs_llama_cpp() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::embedded().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/quick.yaml");
        let scenario = load(&path, &registry).unwrap();
        let args = Args { scenario: Some(path), more: MoreFrameworks::default(), json: true };
        let findings = examine(&args, &registry, Some(&scenario), &Cache::at(dir.path()));
        assert!(!findings.is_ready);
        let model = findings.checks.iter().find(|c| c.name.starts_with("model")).unwrap();
        assert_eq!(model.status, checks::Status::Missing);
        assert!(model.remedy.as_ref().unwrap().contains("harness models fetch"), "{model:?}");

        let args = Args { scenario: None, ..args };
        let all = examine(&args, &registry, None, &Cache::at(dir.path()));
        assert!(all.is_ready);
        assert_eq!(all.checks.iter().filter(|c| c.area == "framework").count(), registry.entries().len());
    }

    #[test]
    fn a_row_that_names_its_server_needs_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::embedded().unwrap();
        let path = dir.path().join("s.yaml");
        let status = |row: &str| {
            let quick = include_str!("../../../scenarios/quick.yaml");
            let text = quick
                .replace("[llama.cpp, candle, engine]", &format!("[{row}, engine]"))
                .replace("baseline: llama.cpp", "baseline: ollama");
            std::fs::write(&path, text).unwrap();
            let scenario = load(&path, &registry).unwrap();
            let cache = Cache::at(dir.path());
            let checks = checks::frameworks(&registry, Some(&scenario), &cache);
            checks.into_iter().find(|c| c.name == "ollama").unwrap().found
        };
        let url = "{id: ollama, options: {url: \"http://127.0.0.1:1\"}}";
        assert!(status(url).starts_with("a server that runs already"), "{}", status(url));
        assert!(!status("ollama").starts_with("a server that runs already"));
    }
}
