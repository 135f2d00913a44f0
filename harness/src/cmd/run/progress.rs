//! How far a run is: a bar with the time left on a terminal, a line for each launch otherwise.

use crate::escape::printable;
use crate::sample::{LaunchRecord, Metric, Outcome};
use crate::units::ns_to_s;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Instant;

/// Shows the launches of a run.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    n_all: usize,
    n_done: usize,
    started: Instant,
}

impl Progress {
    /// For `n_all` launches.
    pub(super) fn new(n_all: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(n_all as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Progress { bar, n_all, n_done: 0, started: Instant::now() }
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

    /// From the pace so far.
    fn left(&self) -> String {
        if self.n_done == 0 {
            return "time left not known yet".into();
        }
        let per_launch_s = self.started.elapsed().as_secs_f64() / self.n_done as f64;
        let left_s = per_launch_s * (self.n_all - self.n_done) as f64;
        if left_s < 90.0 { format!("{left_s:.0} s left") } else { format!("{:.0} min left", left_s / 60.0) }
    }
}

impl Drop for Progress {
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
