//! What may be written into a bundle: bundles are published, so the home directory becomes `~` and paths below
//! the repository become relative.

use std::path::Path;

/// Replaces private path prefixes in text.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// (prefix without a trailing slash, what stands for it), the longest prefix first.
    rules: Vec<(String, &'static str)>,
}

impl Redactor {
    /// For a home directory and a repository root, as far as known.
    pub fn new(home: Option<&Path>, root: Option<&Path>) -> Redactor {
        let rule = |path: Option<&Path>, to| {
            let text = path?.to_str()?.trim_end_matches('/').to_string();
            (!text.is_empty()).then_some((text, to))
        };
        let mut rules: Vec<_> = [rule(root, "."), rule(home, "~")].into_iter().flatten().collect();
        rules.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Redactor { rules }
    }

    /// `text` with every private prefix replaced.
    pub fn text(&self, text: &str) -> String {
        let redact = |text: String, (prefix, to): &(String, &'static str)| replace(&text, prefix, to);
        self.rules.iter().fold(text.to_string(), redact)
    }
}

/// Replaces `prefix` where it is a whole path prefix: not inside a longer name on either side. A path below `.`
/// loses the prefix altogether.
fn replace(text: &str, prefix: &str, to: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, after) = (&rest[..at], &rest[at + prefix.len()..]);
        out.push_str(before);
        let starts = !out.ends_with(|c: char| is_name(c) || c == '/' || c == '~');
        let ends = !after.starts_with(is_name);
        rest = match (starts && ends, to, after.strip_prefix('/')) {
            (true, ".", Some(below)) if below.starts_with(is_name) => below,
            (true, ..) => {
                out.push_str(to);
                after
            }
            (false, ..) => {
                out.push_str(prefix);
                after
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_prefixes_are_replaced_and_nothing_else() {
        let redactor = Redactor::new(Some(Path::new("/home/ann")), Some(Path::new("/home/ann/bench/")));
        let check = |text: &str, wanted: &str| assert_eq!(redactor.text(text), wanted, "{text}");
        check("/home/ann/bench/scenarios/quick.yaml", "scenarios/quick.yaml");
        check("/home/ann/bench", ".");
        check("/home/ann/.cache/m.gguf: no", "~/.cache/m.gguf: no");
        check("load '/home/ann/x', '/home/ann/bench/y'", "load '~/x', 'y'");
        check("/home/annabel/x", "/home/annabel/x");
        check("/mnt/home/ann/x", "/mnt/home/ann/x");
        check("/usr/bin/x", "/usr/bin/x");
        check("", "");
    }

    #[test]
    fn nothing_known_changes_nothing() {
        assert_eq!(Redactor::new(Some(Path::new("/")), None).text("/a/b"), "/a/b");
    }
}
