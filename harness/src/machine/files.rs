//! Small files of procfs and sysfs.

use std::path::Path;

/// The text of a file without white space around it; empty where there is no such file.
pub(crate) fn text(path: &str) -> String {
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).trim().to_owned()).unwrap_or_default()
}

/// The number that a file holds.
pub(crate) fn number(path: &str) -> Option<u64> {
    text(path).parse().ok()
}

/// `<dir>/<prefix>0`, `<dir>/<prefix>1`, … as far as they go.
pub(crate) fn numbered(dir: &str, prefix: &str) -> impl Iterator<Item = String> {
    let path = format!("{dir}/{prefix}");
    (0u32..4096).map(move |n| format!("{path}{n}")).take_while(|p| Path::new(p).is_dir())
}

/// The names in a directory, in order; none where there is no such directory.
pub(crate) fn names(dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}
