//! A look at the machine before anything is measured: how fast it reads, and what speaks against measuring now.

use super::{Args, Usage};
use crate::cache::Cache;
use crate::conditions::CanaryRunner;
use crate::escape::printable;
use crate::machine::affinity;
use crate::machine::topology::{Topology, parse_cpu_list};
use crate::machine::{Machine, bandwidth_bytes, measure_in_child};
use crate::preflight::{self, Finding, MachineLock, Needs, Severity, Snapshot};
use crate::scenario::{Pin, SIMULATED_ID, Scenario};
use anyhow::{Context, Result};

/// What a bundle may take on the disk.
const BUNDLE_BYTES_MAX: u64 = 200_000_000;

/// Whether no row computes anything: then there is nothing of the machine to be looked at.
pub(super) fn is_simulated(scenario: &Scenario) -> bool {
    scenario.frameworks.iter().all(|f| f.id == SIMULATED_ID)
}

/// The machine, with its read bandwidth and peak at the scenario's thread counts; without them where that cannot be measured.
pub(super) fn machine(scenario: &Scenario) -> Result<Machine> {
    let mut machine = Machine::detect();
    if is_simulated(scenario) {
        return Ok(machine);
    }
    let threads: Vec<u32> = scenario.threads.iter().copied().filter(|&t| t <= machine.logical).collect();
    if threads.is_empty() {
        return Ok(machine);
    }
    eprintln!("measuring the machine: read bandwidth and arithmetic");
    let harness = std::env::current_exe().context("the path of this program")?;
    match measure_in_child(&harness, &threads, bandwidth_bytes(machine.last_cache_bytes_total)) {
        Ok(measured) => machine.take_yardsticks(measured),
        Err(error) => eprintln!("the machine's read bandwidth is not known: {error}"),
    }
    Ok(machine)
}

/// A run compares its launches with each other: none may come from another machine.
pub(super) fn check_same_machine(then: &Machine, now: &Machine) -> Result<(), String> {
    let Some(unlike) = then.unlike(now) else { return Ok(()) };
    Err(format!(
        "it was begun on another machine, then and now {}; go on there, leave it at what was measured with --end, or start a new run",
        printable(&unlike)
    ))
}

/// What speaks against measuring, told to the user. A finding with which a run cannot succeed ends it.
pub(super) fn findings(
    args: &Args,
    scenario: &Scenario,
    machine: &Machine,
    model_bytes: u64,
) -> Result<Vec<Finding>> {
    if is_simulated(scenario) {
        return Ok(Vec::new());
    }
    let needs = Needs {
        threads: scenario.threads.last().copied().unwrap_or(1),
        model_bytes,
        disk_bytes: BUNDLE_BYTES_MAX,
    };
    let findings = preflight::check(&Snapshot::read(machine, &args.out), &needs);
    for finding in &findings {
        let severity = match finding.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Fatal => return Err(Usage(finding.to_string()).into()),
        };
        eprintln!("{severity}: {finding}");
    }
    Ok(findings)
}

/// The processors that a launch may use; `None` for all.
pub(super) fn cpus(pin: Pin, threads: u32) -> Option<Vec<u32>> {
    chosen(pin, &Topology::read(), &allowed()?, threads)
}

/// Those of `allowed` that `pin` gives to a framework of `threads` threads; `None` for all.
fn chosen(pin: Pin, topology: &Topology, allowed: &[u32], threads: u32) -> Option<Vec<u32>> {
    let plan = affinity::plan(topology, allowed, threads);
    let left = || allowed.iter().copied().filter(|cpu| !plan.harness.contains(cpu)).collect::<Vec<u32>>();
    match pin {
        Pin::Off => None,
        Pin::On => Some(plan.framework).filter(|cpus| cpus.len() >= threads as usize),
        // A server has threads that do not compute: pinned together with those that do, they would cost it time.
        Pin::Auto if plan.shared => None,
        Pin::Auto => Some(left()).filter(|cpus| cpus.len() > threads as usize),
    }
}

/// Processors that this process may use, where the system tells.
fn allowed() -> Option<Vec<u32>> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(parse_cpu_list(list)?.into_iter().collect())
}

/// Keeps other runs from this machine for as long as it lives.
pub(super) fn lock(cache: &Cache) -> Result<MachineLock> {
    MachineLock::acquire(cache.root()).map_err(|error| Usage(error.finding().to_string()).into())
}

/// The canary, unless nothing computes.
pub(super) fn canary(scenario: &Scenario, machine: &Machine) -> Option<CanaryRunner> {
    (!is_simulated(scenario)).then(|| CanaryRunner::for_cache(machine.last_cache_bytes.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::topology::Processor;

    /// `cores` cores of `width` processors each, numbered as Linux does: the second threads after all first ones.
    fn machine(cores: u32, width: u32) -> Topology {
        let processor = |cpu| Processor { cpu, core: cpu % cores, node: 0 };
        Topology { processors: (0..cores * width).map(processor).collect() }
    }

    #[track_caller]
    fn check(pin: Pin, (cores, width): (u32, u32), threads: u32, wanted: Option<&[u32]>) {
        let allowed: Vec<u32> = (0..cores * width).collect();
        assert_eq!(chosen(pin, &machine(cores, width), &allowed, threads).as_deref(), wanted);
    }

    #[test]
    fn auto_leaves_one_more_than_the_threads_or_gives_all() {
        check(Pin::Auto, (4, 1), 2, Some(&[1, 2, 3]));
        check(Pin::Auto, (4, 1), 3, None);
        check(Pin::Auto, (4, 1), 4, None);
        check(Pin::Auto, (1, 1), 1, None);
        check(Pin::Auto, (2, 2), 1, Some(&[1, 3]));
        check(Pin::Auto, (2, 2), 2, None);
        check(Pin::Auto, (4, 2), 3, Some(&[1, 2, 3, 5, 6, 7]));
        check(Pin::Auto, (4, 2), 4, None);
        check(Pin::Auto, (4, 2), 6, None);
        // The harness's core has two of three.
        let uneven = Topology {
            processors: vec![
                Processor { cpu: 0, core: 0, node: 0 },
                Processor { cpu: 1, core: 0, node: 0 },
                Processor { cpu: 2, core: 2, node: 0 },
            ],
        };
        assert_eq!(chosen(Pin::Auto, &uneven, &[0, 1, 2], 1), None);
    }

    #[test]
    fn on_gives_as_many_as_threads_and_off_all() {
        check(Pin::On, (2, 2), 2, Some(&[0, 1]));
        check(Pin::On, (4, 1), 4, Some(&[0, 1, 2, 3]));
        check(Pin::On, (2, 1), 3, None);
        check(Pin::Off, (4, 1), 1, None);
    }
}
