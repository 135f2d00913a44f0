//! When, and by which source.

use crate::units::rfc3339_utc;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in UTC.
pub(super) fn now() -> String {
    rfc3339_utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
}

/// Commit of the checkout that this program was built from, with `-dirty` where files differ from it by now.
pub(super) fn harness_commit() -> Option<String> {
    let git = |args: &[&str]| {
        let out = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let is_clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_clean { commit } else { format!("{commit}-dirty") })
}
