//! What the rules look at.

use crate::conditions::Sensors;
use crate::machine::Machine;
use crate::machine::cgroup::Limits;
use crate::machine::files::{names, text};
use crate::machine::linux::kib;
use crate::machine::macos::output;
use std::path::Path;
use std::time::Duration;

/// The machine as it is now; `None` where it does not tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Processors that are there.
    pub online: u32,
    /// Processors that this process may use.
    pub logical: u32,
    /// Load average over one minute.
    pub load_average: Option<f64>,
    /// Share of all processors' time that was used while the snapshot was taken.
    pub busy_share: Option<f64>,
    /// Frequency governor; several with commas between.
    pub governor: Option<String>,
    /// Whether the clock may rise above the nominal one.
    pub turbo: Option<bool>,
    /// All memory.
    pub memory_bytes: Option<u64>,
    /// Memory that can be had without swapping.
    pub memory_available_bytes: Option<u64>,
    /// The container's limit.
    pub memory_limit_bytes: Option<u64>,
    /// Swap in use.
    pub swap_used_bytes: Option<u64>,
    /// Whether a battery feeds the machine.
    pub on_battery: Option<bool>,
    /// Hypervisor.
    pub hypervisor: Option<String>,
    /// Of the time in which there was work, the share that the hypervisor took, while the snapshot was taken.
    pub steal_share: Option<f64>,
    /// The same since the machine started.
    pub steal_share_since_boot: Option<f64>,
    /// The container's limit, in processors.
    pub cpu_limit: Option<f64>,
    /// Free space where the bundle goes.
    pub disk_free_bytes: Option<u64>,
    /// Transparent huge pages.
    pub transparent_huge_pages: Option<String>,
}

/// For how long others are watched: a tick of 10 ms is then 1% of one processor.
const WATCHED: Duration = Duration::from_secs(1);

impl Snapshot {
    /// Takes one; waits a second to see what others do. `out_dir` is where the bundle goes; it need not be there yet.
    pub fn read(machine: &Machine, out_dir: &Path) -> Snapshot {
        let before = Sensors::read();
        std::thread::sleep(WATCHED);
        let after = Sensors::read();
        let cpu = before.cpu.zip(after.cpu).and_then(|(b, a)| a.since(b));
        let taken =
            |busy_s: f64, steal_s: f64| (busy_s + steal_s > 0.0).then(|| steal_s / (busy_s + steal_s));
        let limits = Limits::read();
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        Snapshot {
            online: online().unwrap_or(machine.logical),
            logical: machine.logical,
            load_average: after.load_average,
            busy_share: cpu.filter(|cpu| cpu.total_s > 0.0).map(|cpu| cpu.busy_s / cpu.total_s),
            governor: after.governor,
            turbo: machine.turbo,
            memory_bytes: Some(machine.memory_bytes).filter(|&bytes| bytes > 0),
            memory_available_bytes: kib(&text("/proc/meminfo"), "MemAvailable")
                .or_else(|| Some(system.available_memory()).filter(|&bytes| bytes > 0)),
            memory_limit_bytes: limits.memory_bytes,
            swap_used_bytes: machine.swap_used_bytes,
            on_battery: on_battery(),
            hypervisor: machine.hypervisor.clone(),
            // A share of a tick or two says nothing.
            steal_share: cpu.filter(|cpu| cpu.steal_s > 0.025).and_then(|cpu| taken(cpu.busy_s, cpu.steal_s)),
            steal_share_since_boot: after.cpu.and_then(|cpu| taken(cpu.busy_s, cpu.steal_s)),
            cpu_limit: limits.cpus,
            disk_free_bytes: disk_free_bytes(out_dir),
            transparent_huge_pages: machine.transparent_huge_pages.clone(),
        }
    }
}

fn online() -> Option<u32> {
    let list =
        crate::machine::topology::parse_cpu_list(&text("/sys/devices/system/cpu/online")).unwrap_or_default();
    u32::try_from(list.len()).ok().filter(|&n| n > 0)
}

/// Of the file system that holds the directory, or the nearest one above it that is there.
fn disk_free_bytes(dir: &Path) -> Option<u64> {
    let dir = std::path::absolute(dir).ok()?;
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn on_battery() -> Option<bool> {
    if cfg!(target_os = "macos") {
        return drawing_from_battery(&output("/usr/bin/pmset", &["-g", "batt"]));
    }
    let dir = "/sys/class/power_supply";
    let supply = |name: String| {
        let of = |file: &str| text(&format!("{dir}/{name}/{file}"));
        Supply { kind: of("type"), scope: of("scope"), online: of("online"), status: of("status") }
    };
    any_discharging(&names(dir).into_iter().map(supply).collect::<Vec<_>>())
}

/// A directory of `/sys/class/power_supply`.
#[derive(Debug, Default)]
struct Supply {
    kind: String,
    scope: String,
    online: String,
    status: String,
}

/// `None` without a battery of the machine's own: a mouse's has the scope `Device`.
fn any_discharging(supplies: &[Supply]) -> Option<bool> {
    let is_plugged_in = supplies.iter().any(|s| s.kind == "Mains" && s.online == "1");
    let mut batteries = supplies.iter().filter(|s| s.kind == "Battery" && s.scope != "Device").peekable();
    batteries.peek()?;
    Some(!is_plugged_in && batteries.any(|s| s.status == "Discharging"))
}

/// By the line `Now drawing from 'AC Power'`.
fn drawing_from_battery(pmset: &str) -> Option<bool> {
    let from = pmset.lines().find_map(|l| l.trim().strip_prefix("Now drawing from"))?;
    Some(from.contains("Battery Power"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_laptop_with_a_mouse() {
        let supply = |kind: &str, scope: &str, online: &str, status: &str| Supply {
            kind: kind.into(),
            scope: scope.into(),
            online: online.into(),
            status: status.into(),
        };
        let mouse = || supply("Battery", "Device", "", "Discharging");
        let mains = |online| supply("Mains", "", online, "");
        let battery = |status| supply("Battery", "", "", status);
        assert_eq!(any_discharging(&[]), None);
        assert_eq!(any_discharging(&[mouse(), mains("1")]), None);
        assert_eq!(any_discharging(&[mouse(), battery("Discharging"), mains("0")]), Some(true));
        assert_eq!(any_discharging(&[mouse(), battery("Charging"), mains("1")]), Some(false));
        // A battery that is drained beside the mains does not hold the clock down.
        assert_eq!(any_discharging(&[battery("Discharging"), mains("1")]), Some(false));
    }

    #[test]
    fn a_mac_says_what_it_draws_from() {
        assert_eq!(drawing_from_battery("Now drawing from 'Battery Power'\n -InternalBattery-0"), Some(true));
        assert_eq!(drawing_from_battery("Now drawing from 'AC Power'\n"), Some(false));
        assert_eq!(drawing_from_battery(""), None);
    }

    #[test]
    fn free_space_is_that_of_the_nearest_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert!(disk_free_bytes(&dir.path().join("not/there/yet")).is_some());
    }
}
