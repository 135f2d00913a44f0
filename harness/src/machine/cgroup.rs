//! Limits that a container sets, from the text of its control groups (versions 1 and 2).

use crate::units::bytes_to_mb;
use std::path::{Path, PathBuf};

/// What limits there are; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Processors' worth of time.
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
}

/// A version 1 hierarchy without a limit says a number near 2^63.
const V1_UNLIMITED_BYTES: u64 = 1 << 60;

impl Limits {
    /// The limits of this process.
    pub fn read() -> Self {
        let of = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(&of, &|path| std::fs::read_to_string(path).ok())
    }

    /// The limits that `/proc/self/cgroup` and the files it leads to (`read`) tell. A group is bound by those above it.
    pub fn of(proc_cgroup: &str, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut limits = Self::default();
        for line in proc_cgroup.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
            let has = |wanted| controllers.split(',').any(|c| c == wanted);
            let in_hierarchy = |name: &str| ancestors(&Path::new("/sys/fs/cgroup").join(name), group);
            if controllers.is_empty() {
                for dir in in_hierarchy("") {
                    limits.tighten_cpus(read(&dir.join("cpu.max")).and_then(|t| cpu_max(&t)));
                    limits.tighten_memory(read(&dir.join("memory.max")).and_then(|t| t.trim().parse().ok()));
                }
            }
            if has("cpu") {
                for dir in in_hierarchy(controllers) {
                    let number =
                        |file| read(&dir.join(file)).and_then(|t: String| t.trim().parse::<f64>().ok());
                    let (quota, period) = (number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"));
                    limits.tighten_cpus(quota.zip(period).and_then(|(q, p)| share(q, p)));
                }
            }
            if has("memory") {
                for dir in in_hierarchy(controllers) {
                    let bytes = read(&dir.join("memory.limit_in_bytes")).and_then(|t| t.trim().parse().ok());
                    limits.tighten_memory(bytes.filter(|&b| b < V1_UNLIMITED_BYTES));
                }
            }
        }
        limits
    }

    fn tighten_cpus(&mut self, cpus: Option<f64>) {
        self.cpus = self.cpus.into_iter().chain(cpus).reduce(f64::min);
    }

    fn tighten_memory(&mut self, bytes: Option<u64>) {
        self.memory_bytes = self.memory_bytes.into_iter().chain(bytes).min();
    }

    /// `2 CPUs, 4096 MB`; `None` without a limit.
    pub fn describe(&self) -> Option<String> {
        let cpus = self.cpus.map(|c| format!("{} CPUs", (c * 100.0).round() / 100.0));
        let memory = self.memory_bytes.map(|b| format!("{:.0} MB", bytes_to_mb(b)));
        let said: Vec<String> = cpus.into_iter().chain(memory).collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

/// For how long quotas have held this process's control group back, and those above it, in µs; `None` without a quota.
pub fn throttled_us() -> Option<u64> {
    let of = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    throttled_us_of(&of, &|path| std::fs::read_to_string(path).ok())
}

fn throttled_us_of(proc_cgroup: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut found = None;
    for line in proc_cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        // Version 1 counts ns.
        let (key, divisor) =
            if controllers.is_empty() { ("throttled_usec ", 1) } else { ("throttled_time ", 1000) };
        if !controllers.is_empty() && !controllers.split(',').any(|c| c == "cpu") {
            continue;
        }
        for dir in ancestors(&Path::new("/sys/fs/cgroup").join(controllers), group) {
            let text = read(&dir.join("cpu.stat")).unwrap_or_default();
            let count = text.lines().find_map(|l| l.strip_prefix(key)?.trim().parse::<u64>().ok());
            found = found.into_iter().chain(count.map(|n| n / divisor)).reduce(u64::saturating_add);
        }
    }
    found
}

/// `group` below `root`, and every group above it. Inside a container the group's path may be the host's: then only
/// the root is there, which is among them.
fn ancestors(root: &Path, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|g| root.join(g)).collect()
}

/// `200000 100000` is two; `max 100000` is no limit.
fn cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    share(quota.parse().ok()?, period.parse().ok()?)
}

fn share(quota_us: f64, period_us: f64) -> Option<f64> {
    (quota_us > 0.0 && period_us > 0.0).then(|| quota_us / period_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(proc_cgroup: &str, files: &[(&str, &str)], expected: Option<&str>) {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(Limits::of(proc_cgroup, &read).describe().as_deref(), expected);
    }

    #[test]
    fn version_2() {
        let files = [
            ("/sys/fs/cgroup/a/cpu.max", "400000 100000\n"),
            ("/sys/fs/cgroup/a/memory.max", "8000000000\n"),
            ("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
        ];
        check("0::/a/b\n", &files, Some("1.5 CPUs, 8000 MB"));
        check("0::/\n", &files, None);
        check("0::/\n", &[("/sys/fs/cgroup/cpu.max", "max 100000\n")], None);
        check("0::/\n", &[("/sys/fs/cgroup/cpu.max", "200000 100000\n")], Some("2 CPUs"));
    }

    #[test]
    fn version_1() {
        let text = "4:memory:/docker/x\n3:cpuset:/\n2:cpu,cpuacct:/docker/x\n1:name=systemd:/\n";
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n"),
        ];
        check(text, &files, Some("2.5 CPUs, 2147 MB"));
        check(text, &[("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")], None);
    }

    #[test]
    fn time_held_back_by_quotas() {
        let check = |proc_cgroup: &str, files: &[(&str, &str)], expected| {
            let text = |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, t)| *t);
            assert_eq!(throttled_us_of(proc_cgroup, &|path| text(path).map(str::to_owned)), expected);
        };
        let version_2 = "usage_usec 5\nnr_throttled 2\nthrottled_usec 1500\n";
        let outer = ("/sys/fs/cgroup/a/cpu.stat", "throttled_usec 20\n");
        check("0::/a/b\n", &[("/sys/fs/cgroup/a/b/cpu.stat", version_2), outer], Some(1520));
        check("0::/\n", &[("/sys/fs/cgroup/cpu.stat", "usage_usec 5\n")], None);
        let version_1 = "nr_periods 9\nnr_throttled 1\nthrottled_time 2500000\n";
        check(
            "4:cpu,cpuacct:/\n3:memory:/\n",
            &[("/sys/fs/cgroup/cpu,cpuacct/cpu.stat", version_1)],
            Some(2500),
        );
        check("", &[], None);
    }

    #[test]
    fn nonsense_is_no_limit() {
        check("", &[], None);
        check("garbage\n0:\n::\n", &[], None);
        check("0::/\n", &[("/sys/fs/cgroup/cpu.max", "much"), ("/sys/fs/cgroup/memory.max", "-3")], None);
    }
}
