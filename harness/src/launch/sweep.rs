//! Ending what a framework left behind.
//!
//! A process that starts a session of its own is in no group of ours, and once its parent has ended it is no
//! descendant either. But it inherits the environment, so every launch has a mark there, and at the end of the launch
//! the processes with the mark are ended. Out of reach: a process that has also emptied its environment.

use crate::system;
use std::sync::atomic::{AtomicU32, Ordering};

/// A mark that no other launch on this machine has: which harness, and its how manieth launch.
pub(super) fn new_mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}.{}", harness(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Ends the processes that have `mark`; returns how many there were.
pub(super) fn end_marked(mark: &str) -> usize {
    system::end_marked(&|seen| seen == mark)
}

/// Processes that have `mark` and are not in the process group `group`; `None` where the system does not tell.
pub(super) fn n_outside(mark: &str, group: u32) -> Option<usize> {
    system::n_marked_outside(mark, group)
}

/// Ends what the launches of a harness left behind that does not run any more: one that was killed outright could
/// not do it itself. Returns how many processes there were.
pub fn end_abandoned() -> usize {
    let own = harness();
    system::end_marked(&|seen| {
        let owner = seen.rsplit_once('.').map_or("", |(owner, _)| owner);
        owner != own && system::has_ended(owner)
    })
}

/// This process: its namespace of process ids, its id and its start time, which tells it from a later owner of the id.
fn harness() -> String {
    system::identity(std::process::id()).unwrap_or_else(|| std::process::id().to_string())
}
