//! Serde's messages, in the words of somebody who writes a scenario.

use super::locate::{self, KeyPath, Step};
use super::parse::Problem;

/// The candidate that `word` was most likely meant to be.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&word.to_lowercase(), &c.to_lowercase()), c))
        .filter(|&(distance, c)| distance <= limit && distance < c.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, c)| c)
}

/// `; did you mean `x`?`, or the list of what there is.
pub(crate) fn suggestion(word: &str, candidates: &[&str]) -> String {
    match did_you_mean(word, candidates.iter().copied()) {
        Some(c) => format!("; did you mean `{c}`?"),
        None => format!("; known: {}", candidates.join(", ")),
    }
}

/// What serde objected to, with its line in `text`.
pub(super) fn explain(text: &str, error: &serde_yaml::Error) -> Problem {
    let whole = error.to_string();
    let line = error.location().map_or(1, |l| l.line());
    let (path, said) = split_path(without_position(&whole));
    let path = KeyPath::parse(path);
    if let Some(field) = said.strip_prefix("unknown field ").and_then(quoted) {
        let known: Vec<&str> = said.split('`').skip(3).step_by(2).collect();
        return Problem { line, key: path.to_string(), message: unknown_key(field, &known) };
    }
    if let Some(field) = said.strip_prefix("missing field ").and_then(quoted) {
        let line = locate::line_of(text, &path);
        let message = format!("missing key `{field}`; it has no default");
        return Problem { line, key: path.to_string(), message };
    }
    if let Some(field) = said.strip_prefix("duplicate field ").and_then(quoted) {
        let field = field.trim_start_matches('_');
        let line = locate::line_of(text, &path.with(Step::NthKey(field.to_owned(), 1)));
        let message = "stands twice; keep one of them".to_owned();
        return Problem { line, key: path.key(field).to_string(), message };
    }
    let message = wrong_type(said).unwrap_or_else(|| said.to_owned());
    Problem { line, key: path.to_string(), message }
}

fn unknown_key(field: &str, known: &[&str]) -> String {
    format!("unknown key `{field}`{}", suggestion(field, known))
}

/// `… at line 3 column 4` without its end.
fn without_position(whole: &str) -> &str {
    match whole.rsplit_once(" at line ") {
        Some((before, position)) if position.contains(" column ") => before,
        _ => whole,
    }
}

/// The key path that the YAML crate puts before serde's message, and the message.
fn split_path(said: &str) -> (&str, &str) {
    const BEGINNINGS: [&str; 6] = [
        "unknown field ",
        "missing field ",
        "duplicate field ",
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
    ];
    let at = BEGINNINGS.iter().filter_map(|b| said.find(b)).min();
    match at {
        Some(at) if at > 0 => (said[..at].trim_end_matches(": "), &said[at..]),
        _ => ("", said),
    }
}

/// The text between the first two backticks.
fn quoted(said: &str) -> Option<&str> {
    said.split('`').nth(1)
}

/// `invalid type: string "x", expected u32` as `must be a whole number (got "x")`.
fn wrong_type(said: &str) -> Option<String> {
    let rest = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "))?;
    let (got, expected) = rest.rsplit_once(", expected ")?;
    let got = match got {
        "unit value" => "nothing".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        "enum" | "tagged value" => "a tagged value".to_owned(),
        _ => match (got.strip_prefix("string "), quoted(got)) {
            (Some(text), _) => text.to_owned(),
            (None, Some(value)) => value.to_owned(),
            _ => got.to_owned(),
        },
    };
    let wanted = match expected {
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => format!("a whole number from 0 to {}", u64::MAX),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" => "text".to_owned(),
        e if e.starts_with("struct ") => "a mapping of keys".to_owned(),
        e => e.to_owned(),
    };
    Some(format!("must be {wanted} (got {got})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["threads", "title", "blocks", "model"];
        assert_eq!(did_you_mean("treads", known), Some("threads"));
        assert_eq!(did_you_mean("Block", known), Some("blocks"));
        assert_eq!(did_you_mean("zzzzzz", known), None);
        assert_eq!(suggestion("zzzzzz", &["a", "b"]), "; known: a, b");
    }

    #[test]
    fn the_path_is_split_off() {
        assert_eq!(split_path("model.source: invalid type: map, expected a string").0, "model.source");
        assert_eq!(split_path("missing field `title`"), ("", "missing field `title`"));
        assert_eq!(without_position("x at line 3 column 4"), "x");
    }
}
