//! What an installation consists of: its files, their size, and the shared libraries that a program brings or needs beside
//! those of the system.

use super::{Provider, libraries};
use crate::cache::Cache;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Read;
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
    /// program is linked with; by name, each once. `None` where the system's linker cannot be asked.
    pub shared_libraries: Option<Vec<String>>,
    /// Whether the program is one file that needs the system alone: no script, and linked with no other library.
    pub is_single_file: Option<bool>,
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
        let linked: Option<Vec<PathBuf>> =
            libraries::linked(&program).map(|all| all.into_iter().filter(is_foreign).collect());
        let brings_some = !libraries::libraries_of(&program, prefixes).is_empty();
        let is_single_file =
            linked.as_ref().map(|linked| linked.is_empty() && !brings_some && !is_script(&program));
        let own = files.iter().filter(|path| libraries::is_shared(&name_of(path))).cloned();
        let shared_libraries = linked.map(|linked| {
            let names: BTreeSet<String> = own.chain(linked).map(|path| name_of(&real(path))).collect();
            names.into_iter().collect()
        });
        let (is_whole, n_files) = (dir.is_some(), files.len() as u64);
        Some(Installation { is_whole, files: n_files, bytes, shared_libraries, is_single_file })
    }
}

/// Whether another program has to read it.
fn is_script(program: &Path) -> bool {
    let mut start = [0; 2];
    let read = std::fs::File::open(program).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && &start == b"#!"
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
        let found = of("candle");
        assert_eq!((found.is_whole, found.files, found.bytes), (true, 4, 1111));
        if let Some(libraries) = found.shared_libraries {
            assert_eq!(libraries, ["_ext.so", "libx.so.1"]);
        }
        // Not where the harness installs it: only the program is known.
        let alone = of("ollama");
        assert_eq!((alone.is_whole, alone.files, alone.bytes), (false, 1, 10));
        assert_eq!(Installation::of("candle", Path::new("/nonexistent"), &[], &cache), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_linked_with_the_system_alone_has_no_foreign_library() {
        let cache = Cache::at("/nonexistent");
        let found = Installation::of("x", Path::new("/bin/sh"), &[], &cache).unwrap();
        assert_eq!(
            (found.files, found.shared_libraries, found.is_single_file),
            (1, Some(Vec::new()), Some(true))
        );
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("run");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let found = Installation::of("x", &script, &[], &cache).unwrap();
        assert_eq!(found.is_single_file, Some(false), "the shell has to read it");
        std::fs::write(dir.path().join("libmine.so"), "").unwrap();
        std::fs::copy("/bin/sh", dir.path().join("sh")).unwrap();
        let found = Installation::of("x", &dir.path().join("sh"), &["libmine".to_owned()], &cache).unwrap();
        assert_eq!((found.files, found.shared_libraries), (2, Some(vec!["libmine.so".to_owned()])));
        assert_eq!(found.is_single_file, Some(false), "it brings a library");
    }
}
