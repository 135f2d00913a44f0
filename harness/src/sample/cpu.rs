//! What a launch took of the processor.

use serde::{Deserialize, Serialize};

/// A thread is busy if it used at least this share of the time of the busiest one.
pub const BUSY_SHARE: f64 = 0.05;

/// Processor time, threads and affinity of a framework's processes. Empty where the system does not tell.
///
/// Source on Linux: `/proc/PID/stat`, `/proc/PID/task/TID/stat` and `status`. The kernel counts time in ticks, of
/// 10 ms on most machines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUse {
    /// From the start of the process (or from the moment of attaching to it) to the end of its work.
    pub launch: CpuSpan,
    /// The timed window alone: from `ready` to the last request's answer. Loading, which often has threads of its
    /// own, and verification are outside. `None` for programs that do not tell when they are ready.
    pub window: Option<CpuSpan>,
    /// The processors on which any of the threads was allowed to run since it was ready, as the kernel writes it:
    /// `0-3,8`.
    pub cpus_allowed: Option<String>,
}

/// What the processes took in a span of time.
///
/// Processes and threads count from when they were seen for the first time; what started and ended between two looks
/// (200 ms, or longer where looking is slow) is missing from the figures of threads and switches, and from all
/// figures if it was a process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuSpan {
    /// Length of the span, s.
    pub wall_s: Option<f64>,
    /// CPU time in user mode, s.
    pub user_s: Option<f64>,
    /// CPU time in the kernel, s.
    pub system_s: Option<f64>,
    /// CPU time of the harness's own process, s.
    pub harness_s: Option<f64>,
    /// Most threads alive at once.
    pub threads_max: Option<u32>,
    /// Threads that used at least [`BUSY_SHARE`] of the busiest one's time.
    pub threads_busy: Option<u32>,
    /// Times that a thread gave up its processor, to wait for something.
    pub voluntary_switches: Option<u64>,
    /// Times that a thread's processor was taken away.
    pub involuntary_switches: Option<u64>,
    /// Page faults that needed the disk.
    pub major_faults: Option<u64>,
    /// Page faults that did not.
    pub minor_faults: Option<u64>,
    /// Energy of all processor packages, of everything that ran, joules.
    pub energy_j: Option<f64>,
}

impl CpuSpan {
    /// Processors kept busy on average: CPU seconds per second.
    pub fn cpus(&self) -> Option<f64> {
        let wall_s = self.wall_s.filter(|&s| s > 0.0)?;
        Some((self.user_s? + self.system_s?) / wall_s)
    }

    /// Share of one processor that the harness itself took.
    pub fn harness_share(&self) -> Option<f64> {
        Some(self.harness_s? / self.wall_s.filter(|&s| s > 0.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_need_both_figures() {
        let span = CpuSpan {
            wall_s: Some(2.0),
            user_s: Some(3.0),
            system_s: Some(0.5),
            harness_s: Some(0.01),
            ..CpuSpan::default()
        };
        assert_eq!((span.cpus(), span.harness_share()), (Some(1.75), Some(0.005)));
        assert_eq!(CpuSpan { wall_s: Some(0.0), ..span.clone() }.cpus(), None);
        assert_eq!(CpuSpan { system_s: None, ..span }.cpus(), None);
    }
}
