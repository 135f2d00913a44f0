//! What an installation consists of: its files, their size, and the shared libraries that a program brings or needs beside
//! those of the system.

use super::{Provider, libraries};
use crate::cache::Cache;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What has to be there for a program to run, the system left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// Whether it is the whole directory that `harness setup` made; else the program and its shared libraries.
    pub is_whole: bool,
    /// Files; links are not counted.
    pub files: u64,
    /// Their sizes together.
    pub bytes: u64,
    /// File names of the shared libraries among them, and of those elsewhere outside the system's directories that the
    /// program is linked with; by name, each once.
    pub shared_libraries: Vec<String>,
}

/// Where the system's own libraries are.
const SYSTEM_DIRS: [&str; 5] = ["/lib", "/lib32", "/lib64", "/usr/lib", "/System"];

impl Installation {
    /// Looks at the installation of the framework `id`, whose program is `program`. `prefixes`: how the names of the libraries
    /// begin that are part of the program. Reads directories only. `None` where they cannot be read.
    pub fn of(id: &str, program: &Path, prefixes: &[String], cache: &Cache) -> Option<Installation> {
        let program = program.canonicalize().ok()?;
        let dir = Provider::of(id).and_then(|provider| provider.dir(cache).canonicalize().ok());
        let dir = dir.filter(|dir| program.starts_with(dir));
        let mut files = Vec::new();
        match &dir {
            Some(dir) => walk(dir, &mut files).ok()?,
            None => files
                .extend(std::iter::once(program.clone()).chain(libraries::libraries_of(&program, prefixes))),
        }
        let mut bytes = 0;
        for file in &files {
            bytes += file.metadata().ok()?.len();
        }
        let is_foreign = |path: &PathBuf| !SYSTEM_DIRS.iter().any(|dir| path.starts_with(dir));
        let linked = libraries::linked(&program).into_iter().filter(is_foreign);
        let own = files.iter().filter(|path| libraries::is_shared(&name_of(path))).cloned();
        let mut shared_libraries: Vec<String> = own.chain(linked).map(|path| name_of(&real(path))).collect();
        shared_libraries.sort();
        shared_libraries.dedup();
        Some(Installation { is_whole: dir.is_some(), files: files.len() as u64, bytes, shared_libraries })
    }
}

fn real(path: PathBuf) -> PathBuf {
    path.canonicalize().unwrap_or(path)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Every file below `dir`; links are not followed.
fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn files_sizes_and_libraries_of_an_installation_in_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_str().unwrap());
        let root = Provider::of("candle").unwrap().dir(&cache);
        std::fs::create_dir_all(root.join("lib/deep")).unwrap();
        for (name, n) in
            [("candle-runner", 10), ("lib/libx.so.1", 100), ("lib/deep/_ext.so", 1000), ("lib/so.txt", 1)]
        {
            std::fs::write(root.join(name), vec![0; n]).unwrap();
        }
        std::os::unix::fs::symlink("libx.so.1", root.join("lib/libx.so")).unwrap();
        let program = root.join("candle-runner");
        let of = |id: &str| Installation::of(id, &program, &[], &cache).unwrap();
        let shared_libraries = vec!["_ext.so".to_owned(), "libx.so.1".to_owned()];
        assert_eq!(of("candle"), Installation { is_whole: true, files: 4, bytes: 1111, shared_libraries });
        // Not where the harness installs it: only the program is known.
        let alone = Installation { is_whole: false, files: 1, bytes: 10, shared_libraries: Vec::new() };
        assert_eq!(of("ollama"), alone);
        assert_eq!(Installation::of("candle", Path::new("/nonexistent"), &[], &cache), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_linked_with_the_system_alone_has_no_foreign_library() {
        let cache = Cache::at("/nonexistent");
        let found = Installation::of("x", Path::new("/bin/sh"), &[], &cache).unwrap();
        assert_eq!((found.files, found.shared_libraries), (1, Vec::new()));
    }
}
