//! The table of the verification.

use super::tables::Cells;
use super::text::{Footnotes, bold_if, md};
use crate::agreement::{MEAN_KL_MAX, SAME_TOP_MIN};
use crate::summary::{Summary, Verification};
use crate::units::{fixed, show_percent};
use serde::Serialize;

/// The table and the limits of the gate.
#[derive(Debug, Serialize)]
pub(super) struct VerificationView {
    rows: Vec<Cells>,
    mean_kl_max: String,
    same_top_min: String,
}

/// Framework, cell, weights class, greedy prefix, positions, top-1, mean and largest divergence.
pub(super) fn verification(summary: &Summary, notes: &mut Footnotes) -> VerificationView {
    VerificationView {
        rows: summary.verifications.iter().map(|v| row(summary, v, notes)).collect(),
        mean_kl_max: MEAN_KL_MAX.to_string(),
        same_top_min: show_percent(SAME_TOP_MIN),
    }
}

fn row(summary: &Summary, v: &Verification, notes: &mut Footnotes) -> Cells {
    let row = &summary.rows[v.row];
    let cell = v.cell.as_ref().map_or("–".to_owned(), |(w, t)| format!("{}, threads {t}", md(w)));
    let prefix = match &v.greedy_prefix {
        Ok((n_equal, n)) => format!("{n_equal} of {n}"),
        Err(why) => notes.not_available(why),
    };
    let figures = match &v.agreement {
        Ok(a) => [
            a.n_positions.to_string(),
            show_percent(a.same_top()),
            fixed(a.mean_kl, 4),
            fixed(a.max_kl, 4),
            a.n_bounded.to_string(),
        ],
        Err(why) => std::array::from_fn(|_| notes.not_available(why)),
    };
    let [positions, top_1, mean_kl, max_kl, bounded] = figures;
    let cells = Cells::from([
        ("framework", md(&row.name)),
        ("cell", cell),
        ("weights", v.weights_class.map_or("–".to_owned(), |c| format!("{c:?}"))),
        ("prefix", prefix),
        ("positions", positions),
        ("top_1", top_1),
        ("mean_kl", mean_kl),
        ("max_kl", max_kl),
        ("bounded", bounded),
    ]);
    cells.into_iter().map(|(key, text)| (key, bold_if(row.is_subject, text))).collect()
}
