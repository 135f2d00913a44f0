//! The shared libraries that are part of a program: what it is linked with, and what lies beside it to be loaded later.

use crate::system::linked_libraries;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The libraries of `program` whose names begin with one of `prefixes`, links resolved, by name. Those that the system's
/// linker finds for it (`ldd`, `otool -L`), and those beside it or in the `lib` directory next to it.
pub fn libraries_of(program: &Path, prefixes: &[String]) -> Vec<PathBuf> {
    let is_part = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())) && is_shared(name)
    };
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let dir = real.parent().unwrap_or(Path::new("/"));
    let listed = [dir.to_owned(), dir.join("../lib")].into_iter().flat_map(|dir| files_in(&dir));
    let all = linked(&real).into_iter().flatten().chain(listed).filter(|path| is_part(path));
    let distinct: BTreeSet<PathBuf> = all.filter_map(|path| path.canonicalize().ok()).collect();
    let mut libraries: Vec<PathBuf> = distinct.into_iter().collect();
    libraries.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    libraries
}

/// `libggml.so`, `libggml.so.0.26.0`, `libggml.0.dylib`
pub(super) fn is_shared(name: &str) -> bool {
    name.ends_with(".so") || name.ends_with(".dylib") || name.contains(".so.")
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The libraries that the system's linker finds for `program`; none of a script. `None` where it cannot be asked.
pub(super) fn linked(program: &Path) -> Option<Vec<PathBuf>> {
    linked_libraries(program, |tool, arguments| super::version::ask_help(tool, arguments).ok())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn libraries_beside_a_program_count_once_however_many_links_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir_all(root.join("lib")).unwrap();
        let put = |name: &str| std::fs::write(root.join(name), name).unwrap();
        let put_all =
            ["bin/llama-server", "bin/libggml.so.0.26.0", "bin/libggml-notes.txt", "lib/libllama.dylib"];
        put_all.into_iter().for_each(put);
        ["bin/libz.so", "bin/xlibggml.so"].into_iter().for_each(put);
        for link in ["bin/libggml.so", "bin/libggml.so.0"] {
            std::os::unix::fs::symlink("libggml.so.0.26.0", root.join(link)).unwrap();
        }
        std::os::unix::fs::symlink("bin/llama-server", root.join("server")).unwrap();
        let prefixes = ["libggml".to_owned(), "libllama".to_owned()];
        let wanted = [root.join("bin/libggml.so.0.26.0"), root.join("lib/libllama.dylib")];
        assert_eq!(libraries_of(&root.join("bin/llama-server"), &prefixes), wanted);
        assert_eq!(libraries_of(&root.join("server"), &prefixes), wanted, "through a link");
        assert_eq!(libraries_of(&root.join("server"), &[]), Vec::<PathBuf>::new());
    }
}
