//! Tests of the program as a whole, and of the source tree.

#[cfg(unix)]
mod compare;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod support;
mod tidy;
#[cfg(unix)]
mod verify;
