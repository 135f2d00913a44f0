//! What libproc tells of a process and its descendants.
//!
//! The resident set is sampled, which can miss a short peak; the physical footprint (memory that the process is answerable
//! for: no clean pages of files) has a high-water mark of the kernel's own, `ri_lifetime_max_phys_footprint`. Figures of several processes are
//! sums over those alive, of the marks too: an upper bound.

use crate::sample::Memory;
use crate::system::ledger::{Ledger, ProcessUse, TaskUse};
use crate::system::ticks_per_s;
use libproc::pid_rusage::{RUsageInfoV4, pidrusage};
use libproc::proc_pid::{ListThreads, listpidinfo, pidinfo};
use libproc::processes::{ProcFilter, pids_by_type};
use libproc::task_info::TaskInfo;
use libproc::thread_info::ThreadInfo;

/// A process and its descendants.
pub(crate) struct Tree {
    root: u32,
    /// Root first, as of the last walk.
    members: Vec<u32>,
}

impl Tree {
    pub(crate) fn new(root: u32) -> Tree {
        Tree { root, members: vec![root] }
    }

    /// The mark of the footprint cannot be reset; the largest sampled resident set counts from the first sample.
    pub(crate) fn reset_marks(&mut self) -> bool {
        true
    }

    /// Takes the present sizes into `memory`; returns the number of threads.
    pub(crate) fn poll(&mut self, memory: &mut Memory) -> Option<u32> {
        let usages: Vec<RUsageInfoV4> = self.members.iter().filter_map(|&pid| usage_of(pid)).collect();
        if !usages.is_empty() {
            let resident = usages.iter().map(|u| u.ri_resident_size).sum();
            let footprint = usages.iter().map(|u| u.ri_lifetime_max_phys_footprint).sum();
            memory.n_samples += 1;
            memory.rss_peak_bytes = memory.rss_peak_bytes.max(Some(resident));
            memory.footprint_peak_bytes = memory.footprint_peak_bytes.max(Some(footprint));
            memory.n_processes_max = memory.n_processes_max.max(u32::try_from(usages.len()).ok());
        }
        self.members
            .iter()
            .filter_map(|&pid| u32::try_from(task_of(pid)?.pti_threadnum).ok())
            .reduce(|a, b| a + b)
    }

    /// Looks for descendants, and writes down what every process and thread used.
    pub(crate) fn walk(&mut self, ledger: &mut Ledger) {
        self.find_members();
        let ticks_per_ns = ticks_per_s() / 1e9;
        for &pid in &self.members {
            let (Some(usage), Some(task)) = (usage_of(pid), task_of(pid)) else { continue };
            let used = ProcessUse {
                user_ticks: usage.ri_user_time,
                system_ticks: usage.ri_system_time,
                minor_faults: u64::try_from(task.pti_faults - task.pti_pageins).unwrap_or(0),
                major_faults: u64::try_from(task.pti_pageins).unwrap_or(0),
            };
            ledger.processes.insert((u64::from(pid), usage.ri_proc_start_abstime), used);
            for thread in threads(pid, task.pti_threadnum) {
                let Ok(info) = pidinfo::<ThreadInfo>(pid as i32, thread) else { continue };
                // Nanoseconds, unlike the times of the process.
                let ticks = ((info.pth_user_time + info.pth_system_time) as f64 * ticks_per_ns) as u64;
                ledger.tasks.insert((thread, usage.ri_proc_start_abstime), TaskUse { ticks, switches: None });
            }
        }
    }

    /// No such figure here.
    pub(crate) fn poll_pss(&mut self, _memory: &mut Memory) {}

    fn find_members(&mut self) {
        self.members = vec![self.root];
        let mut next = 0;
        while let Some(&ppid) = self.members.get(next) {
            next += 1;
            for child in pids_by_type(ProcFilter::ByParentProcess { ppid }).unwrap_or_default() {
                if !self.members.contains(&child) {
                    self.members.push(child);
                }
            }
        }
    }
}

/// What a process uses; `None` once it has ended, or where it is another user's.
pub(super) fn usage_of(pid: u32) -> Option<RUsageInfoV4> {
    pidrusage(i32::try_from(pid).ok()?).ok()
}

fn task_of(pid: u32) -> Option<TaskInfo> {
    pidinfo(i32::try_from(pid).ok()?, 0).ok()
}

/// Handles of a process's threads, of which there are `n`.
fn threads(pid: u32, n: i32) -> Vec<u64> {
    let n = usize::try_from(n).unwrap_or(0);
    listpidinfo::<ListThreads>(pid as i32, n).unwrap_or_default()
}
