//! Whether the machine is fit to be measured on: what speaks against it, before anything is launched.

mod lock;
mod snapshot;

pub use lock::{Holder, LockError, MachineLock};
pub use snapshot::Snapshot;

use crate::units::{bytes_to_mb, show_mb, show_percent};
use serde::{Deserialize, Serialize};

/// What the run is going to need.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Needs {
    /// The most threads of any launch.
    pub threads: u32,
    /// Size of the model file.
    pub model_bytes: u64,
    /// Space for the bundle.
    pub disk_bytes: u64,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know when the figures are read.
    Note,
    /// The figures may be disturbed.
    Warning,
    /// The run cannot succeed.
    Fatal,
}

/// Something that speaks against measuring now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: `load average`, …
    pub what: String,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub remedy: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.what, self.seen, self.remedy)
    }
}

/// Every rule; what a rule cannot see, it says nothing about.
const RULES: &[fn(&Snapshot, &Needs) -> Option<Finding>] = &[
    load_average,
    busy_now,
    governor,
    turbo,
    memory,
    swap,
    battery,
    steal,
    processors,
    cpu_limit,
    disk,
    huge_pages,
];

/// The findings in `snapshot` for a run with `needs`; the gravest first.
pub fn check(snapshot: &Snapshot, needs: &Needs) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().filter_map(|rule| rule(snapshot, needs)).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// A load average above this for each processor, or above [`LOAD_MIN`].
const LOAD_SHARE_MAX: f64 = 0.1;
/// So much load is no sign of anything on a small machine.
const LOAD_MIN: f64 = 0.5;
/// The share of processor time that may be used while nothing of ours runs.
const BUSY_SHARE_MAX: f64 = 0.03;
/// The share of the time in which there was work that a hypervisor may have taken.
const STEAL_SHARE_MAX: f64 = 0.005;
/// Memory wanted beside the model for cache, buffers and the harness.
const MEMORY_BESIDE_BYTES: u64 = 1 << 30;

fn finding(severity: Severity, what: &str, seen: String, remedy: &str) -> Option<Finding> {
    Some(Finding { severity, what: what.to_owned(), seen, remedy: remedy.to_owned() })
}

fn load_average(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let load = s.load_average?;
    let most = (LOAD_SHARE_MAX * f64::from(s.online.max(1))).max(LOAD_MIN);
    let seen = || format!("{load:.2} on {} processors, {most:.2} is quiet", s.online);
    let remedy = "end other programs and wait until it has fallen";
    (load > most).then(|| finding(Severity::Warning, "load average", seen(), remedy))?
}

fn busy_now(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let share = s.busy_share.filter(|&share| share > BUSY_SHARE_MAX)?;
    let seen = format!("{} of processor time used while nothing is measured", show_percent(share));
    finding(Severity::Warning, "other programs", seen, "look for them with `top` and end them")
}

fn governor(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let governor = s.governor.as_ref().filter(|g| g.split(',').any(|g| g == "powersave"))?;
    let remedy = "choose the other one for the run: `cpupower frequency-set -g performance`";
    finding(Severity::Warning, "frequency governor", governor.clone(), remedy)
}

fn turbo(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let remedy =
        "the clock varies with heat and with the cores in use: compare within blocks, or turn it off";
    (s.turbo?).then(|| finding(Severity::Note, "turbo", "on".to_owned(), remedy))?
}

fn memory(s: &Snapshot, needs: &Needs) -> Option<Finding> {
    let (what, mb) = ("memory", |bytes: u64| format!("{} MB", show_mb(bytes as f64)));
    let usable = s.memory_bytes.into_iter().chain(s.memory_limit_bytes).min();
    if let Some(usable) = usable.filter(|&bytes| bytes < needs.model_bytes) {
        let seen = format!("{} here, the model alone has {}", mb(usable), mb(needs.model_bytes));
        return finding(Severity::Fatal, what, seen, "choose a smaller model or a larger machine");
    }
    let available = s.memory_available_bytes?.min(s.memory_limit_bytes.unwrap_or(u64::MAX));
    let wanted = needs.model_bytes.saturating_add(MEMORY_BESIDE_BYTES);
    let seen = || format!("{} available, {} wanted with the model", mb(available), mb(wanted));
    let remedy = "end other programs: what does not fit is read from the disk again and again";
    (available < wanted).then(|| finding(Severity::Warning, what, seen(), remedy))?
}

fn swap(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let used = s.swap_used_bytes.filter(|&bytes| bytes > 0)?;
    let seen = format!("{:.1} MB in use", bytes_to_mb(used));
    finding(Severity::Warning, "swap", seen, "end other programs, then `swapoff -a && swapon -a`")
}

fn battery(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let remedy = "plug the machine in: on battery the clock is held down";
    (s.on_battery?).then(|| finding(Severity::Warning, "power", "on battery".to_owned(), remedy))?
}

fn steal(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let hypervisor = s.hypervisor.as_ref()?;
    let taken = |share: Option<f64>| share.filter(|&share| share > STEAL_SHARE_MAX);
    let (share, when) = match (taken(s.steal_share), taken(s.steal_share_since_boot)) {
        (Some(share), _) => (share, "now"),
        (None, Some(share)) => (share, "since it started"),
        (None, None) => {
            let seen = format!("virtual machine ({hypervisor}), no processor time taken from it");
            return finding(
                Severity::Note,
                "hypervisor",
                seen,
                "neighbours may disturb: compare within blocks",
            );
        }
    };
    let seen = format!("{:.1}% of its processor time taken by others {when} ({hypervisor})", share * 100.0);
    finding(Severity::Warning, "hypervisor", seen, "use a machine of your own, or another hour")
}

fn processors(s: &Snapshot, needs: &Needs) -> Option<Finding> {
    let seen = || format!("{} for {} threads", s.logical, needs.threads);
    let remedy = "ask for fewer threads in the scenario, or allow this process more processors";
    (s.logical > 0 && s.logical < needs.threads)
        .then(|| finding(Severity::Warning, "processors", seen(), remedy))?
}

fn cpu_limit(s: &Snapshot, needs: &Needs) -> Option<Finding> {
    let cpus = s.cpu_limit.filter(|&cpus| cpus < f64::from(needs.threads))?;
    let seen = format!("the container has {cpus:.2} processors' time for {} threads", needs.threads);
    finding(Severity::Warning, "container", seen, "raise its limit, or ask for fewer threads in the scenario")
}

fn disk(s: &Snapshot, needs: &Needs) -> Option<Finding> {
    let free = s.disk_free_bytes.filter(|&bytes| bytes < needs.disk_bytes)?;
    let [free, wanted] = [free, needs.disk_bytes].map(|bytes| show_mb(bytes as f64));
    let seen = format!("{free} MB free for the bundle, {wanted} wanted");
    finding(Severity::Fatal, "disk", seen, "free some, or name another directory with --out")
}

fn huge_pages(s: &Snapshot, _: &Needs) -> Option<Finding> {
    let setting = s.transparent_huge_pages.as_ref().filter(|setting| *setting == "always")?;
    let remedy = "frameworks that do not ask for huge pages get them too: say so beside the figures";
    finding(Severity::Note, "transparent huge pages", setting.clone(), remedy)
}

#[cfg(test)]
mod tests;
