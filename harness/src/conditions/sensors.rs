//! One reading of everything that the system tells about its state.

use super::energy::{self, Domain};
use super::linux::{CpuTimes, counter, cpu_times, cpuinfo_mhz, mean, process_cpu_s, some_waited_us};
use super::macos::{speed_limit_percent, vm_counter};
use crate::machine::cgroup;
use crate::machine::files::{names, number, numbered, text};
use crate::machine::macos::output;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Instant;

/// A reading. Counters count from some moment in the past; `None` where the system does not tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sensors {
    /// When, on a monotonic clock that starts with this process's first reading.
    pub at_ns: u64,
    /// Mean clock of the processors, 10⁶ Hz.
    pub clock_mhz: Option<f64>,
    /// The most that the system allows the clock to be because of heat, percent.
    pub clock_limit_percent: Option<u32>,
    /// Frequency governor; several, with commas between, where processors differ.
    pub governor: Option<String>,
    /// How often processors were slowed down for heat, summed over processors and packages.
    pub throttle_count: Option<u64>,
    /// Highest temperature of a processor, °C.
    pub temperature_c: Option<f64>,
    /// Processor time of the machine.
    pub cpu: Option<CpuTimes>,
    /// Processor time of this process.
    pub harness_cpu_s: Option<f64>,
    /// Time for which the container's quota held processes back, µs.
    pub quota_throttled_us: Option<u64>,
    /// Time in which processes waited.
    pub pressure: Pressure,
    /// Context switches.
    pub context_switches: Option<u64>,
    /// Pages read from swap.
    pub pages_swapped_in: Option<u64>,
    /// Pages written to swap.
    pub pages_swapped_out: Option<u64>,
    /// Page faults that waited for a disk.
    pub major_faults: Option<u64>,
    /// Load average over one minute.
    pub load_average: Option<f64>,
    /// Energy of the processor packages.
    pub energy: Vec<Domain>,
}

/// Time in which at least one process waited for the resource (pressure stall information, `some`), µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// For a processor.
    pub cpu_us: Option<u64>,
    /// For memory.
    pub memory_us: Option<u64>,
    /// For a disk.
    pub io_us: Option<u64>,
}

impl Sensors {
    /// Reads them now. On Linux these are small files: 0.15 to 0.25 ms on a virtual machine of two busy processors, more with
    /// their number and with drivers for clock and heat. On macOS these are two commands; what they cost was not measured.
    pub fn read() -> Sensors {
        static STARTED: OnceLock<Instant> = OnceLock::new();
        let since_start = STARTED.get_or_init(Instant::now).elapsed();
        let at_ns = u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX);
        match std::env::consts::OS {
            "linux" => Sensors { at_ns, ..of_linux() },
            "macos" => Sensors { at_ns, ..of_macos() },
            _ => Sensors { at_ns, ..Sensors::default() },
        }
    }
}

const CPU: &str = "/sys/devices/system/cpu";

fn of_linux() -> Sensors {
    let (stat, vmstat) = (text("/proc/stat"), text("/proc/vmstat"));
    let ticks_per_s = ticks_per_s();
    let waited_us = |what: &str| some_waited_us(&text(&format!("/proc/pressure/{what}")));
    Sensors {
        at_ns: 0,
        clock_mhz: clock_mhz(),
        clock_limit_percent: None,
        governor: governor(),
        throttle_count: throttle_count(),
        temperature_c: temperature_c(),
        cpu: cpu_times(&stat, ticks_per_s),
        harness_cpu_s: process_cpu_s(&text("/proc/self/stat"), ticks_per_s),
        quota_throttled_us: cgroup::throttled_us(),
        pressure: Pressure {
            cpu_us: waited_us("cpu"),
            memory_us: waited_us("memory"),
            io_us: waited_us("io"),
        },
        context_switches: counter(&stat, "ctxt"),
        pages_swapped_in: counter(&vmstat, "pswpin"),
        pages_swapped_out: counter(&vmstat, "pswpout"),
        major_faults: counter(&vmstat, "pgmajfault"),
        load_average: text("/proc/loadavg").split(' ').next().and_then(|v| v.parse().ok()),
        energy: energy::read(),
    }
}

fn of_macos() -> Sensors {
    let vm_stat = output("/usr/bin/vm_stat", &[]);
    let load_average = sysinfo::System::load_average().one;
    Sensors {
        clock_limit_percent: speed_limit_percent(&output("/usr/bin/pmset", &["-g", "therm"])),
        pages_swapped_in: vm_counter(&vm_stat, "Swapins"),
        pages_swapped_out: vm_counter(&vm_stat, "Swapouts"),
        load_average: load_average.is_finite().then_some(load_average),
        ..Sensors::default()
    }
}

/// Ticks of /proc/stat in a second (POSIX `sysconf(_SC_CLK_TCK)`).
pub(crate) fn ticks_per_s() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Frequency policies: one for each processor, or for several that share a clock.
fn policies() -> Vec<String> {
    let dir = format!("{CPU}/cpufreq");
    let policies = names(&dir).into_iter().filter(|name| name.starts_with("policy"));
    policies.map(|name| format!("{dir}/{name}")).collect()
}

/// By the frequency driver, else by /proc/cpuinfo.
fn clock_mhz() -> Option<f64> {
    let khz = policies().into_iter().filter_map(|policy| number(&format!("{policy}/scaling_cur_freq")));
    mean(khz.map(|khz| khz as f64 / 1e3)).or_else(|| cpuinfo_mhz(&text("/proc/cpuinfo")))
}

fn governor() -> Option<String> {
    let of = |policy: String| text(&format!("{policy}/scaling_governor"));
    let found: BTreeSet<String> = policies().into_iter().map(of).filter(|g| !g.is_empty()).collect();
    (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>().join(","))
}

fn throttle_count() -> Option<u64> {
    let of = |dir: String| {
        let of = |what: &str| number(&format!("{dir}/thermal_throttle/{what}_throttle_count"));
        Some(of("core")? + of("package").unwrap_or(0))
    };
    numbered(CPU, "cpu").map_while(of).reduce(u64::saturating_add)
}

/// Drivers of processors' own sensors.
const PROCESSOR_SENSORS: [&str; 4] = ["coretemp", "k10temp", "zenpower", "cpu_thermal"];

/// The first sensor of each processor, which is that of the package.
fn temperature_c() -> Option<f64> {
    let dir = "/sys/class/hwmon";
    let monitors = names(dir).into_iter().map(|name| format!("{dir}/{name}"));
    let of_processors =
        monitors.filter(|dir| PROCESSOR_SENSORS.contains(&text(&format!("{dir}/name")).as_str()));
    let millidegrees = of_processors.filter_map(|dir| number(&format!("{dir}/temp1_input")));
    millidegrees.max().map(|m| m as f64 / 1e3)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_what_every_linux_tells() {
        let (before, after) = (Sensors::read(), Sensors::read());
        assert!(before.cpu.is_some() && before.harness_cpu_s.is_some(), "{before:?}");
        assert!(before.context_switches.is_some() && before.load_average.is_some(), "{before:?}");
        assert!(after.at_ns > before.at_ns);
        assert!(after.context_switches >= before.context_switches);
    }
}
