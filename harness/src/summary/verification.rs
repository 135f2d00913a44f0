//! The verification of each cell: what its verified launch said, beside the reference.

use super::Row;
use crate::agreement::{Agreement, reference};
use crate::bundle::Manifest;
use crate::protocol::WeightsClass;
use crate::sample::{LaunchRecord, Measured, Outcome, Role, equal_tokens, right_output_reference};

/// One cell's verification.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Index into the summary's rows.
    pub row: usize,
    /// The workload and thread count of the launch that was verified; `None` for a row that was not.
    pub cell: Option<(String, u32)>,
    /// The weights class that the launch reported.
    pub weights_class: Option<WeightsClass>,
    /// Tokens of the greedy continuation that are equal to the reference's, from the first on; and how many there are.
    pub greedy_prefix: Result<(usize, usize), String>,
    /// Distributions along the given text against the reference's, or why there is no comparison.
    pub agreement: Result<Agreement, String>,
}

/// By row, then in plan order. A row without a verified launch stands once.
pub(super) fn verifications(
    rows: &[Row],
    manifest: &Manifest,
    records: &[LaunchRecord],
) -> Vec<Verification> {
    let baseline = &manifest.scenario.baseline;
    let greedy = right_output_reference(records, baseline);
    let forced = reference(records, baseline);
    let mut all = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let mut verified: Vec<(&LaunchRecord, &Measured)> =
            records.iter().filter(|r| r.framework == row.label).filter_map(verified).collect();
        verified.sort_by_key(|(record, _)| record.position);
        for (record, measured) in &verified {
            let agreement = match (&measured.forced, forced) {
                (None, _) => Err("the launch was asked for the continuation alone".to_owned()),
                (Some(told), _) if !told.is_told() => {
                    Err("the framework does not tell its distributions".to_owned())
                }
                (Some(_), None) => Err("the baseline told no distributions to compare with".to_owned()),
                (Some(told), Some(reference)) => Agreement::of(reference, told)
                    .ok_or_else(|| "it was given another text than the baseline".to_owned()),
            };
            let greedy_prefix = match (&measured.verify_token_ids, &greedy) {
                (Some(seen), Some(reference)) => Ok((equal_tokens(reference, seen), reference.len())),
                (_, None) => Err("the baseline has no continuation to compare with".to_owned()),
                (None, _) => Err("the launch has no continuation".to_owned()),
            };
            all.push(Verification {
                row: index,
                cell: Some((record.workload.clone(), record.threads)),
                weights_class: Some(measured.weights_class),
                greedy_prefix,
                agreement,
            });
        }
        if verified.is_empty() {
            let why = row.unavailable.clone().unwrap_or_else(|| "no launch was verified".to_owned());
            let (greedy_prefix, agreement) = (Err(why.clone()), Err(why));
            all.push(Verification { row: index, cell: None, weights_class: None, greedy_prefix, agreement });
        }
    }
    all
}

fn verified(record: &LaunchRecord) -> Option<(&LaunchRecord, &Measured)> {
    match &record.outcome {
        Outcome::Measured(m) if record.role == Role::Measure => {
            (m.verify_token_ids.is_some() || m.forced.is_some()).then_some((record, &**m))
        }
        _ => None,
    }
}
