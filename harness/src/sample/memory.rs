//! What a launch took of the memory.

use serde::{Deserialize, Serialize};

/// Memory of the framework's processes, in bytes. `None` where the system does not tell.
///
/// A figure of several processes is the largest sum over those that were alive at the same time: a process that ends
/// counts in the sums of its time and in no later one.
///
/// The two peaks differ in kind: the resident set counts pages of files that are mapped, the footprint of macOS does not
/// as long as they are clean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// High-water mark of the resident set (Linux `VmHWM`; elsewhere the largest sample).
    pub rss_peak_bytes: Option<u64>,
    /// Largest sampled anonymous part.
    pub rss_anon_bytes: Option<u64>,
    /// Largest sampled file-backed part, shared memory included.
    pub rss_file_bytes: Option<u64>,
    /// Largest sampled proportional set size.
    pub pss_bytes: Option<u64>,
    /// Samples taken.
    pub n_samples: u32,
    /// Largest sampled part that was swapped out (Linux `VmSwap`).
    #[serde(default)]
    pub swap_bytes: Option<u64>,
    /// Most processes seen alive at once.
    #[serde(default)]
    pub n_processes_max: Option<u32>,
    /// High-water mark of the physical footprint (macOS `ri_lifetime_max_phys_footprint` of `proc_pid_rusage`), since the
    /// start of each process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footprint_peak_bytes: Option<u64>,
    /// Since when `rss_peak_bytes` counts. `None` in older bundles: since the start of the process.
    #[serde(default)]
    pub peak_since: Option<PeakSince>,
}

/// Since when a high-water mark counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeakSince {
    /// Since the start of the process, whatever happened before the measurement.
    ProcessStart,
    /// Since the measurement began: the mark of a server that ran already was reset then.
    Attach,
}
