//! Ending what a framework left behind.
//!
//! A process that starts a session of its own is in no group of ours, and once its parent has ended it is no
//! descendant either. But it inherits the environment, so every launch has a mark there, and at the end of the launch
//! the processes with the mark are ended. Out of reach: a process that has also emptied its environment; and on
//! macOS, which shows no environments, everything that left the group.

use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that holds the mark.
pub(super) const MARK: &str = "HARNESS_LAUNCH";

/// A mark that no other launch on this machine has: which harness, and its how manieth launch.
pub(super) fn new_mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}.{}", harness(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Ends the processes that have `mark`; returns how many there were.
pub(super) fn end_marked(mark: &str) -> usize {
    system::end_all(&|seen| seen == mark)
}

/// Processes that have `mark` and are not in the process group `group`; `None` where the system does not tell.
pub(super) fn n_outside(mark: &str, group: u32) -> Option<usize> {
    system::n_outside(mark, group)
}

/// Ends what the launches of a harness left behind that does not run any more: one that was killed outright could
/// not do it itself. Returns how many processes there were.
pub fn end_abandoned() -> usize {
    let own = harness();
    system::end_all(&|seen| {
        let owner = seen.rsplit_once('.').map_or("", |(owner, _)| owner);
        owner != own && system::has_ended(owner)
    })
}

/// This process: its namespace of process ids, its id and its start time, which tells it from a later owner of the id.
fn harness() -> String {
    system::identity(std::process::id()).unwrap_or_else(|| std::process::id().to_string())
}

#[cfg(target_os = "linux")]
mod system {
    use super::MARK;
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::time::Duration;

    /// Rounds of looking and ending; a process can start another one while it is being looked for.
    const ROUNDS_MAX: usize = 50;

    /// Ends all processes whose mark `is_meant`. Those that have ended and wait for their parent have no environment.
    pub(super) fn end_all(is_meant: &dyn Fn(&str) -> bool) -> usize {
        let mut n_ended = 0;
        for _ in 0..ROUNDS_MAX {
            let found: Vec<u32> = pids().filter(|&pid| mark_of(pid).is_some_and(|m| is_meant(&m))).collect();
            if found.is_empty() {
                break;
            }
            n_ended = n_ended.max(found.len());
            for pid in found {
                end(pid, is_meant);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        n_ended
    }

    /// Holds the process before the last look at its mark, so that its id cannot become another's meanwhile.
    fn end(pid: u32, is_meant: &dyn Fn(&str) -> bool) {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(handle) = id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok()) else { return };
        if mark_of(pid).is_some_and(|mark| is_meant(&mark)) {
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }

    fn pids() -> impl Iterator<Item = u32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let own = std::process::id();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(move |&pid| pid != own)
    }

    fn mark_of(pid: u32) -> Option<String> {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|&byte| byte == 0).find_map(|variable| {
            std::str::from_utf8(variable).ok()?.strip_prefix(MARK)?.strip_prefix('=').map(str::to_owned)
        })
    }

    pub(super) fn n_outside(mark: &str, group: u32) -> Option<usize> {
        let is_outside = |pid: &u32| {
            mark_of(*pid).is_some_and(|seen| seen == mark) && group_of(*pid).is_some_and(|seen| seen != group)
        };
        Some(pids().filter(is_outside).count())
    }

    /// The fifth field of `/proc/PID/stat` (proc(5)); the second, a name in parentheses, may hold anything.
    fn group_of(pid: u32) -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
    }

    /// `<namespace>-<id>-<start>`
    pub(super) fn identity(pid: u32) -> Option<String> {
        Some(format!("{}-{pid}-{}", namespace()?, super::super::linux::start_ticks(pid)?))
    }

    fn namespace() -> Option<String> {
        let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
        Some(link.to_str()?.chars().filter(char::is_ascii_digit).collect())
    }

    /// Whether the process with this identity has ended. Of one in another namespace nothing is known.
    pub(super) fn has_ended(identity_then: &str) -> bool {
        let mut parts = identity_then.split('-');
        let (Some(namespace_then), Some(pid)) = (parts.next(), parts.next()) else { return false };
        let Ok(pid) = pid.parse() else { return false };
        namespace().is_some_and(|namespace| namespace == namespace_then)
            && identity(pid).is_none_or(|now| now != identity_then)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn end_all(_is_meant: &dyn Fn(&str) -> bool) -> usize {
        0
    }

    pub(super) fn n_outside(_mark: &str, _group: u32) -> Option<usize> {
        None
    }

    pub(super) fn identity(_pid: u32) -> Option<String> {
        None
    }

    pub(super) fn has_ended(_identity: &str) -> bool {
        false
    }
}
