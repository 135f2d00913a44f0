//! How long a run will take: from earlier bundles of this machine and model where there are any, else from the
//! model's size.

use crate::bundle::Manifest;
use crate::plan::PlannedLaunch;
use crate::sample::{LaunchRecord, Outcome};
use crate::scenario::Workload;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Bytes per second that one thread of a slow framework reads: so the guess is rather long than short.
const READ_BYTES_PER_S: f64 = 8e9;
/// Prompt tokens cost so much less than generated ones.
const PREFILL_GAIN: f64 = 2.0;
/// Two threads are not twice as fast.
const THREAD_EXPONENT: f64 = 0.7;
/// Between two launches: canary, sensors, the sample on the disk.
const BETWEEN: Duration = Duration::from_millis(150);

/// How long launches will take, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) total: Duration,
    /// Launches whose time comes from an earlier run.
    pub(super) n_known: usize,
    pub(super) n: usize,
}

/// Wall times of earlier launches.
#[derive(Default)]
pub(super) struct History(BTreeMap<Kind, Vec<Duration>>);

/// What takes the same time: framework id, prompt, generated tokens, context, requests, threads.
type Kind = (String, [u32; 5], u32);

impl History {
    /// Of all bundles below `runs` that were measured on this machine with this model. What cannot be read is passed over.
    pub(super) fn read(runs: &Path, manifest: &Manifest) -> Self {
        let mut history = Self::default();
        let Ok(entries) = std::fs::read_dir(runs) else { return history };
        for entry in entries.flatten().filter(|e| e.path().join("manifest.json").is_file()) {
            let Ok(bundle) = crate::bundle::read(&entry.path()) else { continue };
            let is_like = bundle.manifest.machine.id == manifest.machine.id
                && bundle.manifest.model.sha256 == manifest.model.sha256;
            if is_like {
                history.add(&bundle.manifest, &bundle.records);
            }
        }
        history
    }

    fn add(&mut self, manifest: &Manifest, records: &[LaunchRecord]) {
        for record in records {
            let cell = (record.framework.as_str(), record.workload.as_str(), record.threads);
            if let (Outcome::Measured(_), Some(kind)) = (&record.outcome, kind(manifest, cell)) {
                self.0.entry(kind).or_default().push(wall(record));
            }
        }
    }

    fn median(&self, kind: &Kind) -> Option<Duration> {
        let mut times = self.0.get(kind)?.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}

fn wall(record: &LaunchRecord) -> Duration {
    Duration::from_nanos(record.wall_ns)
}

fn kind(manifest: &Manifest, (label, workload, threads): (&str, &str, u32)) -> Option<Kind> {
    let scenario = &manifest.scenario;
    let label = if label == scenario.control_label() { &scenario.baseline } else { label };
    let id = scenario.framework(label).map_or(label, |f| f.id.as_str());
    let Workload { prompt_tokens, generate_tokens, context, .. } = *scenario.workload(workload)?;
    let tokens = [prompt_tokens, generate_tokens, context, scenario.repetitions, scenario.cold_generate];
    Some((id.to_owned(), tokens, threads))
}

/// The time that `launches` will take.
pub(super) fn estimate(manifest: &Manifest, launches: &[PlannedLaunch], history: &History) -> Estimate {
    let mut estimate = Estimate { total: Duration::ZERO, n_known: 0, n: launches.len() };
    for launch in launches {
        let cell = &launch.cell;
        let kind = kind(manifest, (&cell.framework, &cell.workload, cell.threads));
        let known = kind.as_ref().and_then(|k| history.median(k));
        estimate.n_known += usize::from(known.is_some());
        let guess = || kind.as_ref().map_or(Duration::ZERO, |k| guess(manifest.model.bytes, k));
        estimate.total += known.unwrap_or_else(guess) + BETWEEN;
    }
    estimate
}

/// Reading the file once, and once again for each token, on one thread.
fn guess(model_bytes: u64, (_, tokens, threads): &Kind) -> Duration {
    let [prompt, generate, _, repetitions, cold] = tokens.map(f64::from);
    let n_cold = f64::from(u8::from(cold > 0.0));
    let passes = (repetitions + n_cold) * prompt / PREFILL_GAIN + repetitions * generate + cold;
    let rate = READ_BYTES_PER_S * f64::from(*threads).powf(THREAD_EXPONENT);
    Duration::from_secs_f64((1.0 + passes) * model_bytes as f64 / rate)
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.total.as_secs_f64().ceil() as u64;
        write!(f, "{} launches: about {} min {:02} s", self.n, seconds / 60, seconds % 60)?;
        match (self.n_known, self.n) {
            (0, _) => write!(f, " (a guess from the model's size: no earlier run on this machine)"),
            (known, n) if known == n => write!(f, " (from earlier runs on this machine)"),
            (known, n) => {
                write!(f, " ({known} of {n} launches from earlier runs on this machine, the others guessed)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::example;

    #[test]
    fn earlier_launches_tell_how_long_the_same_will_take() {
        let (manifest, records) = example();
        let launches = &manifest.plan.launches;
        let unknown = estimate(&manifest, launches, &History::default());
        assert_eq!((unknown.n_known, unknown.n), (0, launches.len()));
        assert!(unknown.total > BETWEEN * launches.len() as u32);
        assert!(unknown.to_string().contains("a guess"), "{unknown}");

        let mut history = History::default();
        history.add(&manifest, &records);
        let known: Vec<PlannedLaunch> =
            launches.iter().filter(|l| l.cell.framework == "engine").cloned().collect();
        let found = estimate(&manifest, &known, &history);
        assert_eq!((found.n_known, found.n), (known.len(), known.len()));
        // Every launch of the example takes two seconds.
        assert_eq!(found.total, (Duration::from_secs(2) + BETWEEN) * known.len() as u32);
        assert!(found.to_string().ends_with("(from earlier runs on this machine)"), "{found}");
    }

    #[test]
    fn more_threads_and_fewer_tokens_are_guessed_to_be_quicker() {
        let kind = |generate, threads| (String::new(), [128, generate, 256, 2, 8], threads);
        assert!(guess(1 << 30, &kind(64, 1)) > guess(1 << 30, &kind(64, 2)));
        assert!(guess(1 << 30, &kind(64, 1)) > guess(1 << 30, &kind(32, 1)));
    }
}
