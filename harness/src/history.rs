//! The history of nightly sessions: append-only JSONL, a line for each session and one for each of its figures, and what it
//! says of regressions.
//!
//! [`read`] and [`append`] are all that touches the disk; the rest is pure. Lines have ids made of what they are about, so that
//! appending a bundle twice changes nothing, and two histories that git merged line by line read the same in any order.

mod change;
mod check;
mod id;
mod of_bundle;
mod parse;
mod record;
mod series;
mod spark;
mod store;

pub use change::{Change, RULES, Rules, changes};
pub use check::{Checked, Finding, Kind, Unjudged, WATCHED, check};
pub use id::{Id, metric_named};
pub use of_bundle::{Commits, PREVIOUS_SUFFIX, lines};
pub use record::{Against, Baseline, HISTORY_SCHEMA, Line, Point, RowVersion, Session};
pub use series::{Epoch, Key, Night, Series};
pub use spark::sparkline;
pub use store::{Appended, HistoryError, append, read};

use std::collections::{BTreeMap, HashMap};
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
    let mut remarks = Vec::new();
    let (mut sessions, mut points): (HashMap<Id, Session>, HashMap<Id, Point>) = Default::default();
    for line in lines {
        let id = line.id();
        let differs = match line {
            Line::Session(session) => keep_first(&mut sessions, id, *session, |s| Line::Session(Box::new(s))),
            Line::Point(point) => keep_first(&mut points, id, point, Line::Point),
        };
        if differs {
            remarks.push(Remark::Differs(id));
        }
    }
    remarks.sort_by_key(|remark| if let Remark::Differs(id) = remark { Some(*id) } else { None });
    remarks.dedup();
    let mut sessions: Vec<Session> = sessions.into_values().collect();
    sessions.sort_by(|a, b| (&a.begun_at, a.id).cmp(&(&b.begun_at, b.id)));
    let order: HashMap<Id, usize> = sessions.iter().enumerate().map(|(at, s)| (s.id, at)).collect();
    let n_points = points.len();
    let mut points: Vec<Point> = points.into_values().filter(|p| order.contains_key(&p.session)).collect();
    points.sort_unstable_by_key(|p| (order[&p.session], p.id));
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for point in &points {
        *counts.entry(order[&point.session]).or_default() += 1;
    }
    for (at, session) in sessions.iter().enumerate() {
        let missing = session.points.saturating_sub(counts.get(&at).copied().unwrap_or(0));
        if missing > 0 {
            remarks.push(Remark::Incomplete { bundle: session.bundle.clone(), missing });
        }
    }
    if points.len() < n_points {
        remarks.push(Remark::Orphans(n_points - points.len()));
    }
    History { sessions, points, remarks }
}

/// Keeps `new`, or what is there already, whichever sorts first as text; whether the two differ.
fn keep_first<T: Clone + PartialEq>(
    kept: &mut HashMap<Id, T>,
    id: Id,
    new: T,
    line: impl Fn(T) -> Line,
) -> bool {
    let Some(old) = kept.get(&id) else {
        kept.insert(id, new);
        return false;
    };
    if *old == new {
        return false;
    }
    if line(new.clone()).to_json() < line(old.clone()).to_json() {
        kept.insert(id, new);
    }
    true
}

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod of_bundle_tests;
#[cfg(test)]
mod tests;
