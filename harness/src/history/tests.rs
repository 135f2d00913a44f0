//! Histories as they are kept: what is appended, torn, merged and refused.

use super::*;
use crate::testing::{night, nights, steady};
use std::path::PathBuf;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.jsonl");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.to_json() + "\n").collect()
}

#[test]
fn appending_twice_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/h.jsonl");
    let lines = nights(&[1.0, 1.1], |_, _| {});
    assert_eq!(append(&path, &lines).unwrap(), Appended { new: 6, known: 0, repaired: None });
    let before = std::fs::read(&path).unwrap();
    assert_eq!(append(&path, &lines).unwrap(), Appended { new: 0, known: 6, repaired: None });
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(append(&path, &night(2, 1.2)).unwrap().new, 3);
    assert!(std::fs::read(&path).unwrap().starts_with(&before), "nothing is rewritten");
    let history = read(&path).unwrap();
    assert_eq!((history.sessions.len(), history.points.len(), history.remarks.len()), (3, 6, 0));
    assert_eq!(history, history_of(nights(&[1.0, 1.1, 1.2], |_, _| {})), "what is read is what was written");
}

#[test]
fn a_missing_history_is_empty() {
    assert_eq!(read(std::path::Path::new("/nowhere/h.jsonl")).unwrap(), History::default());
}

#[test]
fn a_torn_last_line_is_left_out_and_then_cut_off() {
    let whole = text(&nights(&[1.0, 1.1], |_, _| {}));
    // At every length to which a crash can cut it.
    for cut in [1, 2, 17, 100, 500, whole.len() - 2] {
        let (_dir, path) = file(&whole[..cut]);
        let lines = whole[..cut].matches('\n').count();
        let torn = cut - whole[..cut].rfind('\n').map_or(0, |end| end + 1);
        let history = read(&path).unwrap();
        assert_eq!(history.remarks.last(), Some(&Remark::TornLine(torn)), "{cut}");
        let done = append(&path, &nights(&[1.0, 1.1], |_, _| {})).unwrap();
        assert_eq!(done, Appended { new: 6 - lines, known: lines, repaired: Some(Remark::Repaired(torn)) });
        assert_eq!(read(&path).unwrap(), history_of(nights(&[1.0, 1.1], |_, _| {})), "{cut}");
    }
}

#[test]
fn a_last_line_without_its_end_is_whole() {
    let whole = text(&night(0, 1.0));
    let (_dir, path) = file(whole.trim_end());
    assert_eq!(read(&path).unwrap().remarks, []);
    assert_eq!(append(&path, &night(1, 1.1)).unwrap(), Appended { new: 3, known: 0, repaired: None });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole + &text(&night(1, 1.1)));
}

#[test]
fn a_session_that_a_crash_left_short_says_so() {
    let whole = text(&night(0, 1.0));
    let two = whole.lines().take(2).map(|l| l.to_owned() + "\n").collect::<String>();
    let (_dir, path) = file(&two);
    let missing = Remark::Incomplete { bundle: "night-000".to_owned(), missing: 1 };
    assert_eq!(read(&path).unwrap().remarks, [missing]);
    assert_eq!(append(&path, &night(0, 1.0)).unwrap().new, 1);
    assert_eq!(read(&path).unwrap().remarks, []);
    let (_dir, path) = file(&whole.lines().skip(1).map(|l| l.to_owned() + "\n").collect::<String>());
    assert_eq!(read(&path).unwrap().remarks, [Remark::Orphans(2)]);
}

#[test]
fn any_order_and_number_of_lines_reads_the_same() {
    let lines = nights(&steady(20), |_, _| {});
    let expected = history_of(lines.clone());
    let reversed: Vec<Line> = lines.iter().rev().cloned().collect();
    assert_eq!(history_of(reversed), expected);
    let twice: Vec<Line> = lines.iter().chain(&lines).cloned().collect();
    assert_eq!(history_of(twice), expected);
    let days: Vec<&str> = expected.sessions.iter().map(Session::day).collect();
    assert!(days.is_sorted() && days[0] == "2026-01-01", "{days:?}");
}

#[test]
fn lines_with_one_id_that_differ_are_told_and_either_order_reads_the_same() {
    let (a, b) = (night(0, 1.0), night(0, 1.1));
    let both = |first: &[Line], second: &[Line]| history_of(first.iter().chain(second).cloned());
    let history = both(&a, &b);
    assert_eq!(history, both(&b, &a));
    assert!(matches!(history.remarks[..], [Remark::Differs(_)]), "{:?}", history.remarks);
    assert_eq!(history.points.len(), 2);
}

fn refusal(text: &str) -> String {
    let (_dir, path) = file(text);
    let error = read(&path).unwrap_err().to_string();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(append(&path, &night(9, 1.0)).unwrap_err().to_string(), error);
    assert_eq!(std::fs::read(&path).unwrap(), before, "what is no history is left as it is");
    error
}

#[test]
fn marks_of_a_merge_are_refused_with_line_and_remedy() {
    let (a, b) = (text(&night(0, 1.0)), text(&night(1, 1.1)));
    let error = refusal(&format!("{a}<<<<<<< HEAD\n{b}=======\n>>>>>>> other\n"));
    assert!(
        error.contains("h.jsonl:4: a merge was left unfinished: keep the lines of both sides"),
        "{error}"
    );
    let error = refusal(&format!("{a}>>>>>>> other"));
    assert!(error.contains("h.jsonl:4: a merge"), "{error}");
}

#[test]
fn a_newer_schema_is_refused_also_where_its_keys_are_not_known() {
    let newer = text(&night(0, 1.0)).replacen("\"schema\":1", "\"schema\":2", 1);
    let error = refusal(&newer);
    assert!(error.contains("h.jsonl:1: schema 2 is newer than this harness, which reads up to 1"), "{error}");
    let error = refusal(&format!("{}{{\"figure\":{{\"schema\":7}}}}\n", text(&night(0, 1.0))));
    assert!(error.contains("h.jsonl:4: schema 7 is newer"), "{error}");
}

#[test]
fn what_is_no_line_is_refused_by_number() {
    let error = refusal(&format!("{}nonsense\n{}", text(&night(0, 1.0)), text(&night(1, 1.0))));
    assert!(error.contains("h.jsonl:4: not a line of a history") && error.contains("restore"), "{error}");
    let error = refusal(&text(&night(0, 1.0)).replace("decode_tok_s", "speed"));
    assert!(error.contains("`speed` is not a metric"), "{error}");
}

#[test]
fn a_long_file_is_read_by_several_threads_as_by_one() {
    let lines = nights(&steady(2_500), |_, _| {});
    let whole = text(&lines);
    assert!(whole.len() > 3 << 20, "{}", whole.len());
    let (_dir, path) = file(&whole);
    assert_eq!(read(&path).unwrap(), history_of(lines));
    let broken = whole.replacen("night-2400", "night\u{0}", 1);
    let line = whole[..whole.find("night-2400").unwrap()].matches('\n').count() + 1;
    assert!(refusal(&broken).contains(&format!("h.jsonl:{line}: ")));
}
