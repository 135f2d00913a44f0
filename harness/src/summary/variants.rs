//! Rows that are variants of one framework: which of them stands in the main tables.
//!
//! For each workload and thread count it is the variant with the largest median decode, and it stands there in every
//! column: no row is put together from several. Nothing but the variants themselves decides. The largest of several
//! medians is a little larger than its own true median, on average: that favours the framework that has variants, and
//! the report says so. Verdicts are of named rows, all of them.

use super::{CellSummary, Row, WorkloadSummary};
use crate::sample::Metric;
use std::collections::BTreeMap;

/// The variant of an entry that stands for it at one thread count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Label of the entry.
    pub of: String,
    /// Threads.
    pub threads: u32,
    /// Its row.
    pub row: usize,
    /// The rows of all its variants, in the scenario's order.
    pub variants: Vec<usize>,
}

/// Chooses for each entry with variants and each thread count.
pub(super) fn choose(rows: &[Row], workload: &WorkloadSummary) -> Vec<Choice> {
    let mut entries: BTreeMap<usize, (&str, Vec<usize>)> = BTreeMap::new();
    for (row, variant) in rows.iter().enumerate().filter_map(|(i, row)| Some((i, row.variant.as_ref()?))) {
        let first = entries.iter().find(|(_, (of, _))| *of == variant.of).map(|(first, _)| *first);
        let entry = entries.entry(first.unwrap_or(row)).or_insert((&variant.of, Vec::new()));
        entry.1.push(row);
    }
    let mut choices = Vec::new();
    for &threads in &workload.threads {
        for (of, variants) in entries.values() {
            let cells: Vec<&CellSummary> =
                variants.iter().filter_map(|&row| workload.cell(row, threads)).collect();
            choices.extend(best(&cells).map(|row| Choice {
                of: (*of).to_owned(),
                threads,
                row,
                variants: variants.clone(),
            }));
        }
    }
    choices
}

/// The row with the largest median decode, of those that may be ranked, else of those measured, else the first.
fn best(cells: &[&CellSummary]) -> Option<usize> {
    let class = |c: &CellSummary| (c.is_ranked(), c.n_measured > 0);
    let decode = |c: &CellSummary| c.estimate(Metric::Decode).map_or(0.0, |e| e.value);
    // Of equals the first: the last one that is not less, from the end.
    let by_rank =
        |a: &&&CellSummary, b: &&&CellSummary| class(a).cmp(&class(b)).then(decode(a).total_cmp(&decode(b)));
    cells.iter().rev().max_by(by_rank).map(|cell| cell.row)
}

#[cfg(test)]
mod tests {
    use crate::sample::{LaunchRecord, Outcome};
    use crate::summary::{Summary, summarize};
    use crate::testing;

    /// Rows of the main tables on one thread, and those chosen among variants.
    fn shown(summary: &Summary) -> (Vec<&str>, Vec<&str>) {
        let workload = &summary.workloads[0];
        let label = |row: usize| summary.rows[row].label.as_str();
        let choices = workload.choices.iter().filter(|c| c.threads == 1);
        (
            workload.shown_at(&summary.rows, 1).map(|c| label(c.row)).collect(),
            choices.map(|c| label(c.row)).collect(),
        )
    }

    #[test]
    fn the_fastest_variant_stands_for_its_entry() {
        let (manifest, records) = testing::with_variants();
        let summary = summarize(&manifest, &records);
        let others = ["llama.cpp", "engine", "mistral.rs", "transformers", "openvino", "lm-studio"];
        assert_eq!(shown(&summary), (others.to_vec(), vec!["mistral.rs"]));
        assert_eq!(summary.rows[4].name, "Multi, multi [mode c]");
        assert_eq!(summary.workloads[0].choices.len(), 5, "one for each thread count");
    }

    #[test]
    fn a_variant_with_a_failed_gate_stands_for_nothing() {
        let (manifest, mut records) = testing::with_variants();
        let is_it = |r: &&mut LaunchRecord| r.framework == "mistral.rs" && r.threads == 1;
        for record in records.iter_mut().filter(is_it) {
            if let Outcome::Measured(m) = &mut record.outcome {
                m.gates[0].passed = false;
            }
        }
        assert_eq!(shown(&summarize(&manifest, &records)).1, ["candle"]);
    }

    #[test]
    fn neither_subject_nor_figures_of_others_decide() {
        let (mut manifest, records) = testing::with_variants();
        manifest.scenario.subject = "onnx".to_owned();
        let summary = summarize(&manifest, &records);
        let (rows, chosen) = shown(&summary);
        assert_eq!(chosen, ["mistral.rs"]);
        assert!(rows.contains(&"onnx") && !rows.contains(&"candle"), "{rows:?}");
    }

    #[test]
    fn a_framework_does_not_lead_over_its_own_variant() {
        let (mut manifest, records) = testing::with_variants();
        // The two fastest rows, and a slow one.
        for (row, variant) in [(6, "fast"), (0, "slow")] {
            let settings = vec![("mode".to_owned(), variant.to_owned())];
            manifest.scenario.frameworks[row].variant =
                Some(crate::scenario::Variant { of: "pair".to_owned(), settings });
        }
        // The second variant is in the main tables where it is the baseline.
        for baseline in ["lm-studio", "llama.cpp"] {
            manifest.scenario.baseline = baseline.to_owned();
            let summary = summarize(&manifest, &records);
            let standing = summary.workloads[0].standing(1).expect("ranked");
            let label = |row: usize| summary.rows[row].label.as_str();
            assert_eq!((label(standing.leader), standing.second.map(label)), ("openvino", Some("engine")));
        }
    }
}
