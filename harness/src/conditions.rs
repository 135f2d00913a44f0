//! How the machine was before and while a launch ran: the canary and the sensors.

mod canary;
pub mod energy;
mod linux;
mod macos;
mod sensors;

pub use canary::{Canary, CanaryRunner};
pub use energy::Domain;
pub use linux::{CpuTimes, cpu_times};
pub use sensors::{Pressure, Sensors};

use serde::{Deserialize, Serialize};

/// What was seen of the machine around one launch. What a system does not tell is `None`: "unavailable", never "fine".
///
/// All but the canary, the clocks, the temperature and the load average are differences between two readings of the
/// sensors, one just before the launch and one just after it. They are of the whole machine, the framework included,
/// where not said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// The canary before the launch.
    pub canary: Option<Canary>,
    /// Between the two readings.
    pub duration_ns: Option<u64>,
    /// Mean clock of the processors at the first reading, 10⁶ Hz. Idle ones count too: it is no clock of the run.
    pub clock_mhz_before: Option<f64>,
    /// The same at the second.
    pub clock_mhz_after: Option<f64>,
    /// The most that the system allowed the clock to be because of heat, percent, at the second reading (macOS on Intel).
    pub clock_limit_percent: Option<u32>,
    /// The frequency governor at the second reading.
    pub governor: Option<String>,
    /// The governor at the first, if it was another.
    pub governor_before: Option<String>,
    /// How often processors began to be slowed down for heat.
    pub throttled: Option<u64>,
    /// Highest temperature of a processor's sensor at the second reading, °C.
    pub temperature_c: Option<f64>,
    /// Processor time that the hypervisor gave to others while this machine wanted to run, seconds.
    pub steal_s: Option<f64>,
    /// The same as a share of all processors' time.
    pub steal_share: Option<f64>,
    /// Processor time that was used, seconds: by everything.
    pub busy_cpu_s: Option<f64>,
    /// Processor time that others used than the framework's processes and the harness, seconds; interrupts are among it.
    /// The kernel counts in ticks of 10 ms: less than one for each processor says nothing.
    pub other_cpu_s: Option<f64>,
    /// The same as a share of all processors' time.
    pub other_cpu_share: Option<f64>,
    /// Time for which the container's quota held processes back, µs.
    pub quota_throttled_us: Option<u64>,
    /// Time in which at least one process waited for a processor, for memory, for a disk.
    pub pressure: Pressure,
    /// Context switches.
    pub context_switches: Option<u64>,
    /// Pages read back from swap.
    pub pages_swapped_in: Option<u64>,
    /// Pages written to swap.
    pub pages_swapped_out: Option<u64>,
    /// Page faults that had to wait for a disk.
    pub major_faults: Option<u64>,
    /// Load average over one minute at the first reading.
    pub load_average: Option<f64>,
    /// Energy of all processor packages, joules. A counter that went round more than once is not noticed.
    pub energy_j: Option<f64>,
}

impl Conditions {
    /// What changed from `before` to `after`. `tree_cpu_s` is the processor time of the framework's processes, without which
    /// that of others is not known; `harness_cpu_s` that of this process, which is taken from the sensors if not given.
    pub fn between(
        before: &Sensors,
        after: &Sensors,
        tree_cpu_s: Option<f64>,
        harness_cpu_s: Option<f64>,
        canary: Option<Canary>,
    ) -> Conditions {
        let cpu = before.cpu.zip(after.cpu).and_then(|(b, a)| a.since(b));
        let share = |seconds: Option<f64>| {
            let total_s = cpu?.total_s;
            (total_s > 0.0).then(|| seconds.map(|s| s / total_s))?
        };
        let own_cpu_s = before.harness_cpu_s.zip(after.harness_cpu_s).map(|(b, a)| (a - b).max(0.0));
        let known_cpu_s = tree_cpu_s.zip(harness_cpu_s.or(own_cpu_s)).map(|(tree, harness)| tree + harness);
        let other_cpu_s = cpu.zip(known_cpu_s).map(|(cpu, known)| (cpu.busy_s - known).max(0.0));
        let steal_s = cpu.map(|cpu| cpu.steal_s);
        Conditions {
            canary,
            duration_ns: Some(after.at_ns.saturating_sub(before.at_ns)),
            clock_mhz_before: before.clock_mhz,
            clock_mhz_after: after.clock_mhz,
            clock_limit_percent: after.clock_limit_percent,
            governor: after.governor.clone(),
            governor_before: before.governor.clone().filter(|_| before.governor != after.governor),
            throttled: rise(before.throttle_count, after.throttle_count),
            temperature_c: after.temperature_c,
            steal_s,
            steal_share: share(steal_s),
            busy_cpu_s: cpu.map(|cpu| cpu.busy_s),
            other_cpu_s,
            other_cpu_share: share(other_cpu_s),
            quota_throttled_us: rise(before.quota_throttled_us, after.quota_throttled_us),
            pressure: Pressure {
                cpu_us: rise(before.pressure.cpu_us, after.pressure.cpu_us),
                memory_us: rise(before.pressure.memory_us, after.pressure.memory_us),
                io_us: rise(before.pressure.io_us, after.pressure.io_us),
            },
            context_switches: rise(before.context_switches, after.context_switches),
            pages_swapped_in: rise(before.pages_swapped_in, after.pages_swapped_in),
            pages_swapped_out: rise(before.pages_swapped_out, after.pages_swapped_out),
            major_faults: rise(before.major_faults, after.major_faults),
            load_average: before.load_average,
            energy_j: energy::joules_between(&before.energy, &after.energy),
        }
    }
}

/// By how much a counter rose; `None` also where it fell, because it was set back.
fn rise(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    after?.checked_sub(before?)
}

#[cfg(test)]
mod tests;
