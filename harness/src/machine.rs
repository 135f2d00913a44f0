//! The machine that a run ran on, as recorded in the manifest. What the system does not tell is `None`, shown as "unavailable".

pub mod affinity;
pub mod cgroup;
pub mod dmi;
pub(crate) mod files;
pub mod linux;
pub mod macos;
pub mod topology;
mod yardsticks;

pub use yardsticks::{Peak, ReadBandwidth, YardstickError, Yardsticks, bandwidth_bytes, measure_in_child};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Stable, anonymous: a hash over CPU model and its numbers, core count and memory size; not the host name.
    pub id: String,
    /// Short name used in bundle ids: the CPU model as a slug, or what `--host-label` gave.
    pub label: String,
    /// CPU model as the system names it.
    pub cpu: String,
    /// The numbers by which the maker tells its processors apart, where the system has them: `family 25, model 17`; `implementer 0x41, part
    /// 0xd40`. A virtual machine may give one name to several generations.
    #[serde(default)]
    pub cpu_numbers: Option<String>,
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
    /// Sockets.
    #[serde(default)]
    pub sockets: Option<u32>,
    /// Hardware threads of a core (SMT), the largest number that a core has.
    #[serde(default)]
    pub threads_per_core: Option<u32>,
    /// The highest clock that the system allows, GHz, turbo included where it counts as such.
    #[serde(default)]
    pub max_ghz: Option<f64>,
    /// Whether the clock may rise above the nominal one.
    #[serde(default)]
    pub turbo: Option<bool>,
    /// What sets the clock: `intel_pstate`, `amd-pstate-epp`, `acpi-cpufreq`, …
    #[serde(default)]
    pub frequency_driver: Option<String>,
    /// The last cache, as one core sees it.
    #[serde(default)]
    pub last_cache_bytes: Option<u64>,
    /// The last caches of the whole machine.
    #[serde(default)]
    pub last_cache_bytes_total: Option<u64>,
    /// Memory modules that are there: `DDR5`, their speed and their number. Needs root on Linux.
    #[serde(default)]
    pub memory_modules: Option<dmi::Modules>,
    /// Swap space.
    #[serde(default)]
    pub swap_bytes: Option<u64>,
    /// Of it in use at the start.
    #[serde(default)]
    pub swap_used_bytes: Option<u64>,
    /// Huge pages set aside, and the size of one.
    #[serde(default)]
    pub huge_pages: Option<HugePages>,
    /// Microcode revision.
    #[serde(default)]
    pub microcode: Option<String>,
    /// Hardware weaknesses that this processor has, and what the kernel does about each: some cost time.
    #[serde(default)]
    pub mitigations: Vec<(String, String)>,
    /// How fast memory can be read, by threads; empty where it was not measured.
    #[serde(default)]
    pub read_bandwidth: Vec<ReadBandwidth>,
    /// How fast the engine's kernels can compute within the first cache, by threads; empty where it was not measured.
    #[serde(default)]
    pub peak: Vec<Peak>,
}

/// Huge pages that are set aside (`vm.nr_hugepages`), which no program but one that asks for them can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugePages {
    /// How many.
    pub reserved: u64,
    /// Size of one.
    pub page_bytes: u64,
}

impl Machine {
    /// Asks the system. What it does not tell stays empty; this never fails.
    pub fn detect() -> Self {
        let mut machine = match std::env::consts::OS {
            "linux" => linux::describe(&linux::Texts::read()),
            "macos" => macos::describe(&macos::Texts::read()),
            _ => Machine::default(),
        };
        machine.fill_from_sysinfo();
        machine.arch = std::env::consts::ARCH.to_owned();
        if machine.logical == 0 {
            machine.logical = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        }
        if machine.cores == 0 {
            machine.cores = machine.logical;
        }
        if machine.cpu.is_empty() {
            machine.cpu = format!("unknown {} processor", machine.arch);
        }
        machine.name_it();
        machine
    }

    /// How `other` is another machine, or one of another kind; `None` where nothing tells the two apart. Bundles made before
    /// [`Machine::cpu_numbers`] have one id for processors of one name: the caches of a core tell some of them apart.
    pub fn unlike(&self, other: &Machine) -> Option<String> {
        let core_caches = |m: &Machine| -> Vec<(String, u64)> {
            m.caches
                .iter()
                .filter(|(name, _)| name.starts_with("L1") || name.starts_with("L2"))
                .cloned()
                .collect()
        };
        let said = |m: &Machine| {
            let numbers = m.cpu_numbers.as_ref().map(|numbers| format!(", {numbers}")).unwrap_or_default();
            format!("{} ({}{numbers})", m.id, m.cpu)
        };
        let (own, others) = (core_caches(self), core_caches(other));
        match self.id == other.id {
            false => Some(format!("{} and {}", said(self), said(other))),
            true if own.is_empty() || others.is_empty() || own == others => None,
            true => {
                let kib = |caches: &[(String, u64)]| {
                    let each = caches.iter().map(|(name, bytes)| format!("{name} {} KiB", bytes >> 10));
                    each.collect::<Vec<_>>().join(", ")
                };
                Some(format!("{} with {} and with {}", said(self), kib(&own), kib(&others)))
            }
        }
    }

    /// Takes over what [`measure_in_child`] found.
    pub fn take_yardsticks(&mut self, measured: Yardsticks) {
        self.read_bandwidth = measured.read_bandwidth;
        self.peak = measured.peak;
    }

    /// What neither procfs nor sysctl told.
    fn fill_from_sysinfo(&mut self) {
        use sysinfo::System;
        if self.memory_bytes == 0 {
            let mut system = System::new();
            system.refresh_memory();
            self.memory_bytes = system.total_memory();
        }
        if self.cores == 0 {
            self.cores = System::physical_core_count().unwrap_or(0) as u32;
        }
        if self.kernel.is_empty() {
            let uname = rustix::system::uname();
            self.kernel =
                format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        }
        if self.os.is_empty() {
            self.os = System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned());
        }
    }

    /// Sets [`Machine::id`] and [`Machine::label`] from the rest.
    fn name_it(&mut self) {
        // Kernels reserve a little more or less: whole GiB tell machines apart well enough.
        let memory_gib = self.memory_bytes.div_ceil(1 << 30);
        let numbers = self.cpu_numbers.as_ref().map(|numbers| format!("|{numbers}")).unwrap_or_default();
        let identity = format!("{}|{}|{}|{memory_gib}{numbers}", self.cpu, self.arch, self.cores);
        let hash = Sha256::digest(identity.as_bytes());
        self.id = hash[..6].iter().map(|b| format!("{b:02x}")).collect();
        self.label = slug(&self.cpu);
    }
}

/// A CPU's name as part of a file name: `Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz` is `intel-core-i9-9900k`.
pub fn slug(name: &str) -> String {
    let name = name.split(" @").next().unwrap_or(name).to_lowercase();
    let name = name.replace("(r)", " ").replace("(tm)", " ");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let words = name.split(|c: char| !is_plain(c)).filter(|w| !w.is_empty());
    let said: Vec<&str> = words.filter(|w| !["cpu", "processor"].contains(w)).collect();
    let slug: String = said.join("-").chars().take(40).collect();
    if slug.is_empty() { "machine".to_owned() } else { slug.trim_end_matches('-').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_slugs() {
        for (name, expected) in [
            ("Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz", "intel-core-i9-9900k"),
            ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763-64-core"),
            ("Apple M2", "apple-m2"),
            ("Neoverse-V1", "neoverse-v1"),
            ("???", "machine"),
        ] {
            assert_eq!(slug(name), expected);
        }
    }

    #[test]
    fn this_machine_is_described() {
        let m = Machine::detect();
        assert!(!m.cpu.is_empty() && !m.kernel.is_empty() && !m.os.is_empty(), "{m:?}");
        assert!(m.cores > 0 && m.logical > 0 && m.memory_bytes > 0, "{m:?}");
        assert_eq!((m.id.len(), m.arch.as_str()), (12, std::env::consts::ARCH));
        assert_eq!(m.id, Machine::detect().id);
    }

    #[test]
    fn processors_of_one_name_are_told_apart() {
        let named = |numbers: Option<&str>| {
            let mut machine = Machine {
                cpu: "AMD EPYC".to_owned(),
                cpu_numbers: numbers.map(str::to_owned),
                caches: vec![("L1d".to_owned(), 32 << 10), ("L3".to_owned(), 32 << 20)],
                ..Machine::default()
            };
            machine.name_it();
            machine
        };
        let (older, newer) = (named(Some("family 25, model 17")), named(Some("family 26, model 2")));
        let said = older.unlike(&newer).unwrap();
        assert!(said.contains("(AMD EPYC, family 25, model 17) and ") && said.contains("model 2)"), "{said}");
        assert_eq!(older.unlike(&older), None);

        let mut other = named(None);
        other.caches[0].1 = 48 << 10;
        let said = named(None).unlike(&other).unwrap();
        assert!(said.ends_with("(AMD EPYC) with L1d 32 KiB and with L1d 48 KiB"), "{said}");
        other.caches = vec![("L3".to_owned(), 16 << 20)];
        assert_eq!(named(None).unlike(&other), None, "a share of the last cache may be another");
    }

    #[test]
    fn machines_of_older_manifests_read_and_what_they_lack_is_unavailable() {
        let runs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/runs");
        let mut n_older = 0;
        for run in std::fs::read_dir(runs).unwrap() {
            let text = std::fs::read_to_string(run.unwrap().path().join("manifest.json")).unwrap();
            let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
            let machine: Machine = serde_json::from_value(manifest["machine"].clone()).unwrap();
            assert!(machine.cores > 0 && machine.memory_bytes > 0, "{machine:?}");
            if manifest["machine"].get("sockets").is_none() {
                n_older += 1;
                assert_eq!((machine.sockets, machine.swap_bytes, machine.turbo), (None, None, None));
                assert!(machine.read_bandwidth.is_empty() && machine.peak.is_empty());
            }
        }
        assert!(n_older > 0, "the oldest bundles were made before there were these fields");
    }
}
