//! macOS: libproc, by its header `libproc.h` and `sys/resource.h`, and programs that come with the system. Compiled for
//! both kinds of Mac, not yet run on one.

mod tree;

use super::{Ask, MARK, otool};
use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, getpgid, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
pub(crate) use tree::Tree;

/// Whether [`keep_on`] can work.
pub(crate) const CAN_CHOOSE_PROCESSORS: bool = false;

/// Ticks of a [`crate::system::Ledger`] in a second: `proc_pid_rusage` counts in Mach absolute time, whose frequency
/// `sysctl hw.tbfrequency` tells (24 MHz on Apple silicon, 1 GHz on Intel).
pub(crate) fn ticks_per_s() -> f64 {
    static FREQUENCY: std::sync::OnceLock<f64> = std::sync::OnceLock::new();
    *FREQUENCY
        .get_or_init(|| output("/usr/sbin/sysctl", &["-n", "hw.tbfrequency"]).trim().parse().unwrap_or(1e9))
}

/// There is no such wish; the mark in the environment has to do, see [`end_marked`].
pub(crate) fn die_with_parent() -> Result<()> {
    Ok(())
}

/// Threads choose a quality of service, and the system the cores.
pub(crate) fn keep_on(list: &str) -> Result<()> {
    bail!("--cpus {list}: macOS cannot keep a program on chosen processors")
}

/// The process that listens on `port` (`lsof`); `None` where it is another user's.
pub(crate) fn listener_on(port: u16) -> Option<u32> {
    let said = output("/usr/sbin/lsof", &["-nP", "-t", "-sTCP:LISTEN", &format!("-iTCP:{port}")]);
    said.lines().next()?.trim().parse().ok()
}

/// Name of a process.
pub(crate) fn process_name(pid: u32) -> Option<String> {
    libproc::proc_pid::name(i32::try_from(pid).ok()?).ok()
}

/// Ends all processes whose mark `is_meant`; returns how many there were. The system shows the environment of one's own processes,
/// except of its own programs.
pub(crate) fn end_marked(is_meant: &dyn Fn(&str) -> bool) -> usize {
    let meant: Vec<u32> =
        marked().into_iter().filter(|(_, mark)| is_meant(mark)).map(|(pid, _)| pid).collect();
    let ids = meant.iter().filter_map(|&pid| Pid::from_raw(i32::try_from(pid).ok()?));
    ids.filter(|&pid| kill_process(pid, Signal::KILL).is_ok()).count()
}

/// Processes that have `mark` and are not in the process group `group`.
pub(crate) fn n_marked_outside(mark: &str, group: u32) -> Option<usize> {
    let group = i32::try_from(group).ok().and_then(Pid::from_raw);
    let is_outside = |pid: u32| {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.and_then(|pid| getpgid(Some(pid)).ok()).is_some_and(|own| Some(own) != group)
    };
    Some(marked().into_iter().filter(|(pid, seen)| seen == mark && is_outside(*pid)).count())
}

/// Every other process that has a mark, with it.
fn marked() -> Vec<(u32, String)> {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    let own = std::process::id();
    let processes = system.processes().iter().filter(|(pid, _)| pid.as_u32() != own);
    let mark = |variable: &std::ffi::OsString| {
        variable.to_str()?.strip_prefix(MARK)?.strip_prefix('=').map(str::to_owned)
    };
    processes
        .filter_map(|(pid, process)| Some((pid.as_u32(), process.environ().iter().find_map(mark)?)))
        .collect()
}

/// A process: its id and its start time, which tells it from a later owner of the id.
pub(crate) fn identity(pid: u32) -> Option<String> {
    Some(format!("{pid}-{}", tree::usage_of(pid)?.ri_proc_start_abstime))
}

/// Whether the process with this identity has ended.
pub(crate) fn has_ended(identity_then: &str) -> bool {
    let pid = identity_then.split('-').next().and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| identity(pid).is_none_or(|now| now != identity_then))
}

/// The libraries that a program is linked with (`otool -L`); `None` where it cannot be asked. `ask` runs a program and returns what it prints.
pub(crate) fn linked_libraries(program: &Path, ask: Ask) -> Option<Vec<PathBuf>> {
    Some(otool::parse(&ask(Path::new("otool"), &["-L", program.to_str()?])?, program))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    run.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
}
