//! What may be written into a bundle: bundles are published, so the home directory becomes `~`, paths below the
//! repository become relative, and the harness's own directories become names.

use std::path::Path;

/// What stands for the harness's own directories.
pub const CACHE_NAME: &str = "<cache>";
/// For temporary files.
pub const TMP_NAME: &str = "<tmp>";
/// Of the program that runs.
pub const BUILD_NAME: &str = "<build>";
/// Where bundles are written.
pub const OUT_NAME: &str = "<out>";

/// What stands for a key.
const SECRET_NAME: &str = "<key>";
/// A shorter text would be found everywhere.
const SECRET_BYTES_MIN: usize = 6;

/// Replaces private path prefixes in text.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// (prefix without a trailing slash, what stands for it), the longest prefix first.
    rules: Vec<(String, &'static str)>,
    /// Keys of servers.
    secrets: Vec<String>,
}

impl Redactor {
    /// For a home directory and a repository root, as far as known.
    pub fn new(home: Option<&Path>, root: Option<&Path>) -> Redactor {
        let rules = [(root, "."), (home, "~")];
        rules.into_iter().fold(Redactor::default(), |all, (path, name)| match path {
            Some(path) => all.with(path, name),
            None => all,
        })
    }

    /// Also replaces `path`, and what it links to, by `name`. Of two rules for one path the first counts.
    pub fn with(mut self, path: &Path, name: &'static str) -> Redactor {
        for path in [Some(path.to_owned()), path.canonicalize().ok()].into_iter().flatten() {
            let prefix = path.to_str().unwrap_or_default().trim_end_matches('/');
            if path.is_absolute() && !prefix.is_empty() && self.rules.iter().all(|(known, _)| known != prefix)
            {
                self.rules.push((prefix.to_owned(), name));
            }
        }
        self.rules.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    /// Also replaces `secret` wherever it stands. What is too short to be one is left alone.
    pub fn with_secret(mut self, secret: &str) -> Redactor {
        if secret.len() >= SECRET_BYTES_MIN {
            self.secrets.push(secret.to_owned());
        }
        self
    }

    /// `text` with every private prefix and every secret replaced.
    pub fn text(&self, text: &str) -> String {
        let redact = |text: String, (prefix, to): &(String, &'static str)| replace(&text, prefix, to);
        let hide = |text: String, secret: &String| text.replace(secret, SECRET_NAME);
        self.secrets.iter().fold(self.rules.iter().fold(text.to_string(), redact), hide)
    }

    /// The same for what a framework says of itself: it may also hold nothing that moves a cursor, colours a terminal
    /// or turns the direction of writing.
    pub fn printable(&self, text: &str) -> String {
        printable(&self.text(text))
    }
}

/// `text` without control characters but line ends and tabs, and without those that change how their neighbours are
/// shown (Unicode's bidirectional controls and invisible separators): each is shown as U+FFFD.
pub fn printable(text: &str) -> String {
    let is_hidden = |c: char| is_invisible(c) || (c.is_control() && !matches!(c, '\n' | '\t'));
    text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether `c` shows nothing itself but changes how its neighbours are shown.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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
        let is_replaced = [CACHE_NAME, TMP_NAME, BUILD_NAME, OUT_NAME].iter().any(|name| out.ends_with(name));
        let starts = !is_replaced && !out.ends_with(|c: char| is_name(c) || c == '/' || c == '~');
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
    fn the_directories_of_the_harness_get_names() {
        let redactor = Redactor::new(Some(Path::new("/home/ann")), None)
            .with(Path::new("/tmp"), TMP_NAME)
            .with(Path::new("/home/ann/.cache/harness"), CACHE_NAME)
            .with(Path::new("relative"), OUT_NAME);
        let check = |text: &str, wanted: &str| assert_eq!(redactor.text(text), wanted, "{text}");
        check("-m /home/ann/.cache/harness/m.gguf", "-m <cache>/m.gguf");
        check("/home/ann/.cache/other", "~/.cache/other");
        check("/tmp/x --log=/tmp/y", "<tmp>/x --log=<tmp>/y");
        check("/home/ann/.cache/harness/tmp/x", "<cache>/tmp/x");
        check("relative/x", "relative/x");
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let redactor =
            Redactor::new(Some(Path::new("/home/ann")), None).with_secret("sk-12345").with_secret("a");
        assert_eq!(redactor.text("401: bad key sk-12345xsk-12345"), "401: bad key <key>x<key>");
        assert_eq!(redactor.text("a banana"), "a banana", "too short to be a key");
    }

    #[test]
    fn what_a_framework_says_cannot_steer_a_terminal() {
        let redactor = Redactor::default();
        let said = "v1\u{1b}[31m\u{7}\r\n\u{202e}gnp.exe\u{200b}\u{9b}2J\ttab é ✓";
        let shown = "v1\u{fffd}[31m\u{fffd}\u{fffd}\n\u{fffd}gnp.exe\u{fffd}\u{fffd}2J\ttab é ✓";
        assert_eq!(redactor.printable(said), shown);
    }

    #[test]
    fn nothing_known_changes_nothing() {
        assert_eq!(Redactor::new(Some(Path::new("/")), None).text("/a/b"), "/a/b");
    }
}
