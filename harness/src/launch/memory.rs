//! Memory of a child and everything that it started.
//!
//! Linux: `VmHWM` is the kernel's own high-water mark, so polling misses nothing; for several processes it is the
//! sum of their marks, an upper bound. The anonymous and file-backed parts (shared memory counts as file-backed)
//! are the largest seen in polls. PSS is read once, at the end, because reading it stops the process for a while.
//! Elsewhere: the largest resident set seen in polls.

use crate::sample::Memory;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two polls.
const POLL: Duration = Duration::from_millis(20);
/// Children are looked for at every so many polls: it takes a directory listing.
const POLLS_PER_WALK: u32 = 10;

/// Samples in a thread until it is finished.
pub(super) struct MemorySampler {
    stop: Sender<()>,
    thread: Option<JoinHandle<Memory>>,
}

impl MemorySampler {
    pub(super) fn start(pid: u32) -> MemorySampler {
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut tree = system::Tree::new(pid);
            let mut memory = Memory::default();
            for poll in 0.. {
                tree.sample(&mut memory, poll % POLLS_PER_WALK == 0);
                match stopped.recv_timeout(POLL) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) => {
                        tree.sample(&mut memory, true);
                        tree.sample_pss(&mut memory);
                        break;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            memory
        });
        MemorySampler { stop, thread: Some(thread) }
    }

    /// Takes a last sample, for which the child must still be alive, and returns the marks.
    pub(super) fn finish(mut self) -> Memory {
        let _ = self.stop.send(());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// Keeps the larger, and counts a sample.
fn keep_max(mark: &mut Option<u64>, seen: Option<u64>) {
    *mark = (*mark).max(seen);
}

#[cfg(target_os = "linux")]
mod system {
    use super::keep_max;
    use crate::sample::Memory;
    use procfs::process::Process;

    /// A process and its descendants.
    pub(super) struct Tree {
        root: Option<Process>,
        descendants: Vec<Process>,
    }

    impl Tree {
        pub(super) fn new(pid: u32) -> Tree {
            Tree { root: open(pid), descendants: Vec::new() }
        }

        pub(super) fn sample(&mut self, memory: &mut Memory, look_for_children: bool) {
            let Some(root) = &self.root else { return };
            if look_for_children {
                self.descendants = descendants(root);
            }
            let kb_to_bytes = |kb: Option<u64>| kb.map(|kb| kb * 1024);
            let (mut peak, mut anon, mut file) = (None, None, None);
            for process in self.all() {
                let Ok(status) = process.status() else { continue };
                peak = sum(peak, kb_to_bytes(status.vmhwm));
                anon = sum(anon, kb_to_bytes(status.rssanon));
                file = sum(file, kb_to_bytes(sum(status.rssfile, status.rssshmem)));
            }
            if peak.is_some() {
                memory.n_samples += 1;
            }
            keep_max(&mut memory.rss_peak_bytes, peak);
            keep_max(&mut memory.rss_anon_bytes, anon);
            keep_max(&mut memory.rss_file_bytes, file);
        }

        pub(super) fn sample_pss(&self, memory: &mut Memory) {
            let pss = self.all().fold(None, |total, process| {
                let rollup = process.smaps_rollup().ok();
                let maps = rollup.map(|r| r.memory_map_rollup.0);
                sum(total, maps.and_then(|m| m.first()?.extension.map.get("Pss").copied()))
            });
            keep_max(&mut memory.pss_bytes, pss);
        }

        fn all(&self) -> impl Iterator<Item = &Process> {
            self.root.iter().chain(&self.descendants)
        }
    }

    fn open(pid: u32) -> Option<Process> {
        Process::new(i32::try_from(pid).ok()?).ok()
    }

    fn descendants(root: &Process) -> Vec<Process> {
        let mut found: Vec<Process> = children(root);
        let mut next = 0;
        while next < found.len() {
            let below = children(&found[next]);
            found.extend(below);
            next += 1;
        }
        found
    }

    /// Any thread can start a process, and the kernel lists it there.
    fn children(process: &Process) -> Vec<Process> {
        let Ok(tasks) = process.tasks() else { return Vec::new() };
        let ids = tasks.flatten().flat_map(|task| task.children().unwrap_or_default());
        ids.filter_map(open).collect()
    }

    fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::keep_max;
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

        pub(super) fn sample(&mut self, memory: &mut Memory, look_for_children: bool) {
            let what = ProcessRefreshKind::nothing().with_memory();
            if look_for_children {
                self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
                self.members = vec![self.root];
                let mut next = 0;
                while let Some(&parent) = self.members.get(next) {
                    let is_child = |p: &&Process| p.parent() == Some(parent) && p.thread_kind().is_none();
                    self.members.extend(self.system.processes().values().filter(is_child).map(Process::pid));
                    next += 1;
                }
            } else {
                let members = ProcessesToUpdate::Some(&self.members);
                self.system.refresh_processes_specifics(members, true, what);
            }
            let sizes: Vec<u64> =
                self.members.iter().filter_map(|&pid| Some(self.system.process(pid)?.memory())).collect();
            if !sizes.is_empty() {
                memory.n_samples += 1;
                keep_max(&mut memory.rss_peak_bytes, Some(sizes.iter().sum()));
            }
        }

        /// No such figure here.
        pub(super) fn sample_pss(&self, _memory: &mut Memory) {}
    }
}
