//! How long a run will take: from its own launches once there are some, before that from earlier bundles of this machine and model
//! where there are any, else from the model's size.

use crate::bundle::Manifest;
use crate::plan::PlannedLaunch;
use crate::sample::{LaunchRecord, Outcome};
use crate::scenario::{Scenario, Workload};
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

/// Wall times of launches that were made.
#[derive(Debug, Default)]
struct History(BTreeMap<Kind, Vec<Duration>>);

/// What takes the same time: framework id, prompt, generated tokens, context, requests, threads.
type Kind = (String, [u32; 5], u32);

impl History {
    /// Of all bundles below `runs` that were measured on this machine with this model. What cannot be read is passed over.
    fn read(runs: &Path, manifest: &Manifest) -> Self {
        let mut history = Self::default();
        let Ok(entries) = std::fs::read_dir(runs) else { return history };
        for entry in entries.flatten().filter(|e| e.path().join("manifest.json").is_file()) {
            let Ok(bundle) = crate::bundle::read(&entry.path()) else { continue };
            let is_like = bundle.manifest.machine.unlike(&manifest.machine).is_none()
                && bundle.manifest.model.sha256 == manifest.model.sha256;
            if is_like {
                let measured = bundle.records.iter().filter(|r| matches!(r.outcome, Outcome::Measured(_)));
                history.add(&bundle.manifest.scenario, measured);
            }
        }
        history
    }

    fn add<'a>(&mut self, scenario: &Scenario, records: impl IntoIterator<Item = &'a LaunchRecord>) {
        for record in records {
            let cell = (record.framework.as_str(), record.workload.as_str(), record.threads);
            if let Some(kind) = kind(scenario, cell) {
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

fn kind(scenario: &Scenario, (label, workload, threads): (&str, &str, u32)) -> Option<Kind> {
    let label = if label == scenario.control_label() { &scenario.baseline } else { label };
    let id = scenario.framework(label).map_or(label, |f| f.id.as_str());
    let Workload { prompt_tokens, generate_tokens, context, .. } = *scenario.workload(workload)?;
    let tokens = [prompt_tokens, generate_tokens, context, scenario.repetitions, scenario.cold_generate];
    Some((id.to_owned(), tokens, threads))
}

/// Foretells how long the launches of a run take, better as it goes on.
#[derive(Debug)]
pub(super) struct Forecast {
    scenario: Scenario,
    model_bytes: u64,
    earlier: History,
    /// Of this run.
    here: History,
    /// What the measured launches of this run took, and what was foretold without them: a machine may be faster or slower than it was.
    took: Duration,
    foretold: Duration,
}

impl Forecast {
    /// Knows what the bundles below `runs` tell.
    pub(super) fn new(runs: &Path, manifest: &Manifest) -> Self {
        Self::after(History::read(runs, manifest), manifest)
    }

    fn after(earlier: History, manifest: &Manifest) -> Self {
        Self {
            scenario: manifest.scenario.clone(),
            model_bytes: manifest.model.bytes,
            earlier,
            here: History::default(),
            took: Duration::ZERO,
            foretold: Duration::ZERO,
        }
    }

    /// Learns from a launch of this run, whatever came of it.
    pub(super) fn learn(&mut self, record: &LaunchRecord) {
        let cell = (record.framework.as_str(), record.workload.as_str(), record.threads);
        let Some(kind) = kind(&self.scenario, cell) else { return };
        if matches!(record.outcome, Outcome::Measured(_)) {
            self.took += wall(record);
            self.foretold += self.without_this_run(&kind);
        }
        self.here.add(&self.scenario, [record]);
    }

    /// The time that `launches` will take.
    pub(super) fn of<'a>(&self, launches: impl IntoIterator<Item = &'a PlannedLaunch>) -> Estimate {
        let mut estimate = Estimate { total: Duration::ZERO, n_known: 0, n: 0 };
        let pace = match self.foretold.is_zero() {
            true => 1.0,
            false => self.took.as_secs_f64() / self.foretold.as_secs_f64(),
        };
        for launch in launches {
            let cell = &launch.cell;
            estimate.n += 1;
            estimate.total += BETWEEN;
            let Some(kind) = kind(&self.scenario, (&cell.framework, &cell.workload, cell.threads)) else {
                continue;
            };
            estimate.n_known += usize::from(self.earlier.median(&kind).is_some());
            let here = self.here.median(&kind);
            estimate.total += here.unwrap_or_else(|| self.without_this_run(&kind).mul_f64(pace));
        }
        estimate
    }

    fn without_this_run(&self, kind: &Kind) -> Duration {
        self.earlier.median(kind).unwrap_or_else(|| guess(self.model_bytes, kind))
    }
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

    const TWO_S: Duration = Duration::from_secs(2);

    #[test]
    fn earlier_launches_tell_how_long_the_same_will_take() {
        let (manifest, records) = example();
        let launches = &manifest.plan.launches;
        let unknown = Forecast::after(History::default(), &manifest).of(launches);
        assert_eq!((unknown.n_known, unknown.n), (0, launches.len()));
        assert!(unknown.total > BETWEEN * launches.len() as u32);
        assert!(unknown.to_string().contains("a guess"), "{unknown}");

        let mut earlier = History::default();
        earlier.add(&manifest.scenario, &records);
        let known = launches.iter().filter(|l| l.cell.framework == "engine");
        let n = known.clone().count();
        let found = Forecast::after(earlier, &manifest).of(known);
        assert_eq!((found.n_known, found.n), (n, n));
        // Every launch of the example takes two seconds.
        assert_eq!(found.total, (TWO_S + BETWEEN) * n as u32);
        assert!(found.to_string().ends_with("(from earlier runs on this machine)"), "{found}");
    }

    #[test]
    fn a_run_s_own_launches_correct_what_earlier_ones_foretold() {
        let (manifest, records) = example();
        let mut earlier = History::default();
        earlier.add(&manifest.scenario, &records);
        let mut forecast = Forecast::after(earlier, &manifest);
        let of = |framework: &str, threads| {
            let cell = |l: &&PlannedLaunch| l.cell.framework == framework && l.cell.threads == threads;
            manifest.plan.launches.iter().find(cell).unwrap()
        };
        let mut slow = records.iter().find(|r| r.framework == "engine" && r.threads == 1).unwrap().clone();
        slow.wall_ns *= 3;
        forecast.learn(&slow);
        // The same as it was here, others three times what they were before.
        assert_eq!(forecast.of([of("engine", 1)]).total, 3 * TWO_S + BETWEEN);
        assert_eq!(forecast.of([of("candle", 2)]).total, 3 * TWO_S + BETWEEN);
        let mut quick = records.iter().find(|r| r.framework == "candle" && r.threads == 2).unwrap().clone();
        quick.wall_ns /= 2;
        forecast.learn(&quick);
        assert_eq!(forecast.of([of("candle", 2)]).total, TWO_S / 2 + BETWEEN);
        assert_eq!(forecast.of([of("engine", 2)]).total, TWO_S * 7 / 4 + BETWEEN);
    }

    #[test]
    fn more_threads_and_fewer_tokens_are_guessed_to_be_quicker() {
        let kind = |generate, threads| (String::new(), [128, generate, 256, 2, 8], threads);
        assert!(guess(1 << 30, &kind(64, 1)) > guess(1 << 30, &kind(64, 2)));
        assert!(guess(1 << 30, &kind(64, 1)) > guess(1 << 30, &kind(32, 1)));
    }
}
