//! The machine that a run ran on, as recorded in the manifest. What the system does not tell is `None`, shown as "unavailable".

use serde::{Deserialize, Serialize};

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Stable, anonymous: a hash over CPU model, core count and memory size; not the host name.
    pub id: String,
    /// Short name used in bundle ids: the CPU model as a slug, or what `--host-label` gave.
    pub label: String,
    /// CPU model as the system names it.
    pub cpu: String,
    /// `x86_64`, `aarch64`
    pub arch: String,
    /// Instruction-set flags that matter for inference (avx2, fma, f16c, avx512f, avx512_vnni, neon, dotprod, i8mm, …).
    pub isa: Vec<String>,
    /// Physical cores.
    pub cores: u32,
    /// Logical processors that this process may use.
    pub logical: u32,
    /// Clock in GHz as the system gives it now (not measured in the run), where it does.
    pub nominal_ghz: Option<f64>,
    /// Frequency governor.
    pub governor: Option<String>,
    /// Cache sizes as (level and kind, bytes).
    pub caches: Vec<(String, u64)>,
    /// Physical memory.
    pub memory_bytes: u64,
    /// NUMA nodes.
    pub numa_nodes: Option<u32>,
    /// Transparent huge pages: `always`, `madvise`, `never`.
    pub transparent_huge_pages: Option<String>,
    /// Kernel name and release.
    pub kernel: String,
    /// Operating system and version.
    pub os: String,
    /// Hypervisor, where one shows itself.
    pub hypervisor: Option<String>,
    /// CPU and memory limits of the container (cgroup), where set.
    pub container_limits: Option<String>,
    /// Load average over one minute at the start.
    pub load_average: Option<f64>,
}
