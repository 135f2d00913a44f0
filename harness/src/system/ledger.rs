//! What processes and threads used, summed over those that have ended too.

use crate::sample::{BUSY_SHARE, CpuSpan};
use std::collections::{BTreeSet, HashMap};

/// The busiest thread must have used this many ticks before anything is said of the others: a tick is the unit of
/// the kernel's figures, and 5% of fewer is less than one.
const BUSIEST_TICKS_MIN: u64 = 20;

/// An id with the start time that tells it from a later owner of the same id.
pub(crate) type Key = (u64, u64);

/// What a process used so far, ended threads included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ProcessUse {
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
}

/// What a thread used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TaskUse {
    pub(crate) ticks: u64,
    /// Switches that the thread asked for by waiting, and those that it did not; `None` where the system tells neither.
    pub(crate) switches: Option<Switches>,
}

/// How often a thread gave its processor away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    pub(crate) voluntary: u64,
    pub(crate) involuntary: u64,
}

/// The latest figures of every process and thread that was seen. They only grow, so that those of one that has ended
/// stay what they were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) processes: HashMap<Key, ProcessUse>,
    pub(crate) tasks: HashMap<Key, TaskUse>,
    /// Processors on which any thread was allowed to run.
    pub(crate) cpus: BTreeSet<u32>,
}

impl Ledger {
    /// What was used since `earlier`; a tick takes 1 / `ticks_per_s`. Empty if no process was ever seen.
    pub(crate) fn since(&self, earlier: &Ledger, ticks_per_s: f64) -> CpuSpan {
        if self.processes.is_empty() {
            return CpuSpan::default();
        }
        let process = |of: fn(&ProcessUse) -> u64| -> u64 {
            let before = |key: &Key| earlier.processes.get(key).map_or(0, of);
            self.processes.iter().map(|(key, used)| of(used).saturating_sub(before(key))).sum()
        };
        let task = |of: fn(&TaskUse) -> u64| -> Vec<u64> {
            let before = |key: &Key| earlier.tasks.get(key).map_or(0, of);
            self.tasks.iter().map(|(key, used)| of(used).saturating_sub(before(key))).collect()
        };
        let are_told = !self.tasks.is_empty() && self.tasks.values().all(|t| t.switches.is_some());
        let switches = |of: fn(&TaskUse) -> u64| are_told.then(|| task(of).iter().sum());
        CpuSpan {
            user_s: Some(process(|p| p.user_ticks) as f64 / ticks_per_s),
            system_s: Some(process(|p| p.system_ticks) as f64 / ticks_per_s),
            threads_busy: n_busy(&task(|t| t.ticks)),
            voluntary_switches: switches(|t| t.switches.map_or(0, |s| s.voluntary)),
            involuntary_switches: switches(|t| t.switches.map_or(0, |s| s.involuntary)),
            major_faults: Some(process(|p| p.major_faults)),
            minor_faults: Some(process(|p| p.minor_faults)),
            ..CpuSpan::default()
        }
    }
}

/// Threads with at least [`BUSY_SHARE`] of the busiest one's ticks; `None` if that one has too few to tell.
fn n_busy(ticks: &[u64]) -> Option<u32> {
    let busiest = ticks.iter().copied().max().filter(|&t| t >= BUSIEST_TICKS_MIN)?;
    let limit = busiest as f64 * BUSY_SHARE;
    Some(ticks.iter().filter(|&&t| t as f64 >= limit).count() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(processes: &[(u64, u64)], tasks: &[(u64, u64)]) -> Ledger {
        let process =
            |user_ticks| ProcessUse { user_ticks, system_ticks: 1, minor_faults: 7, major_faults: 2 };
        let task = |ticks| TaskUse { ticks, switches: Some(Switches { voluntary: 3, involuntary: 1 }) };
        Ledger {
            processes: processes.iter().map(|&(pid, ticks)| ((pid, 0), process(ticks))).collect(),
            tasks: tasks.iter().map(|&(tid, ticks)| ((tid, 0), task(ticks))).collect(),
            cpus: BTreeSet::new(),
        }
    }

    #[test]
    fn a_span_is_what_was_added_and_new_processes_count_from_nothing() {
        let earlier = ledger(&[(1, 100)], &[(1, 100)]);
        let later = ledger(&[(1, 250), (2, 50)], &[(1, 200), (2, 50), (3, 4)]);
        let span = later.since(&earlier, 100.0);
        assert_eq!((span.user_s, span.system_s), (Some(2.0), Some(0.01)));
        assert_eq!((span.major_faults, span.minor_faults), (Some(2), Some(7)));
        assert_eq!((span.voluntary_switches, span.involuntary_switches), (Some(6), Some(2)));
        assert_eq!(span.threads_busy, Some(2), "100 and 50 ticks, but not 4");
        assert_eq!(Ledger::default().since(&Ledger::default(), 100.0), CpuSpan::default());
    }

    #[test]
    fn busy_is_five_percent_of_the_busiest() {
        assert_eq!(n_busy(&[1000, 50, 49, 0]), Some(2));
        assert_eq!(n_busy(&[19, 19]), None, "too few ticks to tell");
        assert_eq!(n_busy(&[]), None);
    }
}
