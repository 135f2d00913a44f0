//! Text from outside is data: names, versions, error messages and log lines of frameworks, and whatever a bundle from
//! elsewhere holds. Here is what makes it harmless on a terminal and in a spreadsheet; `report/text.rs` does so for
//! Markdown and HTML, `chart/canvas.rs` for SVG.

/// `text` for a terminal or a log, on one line: control characters, escape sequences with them, and characters that
/// turn the direction of text or cannot be seen are written as `\n`, `\u{1b}`. Tabs stay.
pub fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\t' => vec![c],
        c if is_unprintable(c) => c.escape_default().collect(),
        c => vec![c],
    };
    text.chars().flat_map(escape).collect()
}

/// The same for text of several lines, which keeps its line ends.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// `text` on one line, for a place where it is not quoted: what is not [`printable`] becomes a space, and spaces that
/// follow one another become one.
pub fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if is_unprintable(c) { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text cell of a CSV file that a spreadsheet takes for text, not for a formula: one that begins as a formula does
/// gets an apostrophe in front. On one line.
pub fn csv_text(text: &str) -> String {
    let line: String = text.chars().map(|c| if is_unprintable(c) { ' ' } else { c }).collect();
    if line.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{line}") } else { line }
}

/// `word` as a shell reads it: in quotes where it has to be.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Control characters, line and paragraph separators, and the format characters that reorder or hide text
/// (Unicode's bidirectional controls, zero-width characters, tags).
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
        || matches!(c, '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2Jb\r\nc\u{202e}d\u{9b}1m\u{7}e";

    #[test]
    fn nothing_reaches_a_terminal_that_it_would_obey() {
        assert_eq!(printable(HOSTILE), r"a\u{1b}[2Jb\r\nc\u{202e}d\u{9b}1m\u{7}e");
        assert_eq!(printable("naïve µs\t– 3 × 4 ‖"), "naïve µs\t– 3 × 4 ‖", "ordinary text is untouched");
        assert_eq!(printable_lines("a\nb\u{8}\n"), "a\nb\\u{8}\n");
        assert_eq!(one_line(HOSTILE), "a [2Jb c d 1m e");
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_word("/a-b/c_1.yaml"), "/a-b/c_1.yaml");
        assert_eq!(shell_word("my file"), "'my file'");
        assert_eq!(shell_word("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!([shell_word(""), shell_word("~")], ["''", "'~'"]);
    }

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(csv_text("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(csv_text(" @SUM(A1)"), "' @SUM(A1)");
        assert_eq!(csv_text("\t+1"), "' +1");
        assert_eq!(csv_text("1.2-rc"), "1.2-rc");
        assert_eq!(csv_text("a\nb"), "a b");
    }
}
