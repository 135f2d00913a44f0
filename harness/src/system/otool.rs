//! What `otool -L` prints of a program on macOS; a function of the text, tested on every system.

use std::path::{Path, PathBuf};

/// Paths in lines like `\t@rpath/libggml.0.dylib (compatibility version 0.0.0, current version 0.26.0)`. What begins with `@rpath`,
/// `@loader_path` or `@executable_path` is looked for beside the program and in the `lib` directory next to it; libraries of
/// the system, which are in no file, are left out.
pub(super) fn parse(text: &str, program: &Path) -> Vec<PathBuf> {
    let names =
        text.lines().filter(|l| l.starts_with(char::is_whitespace)).filter_map(|l| l.rsplit_once(" ("));
    let dir = program.parent().unwrap_or(Path::new("/"));
    let found = |name: &str| match name.strip_prefix('@').and_then(|n| n.split_once('/')) {
        Some((_, relative)) => {
            [dir.join(relative), dir.join("../lib").join(relative)].into_iter().find(|path| path.exists())
        }
        None => Some(PathBuf::from(name)),
    };
    let is_of_the_system = |name: &&str| name.starts_with("/usr/lib/") || name.starts_with("/System/");
    names.map(|(name, _)| name.trim()).filter(|name| !is_of_the_system(name)).filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written after the layout of the program, not recorded.
    const SAID: &str = "\
/opt/llama/bin/llama-server:
\t@rpath/libggml.0.dylib (compatibility version 0.0.0, current version 0.26.0)
\t@rpath/libgone.dylib (compatibility version 0.0.0, current version 0.0.0)
\t/opt/homebrew/lib/libomp.dylib (compatibility version 5.0.0, current version 5.0.0)
\t/usr/lib/libSystem.B.dylib (compatibility version 1.0.0, current version 1345.100.2)
\t/System/Library/Frameworks/Metal.framework/Versions/A/Metal (compatibility version 1.0.0, current version 343.0.0)
";

    #[test]
    fn libraries_beside_the_program_and_elsewhere_are_found_and_the_system_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("libggml.0.dylib"), "").unwrap();
        let found = parse(SAID, &bin.join("llama-server"));
        assert_eq!(found, [bin.join("libggml.0.dylib"), PathBuf::from("/opt/homebrew/lib/libomp.dylib")]);
        assert_eq!(parse("", &bin), [""; 0].map(PathBuf::from));
    }
}
