//! `harness launch-child`: becomes another program that dies with the process that started it.
//!
//! A harness that is killed outright cannot clean up. On Linux the kernel can do it: a process may ask to be killed
//! when its parent ends, the wish outlives `exec`, and asking needs no unsafe code when a program does it for
//! itself. So the launcher starts this, and this becomes the framework. It adds about a millisecond to every
//! framework's load alike. Elsewhere it only becomes the framework.
//!
//! It is also the place to choose the processors: what a process chooses for itself outlives `exec`.

use crate::system;
use anyhow::{Result, bail};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The parent, and what to become.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Process id of the harness
    parent: u32,
    /// Processors that the program may run on, as `0-3,8`
    #[arg(long)]
    cpus: Option<String>,
    /// Program and arguments
    #[arg(last = true, required = true)]
    argv: Vec<String>,
}

/// Becomes the program; returns only if that fails.
pub fn run(args: &Args) -> Result<ExitCode> {
    system::die_with_parent()?;
    if std::os::unix::process::parent_id() != args.parent {
        bail!("the harness (process {}) has ended already", args.parent);
    }
    if let Some(cpus) = &args.cpus {
        system::keep_on(cpus)?;
    }
    let error = Command::new(&args.argv[0]).args(&args.argv[1..]).exec();
    bail!("cannot start {}: {error}", args.argv[0])
}
