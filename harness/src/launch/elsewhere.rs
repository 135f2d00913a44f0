//! Systems without procfs: the resident sets of a process and its descendants, and no more.

use super::ledger::Ledger;
use crate::sample::Memory;
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

/// A process and its descendants.
pub(super) struct Tree {
    root: Pid,
    members: Vec<Pid>,
    system: System,
}

impl Tree {
    pub(super) fn new(pid: u32) -> Tree {
        let root = Pid::from_u32(pid);
        Tree { root, members: vec![root], system: System::new() }
    }

    /// There is no mark: the peak is the largest sample, so it counts from the first one.
    pub(super) fn reset_marks(&mut self) -> bool {
        true
    }

    /// Takes the present sizes into `memory`; the number of threads is not told.
    pub(super) fn poll(&mut self, memory: &mut Memory) -> Option<u32> {
        let what = ProcessRefreshKind::nothing().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&self.members), true, what);
        let sizes: Vec<u64> =
            self.members.iter().filter_map(|&pid| Some(self.system.process(pid)?.memory())).collect();
        if !sizes.is_empty() {
            memory.n_samples += 1;
            memory.rss_peak_bytes = memory.rss_peak_bytes.max(Some(sizes.iter().sum()));
            memory.n_processes_max = memory.n_processes_max.max(u32::try_from(sizes.len()).ok());
        }
        None
    }

    /// Looks for descendants; what they use is not told.
    pub(super) fn walk(&mut self, _ledger: &mut Ledger) {
        let what = ProcessRefreshKind::nothing().with_memory();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        self.members = vec![self.root];
        let mut next = 0;
        while let Some(&parent) = self.members.get(next) {
            let is_child = |p: &&Process| p.parent() == Some(parent) && p.thread_kind().is_none();
            self.members.extend(self.system.processes().values().filter(is_child).map(Process::pid));
            next += 1;
        }
    }

    /// No such figure here.
    pub(super) fn poll_pss(&mut self, _memory: &mut Memory) {}
}
