//! Rows of the report's tables: every cell a finished string, the subject's in bold.

use super::text::{Footnotes, bold_if, md};
use crate::rating::{efficiency_stars, memory_stars, show_per_ghz_core, stars};
use crate::sample::Metric;
use crate::stats::{Interval, Ratio};
use crate::summary::{CellSummary, NotRanked, Row, Summary, WorkloadSummary};
use crate::units::{fixed, show, show_difference, show_mb, show_ms, show_percent, show_ratio};
use crate::verdict::Verdict;
use serde::Serialize;

/// A row of cells under names; the templates give the columns their headings.
pub(super) type Cells = std::collections::BTreeMap<&'static str, String>;

/// A table for one thread count.
#[derive(Debug, Serialize)]
pub(super) struct ThreadsTable {
    pub(super) threads: u32,
    pub(super) rows: Vec<Cells>,
}

/// Builds tables of one workload.
pub(super) struct Tables<'a> {
    pub(super) summary: &'a Summary,
    pub(super) workload: &'a WorkloadSummary,
    pub(super) notes: &'a mut Footnotes,
}

const UNTOLD: &str = "neither the framework nor the system tells this figure";

impl<'a> Tables<'a> {
    /// The cells of the main tables, in their order.
    fn shown(&self, threads: u32) -> Vec<&'a CellSummary> {
        in_order(self.workload.shown_at(&self.summary.rows, threads).collect())
    }

    /// Framework, language, tok/s, vs baseline, notes.
    pub(super) fn quick(&mut self, threads: u32) -> Vec<Cells> {
        self.shown_rows(threads, |tables, row, cell| {
            Cells::from([
                ("language", md(&row.language)),
                ("tok_s", tables.headline(cell, Metric::Decode, show)),
                ("vs", tables.versus(row, cell)),
                ("notes", tables.remarks(row, cell)),
            ])
        })
    }

    /// Framework, implementation, tok/s, memory, TTFT.
    pub(super) fn single(&mut self, threads: u32) -> Vec<Cells> {
        self.shown_rows(threads, |tables, row, cell| {
            Cells::from([
                ("implementation", md(&row.implementation)),
                ("tok_s", tables.headline(cell, Metric::Decode, show)),
                ("memory", tables.headline(cell, Metric::PeakRss, show_mb)),
                ("ttft", tables.headline(cell, Metric::TtftWarm, show_ms)),
            ])
        })
    }

    /// Framework, tok/s, scaling, efficiency.
    pub(super) fn multi(&mut self, threads: u32) -> Vec<Cells> {
        self.shown_rows(threads, |tables, row, cell| {
            let single = tables.workload.cell(cell.row, 1);
            let usable = !cell.gate_failed() && single.is_none_or(|s| !s.gate_failed());
            let (scaling, efficiency) = match cell.scaling.filter(|_| usable) {
                Some(r) => (format!("{}x", fixed(r.value, 2)), show_percent(r.value / f64::from(threads))),
                None => {
                    let mark = tables.no_scaling(row, cell, single);
                    (mark.clone(), mark)
                }
            };
            let tok_s = tables.headline(cell, Metric::Decode, show);
            Cells::from([("tok_s", tok_s), ("scaling", scaling), ("efficiency", efficiency)])
        })
    }

    /// Every metric with its interval, the comparison with the baseline, the weights class.
    pub(super) fn detail(&mut self, threads: u32) -> Vec<Cells> {
        self.rows(threads, |tables, row, cell| {
            let mut cells = Cells::from([
                ("decode", tables.with_interval(cell, Metric::Decode, show)),
                ("prefill", tables.with_interval(cell, Metric::Prefill, show)),
                ("end_to_end", tables.with_interval(cell, Metric::EndToEnd, show)),
                ("load", tables.with_interval(cell, Metric::Load, |s| fixed(s, 3))),
                ("ttft_warm", tables.with_interval(cell, Metric::TtftWarm, show_ms)),
                ("ttft_cold", tables.with_interval(cell, Metric::TtftCold, show_ms)),
                ("launches", launches(cell)),
                ("weights", cell.weights_class.map_or("–".to_owned(), |c| format!("{c:?}"))),
            ]);
            cells.extend(tables.comparison(row, cell, Metric::Decode));
            cells
        })
    }

    /// Ratios of the other metrics to the baseline.
    pub(super) fn ratios(&mut self, threads: u32) -> Vec<Cells> {
        let metrics = [
            ("prefill", Metric::Prefill),
            ("end_to_end", Metric::EndToEnd),
            ("load", Metric::Load),
            ("ttft_warm", Metric::TtftWarm),
            ("ttft_cold", Metric::TtftCold),
            ("peak_rss", Metric::PeakRss),
        ];
        let mut rows = Vec::new();
        for cell in order(self.workload, threads) {
            let row = &self.summary.rows[cell.row];
            if row.is_baseline || cell.n_measured == 0 {
                continue;
            }
            let mut cells = Cells::from([("framework", md(&row.name))]);
            for (key, metric) in metrics {
                let text = match cell.comparison(metric) {
                    Some(c) => match c.ratio {
                        Some(ratio) => format!(
                            "{} {}",
                            ratio_words(&ratio),
                            self.verdict(metric, c.judgement.verdict, c.judgement.reason.as_deref())
                        ),
                        None => self.notes.not_available(c.judgement.reason.as_deref().unwrap_or(UNTOLD)),
                    },
                    None => self.notes.not_available(UNTOLD),
                };
                cells.insert(key, text);
            }
            rows.push(embolden(row.is_subject, cells));
        }
        rows
    }

    /// Framework, tok/s, GHz, tok/s per GHz·core, rating.
    pub(super) fn efficiency(&mut self, threads: u32) -> Vec<Cells> {
        let best = self
            .workload
            .shown_at(&self.summary.rows, threads)
            .filter(|c| c.is_ranked())
            .filter_map(|c| c.decode_per_ghz_core)
            .fold(0.0, f64::max);
        let ghz = self.summary.clocks.get(&threads).map(|c| fixed(c.ghz, 2));
        self.shown_rows(threads, |tables, row, cell| {
            let value = cell.decode_per_ghz_core.filter(|_| !cell.gate_failed());
            let per_core = match value {
                Some(v) => show_per_ghz_core(v, row.is_subject),
                None if ghz.is_none() && cell.n_measured > 0 => tables
                    .notes
                    .not_available("the clock is unknown: neither the system nor the scenario tells it"),
                None => tables.no_figure(cell),
            };
            let rating = match value.filter(|_| cell.is_ranked() && best > 0.0) {
                Some(v) => stars(efficiency_stars(v / best)),
                None => "–".to_owned(),
            };
            Cells::from([
                ("tok_s", tables.headline(cell, Metric::Decode, show)),
                ("ghz", ghz.clone().unwrap_or_else(|| "–".to_owned())),
                ("per_core", per_core),
                ("rating", rating),
            ])
        })
    }

    /// Framework, peak RSS, overhead, anonymous, file-backed, rating; the footprint as well where the system has one.
    pub(super) fn memory(&mut self, threads: u32) -> Vec<Cells> {
        let shown = self.workload.shown_at(&self.summary.rows, threads);
        let overheads = shown.filter(|c| c.is_ranked()).filter_map(|c| c.memory.overhead_bytes);
        let least = overheads.filter(|&o| o > 0.0).reduce(f64::min);
        let has_footprint =
            self.workload.shown_at(&self.summary.rows, threads).any(|c| c.memory.footprint_bytes.is_some());
        let mut rows = self.shown_rows(threads, |tables, _, cell| {
            let overhead = cell.memory.overhead_bytes.filter(|_| !cell.gate_failed());
            let rating = overhead.filter(|_| cell.is_ranked()).map(|o| stars(memory_stars(o, least)));
            let mut cells = Cells::from([
                ("peak", tables.headline(cell, Metric::PeakRss, show_mb)),
                ("overhead", overhead.map_or("–".to_owned(), |o| format!("{} MB", show_mb(o)))),
                ("anon", tables.part(cell, cell.memory.anon_bytes)),
                ("file", tables.part(cell, cell.memory.file_bytes)),
                ("rating", rating.unwrap_or_else(|| "–".to_owned())),
            ]);
            if has_footprint {
                cells.insert("footprint", tables.part(cell, cell.memory.footprint_bytes));
            }
            cells
        });
        let peak = |c: &CellSummary| c.estimate(Metric::PeakRss).map_or(f64::INFINITY, |e| e.value);
        let mut by_peak: Vec<(f64, Cells)> =
            self.shown(threads).into_iter().map(peak).zip(rows.drain(..)).collect();
        by_peak.sort_by(|a, b| a.0.total_cmp(&b.0));
        by_peak.into_iter().map(|(_, cells)| cells).collect()
    }

    fn rows(
        &mut self,
        threads: u32,
        build: impl FnMut(&mut Self, &Row, &CellSummary) -> Cells,
    ) -> Vec<Cells> {
        self.rows_of(order(self.workload, threads), build)
    }

    /// Of the variants of a framework one row only; see [`WorkloadSummary::shown_at`].
    fn shown_rows(
        &mut self,
        threads: u32,
        build: impl FnMut(&mut Self, &Row, &CellSummary) -> Cells,
    ) -> Vec<Cells> {
        self.rows_of(self.shown(threads), build)
    }

    fn rows_of(
        &mut self,
        cells: Vec<&CellSummary>,
        mut build: impl FnMut(&mut Self, &Row, &CellSummary) -> Cells,
    ) -> Vec<Cells> {
        let summary = self.summary;
        let mut rows = Vec::new();
        for cell in cells {
            let row = &summary.rows[cell.row];
            let mut cells = build(self, row, cell);
            cells.insert("framework", md(&row.name));
            rows.push(embolden(row.is_subject, cells));
        }
        rows
    }

    /// The entry's notes, and of how many variants the row is the best.
    fn remarks(&self, row: &Row, cell: &CellSummary) -> String {
        let notes = md(&row.notes);
        let choice = self.workload.choices.iter().find(|c| c.threads == cell.threads && c.row == cell.row);
        match choice {
            Some(choice) => {
                format!("{notes} Best decode of {} variants.", choice.variants.len()).trim().to_owned()
            }
            None => notes,
        }
    }

    /// A figure in a headline table: none where a gate failed, because it is of some other work.
    fn headline(&mut self, cell: &CellSummary, metric: Metric, write: fn(f64) -> String) -> String {
        match cell.estimate(metric).filter(|_| !cell.gate_failed()) {
            Some(estimate) => write(estimate.value),
            None => self.no_figure(cell),
        }
    }

    fn no_figure(&mut self, cell: &CellSummary) -> String {
        match (&cell.failure, &cell.not_ranked) {
            (Some(failure), _) => self.notes.not_available(failure),
            (None, Some(NotRanked::Gate(reason))) => self.notes.mark("invalid", reason),
            _ => self.notes.not_available(UNTOLD),
        }
    }

    fn with_interval(&mut self, cell: &CellSummary, metric: Metric, write: fn(f64) -> String) -> String {
        match cell.estimate(metric) {
            Some(e) => match e.interval {
                Some(i) => format!("{} {}", write(e.value), interval_words(i, write)),
                None => write(e.value),
            },
            None => self.no_figure(cell),
        }
    }

    fn part(&mut self, cell: &CellSummary, bytes: Option<f64>) -> String {
        match bytes.filter(|_| !cell.gate_failed()) {
            Some(bytes) => show_mb(bytes),
            None => self.no_figure(cell),
        }
    }

    fn no_scaling(&mut self, row: &Row, cell: &CellSummary, single: Option<&CellSummary>) -> String {
        match single {
            _ if cell.failure.is_some() || cell.gate_failed() => self.no_figure(cell),
            None => self.notes.not_available("the scenario has no single-thread run to scale from"),
            Some(single) if single.failure.is_some() || single.gate_failed() => self.no_figure(single),
            Some(_) => self.notes.not_available(&format!("{}: no block with both thread counts", row.name)),
        }
    }

    fn versus(&mut self, row: &Row, cell: &CellSummary) -> String {
        if row.is_baseline {
            return "Baseline".to_owned();
        }
        if cell.n_measured == 0 || cell.gate_failed() {
            return "–".to_owned();
        }
        let Some(comparison) = cell.comparison(Metric::Decode) else { return "–".to_owned() };
        let judgement = &comparison.judgement;
        match (comparison.ratio, judgement.verdict) {
            (_, Verdict::Invalid) | (None, _) => {
                self.notes.mark("not ranked", judgement.reason.as_deref().unwrap_or(UNTOLD))
            }
            (Some(ratio), Verdict::Faster | Verdict::Slower) => show_difference(ratio.value),
            (Some(ratio), verdict) => format!(
                "{} ({})",
                show_difference(ratio.value),
                self.verdict(Metric::Decode, verdict, judgement.reason.as_deref())
            ),
        }
    }

    fn comparison(&mut self, row: &Row, cell: &CellSummary, metric: Metric) -> Cells {
        let dash = || "–".to_owned();
        let Some(comparison) = cell.comparison(metric) else {
            let verdict = if row.is_baseline && cell.n_measured > 0 { "baseline".to_owned() } else { dash() };
            return Cells::from([("ratio", dash()), ("p", dash()), ("verdict", verdict)]);
        };
        let judgement = &comparison.judgement;
        Cells::from([
            ("ratio", comparison.ratio.map_or_else(dash, |r| ratio_words(&r))),
            ("p", comparison.p_holm.map_or_else(dash, show_p)),
            ("verdict", self.verdict(metric, judgement.verdict, judgement.reason.as_deref())),
        ])
    }

    fn verdict(&mut self, metric: Metric, verdict: Verdict, reason: Option<&str>) -> String {
        let word = verdict.word_for(metric);
        match reason {
            Some(reason) => self.notes.mark(word, reason),
            None => word.to_owned(),
        }
    }
}

/// Cells at a thread count: measured rows by decode, those with a failed gate, then those without a figure.
pub(super) fn order(workload: &WorkloadSummary, threads: u32) -> Vec<&CellSummary> {
    in_order(workload.at(threads).collect())
}

fn in_order(mut cells: Vec<&CellSummary>) -> Vec<&CellSummary> {
    let class = |c: &CellSummary| (c.n_measured == 0, c.gate_failed());
    let decode = |c: &CellSummary| c.estimate(Metric::Decode).map_or(0.0, |e| e.value);
    cells.sort_by(|a, b| class(a).cmp(&class(b)).then(decode(b).total_cmp(&decode(a))));
    cells
}

/// `0.929 [0.919, 0.933]`
pub(super) fn ratio_words(ratio: &Ratio) -> String {
    match ratio.interval {
        Some(interval) => format!("{} {}", show_ratio(ratio.value), interval_words(interval, show_ratio)),
        None => show_ratio(ratio.value),
    }
}

/// `[0.919, 0.933]`
pub(super) fn interval_words(interval: Interval, write: fn(f64) -> String) -> String {
    format!("[{}, {}]", write(interval.lo), write(interval.hi))
}

fn embolden(bold: bool, cells: Cells) -> Cells {
    cells.into_iter().map(|(key, text)| (key, bold_if(bold, text))).collect()
}

fn launches(cell: &CellSummary) -> String {
    match cell.n_failed {
        0 => cell.n_measured.to_string(),
        failed => format!("{} ({failed} failed)", cell.n_measured),
    }
}

fn show_p(p: f64) -> String {
    if p < 0.001 { "< 0.001".to_owned() } else { fixed(p, 3) }
}
