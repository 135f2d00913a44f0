//! Carrying out the plan: each launch is recorded before the next begins.

use super::estimate::Forecast;
use super::frameworks::Row;
use super::loading::Loaded;
use super::planning::Planned;
use super::progress::Progress;
use super::provenance::now;
use super::verifying::Verifying;
use super::{Args, Usage, looking, refusing};
use crate::bundle::{self, BundleError, Manifest, Writer};
use crate::conditions::{CanaryRunner, Conditions, Sensors};
use crate::framework::server::TRIES_MORE_MAX;
use crate::framework::{Failure, LaunchRequest, LaunchSpec, ModelRef, describe, describe_cross_check};
use crate::launch::{Launcher, end_abandoned, free_port};
use crate::plan::PlannedLaunch;
use crate::prompts::{LaunchIdx, prompts, word_prompts};
use crate::protocol::Verify;
use crate::sample::{LaunchRecord, Outcome, Role, SAMPLE_SCHEMA};
use crate::scenario::{CROSS_CHECK_FRAMEWORK, Workload};
use crate::summary::blocks_due;
use anyhow::{Context, Result, anyhow};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Complete,
    Interrupted,
}

/// Makes or reopens the bundle and carries out what remains of the plan. Returns the bundle's directory.
pub(super) fn launch(
    args: &Args,
    loaded: &Loaded,
    planned: Planned,
    forecast: Forecast,
) -> Result<(PathBuf, Ended)> {
    let interrupted = catch_signals()?;
    let Planned { mut manifest, remaining } = planned;
    let redactor = loaded.redactor.clone();
    let mut launcher = Launcher {
        shim: std::env::current_exe().ok(),
        logs_dir: PathBuf::new(),
        timeout: Duration::from_secs(loaded.scenario.launch_timeout_s.into()),
        interrupted,
        redactor: redactor.clone(),
        hidden_variables: loaded.registry.entries().iter().filter_map(|e| e.key_variable.clone()).collect(),
    };
    end_abandoned();
    if args.resume.is_none() {
        refusing::ask(loaded, &mut manifest, &launcher, args.allow_remote)?;
    }
    let (mut writer, finished) = match &args.resume {
        Some(dir) => {
            let resumed =
                Writer::resume(dir, &loaded.scenario_sha256, &loaded.model.sha256, redactor.clone());
            let (writer, bundle) = resumed.map_err(|e| Usage(e.to_string()))?;
            (writer, bundle.finished())
        }
        None => (Writer::create(&args.out, manifest.clone(), redactor.clone())?, Default::default()),
    };
    for record in unavailable_records(&manifest) {
        if !finished.contains(&record.launch_id) {
            writer.append(&record).map_err(|error| not_recorded(args, writer.dir(), &error))?;
        }
    }
    launcher.logs_dir = writer.logs_dir();
    let mut verifying = Verifying::after(loaded.resumed.iter().flat_map(|bundle| &bundle.records));
    let canary = looking::canary(&loaded.scenario, &loaded.machine);
    let mut due = manifest.scenario.blocks;
    let n_before = |due: u32| remaining.iter().filter(|l| l.block < due).count();
    let mut progress = Progress::new(&remaining, n_before(due), forecast);
    for planned in &remaining {
        if planned.block >= due {
            let bundle = bundle::read(writer.dir())?;
            due = blocks_due(&manifest, &bundle.records, planned.block);
            if planned.block >= due {
                break;
            }
            progress.grow(n_before(due));
        }
        progress.begin(&planned.launch_id);
        let Some(record) = one(
            &launcher,
            loaded,
            planned,
            canary.as_ref(),
            verifying.request(loaded, planned),
            args.allow_remote,
        )?
        else {
            return Ok((writer.dir().to_owned(), Ended::Interrupted));
        };
        writer.append(&record).map_err(|error| not_recorded(args, writer.dir(), &error))?;
        verifying.take(&record);
        progress.end(&record);
    }
    let dir = writer.dir().to_owned();
    writer.finish()?;
    Ok((dir, Ended::Complete))
}

/// A launch that could not be written down ends the run, and can be made again.
fn not_recorded(args: &Args, dir: &Path, error: &BundleError) -> anyhow::Error {
    let resume = super::resume_command(args, dir);
    anyhow!(
        "{error}: the last launch could not be recorded; those before it are safe. Make room on the disk, then go on with: {resume}"
    )
}

/// The first signal asks the run to stop; a second one ends it at once.
fn catch_signals() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(super::EXIT_INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, code, interrupted.clone())?;
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    Ok(interrupted)
}

/// Carries out one launch; `None` if the run was interrupted.
fn one(
    launcher: &Launcher,
    loaded: &Loaded,
    planned: &PlannedLaunch,
    canary: Option<&CanaryRunner>,
    verify: Option<Verify>,
    allow_remote: bool,
) -> Result<Option<LaunchRecord>> {
    // Without a canary nothing computes, and the machine is not looked at.
    let before = canary.map(|canary| (canary.run(), Sensors::read()));
    let started_at = now();
    let mut environment = BTreeMap::new();
    let (argv, wall_ns, outcome) = match spec(loaded, planned, verify, allow_remote, &loaded.model.path)? {
        Ok(mut spec) => {
            spec.cpus = looking::cpus(loaded.scenario.pin, planned.cell.threads);
            match launcher.launch(&planned.launch_id, planned.cell.threads, &spec) {
                Ok(launched) => {
                    environment = spec.env;
                    (launched.argv, launched.wall_ns, launched.outcome)
                }
                Err(_) => return Ok(None),
            }
        }
        Err(failure) => (Vec::new(), 0, failed(failure)),
    };
    let conditions = before.map_or_else(Conditions::default, |(canary, before)| {
        Conditions::between(&before, &Sensors::read(), cpu_s(&outcome), None, Some(canary))
    });
    Ok(Some(LaunchRecord {
        schema: SAMPLE_SCHEMA,
        launch_id: planned.launch_id.clone(),
        block: planned.block,
        position: planned.position,
        role: planned.role,
        framework: planned.cell.framework.clone(),
        workload: planned.cell.workload.clone(),
        threads: planned.cell.threads,
        started_at,
        wall_ns,
        argv,
        environment,
        conditions,
        outcome,
    }))
}

/// Processor time that the framework's processes took, s.
fn cpu_s(outcome: &Outcome) -> Option<f64> {
    match outcome {
        Outcome::Measured(measured) => Some(measured.cpu.launch.user_s? + measured.cpu.launch.system_s?),
        Outcome::Failed { .. } => None,
    }
}

fn failed(failure: Failure) -> Outcome {
    Outcome::Failed { kind: failure.kind, message: failure.message, stderr_tail: String::new() }
}

/// Describes one launch, of the model file at `model`.
pub(super) fn spec(
    loaded: &Loaded,
    planned: &PlannedLaunch,
    verify: Option<Verify>,
    allow_remote: bool,
    model: &Path,
) -> Result<Result<LaunchSpec, Failure>> {
    let scenario = &loaded.scenario;
    let row = row_of(loaded, planned).with_context(|| format!("{}: no such row", planned.launch_id))?;
    if let Some(unavailable) = &row.record.unavailable {
        return Ok(Err(Failure::new(unavailable.kind, unavailable.reason.clone())));
    }
    let entry = loaded.registry.get(&row.record.id).with_context(|| row.record.id.clone())?;
    let workload = scenario.workload(&planned.cell.workload).context("a workload of the plan")?;
    let n_requests = scenario.repetitions + u32::from(scenario.cold_generate > 0);
    let (prompts, spares) = prompts_of(loaded, planned, workload, n_requests);
    let version = row.record.program.as_ref().map(|p| p.version.as_str()).filter(|v| !v.is_empty());
    let harness = std::env::current_exe().context("the path of this program")?;
    let request = LaunchRequest {
        entry,
        options: row.options.clone(),
        program: row.program.as_deref(),
        program_version: version,
        flags: row.flags.as_ref(),
        prepared: row.prepared.as_deref(),
        harness: &harness,
        model: ModelRef { path: model, sha256: &loaded.model.sha256 },
        launch_id: &planned.launch_id,
        workload,
        threads: planned.cell.threads,
        batch: scenario.batch,
        kv_type: &scenario.kv_type,
        cold_generate: scenario.cold_generate,
        prompts: &prompts,
        verify,
        port: free_port().context("no free port")?,
        spares: &spares,
        tokenizer: loaded.tokenizer.as_ref(),
        store: &loaded.cache.store_dir(&row.record.id),
        allow_remote,
        api_key: entry.key_variable.as_ref().and_then(|name| loaded.keys.get(name)).cloned(),
    };
    Ok(match planned.role {
        Role::Measure | Role::Control => describe(&request),
        Role::CrossCheck => describe_cross_check(&request),
    })
}

/// The prompts of a launch, and the spare ones: of words where a row of the scenario takes only text.
fn prompts_of(
    loaded: &Loaded,
    planned: &PlannedLaunch,
    workload: &Workload,
    n_requests: u32,
) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    let (Some(words), Some(tokenizer)) = (&loaded.words, &loaded.tokenizer) else {
        return (prompts(loaded.seed, workload, n_requests, loaded.vocab_size), vec![]);
    };
    let threads = &loaded.scenario.threads;
    let launch = LaunchIdx {
        block: planned.block,
        threads_idx: threads.iter().position(|&t| t == planned.cell.threads).unwrap_or(0) as u32,
        n_threads: threads.len() as u32,
        is_control: planned.role == Role::Control,
    };
    // One more, to find out what a server understands.
    let n_all = n_requests * (1 + TRIES_MORE_MAX) + 1;
    let mut all = word_prompts(loaded.seed, workload, launch, n_all, tokenizer, words);
    let spares = all.split_off(n_requests as usize);
    (all, spares)
}

fn row_of<'a>(loaded: &'a Loaded, planned: &PlannedLaunch) -> Option<&'a Row> {
    loaded.rows.iter().find(|row| match planned.role {
        Role::Measure => row.record.label == planned.cell.framework,
        Role::Control => row.record.label == loaded.scenario.baseline,
        Role::CrossCheck => row.record.id == CROSS_CHECK_FRAMEWORK && row.is_available(),
    })
}

/// A row that cannot be measured here gets one failed launch for each of its cells, in block 0, after the plan's.
fn unavailable_records(manifest: &Manifest) -> Vec<LaunchRecord> {
    let record = |launch: PlannedLaunch| {
        let found = manifest.frameworks.iter().find(|f| f.label == launch.cell.framework);
        let unavailable = found.and_then(|f| f.unavailable.clone())?;
        Some(LaunchRecord {
            schema: SAMPLE_SCHEMA,
            launch_id: launch.launch_id,
            block: launch.block,
            position: launch.position,
            role: launch.role,
            framework: launch.cell.framework,
            workload: launch.cell.workload,
            threads: launch.cell.threads,
            started_at: manifest.created_at.clone(),
            wall_ns: 0,
            argv: Vec::new(),
            environment: BTreeMap::new(),
            conditions: Conditions::default(),
            outcome: Outcome::Failed {
                kind: unavailable.kind,
                message: unavailable.reason,
                stderr_tail: String::new(),
            },
        })
    };
    manifest.unavailable_launches().into_iter().filter_map(record).collect()
}
