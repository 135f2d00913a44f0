//! What operating systems do each in a way of its own, under the same names: processes and what they use, marks in
//! environments, listening sockets, processors to run on, the dynamic linker.
//!
//! Linux tells by procfs. macOS tells by libproc (`proc_pid_rusage`, `proc_pidinfo`), `sysctl`, `lsof` and `otool`. What a
//! system does not tell is `None`. What a machine is, and its sensors, are in `machine` and `conditions`, whose
//! variants are functions of text and tested on every system.

mod ledger;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(target_os = "macos", test))]
mod otool;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("harness runs on Linux and macOS: for another system, write a module beside those two");

pub(crate) use ledger::Ledger;
#[cfg(target_os = "linux")]
use linux as own;
#[cfg(target_os = "macos")]
use macos as own;

pub(crate) use own::{
    CAN_CHOOSE_PROCESSORS, Tree, die_with_parent, end_marked, has_ended, identity, keep_on, linked_libraries,
    listener_on, n_marked_outside, process_name, ticks_per_s,
};

/// The variable in the environment of a launch that holds its mark.
pub(crate) const MARK: &str = "HARNESS_LAUNCH";

/// Runs a program with arguments and returns what it prints; `None` if that fails.
pub(crate) type Ask = fn(&std::path::Path, &[&str]) -> Option<String>;
