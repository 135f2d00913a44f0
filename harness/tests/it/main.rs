//! Tests of the program as a whole, and of the source tree.

#[cfg(unix)]
mod bring;
#[cfg(unix)]
mod check_runner;
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
#[cfg(target_os = "linux")]
mod ollama;
#[cfg(unix)]
mod remote;
#[cfg(unix)]
mod python;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod support;
mod tidy;
#[cfg(unix)]
mod track;
#[cfg(unix)]
mod verify;
mod yardsticks;
