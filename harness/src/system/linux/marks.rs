//! Processes by a mark in their environment, and which process is which.

use crate::system::MARK;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::time::Duration;

/// Rounds of looking and ending; a process can start another one while it is being looked for.
const ROUNDS_MAX: usize = 50;

/// Ends all processes whose mark `is_meant`. Those that have ended and wait for their parent have no environment.
pub(crate) fn end_marked(is_meant: &dyn Fn(&str) -> bool) -> usize {
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

/// Processes that have `mark` and are not in the process group `group`; `None` where the system does not tell.
pub(crate) fn n_marked_outside(mark: &str, group: u32) -> Option<usize> {
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

/// A process: its namespace of process ids, its id and its start time, which tells it from a later owner of the id.
pub(crate) fn identity(pid: u32) -> Option<String> {
    Some(format!("{}-{pid}-{}", namespace()?, super::tree::start_ticks(pid)?))
}

fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link.to_str()?.chars().filter(char::is_ascii_digit).collect())
}

/// Whether the process with this identity has ended. Of one in another namespace nothing is known.
pub(crate) fn has_ended(identity_then: &str) -> bool {
    let mut parts = identity_then.split('-');
    let (Some(namespace_then), Some(pid)) = (parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse() else { return false };
    namespace().is_some_and(|namespace| namespace == namespace_then)
        && identity(pid).is_none_or(|now| now != identity_then)
}
