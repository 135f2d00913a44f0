use super::*;
use std::collections::BTreeMap;

/// The file in this repository.
fn smallmind() -> Published {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/reference/smallmind-2024-02-13.yaml");
    Published::load(&path).expect("the file is valid")
}

/// A table of the source document: its own heading, columns and rows, bold taken away.
type SourceTable = (String, Vec<String>, Vec<Vec<String>>);

/// The tables of the source document as it was published; headings and table lines are kept, and nothing else.
fn source() -> Vec<SourceTable> {
    let text = include_str!("../../tests/golden/published/tables.md");
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|');
        inner.split('|').map(|cell| cell.trim().replace("**", "")).collect()
    };
    let mut tables: Vec<SourceTable> = Vec::new();
    let mut heading = String::new();
    let mut is_inside = false;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_owned();
        }
        let is_row = line.starts_with('|');
        match (is_row, is_inside) {
            (true, false) => tables.push((heading.clone(), cells(line), Vec::new())),
            (true, true) if !line.starts_with("|-") => {
                tables.last_mut().expect("one was begun").2.push(cells(line));
            }
            _ => {}
        }
        is_inside = is_row;
    }
    tables
}

#[test]
fn every_table_of_the_source_is_made_again_cell_by_cell() {
    let published = smallmind();
    let (made, source) = (tables(&published), source());
    assert_eq!(source.len(), 14, "the source has so many tables");
    let shape = |headings: &[String]| headings.last().cloned().unwrap_or_default();
    let titles: Vec<String> = made.iter().map(|t| shape(&t.headings)).collect();
    assert_eq!(titles, source.iter().map(|t| t.0.clone()).collect::<Vec<_>>());
    let mut differing = Vec::new();
    let mut n_cells = 0;
    for (table, (title, columns, rows)) in made.iter().zip(&source) {
        assert_eq!(table.columns, *columns, "{title}");
        assert_eq!(table.rows.len(), rows.len(), "{title}");
        for (row, source_row) in table.rows.iter().zip(rows) {
            assert_eq!(row.cells.len(), source_row.len(), "{title}");
            assert_eq!(row.is_subject, source_row[0] == "SmallMind");
            for ((cell, source_cell), column) in row.cells.iter().zip(source_row).zip(columns) {
                n_cells += 1;
                if cell != source_cell {
                    differing.push((row.cells[0].clone(), column.clone(), source_cell.clone(), cell.clone()));
                }
            }
        }
    }
    assert_eq!(n_cells, 346);
    // What differs is derived, and each of those is a finding with the claim as published and the value as computed.
    let mut findings: BTreeMap<_, usize> = BTreeMap::new();
    for f in audit(&published) {
        let what = f.what.split(", ").next().unwrap_or_default().to_owned();
        *findings.entry((f.framework, what, f.claimed, f.recomputed)).or_default() += 1;
    }
    for key in &differing {
        let n = findings.get_mut(key).unwrap_or_else(|| panic!("not in the audit: {key:?}"));
        *n = n.checked_sub(1).unwrap_or_else(|| panic!("too often: {key:?}"));
    }
    assert!(!differing.is_empty());
}

#[test]
fn the_audit_finds_what_the_document_contradicts() {
    let lines: Vec<String> = audit(&smallmind())
        .iter()
        .map(|f| {
            format!(
                "{} | {} | {} | {} | {} | {}",
                f.place, f.framework, f.what, f.claimed, f.recomputed, f.from
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn mistakes_are_named_with_their_place() {
    let text = include_str!("../../../reports/reference/smallmind-2024-02-13.yaml");
    let message = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Published::parse("p.yaml", &text.replacen(from, to, 1)).expect_err(to).to_string()
    };
    assert_eq!(
        message("schema: 1", "schema: 2"),
        "p.yaml: schema 2 is not known; this harness reads schema 1"
    );
    let wrong = message("decode_tok_s: 80-90", "decode_tok_s: fast");
    assert!(wrong.contains("a range such as 85-95") && wrong.contains("line "), "{wrong}");
    assert!(message("metric: Tok", "metrics: Tok").contains("unknown field `metrics`"));
    assert_eq!(
        message("platform: apple-m2", "platform: m2"),
        "p.yaml: quick_comparison: platform: `m2` is not among platforms"
    );
    assert_eq!(
        message("cells: [✅, ❌, ❌]", "cells: [✅, ❌]"),
        "p.yaml: features: Pure .NET Ecosystem Integration: .NET Native Integration: wants 3 cells"
    );
    assert_eq!(
        message("stars: [5, 1, 2, 2, 4]", "stars: [5]"),
        "p.yaml: position: llama.cpp: wants 5 numbers of stars"
    );
    assert!(message("of: graviton3", "of: graviton4").contains("`graviton4` is neither a platform"));
    let missing = Published::load(Path::new("/nowhere/p.yaml")).expect_err("no file").to_string();
    assert!(missing.starts_with("/nowhere/p.yaml: cannot read: "), "{missing}");
}
