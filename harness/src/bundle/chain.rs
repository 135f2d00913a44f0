//! The hash chain of `samples.jsonl`: every line vouches for the line before it, and the first one for the manifest.
//!
//! A line ends in `,"chain":"<value>"}`. The value is the sha256, in lower-case hexadecimal, of the value before it
//! (as text; before the first line: the sha256 of `manifest.json`) followed by the line's JSON without that key.
//! So a change in one place breaks the chain there, and where a line is whole the value that it follows is known:
//! that tells a line that was moved from one that was changed.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What stands between the JSON of a record and its chain value.
const KEY: &str = ",\"chain\":\"";
/// What ends a line.
const END: &str = "\"}";
/// Hexadecimal digits of a sha256.
const VALUE_LEN: usize = 64;
/// Broken lines that are looked into; each is compared with every other line.
const DIAGNOSED_MAX: usize = 64;

/// Lower-case hexadecimal sha256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// `json`, an object, with its chain value as last key; and that value.
pub(super) fn seal(previous: &str, json: &str) -> (String, String) {
    let open = json.strip_suffix('}').unwrap_or(json);
    let value = value_after(previous, open);
    (format!("{open}{KEY}{value}{END}"), value)
}

/// The value of a line whose JSON, without its last brace, is `open`.
fn value_after(previous: &str, open: &str) -> String {
    let hash = Sha256::new().chain_update(previous).chain_update(open).chain_update("}");
    format!("{:x}", hash.finalize())
}

/// A line as written: its JSON without the last brace, and its chain value, if it has one.
fn split(line: &str) -> (&str, Option<&str>) {
    let is_value =
        |v: &str| v.len() == VALUE_LEN && v.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let sealed = line.strip_suffix(END).and_then(|rest| rest.rsplit_once(KEY));
    match sealed {
        Some((open, value)) if is_value(value) => (open, Some(value)),
        _ => (line.strip_suffix('}').unwrap_or(line), None),
    }
}

/// A place where the chain does not hold. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Break {
    /// The line was changed, or one before it is missing; it should have the first value and has the second.
    Changed { line: usize, expected: String, found: String },
    /// Only the line's chain value was changed.
    Value { line: usize, expected: String, found: String },
    /// These lines stand in another order than they were written in.
    Moved { first: usize, last: usize },
    /// The line belongs to no place in this file.
    Inserted { line: usize },
    /// The line stands in `of` too.
    Repeated { line: usize, of: usize },
    /// The line should have a chain value and has none.
    NoValue { line: usize },
}

/// Checks the chain of `lines`, which begins at `start`. `may_lack` says of each line whether an older version wrote
/// it, without a value. Returns every break in the order of lines, and the value at the end.
pub(super) fn check(start: &str, lines: &[&str], may_lack: &[bool]) -> (Vec<Break>, String) {
    let chain = Chain::new(start, lines);
    let mut breaks: Vec<Break> = (1..chain.values.len())
        .filter(|&line| chain.links[line - 1].1.is_none() && !may_lack[line - 1])
        .map(|line| Break::NoValue { line })
        .collect();
    breaks.extend(chain.diagnose());
    breaks.sort_by_key(Break::line);
    let head = chain.values.last().cloned().unwrap_or_default();
    (breaks, head)
}

impl Break {
    /// Its line, or the first of them.
    pub(super) fn line(&self) -> usize {
        match *self {
            Break::Changed { line, .. } | Break::Value { line, .. } | Break::Inserted { line } => line,
            Break::Repeated { line, .. } | Break::NoValue { line } => line,
            Break::Moved { first, .. } => first,
        }
    }
}

struct Chain<'a> {
    /// For each line its JSON without the last brace, and its chain value.
    links: Vec<(&'a str, Option<&'a str>)>,
    /// The value at the start, and after each line: as it stands there, or computed where none does.
    values: Vec<String>,
}

impl<'a> Chain<'a> {
    fn new(start: &str, lines: &[&'a str]) -> Chain<'a> {
        let links: Vec<_> = lines.iter().map(|line| split(line)).collect();
        let mut values = vec![start.to_owned()];
        for (open, value) in &links {
            let value = value.map_or_else(|| value_after(&values[values.len() - 1], open), str::to_owned);
            values.push(value);
        }
        Chain { links, values }
    }

    /// Whether line `line` was written right after line `before` (0: the start).
    fn follows(&self, line: usize, before: usize) -> bool {
        let (open, value) = self.links[line - 1];
        value.is_none_or(|value| value_after(&self.values[before], open) == value)
    }

    fn diagnose(&self) -> Vec<Break> {
        let n = self.links.len();
        let broken: Vec<usize> = (1..=n).filter(|&line| !self.follows(line, line - 1)).collect();
        if broken.is_empty() {
            return Vec::new();
        }
        let mut found = Diagnosis {
            before: (0..=n).map(|line| line.checked_sub(1)).collect(),
            is_strange: vec![false; n + 1],
            breaks: Vec::new(),
        };
        for &line in broken.iter().take(DIAGNOSED_MAX) {
            found.before[line] = (0..=n).find(|&other| other != line && self.follows(line, other));
        }
        self.find_strangers(&broken, &mut found);
        self.explain(&broken, &mut found);
        // Of lines with the same value the first stands for all.
        let first = |line: usize| (0..=n).find(|&other| self.values[other] == self.values[line]);
        let before: Vec<Option<usize>> = found.before.iter().map(|before| first((*before)?)).collect();
        found.breaks.extend(moved(&before, &found.is_strange));
        found.breaks
    }

    /// Broken lines that follow a line of this file and yet have no place in it: repeated ones, and those that follow
    /// a line which another one follows already.
    fn find_strangers(&self, broken: &[usize], found: &mut Diagnosis) {
        for &line in broken {
            if found.before[line].is_none() {
                continue;
            }
            let original = (1..line).find(|&other| self.values[other] == self.values[line]);
            let is_rival = |&other: &usize| {
                other != line && found.before[other] == found.before[line] && !found.is_strange[other]
            };
            let mut rivals = (1..=self.links.len()).filter(is_rival);
            if let Some(of) = original {
                found.breaks.push(Break::Repeated { line, of });
                found.is_strange[line] = true;
            } else if rivals.any(|rival| rival < line || !broken.contains(&rival)) {
                found.breaks.push(Break::Inserted { line });
                found.is_strange[line] = true;
            }
        }
    }

    /// Broken lines that follow no line of this file.
    fn explain(&self, broken: &[usize], found: &mut Diagnosis) {
        let n = self.links.len();
        for &line in broken {
            if found.before[line].is_some() {
                continue;
            }
            let is_continued = (1..=n).any(|other| found.before[other] == Some(line));
            let (expected, value) = (self.expected(line), self.values[line].clone());
            if line < n && self.links[line].1 == Some(&*value_after(&expected, self.links[line].0)) {
                found.breaks.push(Break::Value { line, expected, found: value });
                found.before[line + 1] = Some(line);
            } else if is_continued || line == n {
                found.breaks.push(Break::Changed { line, expected, found: value });
            } else {
                found.breaks.push(Break::Inserted { line });
                found.is_strange[line] = true;
            }
            found.before[line] = Some(line - 1);
        }
    }

    /// The value that a line should have where it stands.
    fn expected(&self, line: usize) -> String {
        value_after(&self.values[line - 1], self.links[line - 1].0)
    }
}

struct Diagnosis {
    /// For each line (0: the start) the one after which it was written, as far as known.
    before: Vec<Option<usize>>,
    /// Lines that have no place in this file.
    is_strange: Vec<bool>,
    breaks: Vec<Break>,
}

/// The range of lines that stand in another order than they were written in; `before` tells for each line which one
/// was written before it, and lines that are `strange` count for nothing.
fn moved(before: &[Option<usize>], strange: &[bool]) -> Option<Break> {
    let here: Vec<usize> = (1..before.len()).filter(|&line| !strange[line]).collect();
    let mut after: BTreeMap<usize, usize> = BTreeMap::new();
    for &line in &here {
        after.entry(before[line]?).or_insert(line);
    }
    let written: Vec<usize> =
        std::iter::successors(after.get(&0), |line| after.get(line)).take(here.len()).copied().collect();
    let differs = |i: &usize| here[*i] != written[*i];
    let first = (0..written.len()).find(differs)?;
    let last = (0..written.len()).rev().find(differs)?;
    Some(Break::Moved { first: here[first], last: here[last] })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "start";

    fn sealed(names: &[&str]) -> Vec<String> {
        let mut previous = START.to_owned();
        let mut lines = Vec::new();
        for name in names {
            let (line, value) = seal(&previous, &format!("{{\"name\":\"{name}\"}}"));
            lines.push(line);
            previous = value;
        }
        lines
    }

    fn six() -> Vec<String> {
        sealed(&["a", "b", "c", "d", "e", "f"])
    }

    fn breaks(lines: &[String]) -> Vec<Break> {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        check(START, &lines, &vec![false; lines.len()]).0
    }

    /// What is found after `tamper`, without the values.
    fn found(tamper: impl Fn(&mut Vec<String>)) -> Vec<String> {
        let mut lines = six();
        tamper(&mut lines);
        let shown = |b: &Break| match b {
            Break::Changed { line, .. } => format!("changed {line}"),
            Break::Value { line, .. } => format!("value {line}"),
            other => format!("{other:?}"),
        };
        breaks(&lines).iter().map(shown).collect()
    }

    // Golden: printf 'start{"name":"a"}' | sha256sum
    #[test]
    fn the_value_is_the_hash_of_the_value_before_and_the_line() {
        let (line, value) = seal(START, r#"{"name":"a"}"#);
        assert_eq!(value, GOLDEN);
        assert_eq!(line, format!(r#"{{"name":"a","chain":"{GOLDEN}"}}"#));
        assert_eq!(split(&line), (r#"{"name":"a""#, Some(GOLDEN)));
        assert_eq!(check(START, &[&line], &[false]), (vec![], value));
    }

    const GOLDEN: &str = "cd344fbaa11dca4bdb59891f7dc12aae45fe81188054ed7875ee58931f87be06";

    #[test]
    fn an_untouched_chain_holds() {
        assert_eq!(breaks(&six()), []);
        assert_eq!(breaks(&[]), []);
        assert_eq!(check(START, &[], &[]).1, START);
    }

    #[test]
    fn each_way_of_breaking_it_is_told() {
        assert_eq!(found(|l| l[2] = l[2].replace("\"c\"", "\"x\"")), ["changed 3"]);
        assert_eq!(found(|l| l[5] = l[5].replace("\"f\"", "\"x\"")), ["changed 6"]);
        assert_eq!(found(|l| l[0] = l[0].replace("\"a\"", "\"x\"")), ["changed 1"]);
        // Gone from the middle: its successor follows something that is not there. From the end: nothing to see.
        assert_eq!(found(|l| drop(l.remove(2))), ["changed 3"]);
        assert_eq!(found(|l| drop(l.remove(5))), [""; 0]);
        assert_eq!(found(|l| l.swap(2, 3)), ["Moved { first: 3, last: 4 }"]);
        assert_eq!(found(|l| l.swap(0, 5)), ["Moved { first: 1, last: 6 }"]);
        assert_eq!(found(|l| l[1..4].rotate_left(1)), ["Moved { first: 2, last: 4 }"]);
        assert_eq!(found(|l| l.insert(2, l[1].clone())), ["Repeated { line: 3, of: 2 }"]);
        assert_eq!(found(|l| l.push(l[1].clone())), ["Repeated { line: 7, of: 2 }"]);
        assert_eq!(found(|l| l.insert(2, sealed(&["z", "y"]).remove(1))), ["Inserted { line: 3 }"]);
        let replaced = ["Inserted { line: 3 }", "changed 4"];
        assert_eq!(
            found(|l| l[2] = sealed(&["z", "y"]).remove(1)),
            replaced,
            "and nothing says what was there"
        );
        assert_eq!(
            found(|l| l[2] = l[2].replace(",\"chain", ",\"Chain")),
            ["NoValue { line: 3 }", "changed 4"]
        );
        assert_eq!(found(|l| l[2] = format!("{}}}", split(&l[2]).0)), ["NoValue { line: 3 }"]);
        assert_eq!(found(|l| l.insert(2, sealed(&["z"]).remove(0))), ["Inserted { line: 3 }"]);
        let other = sealed(&["q"]).remove(0);
        let value = split(&other).1.unwrap().to_owned();
        assert_eq!(
            found(|l| l[2] = format!("{}{KEY}{value}{END}", split(&l[2]).0)),
            ["value 3"],
            "only its value was changed"
        );
    }

    #[test]
    fn two_breaks_are_two() {
        assert_eq!(
            found(|l| {
                l[1] = l[1].replace("\"b\"", "\"x\"");
                l.swap(3, 4);
            }),
            ["changed 2", "Moved { first: 4, last: 5 }"]
        );
    }

    #[test]
    fn lines_of_an_older_version_count_too() {
        let (old, new) = (r#"{"name":"old"}"#, r#"{"name":"new"}"#);
        let (line, _) = seal(&value_after(START, &old[..old.len() - 1]), new);
        assert_eq!(check(START, &[old, &line], &[true, false]).0, []);
        let changed = old.replace("old", "odd");
        assert!(matches!(
            check(START, &[&changed, &line], &[true, false]).0[..],
            [Break::Changed { line: 2, .. }]
        ));
    }
}
