//! What a history says of the newest sessions: regressions, improvements, and what could not be judged. Pure.

use super::change::{Change, Rules, changes};
use super::record::{Against, Session};
use super::series::{Epoch, Key, Night, Series};
use super::{History, sparkline};
use crate::sample::Metric;
use crate::stats::Interval;
use crate::verdict::Verdict;
use std::thread::{available_parallelism, scope};

/// Metrics that are watched where nothing else is asked for: the others follow from these, or vary more than they tell.
pub const WATCHED: [Metric; 3] = [Metric::Prefill, Metric::Decode, Metric::PeakRss];

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked<'a> {
    /// Series that were looked at.
    pub series: usize,
    /// By series.
    pub findings: Vec<Finding<'a>>,
    /// Series whose newest figure does not enter.
    pub unjudged: Vec<Unjudged<'a>>,
    /// Series with too few nights for a change point yet.
    pub young: usize,
    /// Series of subjects that are not told to be as good as the last good version in the same blocks, so that this version
    /// stays.
    pub held: Vec<Key<'a>>,
}

/// A series of which the newest session says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Unjudged<'a> {
    /// The series.
    pub key: Key<'a>,
    /// Whether it is of the session's subject.
    pub is_subject: bool,
    /// Why.
    pub reason: String,
}

/// A change that is news.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding<'a> {
    /// Of which series.
    pub key: Key<'a>,
    /// How it was found.
    pub kind: Kind,
    /// Whether it is for the worse.
    pub is_regression: bool,
    /// Mean before it, as a ratio; of a first night 1.
    pub before: f64,
    /// Mean after it; of a first night the ratio to the last good version.
    pub after: f64,
    /// after / before − 1 with its 95% interval, where there is one.
    pub change: (f64, Option<Interval>),
    /// Nights, or blocks of a first night, on both sides.
    pub n: (usize, usize),
    /// p of the t test; `None` on a first night.
    pub p: Option<f64>,
    /// The last session before it; of a first night the session itself.
    pub good: &'a Session,
    /// The first session after it.
    pub bad: &'a Session,
    /// The session with which it was found.
    pub found: &'a Session,
    /// Commits of the row's program before and after; `None` where not known.
    pub commits: (Option<&'a str>, Option<&'a str>),
    /// The last nights of the epoch.
    pub sparkline: String,
}

/// How a change was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A change point of the series.
    Step,
    /// On its first night, against the last good version in the same blocks.
    FirstNight,
}

impl Checked<'_> {
    /// The findings for the worse.
    pub fn regressions(&self) -> impl Iterator<Item = &Finding<'_>> {
        self.findings.iter().filter(|finding| finding.is_regression)
    }

    /// Whether the newest sessions' subjects may become the last good versions: they have figures, none got worse, and each is
    /// as good as the last good version's, or there is none yet.
    pub fn last_good_moves(&self) -> bool {
        self.series > 0
            && self.held.is_empty()
            && !self.regressions().any(|finding| finding.key.row == finding.found.subject)
            && !self.unjudged.iter().any(|unjudged| unjudged.is_subject)
    }
}

/// Checks every series for which `is_wanted`, by all processors.
pub fn check<'a>(history: &'a History, rules: &Rules, is_wanted: impl Fn(&Key) -> bool) -> Checked<'a> {
    let newest = history.newest();
    // What the newest session no longer has is no longer watched.
    let is_watched = |s: &Series| {
        s.nights.last().is_some_and(|n| newest[&(s.key.scenario, s.key.machine)].id == n.session.id)
    };
    let (series, others): (Vec<Series>, Vec<Series>) =
        history.series().into_iter().filter(is_watched).partition(|s| is_wanted(&s.key));
    // A cell that was not measured at all stands under one metric, whichever are asked for.
    let is_silent = |s: &&Series| {
        let any = |&metric: &Metric| is_wanted(&Key { metric, ..s.key });
        s.nights.last().is_some_and(|night| night.point.launches == 0) && Metric::ALL.iter().any(any)
    };
    let n_threads = available_parallelism().map_or(1, usize::from).min(series.len()).max(1);
    let parts: Vec<Checked> = scope(|scope| {
        let part = |part: &'_ [Series<'a>]| {
            let mut checked = Checked::default();
            part.iter().for_each(|series| checked.add(series, rules));
            checked
        };
        let threads: Vec<_> = series
            .chunks(series.len().div_ceil(n_threads).max(1))
            .map(|p| scope.spawn(move || part(p)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a check does not panic")).collect()
    });
    let mut checked = Checked::default();
    others.iter().filter(is_silent).for_each(|series| checked.add_unjudged(series));
    for part in parts {
        checked.series += part.series;
        checked.young += part.young;
        checked.findings.extend(part.findings);
        checked.unjudged.extend(part.unjudged);
        checked.held.extend(part.held);
    }
    checked
}

impl<'a> Checked<'a> {
    fn add_unjudged(&mut self, series: &Series<'a>) {
        let Some((last, Err(why))) = series.nights.last().map(|night| (night, night.ratio())) else { return };
        self.unjudged.push(Unjudged {
            key: series.key,
            is_subject: last.session.subject == series.key.row,
            reason: why.to_owned(),
        });
    }

    fn add(&mut self, series: &Series<'a>, rules: &Rules) {
        self.series += 1;
        let (Some(last), Some(epoch)) = (series.nights.last(), series.epochs().pop()) else { return };
        match last.ratio() {
            Err(_) => self.add_unjudged(series),
            Ok(_) => {
                let mut found = first_night(series.key, last);
                let ratios = epoch.ratios();
                found.iter_mut().for_each(|f| f.sparkline = sparkline(&ratios, &[ratios.len() - 1]));
                self.findings.extend(found);
            }
        }
        if !is_as_good(series.key, last) {
            self.held.push(series.key);
        }
        let ratios = epoch.ratios();
        if ratios.len() <= rules.confirm {
            self.young += 1;
            return;
        }
        let all = changes(&ratios, rules);
        let current = all.last().map_or(0.0, |change| change.after);
        for change in all.iter().filter(|change| change.found.is_some()) {
            let finding = step(series.key, &epoch, &ratios, change);
            // A night that another one made good again is no news any more.
            let share = current / change.before - 1.0;
            if share.signum() == finding.change.0.signum() && share.abs() > rules.change.magnitude_min {
                self.findings.push(finding);
            }
        }
    }
}

/// Whether the session's statistics find a subject at least as good as its last good version; true where it has none.
fn is_as_good(key: Key, night: &Night) -> bool {
    if night.session.previous.is_none() || night.session.subject != key.row {
        return true;
    }
    let good = [Verdict::Equivalent, Verdict::Faster].map(|verdict| verdict.word_for(key.metric));
    night.point.previous.as_deref().is_some_and(|against| good.contains(&against.verdict.as_str()))
}

fn is_worse(metric: Metric, change: f64) -> bool {
    (change < 0.0) == metric.higher_is_better()
}

fn commit<'a>(session: &'a Session, label: &str) -> Option<&'a str> {
    session.row(label)?.commit.as_deref()
}

fn step<'a>(key: Key<'a>, epoch: &Epoch<'a>, ratios: &[f64], change: &Change) -> Finding<'a> {
    let session = |at: usize| epoch.entered[at].0.session;
    let (good, bad) = (session(change.index - 1), session(change.index));
    let share = change.after / change.before - 1.0;
    Finding {
        key,
        kind: Kind::Step,
        is_regression: is_worse(key.metric, share),
        before: change.before,
        after: change.after,
        change: (share, Some(change.interval)),
        n: (change.n_before, change.n_after),
        p: Some(change.p),
        good,
        bad,
        found: session(change.found.unwrap_or(change.index)),
        commits: (commit(good, key.row), commit(bad, key.row)),
        sparkline: sparkline(ratios, &[change.index]),
    }
}

/// The newest night against the last good version, where the session's own statistics tell the two apart.
fn first_night<'a>(key: Key<'a>, night: &Night<'a>) -> Option<Finding<'a>> {
    let Night { session, point } = *night;
    let against: &Against = point.previous.as_deref()?;
    let of = |verdict: Verdict| verdict.word_for(key.metric) == against.verdict;
    let is_regression = match () {
        () if of(Verdict::Slower) => true,
        () if of(Verdict::Faster) => false,
        () => return None,
    };
    let interval = against.lo.zip(against.hi).map(|(lo, hi)| Interval { lo: lo - 1.0, hi: hi - 1.0 });
    let previous = session.previous.as_deref().unwrap_or_default();
    Some(Finding {
        key,
        kind: Kind::FirstNight,
        is_regression,
        before: 1.0,
        after: against.ratio,
        change: (against.ratio - 1.0, interval),
        n: (against.n, against.n),
        p: None,
        good: session,
        bad: session,
        found: session,
        commits: (commit(session, previous), commit(session, key.row)),
        sparkline: String::new(),
    })
}
