//! Whether the kernel ended a process because memory had run out.

use crate::framework::Failure;
use crate::sample::FailureKind;
use std::path::{Path, PathBuf};

/// How often the kernel has killed for want of memory, as far as told; the narrowest counter that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OomKills(Option<u64>);

impl OomKills {
    /// As of now.
    pub(super) fn read() -> OomKills {
        OomKills::from(&|path| std::fs::read_to_string(path).ok())
    }

    /// The counter of the harness's own memory cgroup, which its children share: version 2, else version 1. Where
    /// there is none, the whole system's.
    fn from(read: &dyn Fn(&Path) -> Option<String>) -> OomKills {
        let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
        let counters = groups.lines().flat_map(counter_files).chain([PathBuf::from("/proc/vmstat")]);
        OomKills(counters.filter_map(|path| count(&read(&path)?)).next())
    }

    /// Whether there was one since `earlier`.
    fn rose_since(self, earlier: OomKills) -> bool {
        matches!((earlier.0, self.0), (Some(before), Some(now)) if now > before)
    }
}

/// For a line of `/proc/self/cgroup`: where its counter is. In a container the path may be outside the mount, whose
/// top is then the group itself.
fn counter_files(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mount, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.events"),
        _ if controllers.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.oom_control"),
        _ => return Vec::new(),
    };
    let below = |group: &str| Path::new(mount).join(group.trim_start_matches('/')).join(file);
    vec![below(group), below("")]
}

/// The number in the line `oom_kill N`, which all three files have.
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Gives the failure of a child that was ended by SIGKILL its reason. Killed by hand while something else ran out of
/// memory looks the same.
pub(super) fn classify(failure: Failure, was_killed: bool, before: OomKills, after: OomKills) -> Failure {
    if failure.kind != FailureKind::Crashed || !was_killed || !after.rose_since(before) {
        return failure;
    }
    let remedy =
        "the kernel killed it because memory had run out; use a smaller model or context, or free memory";
    Failure::new(FailureKind::OutOfMemory, format!("{}: {remedy}", failure.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills(files: &[(&str, &str)]) -> Option<u64> {
        let read = |path: &Path| {
            files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned())
        };
        OomKills::from(&read).0
    }

    #[test]
    fn the_narrowest_counter_is_read() {
        let vmstat = ("/proc/vmstat", "nr_free 5\noom_kill 9\n");
        assert_eq!(kills(&[]), None);
        assert_eq!(kills(&[vmstat]), Some(9));
        let events = "low 0\noom 3\noom_kill 2\noom_group_kill 0\n";
        let v2 = ("/proc/self/cgroup", "0::/a/b\n");
        assert_eq!(kills(&[vmstat, v2, ("/sys/fs/cgroup/a/b/memory.events", events)]), Some(2));
        assert_eq!(kills(&[vmstat, v2, ("/sys/fs/cgroup/memory.events", events)]), Some(2));
        let v1 = ("/proc/self/cgroup", "9:cpu:/x\n4:memory:/c\n0::/\n");
        let control =
            ("/sys/fs/cgroup/memory/c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
        assert_eq!(kills(&[vmstat, v1, control]), Some(4));
    }

    #[test]
    fn only_a_kill_that_the_kernel_counted_is_out_of_memory() {
        let crash = || Failure::new(FailureKind::Crashed, "was ended by signal 9 (SIGKILL) before `sample`");
        let kind = |failure, was_killed, before, after| {
            classify(failure, was_killed, OomKills(before), OomKills(after)).kind
        };
        assert_eq!(kind(crash(), true, Some(3), Some(4)), FailureKind::OutOfMemory);
        assert_eq!(kind(crash(), true, Some(3), Some(3)), FailureKind::Crashed);
        assert_eq!(kind(crash(), true, None, Some(3)), FailureKind::Crashed);
        assert_eq!(kind(crash(), false, Some(3), Some(4)), FailureKind::Crashed);
        let hang = Failure::new(FailureKind::TimedOut, "no end");
        assert_eq!(kind(hang, true, Some(3), Some(4)), FailureKind::TimedOut);
    }
}
