//! Whether the derived files are what the samples give: the first difference of a text, every one of a table.

use super::{Finding, RENDER_AGAIN};
use crate::bundle::BundleError;
use std::io::ErrorKind;
use std::path::Path;

/// Differences of one table that are listed one by one.
const LISTED_MAX: usize = 20;
/// Longest excerpt of a line, in characters.
const EXCERPT_CHARS_MAX: usize = 160;

fn read(path: &Path) -> Result<Option<String>, BundleError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BundleError::Io { path: path.to_owned(), source }),
    }
}

/// A text file: its first line that differs, and how many do.
pub(super) fn text(
    dir: &Path,
    file: &str,
    expected: &str,
    remedy: &'static str,
) -> Result<Option<Finding>, BundleError> {
    let Some(found) = read(&dir.join(file))? else {
        return Ok(Some(Finding::new(file, "is missing", remedy)));
    };
    Ok(text_difference(file, expected, &found, remedy))
}

fn text_difference(file: &str, expected: &str, found: &str, remedy: &'static str) -> Option<Finding> {
    if expected == found {
        return None;
    }
    let (wanted, seen): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let n = wanted.len().max(seen.len());
    let mut differing = (0..n).filter(|&i| wanted.get(i) != seen.get(i));
    let Some(first) = differing.next() else {
        return Some(Finding::new(file, "differs in its line ends", remedy));
    };
    let shown = |line: Option<&&str>| line.map_or("the end of the file".to_owned(), |l| excerpt(l));
    let problem = match differing.count() {
        0 => "differs from what the samples give".to_owned(),
        more => format!("differs from what the samples give, here and in {more} more lines"),
    };
    let finding = Finding::new(file, problem, remedy).at(first + 1);
    Some(finding.values(shown(wanted.get(first)), shown(seen.get(first))))
}

/// `line` in quotes, cut where it goes on for long.
fn excerpt(line: &str) -> String {
    match line.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("`{}…`", &line[..end]),
        None => format!("`{line}`"),
    }
}

/// A CSV file: every cell that differs, named by the first `n_key` cells of its line and its column.
pub(super) fn table(
    dir: &Path,
    file: &str,
    expected: &str,
    n_key: usize,
    remedy: &'static str,
) -> Result<Vec<Finding>, BundleError> {
    let Some(found) = read(&dir.join(file))? else {
        return Ok(vec![Finding::new(file, "is missing", remedy)]);
    };
    Ok(table_differences(file, expected, &found, n_key, remedy))
}

fn table_differences(
    file: &str,
    expected: &str,
    found: &str,
    n_key: usize,
    remedy: &'static str,
) -> Vec<Finding> {
    let whole = || text_difference(file, expected, found, remedy).into_iter().collect();
    let (Some(wanted), Some(seen)) = (rows(expected), rows(found)) else { return whole() };
    let same_shape =
        wanted.len() == seen.len() && wanted.iter().zip(&seen).all(|(a, b)| a.1.len() == b.1.len());
    if !same_shape || wanted.first().map(|row| &row.1) != seen.first().map(|row| &row.1) {
        return whole();
    }
    let header = wanted.first().map(|row| row.1.clone()).unwrap_or_default();
    let mut findings = Vec::new();
    for (wanted, (line, seen)) in wanted.iter().zip(&seen) {
        let name = wanted.1[..n_key.min(wanted.1.len())].join(" ");
        for column in (0..seen.len()).filter(|&i| wanted.1[i] != seen[i]) {
            let key = format!("{name}, {}", header[column]);
            let finding = Finding::new(file, "differs from what the samples give", remedy).at(*line);
            findings.push(finding.key(key).values(excerpt(&wanted.1[column]), excerpt(&seen[column])));
        }
    }
    let n_more = findings.len().saturating_sub(LISTED_MAX);
    findings.truncate(LISTED_MAX);
    if n_more > 0 {
        findings.push(Finding::new(file, format!("{n_more} more cells differ"), remedy));
    }
    if findings.is_empty() { whole() } else { findings }
}

/// Rows of a CSV file with their lines; `None` if it is none.
fn rows(text: &str) -> Option<Vec<(usize, Vec<String>)>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let row = |record: csv::StringRecord| {
        let line = record.position().map_or(0, |p| p.line() as usize);
        (line, record.iter().map(str::to_owned).collect())
    };
    reader.records().map(|record| record.ok().map(row)).collect()
}

/// The charts: changed, missing, or of no report.
pub(super) fn charts(dir: &Path, expected: &[(String, String)]) -> Result<Vec<Finding>, BundleError> {
    let mut findings = Vec::new();
    for (name, svg) in expected {
        findings.extend(text(dir, &format!("charts/{name}"), svg, RENDER_AGAIN)?);
    }
    let charts = dir.join("charts");
    let entries = match std::fs::read_dir(&charts) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(findings),
        Err(source) => return Err(BundleError::Io { path: charts, source }),
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in names.iter().filter(|name| name.ends_with(".svg")) {
        if !expected.iter().any(|(wanted, _)| wanted == name) {
            let problem = "is no chart of this report";
            findings.push(Finding::new(&format!("charts/{name}"), problem, RENDER_AGAIN));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "row,metric,value\na,x,1\nb,x,2\n";

    fn check(found: &str, wanted: &[&str]) {
        let findings = table_differences("t.csv", TABLE, found, 2, "R");
        assert_eq!(findings.iter().map(Finding::to_string).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn cells_of_tables_are_named() {
        check(TABLE, &[]);
        let cell = "t.csv:3: b x, value: differs from what the samples give: expected `2`, found `3`; R";
        check("row,metric,value\na,x,1\nb,x,3\n", &[cell]);
        let gone =
            "t.csv:3: differs from what the samples give: expected `b,x,2`, found the end of the file; R";
        check("row,metric,value\na,x,1\n", &[gone]);
        let head = "t.csv:1: differs from what the samples give: expected `row,metric,value`, found `row,metric,valve`; R";
        check("row,metric,valve\na,x,1\nb,x,2\n", &[head]);
        check("row,metric,value\r\na,x,1\nb,x,2\n", &["t.csv: differs in its line ends; R"]);
    }

    #[test]
    fn of_a_text_the_first_difference_is_shown() {
        let finding = text_difference("r.md", "a\nb\nc\n", "a\nB\nC\n", "R").unwrap().to_string();
        let wanted = "r.md:2: differs from what the samples give, here and in 1 more lines: expected `b`, found `B`; R";
        assert_eq!(finding, wanted);
        assert_eq!(text_difference("r.md", "a\n", "a\n", "R"), None);
    }
}
