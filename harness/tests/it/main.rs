//! Tests of the program as a whole, and of the source tree.

#[cfg(unix)]
mod compare;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod http;
#[cfg(target_os = "linux")]
mod kills;
#[cfg(target_os = "linux")]
mod launcher;
#[cfg(unix)]
mod python;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod support;
mod tidy;
#[cfg(unix)]
mod verify;
mod yardsticks;
