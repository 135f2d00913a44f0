//! Rows that cannot be measured: said before anything is measured, and refused where nothing could be compared without them.

use super::frameworks::Row;
use super::{Args, Usage};
use crate::escape::printable;
use crate::scenario::Scenario;

/// Says of every such row why, since each of them is a failed row of the report.
pub(super) fn announce(rows: &[Row]) {
    for row in rows {
        if let Some(unavailable) = &row.record.unavailable {
            say(&row.record.label, &unavailable.reason);
        }
    }
}

/// Says why a row cannot be measured.
pub(super) fn say(label: &str, reason: &str) {
    eprintln!("{}: cannot be measured: {}", printable(label), printable(reason));
}

/// Refuses a run whose baseline cannot be measured while other rows can: it would take its time and compare nothing.
pub(super) fn check_baseline(args: &Args, scenario: &Scenario, rows: &[Row]) -> Result<(), Usage> {
    let baseline = rows.iter().find(|row| row.record.label == scenario.baseline);
    let Some(unavailable) = baseline.and_then(|row| row.record.unavailable.as_ref()) else { return Ok(()) };
    if !rows.iter().any(Row::is_available) {
        return Ok(());
    }
    let (path, label) = (args.scenario.display(), &scenario.baseline);
    Err(Usage(format!(
        "{path}: baseline: {label} cannot be measured: {}; no row could be compared with it. Mend that, name another row \
         as the baseline, or leave it out with --skip {label}: the first row that is left then takes its place",
        unavailable.reason
    )))
}
