//! Programs on a search path.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The first program called `name` in the directories of `path`, a value of PATH.
pub(super) fn find_on_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let dirs = std::env::split_paths(path?);
    // An empty entry of PATH means the current directory, which is no place to find a framework.
    let dirs = dirs.filter(|dir| dir.is_absolute());
    dirs.map(|dir| dir.join(name)).find(|candidate| is_program(candidate))
}

/// The first of `names` on this process's PATH.
pub(super) fn find_any(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH");
    names.iter().find_map(|name| find_on_path(name, path.as_deref()))
}

/// Whether `path` is a file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    metadata.is_file() && is_executable(&metadata)
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &std::fs::Metadata) -> bool {
    true
}
