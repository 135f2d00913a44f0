//! Linux.

mod marks;
mod sockets;
mod tree;

use super::Ask;
use anyhow::{Result, anyhow, bail};
pub(crate) use marks::{end_marked, has_ended, identity, n_marked_outside};
pub(crate) use sockets::{listener_on, process_name};
use std::path::{Path, PathBuf};
pub(crate) use tree::Tree;

/// Whether [`keep_on`] can work.
pub(crate) const CAN_CHOOSE_PROCESSORS: bool = true;

/// Ticks of a [`crate::system::Ledger`] in a second.
pub(crate) fn ticks_per_s() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Has the kernel end this process, and what it becomes by `exec`, when its parent ends.
pub(crate) fn die_with_parent() -> Result<()> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Keeps this process, and what it becomes by `exec`, on the processors of a list like `0-3,8`.
pub(crate) fn keep_on(list: &str) -> Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let cpus = crate::machine::topology::parse_cpu_list(list)
        .filter(|cpus| cpus.iter().all(|&c| (c as usize) < CpuSet::MAX_CPU));
    let Some(cpus) = cpus else { bail!("--cpus {list}: not a list of processors like 0-3,8") };
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu as usize));
    sched_setaffinity(None, &set).map_err(|e| anyhow!("cannot run on the processors {list}: {e}"))
}

/// The libraries that the system's linker finds for a program (`ldd`); `None` where it cannot be asked. `ask` runs a program and returns what it prints.
pub(crate) fn linked_libraries(program: &Path, ask: Ask) -> Option<Vec<PathBuf>> {
    Some(parse_ldd(&ask(Path::new("ldd"), &[program.to_str()?])?))
}

/// Paths in lines like `libggml.so.0 => /opt/lib/libggml.so.0 (0x00007f…)`.
fn parse_ldd(text: &str) -> Vec<PathBuf> {
    let found = text.lines().filter_map(|line| line.split_once("=> "));
    let paths = found.filter_map(|(_, found)| found.rsplit_once(" (").map(|(path, _)| path.trim()));
    paths.filter(|path| path.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_linker_finds_is_read() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibggml.so => /opt/a b/libggml.so (0x00007f)\n\tlibx.so => not found\n\t/lib64/ld.so (0x0)\n";
        assert_eq!(parse_ldd(said), [PathBuf::from("/opt/a b/libggml.so")]);
    }
}
