//! From a key to its line. The YAML parser itself is asked: a walk down the path that fails at its end, so that the
//! parser's own error says where it stood. Block and flow style, quotes, comments and anchors need no rules of ours.

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A key of a mapping.
    Key(String),
    /// The n-th occurrence (from 0) of a key that stands more than once.
    NthKey(String, usize),
    /// An element of a sequence, from 0.
    Index(usize),
}

/// A path into a document; empty for its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeyPath(pub(super) Vec<Step>);

impl KeyPath {
    /// The path one key further.
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The path one element further.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The path one step further.
    pub(super) fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Reads what the YAML crate prints: `model.source`, `frameworks[1].options`; `.` is the root.
    pub(super) fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|p| !p.is_empty()) {
            let (key, indices) = part.split_once('[').map_or((part, ""), |(k, i)| (k, i));
            if !key.is_empty() {
                steps.push(Step::Key(key.to_owned()));
            }
            let indices = indices.split('[').filter_map(|i| i.trim_end_matches(']').parse().ok());
            steps.extend(indices.map(Step::Index));
        }
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(k) | Step::NthKey(k, _) if i == 0 => write!(f, "{k}")?,
                Step::Key(k) | Step::NthKey(k, _) => write!(f, ".{k}")?,
                Step::Index(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}

/// The line (from 1) at which `path` stands in `text`: of the key itself, or of the element's first character. A path
/// that leads nowhere gives the line of its longest part that leads somewhere.
pub(super) fn line_of(text: &str, path: &KeyPath) -> usize {
    (0..=path.0.len()).rev().find_map(|n| exact_line(text, &path.0[..n])).unwrap_or(1)
}

/// The line at which the second document of `text` begins, if there is one.
pub(super) fn second_document_line(text: &str) -> Option<usize> {
    let document = serde_yaml::Deserializer::from_str(text).nth(1)?;
    let error = Walk { steps: &[] }.deserialize(document).err()?;
    Some(error.location().map_or(1, |l| l.line()))
}

fn exact_line(text: &str, steps: &[Step]) -> Option<usize> {
    let error = Walk { steps }.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    error.to_string().contains(FOUND).then(|| error.location().map_or(1, |l| l.line()))
}

/// The message of the error that means success.
const FOUND: &str = "\u{1}found\u{1}";

/// Walks `steps` and fails at their end.
struct Walk<'a> {
    steps: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.steps.is_empty() { FOUND } else { "a mapping or sequence" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (wanted, nth) = match self.steps.first() {
            None => return Err(de::Error::custom(FOUND)),
            Some(Step::Index(_)) => return ignore_map(map),
            Some(Step::Key(k)) => (k, 0),
            Some(Step::NthKey(k, n)) => (k, *n),
        };
        let mut seen = 0;
        loop {
            let is_last = self.steps.len() == 1 && seen == nth;
            match map.next_key_seed(KeyIs { wanted, fail_if_equal: is_last })? {
                None => return Ok(()),
                Some(true) if seen == nth => {
                    map.next_value_seed(Walk { steps: &self.steps[1..] })?;
                    return ignore_map(map);
                }
                Some(equal) => {
                    seen += usize::from(equal);
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let wanted = match self.steps.first() {
            None => return Err(de::Error::custom(FOUND)),
            Some(Step::Index(n)) => Some(*n),
            Some(_) => None,
        };
        for index in 0.. {
            let more = if Some(index) == wanted {
                seq.next_element_seed(Walk { steps: &self.steps[1..] })?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

fn ignore_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Whether a key is the wanted one; on demand it fails instead of saying yes, which marks the key's place.
struct KeyIs<'a> {
    wanted: &'a str,
    fail_if_equal: bool,
}

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        match key == self.wanted {
            true if self.fail_if_equal => Err(E::custom(FOUND)),
            equal => Ok(equal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "# a comment: b\na: 1\n\nb:\n  c: text\n  # d: no\n  d:\n    - x\n    -\n      e: 1\n    - [1,\n       2]\n'q r': |\n  b: no\nb2: 3\n";
    const FLOW: &str =
        "{a: 1,\n b: {c: text,\n  d: [x,\n   {e: 1},\n   [1,\n    2]]},\n\n \"q r\": 'b: no',\n b2: 3}\n";

    fn check(text: &str, path: &str, expected: usize) {
        assert_eq!(line_of(text, &KeyPath::parse(path)), expected, "{path} in\n{text}");
    }

    #[test]
    fn block_style() {
        for (path, line) in [
            ("", 2),
            ("a", 2),
            ("b", 4),
            ("b.c", 5),
            ("b.d", 7),
            ("b.d[0]", 8),
            ("b.d[1].e", 10),
            ("b.d[2]", 11),
            ("b.d[2][1]", 12),
            ("b2", 15),
        ] {
            check(BLOCK, path, line);
        }
    }

    #[test]
    fn flow_style() {
        for (path, line) in [
            ("", 1),
            ("b", 2),
            ("b.c", 2),
            ("b.d", 3),
            ("b.d[0]", 3),
            ("b.d[1].e", 4),
            ("b.d[2][1]", 6),
            ("b2", 9),
        ] {
            check(FLOW, path, line);
        }
    }

    #[test]
    fn quoted_keys_and_repeated_keys() {
        let path = KeyPath::default();
        assert_eq!(line_of(BLOCK, &path.key("q r")), 13);
        assert_eq!(line_of("a: 1\nb: 2\na: 3\n", &path.with(Step::NthKey("a".into(), 1))), 3);
    }

    #[test]
    fn a_path_that_leads_nowhere_gives_its_longest_part() {
        check(BLOCK, "b.nothing", 4);
        check(BLOCK, "b.d[7]", 7);
        check(BLOCK, "a.b.c", 2);
        check("", "a", 1);
        check(": : :\n- {", "a", 1);
    }

    #[test]
    fn anchors_are_followed() {
        check("base: &b\n  x: 1\nuse: *b\n", "use.x", 2);
    }

    #[test]
    fn paths_are_read_as_they_are_printed() {
        for text in ["", "a", "a.b", "a[0]", "a[0].b[12].c"] {
            assert_eq!(KeyPath::parse(text).to_string(), text);
        }
        assert_eq!(KeyPath::parse("."), KeyPath::default());
    }

    #[test]
    fn second_documents() {
        assert_eq!(second_document_line("a: 1\n"), None);
        assert_eq!(second_document_line("a: 1\n---\nb: 2\n"), Some(3));
    }
}
