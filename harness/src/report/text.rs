//! Text from outside as Markdown: escaped, on one line, so that no name or error can break a table.

use crate::escape::{one_line, shell_word};
use std::collections::BTreeMap;

/// Longest error quoted in a table, in characters; the whole of it is in the bundle.
const MESSAGE_CHARS_MAX: usize = 400;

/// Escapes text for Markdown, inside a table too, on one line.
pub(super) fn md(text: &str) -> String {
    let line: Vec<char> = one_line(text).chars().collect();
    let is_word = |i: Option<usize>| i.and_then(|i| line.get(i)).is_some_and(|c| c.is_alphanumeric());
    let mut escaped = String::with_capacity(text.len());
    for (i, &c) in line.iter().enumerate() {
        match c {
            // Within a word an underscore is itself.
            '_' if is_word(i.checked_sub(1)) && is_word(Some(i + 1)) => escaped.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An error message: escaped, and cut where it goes on for long.
pub(super) fn message(text: &str) -> String {
    let line = one_line(text);
    if line.chars().count() <= MESSAGE_CHARS_MAX {
        return md(&line);
    }
    let cut: String = line.chars().take(MESSAGE_CHARS_MAX).collect();
    md(&cut) + "…"
}

/// A code span that may hold backticks and stand in a table.
pub(super) fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "\\|");
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A fence longer than any in `text`.
pub(super) fn fence(text: &str) -> String {
    "`".repeat(longest_run(text).max(2) + 1)
}

/// A command line as a shell would read it.
pub(super) fn shell(argv: &[String]) -> String {
    // The home directory, as bundles write it, stays the shell's to fill in.
    let quote = |word: &String| match word.strip_prefix("~/").filter(|rest| !rest.is_empty()) {
        Some(rest) => format!("~/{}", shell_word(rest)),
        None => shell_word(word),
    };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A command line with the variables that are set for it before it, as a shell would read it.
pub(super) fn command(environment: &BTreeMap<String, String>, argv: &[String]) -> String {
    let variable =
        |(name, value): (&String, &String)| format!("{name}={} ", shell(std::slice::from_ref(value)));
    environment.iter().map(variable).chain([shell(argv)]).collect()
}

/// `text` in bold, if it is wanted and there is any.
pub(super) fn bold_if(bold: bool, text: String) -> String {
    if bold && !text.is_empty() { format!("**{text}**") } else { text }
}

/// Removes blank lines that follow one another and spaces at line ends, except inside code fences.
/// Two spaces at the end of a line break it and stay.
pub(super) fn tidy(markdown: &str) -> String {
    let mut tidy = String::with_capacity(markdown.len());
    let mut open_fence: Option<String> = None;
    let mut was_blank = true;
    for line in markdown.lines() {
        if let Some(fence) = &open_fence {
            tidy.extend([line, "\n"]);
            if line == fence {
                open_fence = None;
            }
            continue;
        }
        let is_broken = line.ends_with("  ");
        let line = line.trim_end();
        if line.starts_with("```") {
            open_fence = Some(line.chars().take_while(|&c| c == '`').collect());
        }
        if !(line.is_empty() && was_blank) {
            tidy.extend([line, if is_broken && !line.is_empty() { "  \n" } else { "\n" }]);
        }
        was_blank = line.is_empty();
    }
    tidy.truncate(tidy.trim_end().len());
    tidy + "\n"
}

/// Reasons for cells without a figure, numbered as they are met.
#[derive(Debug, Default)]
pub(super) struct Footnotes {
    numbers: BTreeMap<String, usize>,
}

impl Footnotes {
    /// "n/a" with a mark that leads to `reason`.
    pub(super) fn not_available(&mut self, reason: &str) -> String {
        self.mark("n/a", reason)
    }

    /// `text` with a mark that leads to `reason`.
    pub(super) fn mark(&mut self, text: &str, reason: &str) -> String {
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(reason.to_owned()).or_insert(next);
        format!("{text} ‡{number}")
    }

    /// Number and escaped reason of each, by number.
    pub(super) fn list(&self) -> Vec<(usize, String)> {
        let mut list: Vec<_> = self.numbers.iter().map(|(reason, &n)| (n, message(reason))).collect();
        list.sort();
        list
    }
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_cell() {
        assert_eq!(md("a|b\nc*d_[e]<f>"), "a\\|b c\\*d\\_\\[e\\]&lt;f&gt;");
        assert_eq!(md("x86_64 _a_ a_"), "x86_64 \\_a\\_ a\\_");
        assert_eq!(md("\u{1b}[31mred\t"), "\\[31mred");
        assert_eq!(md("v1\u{202e}x\u{200b}"), "v1 x");
        assert_eq!(code("a|b`c"), "``a\\|b`c``");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(message(&"x".repeat(500)).chars().count(), MESSAGE_CHARS_MAX + 1);
    }

    #[test]
    fn fences_outlast_what_they_hold() {
        assert_eq!(fence("plain"), "```");
        assert_eq!(fence("a ```` b"), "`````");
    }

    #[test]
    fn commands_are_quoted_for_a_shell() {
        let argv = ["harness", "run", "my file.yaml", "it's", "~/a b"].map(str::to_owned);
        assert_eq!(shell(&argv), "harness run 'my file.yaml' 'it'\\''s' ~/'a b'");
        let environment =
            BTreeMap::from([("T".to_owned(), "2".to_owned()), ("X".to_owned(), "a b".to_owned())]);
        assert_eq!(command(&environment, &argv[..2]), "T=2 X='a b' harness run");
    }

    #[test]
    fn tidy_leaves_code_alone() {
        assert_eq!(tidy("a   \n\n \n\nb \n```\nx  \n\n\ny\n```\n\n\n"), "a  \n\nb\n```\nx  \n\n\ny\n```\n");
    }

    #[test]
    fn equal_reasons_share_a_number() {
        let mut notes = Footnotes::default();
        assert_eq!(notes.not_available("b"), "n/a ‡1");
        assert_eq!(notes.not_available("a"), "n/a ‡2");
        assert_eq!(notes.mark("invalid", "b"), "invalid ‡1");
        assert_eq!(notes.list(), [(1, "b".to_owned()), (2, "a".to_owned())]);
    }
}
