//! How far a run is: a bar with the time left on a terminal, a line for each launch otherwise.

use super::estimate::{Estimate, Forecast};
use crate::escape::printable;
use crate::plan::PlannedLaunch;
use crate::sample::{LaunchRecord, Metric, Outcome};
use crate::units::ns_to_s;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Shows the launches of a run.
pub(super) struct Progress<'a> {
    bar: Option<ProgressBar>,
    /// In order; the first `n_all` are to be made.
    launches: &'a [PlannedLaunch],
    n_all: usize,
    n_done: usize,
    forecast: Forecast,
}

impl<'a> Progress<'a> {
    /// For the first `n_all` of `launches`.
    pub(super) fn new(launches: &'a [PlannedLaunch], n_all: usize, forecast: Forecast) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(n_all as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Progress { bar, launches, n_all, n_done: 0, forecast }
    }

    /// More launches are to be made: `n_all` in all.
    pub(super) fn grow(&mut self, n_all: usize) {
        self.n_all = n_all;
        match &self.bar {
            Some(bar) => bar.set_length(n_all as u64),
            None => eprintln!("an interval is wider than target_ci: {n_all} launches in all"),
        }
    }

    /// A launch begins.
    pub(super) fn begin(&self, launch_id: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}  {}", printable(launch_id), self.left()));
            bar.tick();
        }
    }

    /// A launch has ended.
    pub(super) fn end(&mut self, record: &LaunchRecord) {
        self.n_done += 1;
        self.forecast.learn(record);
        let line = format!("{}  {}", printable(&record.launch_id), said(record));
        match &self.bar {
            Some(bar) => {
                if matches!(record.outcome, Outcome::Failed { .. }) {
                    bar.println(line);
                }
                bar.inc(1);
            }
            None => eprintln!("[{}/{}] {line}  ({})", self.n_done, self.n_all, self.left()),
        }
    }

    fn left(&self) -> String {
        let Estimate { total, .. } = self.forecast.of(&self.launches[self.n_done..self.n_all]);
        if total < Duration::from_secs(90) {
            format!("{:.0} s left", total.as_secs_f64())
        } else {
            format!("{:.0} min left", total.as_secs_f64() / 60.0)
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn said(record: &LaunchRecord) -> String {
    let wall_s = ns_to_s(record.wall_ns);
    match &record.outcome {
        Outcome::Measured(measured) => {
            let decode = measured.metric(Metric::Decode);
            let rate = decode.map_or_else(|| "measured".into(), |rate| format!("decode {rate:.1} tok/s"));
            let gates = if measured.gates_passed() { "" } else { "  a gate failed" };
            format!("{rate}  {wall_s:.1} s{gates}")
        }
        Outcome::Failed { message, .. } => {
            format!("failed: {}", printable(message.lines().next().unwrap_or_default()))
        }
    }
}
