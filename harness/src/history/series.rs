//! Series: the figures of one metric of one cell over the nights, and the epochs within which they may be compared.

use super::History;
use super::id::IdMap;
use super::record::{Point, Session};
use crate::sample::Metric;
use crate::summary::metric_key;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

/// What a series is of. Two machines have two series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// Name of the scenario.
    pub scenario: &'a str,
    /// Id of the machine.
    pub machine: &'a str,
    /// Row label.
    pub row: &'a str,
    /// Workload name.
    pub workload: &'a str,
    /// Threads.
    pub threads: u32,
    /// Metric.
    pub metric: Metric,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { scenario, machine, row, workload, threads, metric } = self;
        write!(f, "{scenario}/{row}/{workload}/t{threads}/{}@{machine}", metric_key(*metric))
    }
}

/// A session with its figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Night<'a> {
    /// The session.
    pub session: &'a Session,
    /// The figure.
    pub point: &'a Point,
}

impl<'a> Night<'a> {
    /// The ratio to the baseline, or why it does not enter the series.
    pub fn ratio(&self) -> Result<f64, &'a str> {
        let Night { session, point } = *self;
        if let Some(why) = session.withdrawn.as_deref().or(point.out.as_deref()) {
            return Err(why);
        }
        point.ratio.filter(|ratio| ratio.is_finite() && *ratio > 0.0).ok_or("no ratio to the baseline")
    }
}

/// The figures of one metric of one cell, by the time at which their sessions began.
#[derive(Debug, Clone, PartialEq)]
pub struct Series<'a> {
    /// What it is of.
    pub key: Key<'a>,
    /// Every session that has it, also those that do not enter.
    pub nights: Vec<Night<'a>>,
}

/// Nights that may be compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch<'a> {
    /// Its nights among [`Series::nights`].
    pub range: Range<usize>,
    /// Those of them that enter, with their ratio.
    pub entered: Vec<(Night<'a>, f64)>,
    /// What is not as it was in the epoch before; empty for the first.
    pub changed: Vec<&'static str>,
}

impl<'a> Series<'a> {
    /// Its epochs, in order: each lasts as long as machine, kernel, model, work and baseline stay.
    pub fn epochs(&self) -> Vec<Epoch<'a>> {
        let mut epochs: Vec<Epoch<'a>> = Vec::new();
        let mut start = 0usize;
        for part in self.nights.chunk_by(|a, b| a.session.epoch == b.session.epoch) {
            let before = start.checked_sub(1).map(|last| self.nights[last].session);
            epochs.push(Epoch {
                range: start..start + part.len(),
                entered: part.iter().filter_map(|&night| Some((night, night.ratio().ok()?))).collect(),
                changed: before.map(|before| changed(before, part[0].session)).unwrap_or_default(),
            });
            start += part.len();
        }
        epochs
    }
}

impl Epoch<'_> {
    /// The ratios of those that enter.
    pub fn ratios(&self) -> Vec<f64> {
        self.entered.iter().map(|(_, ratio)| *ratio).collect()
    }
}

/// What makes the epoch of `b` another one.
fn changed(a: &Session, b: &Session) -> Vec<&'static str> {
    let mut changed = Vec::new();
    let mut note = |differs: bool, what| changed.extend(differs.then_some(what));
    note(a.kernel != b.kernel, "kernel");
    note(a.model_sha256 != b.model_sha256, "model");
    note(a.work != b.work, "work");
    note(a.baseline.label != b.baseline.label, "baseline");
    note(a.baseline.version != b.baseline.version, "version of the baseline");
    note(a.baseline.program_sha256 != b.baseline.program_sha256, "program of the baseline");
    if changed.is_empty() {
        changed.push("settings of the baseline");
    }
    changed
}

impl History {
    /// Every series, by its key. The baseline has none, being 1 always, and neither has the subject's last good version.
    pub fn series(&self) -> Vec<Series<'_>> {
        let sessions: IdMap<&Session> = self.sessions.iter().map(|session| (session.id, session)).collect();
        let mut index: HashMap<Key, usize> = HashMap::new();
        let mut series: Vec<Series> = Vec::new();
        for point in &self.points {
            let session = sessions[&point.session];
            let is_own = point.row != session.baseline.label && session.previous.as_ref() != Some(&point.row);
            if !is_own {
                continue;
            }
            let key = Key {
                scenario: &session.scenario,
                machine: &session.machine,
                row: &point.row,
                workload: &point.workload,
                threads: point.threads,
                metric: point.metric,
            };
            let at = *index.entry(key).or_insert_with(|| {
                series.push(Series { key, nights: Vec::new() });
                series.len() - 1
            });
            series[at].nights.push(Night { session, point });
        }
        series.sort_by_key(|series| series.key);
        series
    }

    /// The newest session of each scenario on each machine.
    pub fn newest(&self) -> BTreeMap<(&str, &str), &Session> {
        self.sessions.iter().map(|s| ((s.scenario.as_str(), s.machine.as_str()), s)).collect()
    }
}
