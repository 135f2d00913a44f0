//! What procfs tells of a process and its descendants.
//!
//! `VmHWM` is the kernel's own high-water mark, so that polling misses nothing; for several processes it is the sum
//! of the marks of those alive, an upper bound. The anonymous and file-backed parts (shared memory counts as
//! file-backed) and swap are the largest seen in polls. PSS is read once, at the end, because reading it stops the
//! process for a while. Files are read here and not by a crate: it is done many times a second, next to a measurement.

use crate::machine::topology::parse_cpu_list;
use crate::sample::Memory;
use crate::system::ledger::{Ledger, ProcessUse, Switches, TaskUse};
use std::fs::File;
use std::io::Read;

/// Written to `/proc/PID/clear_refs`, this resets `VmHWM` to the present size (proc(5)).
const RESET_HWM: &str = "5";

/// A process and its descendants.
pub(crate) struct Tree {
    root: u32,
    /// Root first, as of the last walk.
    members: Vec<u32>,
    buffer: String,
}

impl Tree {
    pub(crate) fn new(root: u32) -> Tree {
        Tree { root, members: vec![root], buffer: String::with_capacity(4096) }
    }

    /// Resets the high-water marks of all members, as of the last walk; whether it could be done for each.
    pub(crate) fn reset_marks(&mut self) -> bool {
        self.members.iter().all(|pid| std::fs::write(format!("/proc/{pid}/clear_refs"), RESET_HWM).is_ok())
    }

    /// Takes the present sizes into `memory`; returns the number of threads.
    pub(crate) fn poll(&mut self, memory: &mut Memory) -> Option<u32> {
        let (mut peak, mut anon, mut file, mut swap, mut n_threads) = (None, None, None, None, None);
        let mut n_processes = 0;
        for pid in &self.members {
            let Some(text) = read(&mut self.buffer, &format!("/proc/{pid}/status")) else { continue };
            let status = Status::parse(text);
            n_processes += u32::from(status.rss_peak_bytes.is_some());
            peak = sum(peak, status.rss_peak_bytes);
            anon = sum(anon, status.rss_anon_bytes);
            file = sum(file, status.rss_file_bytes);
            swap = sum(swap, status.swap_bytes);
            n_threads = sum(n_threads, status.n_threads);
        }
        if peak.is_some() {
            memory.n_samples += 1;
            memory.n_processes_max = memory.n_processes_max.max(Some(n_processes));
        }
        memory.rss_peak_bytes = memory.rss_peak_bytes.max(peak);
        memory.rss_anon_bytes = memory.rss_anon_bytes.max(anon);
        memory.rss_file_bytes = memory.rss_file_bytes.max(file);
        memory.swap_bytes = memory.swap_bytes.max(swap);
        n_threads.and_then(|n| u32::try_from(n).ok())
    }

    /// Looks for descendants, and writes down what every process and thread used.
    pub(crate) fn walk(&mut self, ledger: &mut Ledger) {
        self.members = vec![self.root];
        let mut next = 0;
        while let Some(&pid) = self.members.get(next) {
            next += 1;
            if let Some(stat) = read(&mut self.buffer, &format!("/proc/{pid}/stat")).and_then(Stat::parse) {
                ledger.processes.insert((u64::from(pid), stat.start_ticks), stat.used);
            }
            for tid in tasks(pid) {
                self.find_children(pid, tid);
                self.walk_task(pid, tid, ledger);
            }
        }
    }

    /// Any thread can start a process, and the kernel lists it there.
    fn find_children(&mut self, pid: u32, tid: u32) {
        let text = read(&mut self.buffer, &format!("/proc/{pid}/task/{tid}/children")).unwrap_or("");
        for child in text.split_whitespace().filter_map(|id| id.parse().ok()) {
            if !self.members.contains(&child) {
                self.members.push(child);
            }
        }
    }

    /// `None` where the thread has ended meanwhile.
    fn walk_task(&mut self, pid: u32, tid: u32, ledger: &mut Ledger) -> Option<()> {
        let path = |name: &str| format!("/proc/{pid}/task/{tid}/{name}");
        let stat = read(&mut self.buffer, &path("stat")).and_then(Stat::parse)?;
        let status = read(&mut self.buffer, &path("status")).map(Status::parse)?;
        let ticks = stat.used.user_ticks + stat.used.system_ticks;
        let switches = Some(Switches { voluntary: status.voluntary, involuntary: status.involuntary });
        ledger.tasks.insert((tid.into(), stat.start_ticks), TaskUse { ticks, switches });
        ledger.cpus.extend(status.cpus.and_then(parse_cpu_list).into_iter().flatten());
        Some(())
    }

    /// Takes the present proportional set size into `memory`.
    pub(crate) fn poll_pss(&mut self, memory: &mut Memory) {
        let mut pss = None;
        for pid in &self.members {
            let text = read(&mut self.buffer, &format!("/proc/{pid}/smaps_rollup"));
            pss =
                sum(pss, text.and_then(|text| text.lines().find_map(|line| kb(line.strip_prefix("Pss:")?))));
        }
        memory.pss_bytes = memory.pss_bytes.max(pss);
    }
}

/// When a process started, in ticks since the start of the system.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(Stat::parse(&stat)?.start_ticks)
}

/// Ids of a process's threads.
fn tasks(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads a file into `buffer`; `None` if it cannot be read, as when its process has ended.
fn read<'a>(buffer: &'a mut String, path: &str) -> Option<&'a str> {
    buffer.clear();
    File::open(path).ok()?.read_to_string(buffer).ok()?;
    Some(buffer)
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

/// `  1756 kB`, in bytes.
fn kb(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

/// `/proc/PID/status`; a task's has the same form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status<'a> {
    rss_peak_bytes: Option<u64>,
    rss_anon_bytes: Option<u64>,
    /// With shared memory.
    rss_file_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    n_threads: Option<u64>,
    voluntary: u64,
    involuntary: u64,
    /// `0-3,8`
    cpus: Option<&'a str>,
}

impl<'a> Status<'a> {
    fn parse(text: &'a str) -> Status<'a> {
        let mut status = Status::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            match name {
                "VmHWM" => status.rss_peak_bytes = kb(value),
                "RssAnon" => status.rss_anon_bytes = kb(value),
                "RssFile" | "RssShmem" => status.rss_file_bytes = sum(status.rss_file_bytes, kb(value)),
                "VmSwap" => status.swap_bytes = kb(value),
                "Threads" => status.n_threads = value.trim().parse().ok(),
                "voluntary_ctxt_switches" => status.voluntary = value.trim().parse().unwrap_or(0),
                "nonvoluntary_ctxt_switches" => status.involuntary = value.trim().parse().unwrap_or(0),
                "Cpus_allowed_list" => status.cpus = Some(value.trim()),
                _ => {}
            }
        }
        status
    }
}

/// `/proc/PID/stat`; a task's has the same form.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Since the start of the system.
    start_ticks: u64,
    used: ProcessUse,
}

impl Stat {
    /// The name, in parentheses, may hold anything; the fields are counted from its end (proc(5): `state` is the
    /// third).
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            start_ticks: field(22)?,
            used: ProcessUse {
                user_ticks: field(14)?,
                system_ticks: field(15)?,
                minor_faults: field(10)?,
                major_faults: field(12)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read() {
        let text = "Name:\tcat: x\nVmHWM:\t    1756 kB\nRssAnon:\t 116 kB\nRssFile:\t 1640 kB\nRssShmem:\t 4 kB\n\
                    VmSwap:\t 8 kB\nThreads:\t3\nCpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t5\n\
                    nonvoluntary_ctxt_switches:\t2\n";
        let wanted = Status {
            rss_peak_bytes: Some(1756 * 1024),
            rss_anon_bytes: Some(116 * 1024),
            rss_file_bytes: Some(1644 * 1024),
            swap_bytes: Some(8 * 1024),
            n_threads: Some(3),
            voluntary: 5,
            involuntary: 2,
            cpus: Some("0-1"),
        };
        assert_eq!(Status::parse(text), wanted);
        assert_eq!(Status::parse("State:\tZ (zombie)\n").rss_peak_bytes, None);
    }

    #[test]
    fn a_stat_is_read_whatever_the_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194304 10 20 30 40 500 60 7 8 20 0 3 0 12345 1000 200 0";
        let used = ProcessUse { user_ticks: 500, system_ticks: 60, minor_faults: 10, major_faults: 30 };
        assert_eq!(Stat::parse(text), Some(Stat { start_ticks: 12345, used }));
        assert_eq!(Stat::parse("42 (x) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_process_and_its_children_are_one_tree() {
        let script = "sh -c 'sleep 300; :' & wait";
        let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().expect("sh");
        let mut tree = Tree::new(child.id());
        let started = std::time::Instant::now();
        let mut ledger = Ledger::default();
        while tree.members.len() < 3 && started.elapsed().as_secs() < 30 {
            tree.walk(&mut ledger);
        }
        let mut memory = Memory::default();
        assert_eq!(tree.poll(&mut memory), Some(3), "one thread each");
        assert_eq!(memory.n_processes_max, Some(3));
        assert!(memory.rss_peak_bytes > memory.rss_anon_bytes, "{memory:?}");
        assert!(!ledger.cpus.is_empty() && ledger.tasks.len() >= 3, "{ledger:?}");
        // Parents first: one whose child was killed would go on and end by itself.
        for pid in tree.members.iter().filter_map(|&pid| rustix::process::Pid::from_raw(pid as i32)) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ours");
        }
        child.wait().expect("ended");
    }
}
