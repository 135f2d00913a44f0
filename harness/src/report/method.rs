//! The methodology section: everything needed to repeat the run.

use super::tables::Cells;
use super::text::{code, command, fence, md, shell};
use crate::bundle::{FrameworkRecord, LibraryRecord, Manifest};
use crate::machine::Peak;
use crate::plan::PlannedLaunch;
use crate::sample::{LaunchRecord, Outcome, Role};
use crate::stats::{EXACT_FLIPS_MAX, RESAMPLES};
use crate::summary::Summary;
use crate::units::{bytes_to_mb, fixed, show};
use crate::verdict::BLOCKS_TO_RANK;
use crate::withdrawal::PAUSE_S_MAX;
use serde::Serialize;
use std::collections::BTreeSet;

/// What the methodology templates see.
#[derive(Debug, Serialize)]
pub(super) struct Method {
    bundle: String,
    created_at: String,
    command: String,
    harness_version: String,
    harness_commit: Option<String>,
    seed: u64,
    blocks: u32,
    repetitions: u32,
    cold_generate: u32,
    verify_tokens: u32,
    kv_type: String,
    batch: u32,
    timeout_s: u32,
    margin_percent: String,
    blocks_to_rank: usize,
    resamples: usize,
    exact_flips_max: usize,
    n_launches: usize,
    n_failed: usize,
    n_cross_checks: usize,
    n_control: usize,
    /// Launches of the blocks that the scenario asks for at least, or that were begun; and how many of them were not made.
    n_due: usize,
    n_left_out: usize,
    /// Where the session stood still.
    pauses: Vec<Cells>,
    machine: Vec<Cells>,
    programs: Vec<Cells>,
    /// Libraries and notes of programs that have some.
    builds: Vec<Cells>,
    plan: String,
    plan_fence: String,
    scenario_text: String,
    scenario_fence: String,
    scenario_sha256: String,
    is_engine_ours: bool,
    /// Whether the peak is a mark that the system keeps: only Linux does.
    is_peak_marked: bool,
}

/// Id of the engine that is developed together with this harness.
const OUR_ENGINE_ID: &str = "engine";

/// Of a library's sha256; the manifest has all of them.
const LIBRARY_DIGITS: usize = 16;

pub(super) fn method(manifest: &Manifest, records: &[LaunchRecord], summary: &Summary) -> Method {
    let scenario = &manifest.scenario;
    let measured = records.iter().filter(|r| r.role == Role::Measure);
    let is_failed = |r: &&LaunchRecord| matches!(r.outcome, Outcome::Failed { .. });
    let plan = plan(manifest);
    let n_begun = records.iter().map(|r| r.block + 1).max().unwrap_or(0);
    let is_due = |l: &&PlannedLaunch| l.block < scenario.blocks.max(n_begun);
    let due: BTreeSet<&str> =
        manifest.plan.launches.iter().filter(is_due).map(|l| l.launch_id.as_str()).collect();
    let made: BTreeSet<&str> = records.iter().map(|r| r.launch_id.as_str()).collect();
    Method {
        bundle: md(&manifest.id),
        created_at: md(&manifest.created_at),
        command: shell(&manifest.command),
        harness_version: md(&manifest.harness_version),
        harness_commit: manifest.harness_commit.as_deref().map(md),
        seed: manifest.seed,
        blocks: scenario.blocks,
        repetitions: scenario.repetitions,
        cold_generate: scenario.cold_generate,
        verify_tokens: scenario.verify_tokens,
        kv_type: md(&scenario.kv_type),
        batch: scenario.batch,
        timeout_s: scenario.launch_timeout_s,
        margin_percent: trimmed(scenario.equivalence_margin * 100.0),
        blocks_to_rank: BLOCKS_TO_RANK,
        resamples: RESAMPLES,
        exact_flips_max: EXACT_FLIPS_MAX,
        n_launches: measured.clone().count(),
        n_failed: measured.filter(is_failed).count(),
        n_cross_checks: records.iter().filter(|r| r.role == Role::CrossCheck).count(),
        n_control: records.iter().filter(|r| r.role == Role::Control).count(),
        n_due: due.len(),
        n_left_out: due.difference(&made).count(),
        pauses: pauses(records),
        machine: machine(manifest),
        programs: manifest.frameworks.iter().map(|f| program(f, records, summary)).collect(),
        builds: manifest.frameworks.iter().filter_map(|f| build(f, summary)).collect(),
        plan_fence: fence(&plan),
        plan,
        scenario_fence: fence(&manifest.scenario_text),
        scenario_text: manifest.scenario_text.trim_end().to_owned(),
        scenario_sha256: md(&manifest.scenario_sha256),
        is_peak_marked: manifest.machine.kernel.starts_with("Linux"),
        is_engine_ours: scenario
            .frameworks
            .iter()
            .any(|f| f.id == OUR_ENGINE_ID && f.label == scenario.subject),
    }
}

/// Pauses of more than [`PAUSE_S_MAX`] between one launch and the next.
fn pauses(records: &[LaunchRecord]) -> Vec<Cells> {
    let pairs = records.windows(2).filter_map(|pair| Some((&pair[0], pair[1].pause_s(&pair[0])?)));
    let long = pairs.filter(|(_, pause_s)| *pause_s > PAUSE_S_MAX);
    long.map(|(before, pause_s)| {
        Cells::from([("after", code(&before.launch_id)), ("minutes", fixed(pause_s / 60.0, 1))])
    })
    .collect()
}

/// One line for each block: what was launched, in order.
fn plan(manifest: &Manifest) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut last = None;
    for launch in &manifest.plan.launches {
        let cell = &launch.cell;
        let note = if launch.role == Role::CrossCheck { " (cross-check)" } else { "" };
        let name = match manifest.scenario.workloads.len() {
            1 => format!("{} t{}{note}", cell.framework, cell.threads),
            _ => format!("{} {} t{}{note}", cell.framework, cell.workload, cell.threads),
        };
        let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if last == Some(launch.block) {
            let line = lines.last_mut().expect("a block that was seen has a line");
            line.push_str(", ");
            line.push_str(&name);
        } else {
            lines.push(format!("block {}: {name}", launch.block));
            last = Some(launch.block);
        }
    }
    lines.join("\n")
}

fn machine(manifest: &Manifest) -> Vec<Cells> {
    let numbers = manifest.machine.cpu_numbers.as_deref().map(|n| format!(", {}", md(n))).unwrap_or_default();
    const UNTOLD: &str = "unavailable";
    let m = &manifest.machine;
    let told = |text: &Option<String>| text.as_deref().map_or(UNTOLD.to_owned(), md);
    let caches: Vec<String> =
        m.caches.iter().map(|(name, bytes)| format!("{} {} KiB", md(name), bytes / 1024)).collect();
    let list = |items: Vec<String>| if items.is_empty() { UNTOLD.to_owned() } else { items.join(", ") };
    let number = |n: Option<u32>| n.map_or(UNTOLD.to_owned(), |n| n.to_string());
    let bandwidth = m.read_bandwidth.iter().map(|b| {
        format!("{} threads {} ({}) GB/s", b.threads, fixed(b.best_gb_s, 1), fixed(b.median_gb_s, 1))
    });
    let bandwidth = bandwidth.collect();
    let peak = m.peak.iter().map(peak_words).collect();
    let rows = [
        (
            "CPU",
            format!("{}{} ({}), {} cores, {} logical", md(&m.cpu), numbers, md(&m.arch), m.cores, m.logical),
        ),
        ("Instruction sets", list(m.isa.iter().map(|i| md(i)).collect())),
        (
            "Clock, as the system gives it",
            m.nominal_ghz.map_or(UNTOLD.to_owned(), |g| format!("{} GHz", fixed(g, 2))),
        ),
        ("Highest clock", m.max_ghz.map_or(UNTOLD.to_owned(), |g| format!("{} GHz", fixed(g, 2)))),
        ("Turbo", m.turbo.map_or(UNTOLD, |on| if on { "on" } else { "off" }).to_owned()),
        ("Sockets, threads of a core", format!("{}, {}", number(m.sockets), number(m.threads_per_core))),
        ("Governor", told(&m.governor)),
        ("Caches", list(caches)),
        ("Memory", format!("{} MB", fixed(bytes_to_mb(m.memory_bytes), 0))),
        ("Read bandwidth, best (median)", list(bandwidth)),
        ("Arithmetic of our kernels in the first cache", list(peak)),
        (
            "Swap in use",
            m.swap_used_bytes.map_or(UNTOLD.to_owned(), |b| format!("{} MB", fixed(bytes_to_mb(b), 0))),
        ),
        ("NUMA nodes", m.numa_nodes.map_or(UNTOLD.to_owned(), |n| n.to_string())),
        ("Transparent huge pages", told(&m.transparent_huge_pages)),
        ("Kernel, system", format!("{}; {}", md(&m.kernel), md(&m.os))),
        ("Hypervisor", m.hypervisor.as_deref().map_or("none seen".to_owned(), md)),
        ("Container limits", m.container_limits.as_deref().map_or("none seen".to_owned(), md)),
        ("Load average at the start", m.load_average.map_or(UNTOLD.to_owned(), show)),
        ("Machine id", md(&m.id)),
    ];
    rows.into_iter().map(|(what, value)| Cells::from([("what", what.to_owned()), ("value", value)])).collect()
}

fn peak_words(peak: &Peak) -> String {
    let Peak { threads, level, f32_gflop_s, int8_gop_s, clock_ghz } = peak;
    let (float, int) = (fixed(*f32_gflop_s, 0), fixed(*int8_gop_s, 0));
    let clock = clock_ghz.map(|ghz| format!(", {} GHz", fixed(ghz, 2))).unwrap_or_default();
    format!("{threads} threads {float} GFLOP/s in f32, {int} GOP/s in int8 ({}){clock}", md(level))
}

/// A framework as it was found, and what its launches said of themselves.
fn program(framework: &FrameworkRecord, records: &[LaunchRecord], summary: &Summary) -> Cells {
    let found = framework.program.as_ref();
    let row = summary.rows.iter().find(|r| r.label == framework.label);
    let measured = records.iter().find_map(|r| match &r.outcome {
        Outcome::Measured(m) if r.framework == framework.label && r.role == Role::Measure => Some((r, m)),
        _ => None,
    });
    let dash = || "–".to_owned();
    let version = measured.map(|(_, m)| &m.version).or(found.map(|p| &p.version));
    let build = measured.map(|(_, m)| &m.build).or(found.map(|p| &p.build));
    Cells::from([
        ("framework", row.map_or_else(|| md(&framework.label), |r| md(&r.name))),
        ("version", version.map_or_else(dash, |v| md(v))),
        ("build", build.filter(|b| !b.is_empty()).map_or_else(dash, |b| md(b))),
        ("features", measured.map_or_else(dash, |(_, m)| features(&m.features))),
        ("licence", md(&framework.licence)),
        ("program", found.map_or_else(dash, |p| code(&p.path))),
        ("sha256", found.map_or_else(dash, |p| code(&p.sha256))),
        ("argv", measured.map_or_else(dash, |(r, _)| code(&command(&r.environment, &r.argv)))),
    ])
}

/// The libraries that are part of a program, and what its build does otherwise than asked.
fn build(framework: &FrameworkRecord, summary: &Summary) -> Option<Cells> {
    let program = framework.program.as_ref()?;
    if program.libraries.is_empty() && program.notes.is_empty() {
        return None;
    }
    let row = summary.rows.iter().find(|r| r.label == framework.label);
    let digits = |sha256: &str| sha256.chars().take(LIBRARY_DIGITS).collect::<String>();
    let library = |l: &LibraryRecord| format!("{} {}", md(&l.name), code(&digits(&l.sha256)));
    Some(Cells::from([
        ("framework", row.map_or_else(|| md(&framework.label), |r| md(&r.name))),
        ("libraries", program.libraries.iter().map(library).collect::<Vec<_>>().join(", ")),
        ("notes", program.notes.iter().map(|note| md(note)).collect::<Vec<_>>().join("; ")),
    ]))
}

/// What the program states of itself: instruction sets in use, settings that it does not follow.
fn features(told: &[String]) -> String {
    if told.is_empty() { "none told".to_owned() } else { md(&told.join(", ")) }
}

fn trimmed(value: f64) -> String {
    let text = fixed(value, 2);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
