//! What one launch of one framework yielded: the line that a bundle keeps, and the metrics computed from it.

mod cpu;
mod forced;
mod memory;

pub use cpu::{BUSY_SHARE, CpuSpan, CpuUse};
pub use forced::Forced;
pub use memory::{Memory, PeakSince};

use crate::conditions::Conditions;
use crate::protocol::{Settings, WeightsClass};
use crate::units::{ns_to_ms, ns_to_s, unix_s};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Schema of [`LaunchRecord`]; readers accept every older one.
pub const SAMPLE_SCHEMA: u32 = 2;

/// One line of `samples.jsonl`: a launch, successful or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// [`SAMPLE_SCHEMA`].
    pub schema: u32,
    /// Unique in the bundle: `b03-llama.cpp-chat-t2`, or `x00-…` for a cross-check.
    pub launch_id: String,
    /// Block, from 0. Cross-checks have the block in which they ran.
    pub block: u32,
    /// Position in the whole plan, from 0.
    pub position: u32,
    /// What the launch was for.
    pub role: Role,
    /// The row's label: framework id, or id and variant.
    pub framework: String,
    /// Workload name.
    pub workload: String,
    /// Threads asked for.
    pub threads: u32,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// Wall time of the whole launch.
    pub wall_ns: u64,
    /// The command line, as started.
    pub argv: Vec<String>,
    /// Variables set for it on top of the harness's own environment, whose variables that tune frameworks stand among
    /// the manifest's preflight findings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// How the machine was before and while it ran.
    #[serde(default)]
    pub conditions: Conditions,
    /// What came of it.
    pub outcome: Outcome,
}

impl LaunchRecord {
    /// Seconds in which nothing was launched between the end of `before` and this one's start, to a second; `None` if a moment
    /// cannot be read. Clocks that were set show too.
    pub fn pause_s(&self, before: &LaunchRecord) -> Option<f64> {
        let started = unix_s(&self.started_at)? as f64 - unix_s(&before.started_at)? as f64;
        Some(started - ns_to_s(before.wall_ns))
    }
}

/// What a launch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Counts.
    Measure,
    /// The baseline once more, under another label: half of the control pair. Never a row.
    Control,
    /// Another program's own figures for the same cell (llama-bench); shown beside, never ranked.
    CrossCheck,
}

/// Measured, or failed with the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The framework did what was asked; gates may still have failed.
    Measured(Box<Measured>),
    /// A row all the same.
    Failed {
        /// See [`FailureKind`].
        kind: FailureKind,
        /// For a person: what happened, and the remedy where there is one.
        message: String,
        /// The last lines that the framework wrote to stderr.
        stderr_tail: String,
    },
}

/// Why a framework could not be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Not on this machine.
    Missing,
    /// It does not exist for this platform, or the harness does not drive it yet.
    Unsupported,
    /// It could not be started.
    Spawn,
    /// It ended early, by exit code or signal.
    Crashed,
    /// The kernel killed it because memory had run out.
    OutOfMemory,
    /// It did not answer within the scenario's time limit.
    TimedOut,
    /// It answered with something that is not the protocol.
    Garbage,
    /// It reported an error of its own.
    Reported,
    /// It answered with the wrong number of tokens.
    WrongLength,
}

/// What a launch measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The framework's version.
    pub version: String,
    /// Its build flags.
    pub build: String,
    /// See [`WeightsClass`].
    pub weights_class: WeightsClass,
    /// CPU features in use, and the like.
    pub features: Vec<String>,
    /// Threads in use, where the framework tells.
    pub threads_used: Option<u32>,
    /// What a runner told of its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// From the launch of the process until it could take a prompt, by the launcher's clock.
    pub load_ns: Option<u64>,
    /// The first, cold request, and when its first token was there, counted from the launch of the process.
    pub cold: Option<ColdRequest>,
    /// The warm requests.
    pub requests: Vec<RequestSample>,
    /// Memory.
    pub memory: Memory,
    /// Processor time, threads and affinity.
    #[serde(default)]
    pub cpu: CpuUse,
    /// Every gate, with what was seen.
    pub gates: Vec<Gate>,
    /// Figures that the framework gave of itself (tok/s by its own clock, …), for the cross-check.
    pub reported: Vec<Reported>,
    /// The greedy continuation of the verification prompt, where it was asked for.
    pub verify_token_ids: Option<Vec<u32>>,
    /// The next-token distributions along a given text, where they were asked for and can be had.
    #[serde(default)]
    pub forced: Option<Forced>,
}

/// The first request after the launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdRequest {
    /// From the launch of the process until the first token was there.
    pub first_token_after_launch_ns: u64,
    /// The request.
    pub request: RequestSample,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSample {
    /// Index of the prompt.
    pub rep: u32,
    /// Prompt tokens that the framework says it processed or was given.
    pub n_prompt: u32,
    /// Prompt tokens from a cache, where the framework tells.
    pub n_cached: Option<u32>,
    /// Time to process the prompt, where the framework tells.
    pub prefill_ns: Option<u64>,
    /// Generated ids.
    pub token_ids: Vec<u32>,
    /// For each token, from the start of the request until it was there.
    pub token_at_ns: Vec<u64>,
}

/// A figure that a framework gave of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// `prefill_tok_s`, `decode_tok_s`, …
    pub name: String,
    /// One value for each repetition.
    pub values: Vec<f64>,
}

/// A condition that a comparison rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// See [`gate`](mod@gate).
    pub name: String,
    /// Whether it held.
    pub passed: bool,
    /// What was wanted.
    pub wanted: String,
    /// What was seen.
    pub seen: String,
}

/// Names of the gates.
pub mod gate {
    /// The framework was given, or processed, as many prompt tokens as were sent.
    pub const PROMPT_COUNT: &str = "prompt_count";
    /// No prompt token came from a cache.
    pub const NOTHING_CACHED: &str = "nothing_cached";
    /// Every request generated exactly as many tokens as were asked for.
    pub const OUTPUT_LENGTH: &str = "output_length";
    /// Threads in use are the threads asked for, where the framework tells.
    pub const THREADS: &str = "threads";
    /// Busy threads and processor time of the timed window are those of the threads asked for.
    pub const THREADS_SEEN: &str = "threads_seen";
    /// The processes ran on no other processors than those asked for.
    pub const AFFINITY: &str = "affinity";
    /// The framework names the model file that it was given, or tells its size or hash, and the class of its weights.
    pub const WEIGHTS: &str = "weights";
    /// The settings that the framework tells are those asked for.
    pub const SETTINGS: &str = "settings";
    /// The greedy continuation agrees with the reference's.
    pub const RIGHT_OUTPUT: &str = "right_output";
    /// The next-token distributions along a given text agree with the reference's.
    pub const DISTRIBUTION: &str = "distribution";
}

/// Feature of a launch by a server that ran before: there is neither a load time nor a cold request.
pub const FEATURE_RAN_BEFORE: &str = "a server that ran before the launch";

/// Feature of a launch by a server that does not tell what came from its cache: it loaded the model for this launch,
/// and no two prompts of a launch begin alike, so that there was nothing to be found in it.
pub const FEATURE_EMPTY_CACHE: &str = "cache empty by construction";

/// Feature of a launch by a server that puts BOS before each text: the one token that prompts share.
pub const FEATURE_SHARED_BOS: &str = "BOS put before each prompt";

/// Feature of a launch whose verification continuation came as text: its ids are those that the model's tokenizer
/// gives for the text, so that their number is not that of the tokens generated.
pub const FEATURE_VERIFIED_BY_TEXT: &str = "continuation compared by its text";

/// Feature by which a framework says that its load time is its own figure, not the launcher's: the scripted
/// `fake`, whose times are simulated.
pub const FEATURE_SELF_REPORTED_LOAD: &str = "self_reported_load";

/// Tokens of the verification continuation that must agree with the reference. Later ones may differ: two correct
/// implementations round differently, so greedy choice between near-equal logits legitimately diverges, and
/// everything after the first difference is a different text. A wrong computation differs at once.
pub const RIGHT_OUTPUT_PREFIX_MIN: usize = 8;

/// Stands for a generated token whose id the framework did not tell, only that it was there.
pub const TOKEN_ID_NOT_TOLD: u32 = u32::MAX;

/// How many tokens are equal from the first on.
pub fn equal_tokens(reference_ids: &[u32], seen_ids: &[u32]) -> usize {
    reference_ids.iter().zip(seen_ids).take_while(|(a, b)| a == b).count()
}

/// The gate [`gate::RIGHT_OUTPUT`]: passes on a full match, or if no token of the first
/// [`RIGHT_OUTPUT_PREFIX_MIN`] differs. `seen` always says how many tokens agree.
pub fn gate_right_output(reference_ids: &[u32], seen_ids: &[u32]) -> Gate {
    let n_equal = equal_tokens(reference_ids, seen_ids);
    let n_wanted = reference_ids.len().min(RIGHT_OUTPUT_PREFIX_MIN);
    Gate {
        name: gate::RIGHT_OUTPUT.into(),
        passed: n_wanted > 0 && n_equal >= n_wanted,
        wanted: format!("the reference's first {n_wanted} tokens"),
        seen: format!("{n_equal} of {} tokens equal to the reference", reference_ids.len()),
    }
}

/// The greedy continuation that all rows are compared with: the first, in plan order, of the row `baseline`.
pub fn right_output_reference(records: &[LaunchRecord], baseline: &str) -> Option<Vec<u32>> {
    let verified = |r: &LaunchRecord| match &r.outcome {
        Outcome::Measured(m) => m.verify_token_ids.clone(),
        Outcome::Failed { .. } => None,
    };
    records
        .iter()
        .filter(|r| r.framework == baseline && r.role == Role::Measure)
        .filter_map(|r| Some((r.position, verified(r)?)))
        .min_by_key(|(position, _)| *position)
        .map(|(_, ids)| ids)
}

/// Gives every launch that has a verification continuation its gate [`gate::RIGHT_OUTPUT`], against
/// [`right_output_reference`]; without one there is no such gate. Applied whenever a bundle is read, so that it does
/// not matter whether the baseline ran before or after a launch.
pub fn add_right_output_gates(records: &mut [LaunchRecord], baseline: &str) {
    let Some(reference_ids) = right_output_reference(records, baseline) else { return };
    for record in records {
        if let Outcome::Measured(measured) = &mut record.outcome
            && let Some(seen_ids) = &measured.verify_token_ids
        {
            measured.gates.retain(|g| g.name != gate::RIGHT_OUTPUT);
            measured.gates.push(gate_right_output(&reference_ids, seen_ids));
        }
    }
}

/// A metric of MEASUREMENT: what is computed from a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// s; lower is better.
    Load,
    /// ms; lower is better.
    TtftWarm,
    /// ms from launch; lower is better.
    TtftCold,
    /// tok/s.
    Prefill,
    /// tok/s: (n − 1) / (t_last − t_first).
    Decode,
    /// tok/s: n / t_last.
    EndToEnd,
    /// bytes; lower is better.
    PeakRss,
}

impl Metric {
    /// All of them.
    pub const ALL: [Metric; 7] = [
        Metric::Load,
        Metric::TtftWarm,
        Metric::TtftCold,
        Metric::Prefill,
        Metric::Decode,
        Metric::EndToEnd,
        Metric::PeakRss,
    ];

    /// Whether a larger value is better.
    pub fn higher_is_better(self) -> bool {
        matches!(self, Metric::Prefill | Metric::Decode | Metric::EndToEnd)
    }
}

impl RequestSample {
    /// Time to first token, ms.
    pub fn ttft_ms(&self) -> Option<f64> {
        self.token_at_ns.first().map(|&ns| ns_to_ms(ns))
    }

    /// Prompt tokens per second of prefill; those from a cache took no time.
    pub fn prefill_tok_s(&self) -> Option<f64> {
        let ns = self.prefill_ns.filter(|&ns| ns > 0)?;
        let n_processed = self.n_prompt.saturating_sub(self.n_cached.unwrap_or(0));
        Some(f64::from(n_processed) / ns_to_s(ns))
    }

    /// Generated tokens per second after the first; `None` for fewer than two.
    pub fn decode_tok_s(&self) -> Option<f64> {
        let (first, last) = (*self.token_at_ns.first()?, *self.token_at_ns.last()?);
        let steps = self.token_at_ns.len() - 1;
        (steps > 0 && last > first).then(|| steps as f64 / ns_to_s(last - first))
    }

    /// Generated tokens per second of the whole request.
    pub fn end_to_end_tok_s(&self) -> Option<f64> {
        let last = self.token_at_ns.last().copied().filter(|&ns| ns > 0)?;
        Some(self.token_at_ns.len() as f64 / ns_to_s(last))
    }
}

impl Measured {
    /// The launch's value of `metric`: the median over its warm requests, or the launch's own figure.
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        let over = |f: fn(&RequestSample) -> Option<f64>| {
            let values: Vec<f64> = self.requests.iter().filter_map(f).collect();
            median(values)
        };
        match metric {
            Metric::Load => self.load_ns.map(ns_to_s),
            Metric::TtftCold => self.cold.as_ref().map(|c| ns_to_ms(c.first_token_after_launch_ns)),
            Metric::TtftWarm => over(RequestSample::ttft_ms),
            Metric::Prefill => over(RequestSample::prefill_tok_s),
            Metric::Decode => over(RequestSample::decode_tok_s),
            Metric::EndToEnd => over(RequestSample::end_to_end_tok_s),
            Metric::PeakRss => self.memory.rss_peak_bytes.map(|b| b as f64),
        }
    }

    /// Whether every gate held.
    pub fn gates_passed(&self) -> bool {
        self.gates.iter().all(|g| g.passed)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let mid = values.len() / 2;
    Some(if values.len() % 2 == 1 { values[mid] } else { (values[mid - 1] + values[mid]) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RequestSample {
        RequestSample {
            rep: 1,
            n_prompt: 100,
            n_cached: Some(0),
            prefill_ns: Some(500_000_000),
            token_ids: vec![1, 2, 3],
            token_at_ns: vec![600_000_000, 700_000_000, 1_000_000_000],
        }
    }

    #[test]
    fn request_metrics_follow_their_definitions() {
        let r = request();
        assert_eq!(r.ttft_ms(), Some(600.0));
        assert_eq!(r.prefill_tok_s(), Some(200.0));
        assert_eq!(r.decode_tok_s(), Some(2.0 / 0.4));
        assert_eq!(r.end_to_end_tok_s(), Some(3.0));
    }

    #[test]
    fn right_output_needs_the_first_tokens_and_says_how_many_agree() {
        let check = |reference: &[u32], seen: &[u32], passed: bool, said: &str| {
            let gate = gate_right_output(reference, seen);
            assert_eq!((gate.passed, gate.seen.as_str()), (passed, said), "{reference:?} {seen:?}");
        };
        let reference: Vec<u32> = (1..=16).collect();
        let diverging = |at: usize| {
            let mut ids = reference.clone();
            ids[at] = 99;
            ids
        };
        check(&reference, &reference, true, "16 of 16 tokens equal to the reference");
        check(&reference, &diverging(8), true, "8 of 16 tokens equal to the reference");
        check(&reference, &diverging(7), false, "7 of 16 tokens equal to the reference");
        check(&reference, &diverging(0), false, "0 of 16 tokens equal to the reference");
        check(&reference, &reference[..4], false, "4 of 16 tokens equal to the reference");
        check(&[5, 6], &[5, 6], true, "2 of 2 tokens equal to the reference");
        check(&[], &[], false, "0 of 0 tokens equal to the reference");
    }

    #[test]
    fn one_token_has_no_decode_rate() {
        let r = RequestSample { token_ids: vec![1], token_at_ns: vec![5], ..request() };
        assert_eq!(r.decode_tok_s(), None);
    }
}
