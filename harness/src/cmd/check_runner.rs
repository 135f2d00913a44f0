//! `harness check-runner`: exercises a runner and says what it does wrong.

use crate::conformance::{Check, Runs, Status, Subject, Which, prompt_with_eos};
use crate::escape::printable;
use crate::framework::{Conversation, LaunchSpec};
use crate::launch::{Input, Launcher, Transcript};
use crate::model;
use crate::redact::Redactor;
use anyhow::{Context, Result};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};
use engine::gguf::Gguf;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Schema of what `--json` prints.
const JSON_SCHEMA: u32 = 1;
/// The model that is made where none is given.
const SHAPE: &str = "tiny-q4_0";
/// Ids below this are in every vocabulary; for model files that are no GGUF.
const VOCAB_SIZE_UNKNOWN: u32 = 256;

/// Which runner, and with which model.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model file that the runner reads; without it a tiny GGUF is made, with random weights
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Limit for one conversation, in seconds
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Program and arguments; {model} and {threads} in them are filled
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// Holds the conversations and shows what came of them: 0 if every rule was kept that could be judged, else 1.
pub fn run(args: &Args) -> Result<ExitCode> {
    let place = tempfile::tempdir().context("a temporary directory")?;
    let launcher = Launcher {
        shim: std::env::current_exe().ok(),
        logs_dir: place.path().to_owned(),
        timeout: Duration::from_secs(args.timeout),
        interrupted: Arc::default(),
        redactor: Redactor::default(),
        hidden_variables: Vec::new(),
    };
    let mut subject = subject(args.model.as_deref(), place.path())?;
    let engine = [std::env::current_exe()?.display().to_string(), "runner".into(), "engine".into()];
    if args.model.is_none() {
        let job = subject.scouting();
        let n = job.prompts.len();
        let input = Input::Line(serde_json::to_string(&job)?);
        let transcript = launcher.probe("scout", &spec(&subject, &engine, Which::Several), &input, n)?;
        subject.eos_prompt = prompt_with_eos(&subject, &transcript);
    }
    let mut runs = Runs::new(subject.clone());
    runs.refer_to(&hold(&launcher, &subject, &engine, Which::Several)?);
    for which in Which::ALL {
        if !args.json {
            eprintln!("{} …", which.name());
        }
        runs.add(which, hold(&launcher, &subject, &args.command, which)?);
    }
    let checks = runs.judge();
    let n_failed = checks.iter().filter(|check| check.status == Status::Failed).count();
    show(args, &checks, n_failed)?;
    Ok(ExitCode::from(u8::from(n_failed > 0)))
}

/// The model file, as the jobs tell it.
fn subject(model: Option<&Path>, place: &Path) -> Result<Subject> {
    let path = match model {
        Some(path) => std::path::absolute(path)?,
        None => {
            let path = place.join("model.gguf");
            model::synthesize(SHAPE, &path, model::STAND_IN_SEED, &mut |_| {})?;
            path
        }
    };
    let at = || path.display().to_string();
    let mut file = std::fs::File::open(&path).with_context(at)?;
    let mut hash = Sha256::new();
    let model_bytes = std::io::copy(&mut file, &mut hash).with_context(at)?;
    let gguf = Gguf::open(&path).ok();
    let vocab_size =
        gguf.as_ref().and_then(|g| g.require_strings("tokenizer.ggml.tokens").ok()).map(|t| t.len());
    let eos_id = gguf.as_ref().and_then(|g| g.require_u32("tokenizer.ggml.eos_token_id").ok());
    Ok(Subject {
        model_path: path.to_str().context("the model's path is not UTF-8")?.to_owned(),
        model_sha256: format!("{:x}", hash.finalize()),
        model_bytes,
        vocab_size: vocab_size.and_then(|n| u32::try_from(n).ok()).unwrap_or(VOCAB_SIZE_UNKNOWN),
        eos_id,
        eos_prompt: None,
    })
}

/// One conversation.
fn hold(launcher: &Launcher, subject: &Subject, command: &[String], which: Which) -> Result<Transcript> {
    let spec = spec(subject, command, which);
    let n_requests = subject.job(which).prompts.len();
    let launch_id = which.name().replace(' ', "-");
    Ok(launcher.probe(&launch_id, &spec, &subject.input(which), n_requests)?)
}

fn spec(subject: &Subject, command: &[String], which: Which) -> LaunchSpec {
    let job = subject.job(which);
    let fill = |part: &String| {
        part.replace("{threads}", &job.threads.to_string()).replace("{model}", &job.model.path)
    };
    LaunchSpec {
        argv: command.iter().map(fill).collect(),
        env: BTreeMap::new(),
        cpus: None,
        conversation: Conversation::Runner { job, self_reported_load: false },
    }
}

fn show(args: &Args, checks: &[Check], n_failed: usize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let document = json!({
            "schema": JSON_SCHEMA,
            "command": args.command,
            "passed": n_failed == 0,
            "checks": checks,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        return Ok(());
    }
    if out.is_terminal() {
        writeln!(out, "{}", table(checks))?;
    } else {
        checks.iter().try_for_each(|check| writeln!(out, "{}", plain_line(check)))?;
    }
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let (n_passed, n_skipped) = (count(Status::Passed), count(Status::Skipped));
    writeln!(out, "{n_passed} passed, {n_failed} failed, {n_skipped} skipped")?;
    Ok(())
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "FAILED",
        Status::Skipped => "skipped",
    }
}

fn table(checks: &[Check]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "rule", "found", "what to do"]);
    for check in checks {
        let rule = format!("{}: {}", check.id, check.rule);
        let remedy = check.remedy.unwrap_or_default();
        table.add_row([word(check.status), &rule, &printable(&check.found), remedy]);
    }
    table
}

fn plain_line(check: &Check) -> String {
    let remedy = check.remedy.map(|text| format!(" -> {text}")).unwrap_or_default();
    format!("{:<8} {}: {}: {}{remedy}", word(check.status), check.id, check.rule, printable(&check.found))
}
