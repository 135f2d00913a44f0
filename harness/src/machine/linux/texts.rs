//! Reading what [`super::describe`] looks at.

use crate::machine::cgroup::Limits;
use crate::machine::dmi;
use crate::machine::files::{names, numbered, text};

/// The text of the files that describe a machine; empty where there is no such file.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// `/proc/cpuinfo`
    pub cpuinfo: String,
    /// `/proc/meminfo`
    pub meminfo: String,
    /// `/proc/loadavg`
    pub loadavg: String,
    /// `/proc/self/status`
    pub self_status: String,
    /// `/etc/os-release`
    pub os_release: String,
    /// `/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor`
    pub governor: String,
    /// `scaling_driver` beside it.
    pub frequency_driver: String,
    /// `base_frequency` beside it, kHz.
    pub base_frequency: String,
    /// `cpuinfo_max_freq` beside it, kHz.
    pub max_frequency: String,
    /// `/sys/devices/system/cpu/intel_pstate/no_turbo`
    pub no_turbo: String,
    /// `/sys/devices/system/cpu/cpufreq/boost`
    pub boost: String,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`
    pub transparent_hugepage: String,
    /// `/sys/devices/system/node/online`
    pub numa_online: String,
    /// `/sys/hypervisor/type`
    pub hypervisor_type: String,
    /// `sys_vendor` and `product_name` in `/sys/class/dmi/id`.
    pub dmi: [String; 2],
    /// The structures of the firmware's tables that describe memory; empty without the right to read them.
    pub smbios: Vec<u8>,
    /// `(physical_package_id, core_id)` of each processor in `/sys/devices/system/cpu/cpu*/topology`.
    pub topology: Vec<(String, String)>,
    /// `(level, type, size)` of each cache in `/sys/devices/system/cpu/cpu0/cache`.
    pub caches: Vec<(String, String, String)>,
    /// `(size, shared_cpu_list)` of the last cache of each processor.
    pub last_caches: Vec<(String, String)>,
    /// Name and text of each file in `/sys/devices/system/cpu/vulnerabilities`.
    pub vulnerabilities: Vec<(String, String)>,
    /// Limits of the container.
    pub limits: Limits,
}

const CPU: &str = "/sys/devices/system/cpu";

impl Texts {
    /// Reads them all.
    pub fn read() -> Self {
        let frequency = |name: &str| text(&format!("{CPU}/cpu0/cpufreq/{name}"));
        let topology = |dir: String| {
            let of = |name: &str| text(&format!("{dir}/topology/{name}"));
            (of("physical_package_id"), of("core_id"))
        };
        let cache = |dir: String| {
            let of = |name: &str| text(&format!("{dir}/{name}"));
            (of("level"), of("type"), of("size"))
        };
        let caches: Vec<_> = numbered(&format!("{CPU}/cpu0/cache"), "index").map(cache).collect();
        let vulnerability = |name: String| {
            let said = text(&format!("{CPU}/vulnerabilities/{name}"));
            (name, said)
        };
        Self {
            cpuinfo: text("/proc/cpuinfo"),
            meminfo: text("/proc/meminfo"),
            loadavg: text("/proc/loadavg"),
            self_status: text("/proc/self/status"),
            os_release: text("/etc/os-release"),
            governor: frequency("scaling_governor"),
            frequency_driver: frequency("scaling_driver"),
            base_frequency: frequency("base_frequency"),
            max_frequency: frequency("cpuinfo_max_freq"),
            no_turbo: text(&format!("{CPU}/intel_pstate/no_turbo")),
            boost: text(&format!("{CPU}/cpufreq/boost")),
            transparent_hugepage: text("/sys/kernel/mm/transparent_hugepage/enabled"),
            numa_online: text("/sys/devices/system/node/online"),
            hypervisor_type: text("/sys/hypervisor/type"),
            dmi: ["sys_vendor", "product_name"].map(|name| text(&format!("/sys/class/dmi/id/{name}"))),
            smbios: dmi::read(),
            topology: numbered(CPU, "cpu").map(topology).collect(),
            last_caches: last_caches(caches.len()),
            caches,
            vulnerabilities: names(&format!("{CPU}/vulnerabilities"))
                .into_iter()
                .map(vulnerability)
                .collect(),
            limits: Limits::read(),
        }
    }
}

/// Of every processor, the cache with the highest of `n_caches` numbers.
fn last_caches(n_caches: usize) -> Vec<(String, String)> {
    let Some(last) = n_caches.checked_sub(1) else { return Vec::new() };
    let of = |dir: String| {
        let of = |name: &str| text(&format!("{dir}/cache/index{last}/{name}"));
        (of("size"), of("shared_cpu_list"))
    };
    numbered(CPU, "cpu").map(of).filter(|(size, _)| !size.is_empty()).collect()
}
