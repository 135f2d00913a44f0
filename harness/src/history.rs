//! The history of nightly sessions: append-only JSONL, a line for each session and one for each of its figures, and what it
//! says of regressions.
//!
//! [`read`] and [`append`] are all that touches the disk; the rest is pure. Lines have ids made of what they are about, so that
//! appending a bundle twice changes nothing, and two histories that git merged line by line read the same in any order.

mod change;
mod check;
mod export;
mod id;
mod of_bundle;
mod parse;
mod record;
mod series;
mod spark;
mod store;

pub use change::{Change, RULES, Rules, changes};
pub use check::{Checked, Finding, Kind, Unjudged, WATCHED, check};
pub use export::{Better, ExportFile, bencher, github, otava};
pub use id::{Id, metric_named};
pub use of_bundle::{Commits, PREVIOUS_SUFFIX, lines};
pub use record::{Against, Baseline, HISTORY_SCHEMA, Line, Point, RowVersion, Session};
pub use series::{Epoch, Key, Night, Series};
pub use spark::sparkline;
pub use store::{Appended, HistoryError, append, read};

use id::IdMap;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// A history: the same for the same lines in any order and number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// By the time at which they began, then by id.
    pub sessions: Vec<Session>,
    /// In the order of their sessions, then by id; every one's session is there.
    pub points: Vec<Point>,
    /// What is not as it should be, and does not keep it from being read.
    pub remarks: Vec<Remark>,
}

/// Something about a history that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// The last line is torn, as a crash leaves it, and left out: its length in bytes.
    TornLine(usize),
    /// A torn last line was cut off: its length in bytes.
    Repaired(usize),
    /// Lines about the same thing that differ: one of them counts.
    Differs(Id),
    /// A session that has fewer points than it should.
    Incomplete {
        /// Its bundle.
        bundle: String,
        /// Points that are not there.
        missing: usize,
    },
    /// So many points have no session and are left out.
    Orphans(usize),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::TornLine(bytes) => {
                write!(f, "the last line is torn ({bytes} bytes) and left out; the next append removes it")
            }
            Remark::Repaired(bytes) => write!(f, "a torn last line was removed ({bytes} bytes)"),
            Remark::Differs(id) => write!(f, "lines with id {id} differ; the one that sorts first counts"),
            Remark::Incomplete { bundle, missing } => {
                write!(f, "{bundle}: {missing} points are missing; append the bundle again")
            }
            Remark::Orphans(n) => {
                write!(f, "{n} points have no session and are left out; append their bundles again")
            }
        }
    }
}

/// The history that these lines make.
pub fn history_of(lines: impl IntoIterator<Item = Line>) -> History {
    let mut collected = Collected::default();
    lines.into_iter().for_each(|line| collected.add(line));
    collected.history()
}

/// Lines on their way to a history.
#[derive(Default)]
struct Collected {
    sessions: Kept<Session>,
    points: Kept<Point>,
    differ: BTreeSet<Id>,
}

impl Collected {
    fn add(&mut self, line: Line) {
        let id = line.id();
        let differs = match line {
            Line::Session(session) => self.sessions.add(id, *session),
            Line::Point(point) => self.points.add(id, point),
        };
        if differs {
            self.differ.insert(id);
        }
    }

    fn history(self) -> History {
        let Collected { sessions, points, differ } = self;
        let (mut sessions, mut points) = (sessions.kept, points.kept);
        let mut remarks: Vec<Remark> = differ.into_iter().map(Remark::Differs).collect();
        sessions.sort_by(|a, b| (&a.begun_at, a.id).cmp(&(&b.begun_at, b.id)));
        let order: IdMap<usize> = sessions.iter().enumerate().map(|(at, s)| (s.id, at)).collect();
        let n_points = points.len();
        points.retain(|point| order.contains_key(&point.session));
        let n_orphans = n_points - points.len();
        let mut counts = vec![0; sessions.len()];
        points.iter().for_each(|point| counts[order[&point.session]] += 1);
        sort_by_key(&mut points, |point| (order[&point.session], point.id));
        for (session, n) in sessions.iter().zip(counts) {
            if session.points > n {
                let missing = session.points - n;
                remarks.push(Remark::Incomplete { bundle: session.bundle.clone(), missing });
            }
        }
        if n_orphans > 0 {
            remarks.push(Remark::Orphans(n_orphans));
        }
        History { sessions, points, remarks }
    }
}

/// What was found under each id.
struct Kept<T> {
    kept: Vec<T>,
    places: IdMap<usize>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept { kept: Vec::new(), places: IdMap::default() }
    }
}

impl<T: PartialEq + Serialize> Kept<T> {
    /// Keeps `new`, or what is there already, whichever sorts first as text; whether the two differ.
    fn add(&mut self, id: Id, new: T) -> bool {
        let Some(&place) = self.places.get(&id) else {
            self.places.insert(id, self.kept.len());
            self.kept.push(new);
            return false;
        };
        let old = &mut self.kept[place];
        if *old == new {
            return false;
        }
        let text = |value: &T| serde_json::to_string(value).unwrap_or_default();
        if text(&new) < text(old) {
            *old = new;
        }
        true
    }
}

/// Sorts values that are dear to move: each is moved once.
fn sort_by_key<T, K: Ord>(values: &mut [T], key: impl Fn(&T) -> K) {
    let mut order: Vec<(K, usize)> = values.iter().enumerate().map(|(at, value)| (key(value), at)).collect();
    order.sort_unstable();
    let mut from: Vec<usize> = order.into_iter().map(|(_, at)| at).collect();
    for start in 0..from.len() {
        let mut at = start;
        // Round the cycle that begins here.
        while from[at] != start {
            let next = from[at];
            values.swap(at, next);
            from[at] = at;
            at = next;
        }
        from[at] = at;
    }
}

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod of_bundle_tests;
#[cfg(test)]
mod tests;
