//! The source tree keeps its own rules: modules import only from modules listed before them, files stay short.

use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

/// Every Rust file below `dir`.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The public modules, as lib.rs lists them.
fn modules() -> Vec<String> {
    let text = std::fs::read_to_string(source_dir().join("lib.rs")).expect("readable");
    let names = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// The module of lib.rs to which a file belongs: `src/launch/child.rs` to `launch`.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(source_dir()).expect("below src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Names after `crate::`, also within `use crate::{a, b}`, in code: comments may point anywhere.
fn crate_names(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| is_name(c) || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map_or(rest, |inner| inner.split('}').next().unwrap_or(inner));
        let is_list = rest.starts_with('{');
        for part in list.split(',').take(if is_list { usize::MAX } else { 1 }) {
            let name: String = part.trim().chars().take_while(|&c| is_name(c)).collect();
            names.push(name);
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn modules_import_only_from_those_before_them() {
    let modules = modules();
    assert!(modules.len() > 10, "{modules:?}");
    let rank = |name: &str| modules.iter().position(|m| m == name);
    let mut wrong = Vec::new();
    for file in rust_files(&source_dir()) {
        let own = module_of(&file);
        // `testing` is for tests of several modules; lib and main name all of them.
        let Some(own_rank) = rank(&own) else { continue };
        let text = std::fs::read_to_string(&file).expect("readable");
        for (n, line) in text.lines().enumerate() {
            for name in crate_names(line) {
                if rank(&name).is_some_and(|r| r > own_rank) {
                    wrong.push(format!("{}:{}: {own} imports {name}", file.display(), n + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "listed later in lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn names_are_found_in_code() {
    let check = |line, wanted: &[&str]| assert_eq!(crate_names(line), wanted, "{line}");
    check("use crate::sample::Role;", &["sample"]);
    check("use crate::{plan::Plan, bundle};", &["plan", "bundle"]);
    check("fn f(x: crate::units::A) -> crate::plan::B {", &["units", "plan"]);
    check("/// See [`crate::launch`].", &[]);
}

#[test]
fn files_stay_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [rust_files(&root.join("src")), rust_files(&root.join("tests"))].concat();
    let count = |file: &PathBuf| std::fs::read_to_string(file).expect("readable").lines().count();
    let long: Vec<_> = files.iter().map(|f| (f, count(f))).filter(|(_, n)| *n > LINES_MAX).collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:?}");
}
