//! The runner protocol, version 1: one job as a JSON line on stdin, events as JSON lines on stdout.
//!
//! All times are monotonic nanoseconds taken in the runner. After `bye` the runner waits until its stdin is
//! closed, so that the launcher can read the process's high-water marks while it is still alive.
//! Fields that a reader does not know are ignored; a missing field is an error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The protocol version that this harness speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a runner is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// The model file.
    pub model: JobModel,
    /// One prompt for each request, as token ids; all different, so that no cache can help.
    /// The first is the cold request when `cold_generate` is not zero.
    pub prompts: Vec<Vec<u32>>,
    /// Tokens to generate for the first, cold request, which doubles as warm-up. 0: no cold request.
    pub cold_generate: u32,
    /// Tokens to generate for every other request; end-of-sequence is ignored.
    pub n_generate: u32,
    /// KV positions to allocate.
    pub context: u32,
    /// Compute threads.
    pub threads: u32,
    /// KV cache element type: `f16`.
    pub kv_type: String,
    /// Prompt tokens per batch.
    pub batch: u32,
    /// Asks for the verification after the samples, if present.
    pub verify: Option<Verify>,
}

/// The model file of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobModel {
    /// Absolute path.
    pub path: String,
    /// Lower-case hexadecimal sha256.
    pub sha256: String,
}

/// The verification request: a greedy continuation, and the distributions along a given text, to be compared with the
/// reference's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verify {
    /// Token ids of the prompt.
    pub prompt: Vec<u32>,
    /// Tokens to generate greedily.
    pub n_tokens: u32,
    /// How many of the likeliest next tokens are wanted at each generated and each forced position. 0: none.
    pub top_k: u32,
    /// A text that continues the prompt, for teacher forcing. Empty: none is wanted.
    #[serde(default)]
    pub forced: Vec<u32>,
}

impl Verify {
    /// Whether distributions along a text are wanted.
    pub fn asks_for_distributions(&self) -> bool {
        self.top_k > 0 && !self.forced.is_empty()
    }
}

/// How near a framework's weights are to the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, PartialOrd, Ord, Hash)]
pub enum WeightsClass {
    /// The same bytes.
    A,
    /// The same dequantized values.
    B,
    /// Requantized.
    C,
}

/// What a runner says. Order: hello, ready, samples with phases between them, verified, bye; or an error at any point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Who speaks.
    Hello {
        /// Framework id.
        framework: String,
        /// Its version.
        version: String,
        /// Build flags, as far as they matter for speed.
        build: String,
        /// See [`WeightsClass`].
        weights_class: WeightsClass,
        /// CPU features in use, and the like.
        features: Vec<String>,
    },
    /// The model is loaded and can take a prompt.
    Ready {
        /// From the start of loading to now.
        load_ns: u64,
        /// Compute threads in use.
        threads_used: u32,
        /// What it works with; `None` where it does not tell.
        #[serde(default)]
        settings: Option<Settings>,
    },
    /// A named moment, for the memory curve.
    Phase {
        /// `cold`, `sample`, `verify`, …
        name: String,
    },
    /// One request, finished.
    Sample(SampleEvent),
    /// The verification request, finished.
    Verified {
        /// The greedy continuation.
        token_ids: Vec<u32>,
        /// For each generated token the largest logits as (id, value), largest first; empty when not asked for.
        #[serde(default)]
        top_logits: Vec<Vec<(u32, f32)>>,
        /// For each position `i` of the forced text the likeliest tokens after the prompt and `forced[..i]`, as (id,
        /// natural log-probability over the whole vocabulary), largest first; empty when not asked for or not to be had.
        #[serde(default)]
        forced_top: Vec<Vec<(u32, f32)>>,
    },
    /// All done; the runner now waits for its stdin to close.
    Bye,
    /// The runner gives up.
    Error {
        /// `unsupported`, `model`, `memory`, `internal`, …
        kind: String,
        /// For a person.
        message: String,
    },
}

/// What a runner works with, each as far as it knows: what it cannot tell it leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// KV positions that a request may use: those allocated, or the limit that the runner holds a growing cache to.
    pub context: Option<u32>,
    /// Prompt tokens computed at once, at most.
    pub batch: Option<u32>,
    /// Element type of the KV cache, with its bits in the name: `f16`, `bf16`, `f32`, `q8_0`, `u8`.
    pub kv_type: Option<String>,
    /// Size of the model file that it opened. Of a file made from the job's: of the one that it was made from.
    pub model_bytes: Option<u64>,
    /// That file's sha256, if it computed it; never copied from the job.
    pub model_sha256: Option<String>,
    /// What else it is set to, as it understood it: the options of its row, by their names in its entry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// One request as the runner timed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SampleEvent {
    /// Index into the job's prompts.
    pub rep: u32,
    /// Prompt tokens processed.
    pub n_prompt: u32,
    /// Prompt tokens that came from a cache; must be 0.
    pub n_cached: u32,
    /// Time to process the prompt.
    pub prefill_ns: u64,
    /// Generated ids.
    pub token_ids: Vec<u32>,
    /// For each generated token, from the start of the request until it could be handed to the caller.
    pub token_at_ns: Vec<u64>,
}

/// The JSON Schemas of a job and of an event.
pub fn json_schemas() -> (serde_json::Value, serde_json::Value) {
    (schemars::schema_for!(Job).to_value(), schemars::schema_for!(Event).to_value())
}

/// Longest line that is quoted whole in an error; longer ones are shortened.
const QUOTE_CHARS_MAX: usize = 120;

/// Why a line, or a sequence of events, is not the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The line is not an event.
    #[error("not an event of the runner protocol ({reason}): {quoted}")]
    NotAnEvent {
        /// What the parser says.
        reason: String,
        /// The line, shortened.
        quoted: String,
    },
    /// An event where another was due.
    #[error("event `{event}` {rule}")]
    OutOfOrder {
        /// Name of the event.
        event: &'static str,
        /// What the protocol wants.
        rule: &'static str,
    },
}

/// Reads one line of a runner's stdout. Unknown fields are ignored, a missing one is an error.
pub fn parse_event(line: &str) -> Result<Event, ProtocolError> {
    serde_json::from_str(line.trim_end()).map_err(|error| ProtocolError::NotAnEvent {
        // serde_json ends its messages with a position that means nothing for a single line.
        reason: error.to_string().split(" at line ").next().unwrap_or_default().to_string(),
        quoted: quote(line),
    })
}

/// A line for an error message: control characters escaped, at most 120 of them.
pub fn quote(line: &str) -> String {
    let line = line.trim_end();
    let short: String = line.chars().take(QUOTE_CHARS_MAX).flat_map(char::escape_debug).collect();
    let more = line.chars().count().saturating_sub(QUOTE_CHARS_MAX);
    if more > 0 { format!("`{short}…` ({more} more characters)") } else { format!("`{short}`") }
}

impl Event {
    /// The event's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Hello { .. } => "hello",
            Event::Ready { .. } => "ready",
            Event::Phase { .. } => "phase",
            Event::Sample(_) => "sample",
            Event::Verified { .. } => "verified",
            Event::Bye => "bye",
            Event::Error { .. } => "error",
        }
    }
}

/// Checks that events come in the protocol's order: hello, ready, samples, verified if asked for, bye.
/// Phases may stand anywhere after hello, an error anywhere.
#[derive(Debug)]
pub struct EventOrder {
    n_samples_due: usize,
    verify_due: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Greeted,
    Ready { n_samples: usize },
    Verified,
    Done,
}

impl EventOrder {
    /// For the answers to `job`.
    pub fn new(job: &Job) -> EventOrder {
        EventOrder { n_samples_due: job.prompts.len(), verify_due: job.verify.is_some(), stage: Stage::Start }
    }

    /// Takes the next event.
    pub fn accept(&mut self, event: &Event) -> Result<(), ProtocolError> {
        let wrong = |rule| Err(ProtocolError::OutOfOrder { event: event.name(), rule });
        self.stage = match (event, self.stage) {
            (Event::Error { .. }, stage) => stage,
            (_, Stage::Done) => return wrong("came after `bye`"),
            (Event::Hello { .. }, Stage::Start) => Stage::Greeted,
            (Event::Hello { .. }, _) => return wrong("came twice"),
            (_, Stage::Start) => return wrong("came before `hello`"),
            (Event::Phase { .. }, stage) => stage,
            (Event::Ready { .. }, Stage::Greeted) => Stage::Ready { n_samples: 0 },
            (Event::Ready { .. }, _) => return wrong("came twice"),
            (_, Stage::Greeted) => return wrong("came before `ready`"),
            (Event::Sample(_), Stage::Verified) => return wrong("came after `verified`"),
            (Event::Sample(s), Stage::Ready { n_samples }) => {
                if n_samples == self.n_samples_due {
                    return wrong("came more often than the job has prompts");
                }
                if s.rep as usize != n_samples {
                    return wrong("does not have the `rep` that was due");
                }
                Stage::Ready { n_samples: n_samples + 1 }
            }
            (Event::Verified { .. } | Event::Bye, Stage::Ready { n_samples })
                if n_samples < self.n_samples_due =>
            {
                return wrong("came before every prompt had its `sample`");
            }
            (Event::Verified { .. }, Stage::Ready { .. }) if self.verify_due => Stage::Verified,
            (Event::Verified { .. }, Stage::Verified) => return wrong("came twice"),
            (Event::Verified { .. }, _) => return wrong("was not asked for"),
            (Event::Bye, Stage::Ready { .. }) if self.verify_due => return wrong("came before `verified`"),
            (Event::Bye, _) => Stage::Done,
        };
        Ok(())
    }

    /// Whether `bye` was there.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// What is due next, for the message about a runner that ended early.
    pub fn due(&self) -> &'static str {
        match self.stage {
            Stage::Start => "hello",
            Stage::Greeted => "ready",
            Stage::Ready { n_samples } if n_samples < self.n_samples_due => "sample",
            Stage::Ready { .. } if self.verify_due => "verified",
            Stage::Ready { .. } | Stage::Verified => "bye",
            Stage::Done => "the end",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job(n_prompts: usize, verify: bool) -> Job {
        Job {
            protocol: PROTOCOL_VERSION,
            model: JobModel { path: "/m.gguf".into(), sha256: "00".into() },
            prompts: vec![vec![1, 2]; n_prompts],
            cold_generate: 1,
            n_generate: 2,
            context: 16,
            threads: 1,
            kv_type: "f16".into(),
            batch: 512,
            verify: verify.then(|| Verify { prompt: vec![1], n_tokens: 1, top_k: 0, forced: vec![] }),
        }
    }

    const HELLO: &str = r#"{"event":"hello","framework":"f","version":"1","build":"","weights_class":"A","features":[],"new":1}"#;
    const READY: &str = r#"{"event":"ready","load_ns":5,"threads_used":1}"#;
    const BYE: &str = r#"{"event":"bye"}"#;
    const VERIFIED: &str = r#"{"event":"verified","token_ids":[3]}"#;

    fn sample(rep: u32) -> String {
        format!(
            r#"{{"event":"sample","rep":{rep},"n_prompt":2,"n_cached":0,"prefill_ns":9,"token_ids":[1],"token_at_ns":[9]}}"#
        )
    }

    /// Feeds `lines`; the message of the first error, or `ok`.
    fn outcome(n_prompts: usize, verify: bool, lines: &[&str]) -> String {
        let mut order = EventOrder::new(&job(n_prompts, verify));
        for line in lines {
            if let Err(error) = parse_event(line).and_then(|event| order.accept(&event)) {
                return error.to_string();
            }
        }
        if order.is_done() { "ok".into() } else { format!("{} is due", order.due()) }
    }

    #[test]
    fn events_in_order_are_accepted() {
        let (s0, s1) = (sample(0), sample(1));
        let phase = r#"{"event":"phase","name":"cold"}"#;
        assert_eq!(outcome(2, false, &[HELLO, READY, phase, &s0, phase, &s1, BYE]), "ok");
        assert_eq!(outcome(1, true, &[HELLO, phase, READY, &s0, VERIFIED, BYE]), "ok");
    }

    #[test]
    fn events_out_of_order_are_refused() {
        let (s0, s1) = (sample(0), sample(1));
        let check = |verify, lines: &[&str], wanted: &str| {
            assert_eq!(outcome(1, verify, lines), wanted, "{lines:?}");
        };
        check(false, &[READY], "event `ready` came before `hello`");
        check(false, &[HELLO, HELLO], "event `hello` came twice");
        check(false, &[HELLO, &s0], "event `sample` came before `ready`");
        check(false, &[HELLO, READY, READY], "event `ready` came twice");
        check(false, &[HELLO, READY, &s1], "event `sample` does not have the `rep` that was due");
        check(false, &[HELLO, READY, &s0, &s1], "event `sample` came more often than the job has prompts");
        check(false, &[HELLO, READY, BYE], "event `bye` came before every prompt had its `sample`");
        check(false, &[HELLO, READY, &s0, VERIFIED], "event `verified` was not asked for");
        check(true, &[HELLO, READY, &s0, BYE], "event `bye` came before `verified`");
        check(true, &[HELLO, READY, &s0, VERIFIED, VERIFIED], "event `verified` came twice");
        check(true, &[HELLO, READY, &s0, VERIFIED, &s0], "event `sample` came after `verified`");
        check(false, &[HELLO, READY, &s0, BYE, BYE], "event `bye` came after `bye`");
        check(false, &[HELLO, READY], "sample is due");
    }

    #[test]
    fn lines_that_are_no_event_are_quoted() {
        let message = |line: &str| parse_event(line).expect_err(line).to_string();
        assert_eq!(
            message("Loading model…"),
            "not an event of the runner protocol (expected value): `Loading model…`"
        );
        assert!(message(r#"{"event":"ready","load_ns":5}"#).contains("missing field `threads_used`"));
        assert!(message(r#"{"event":"dance"}"#).contains("unknown variant `dance`"));
        assert!(message("").contains("EOF while parsing"));
        assert!(message(&HELLO[..40]).contains("EOF while parsing"));
        let long = message(&"x".repeat(10_000));
        assert!(long.ends_with("…` (9880 more characters)"), "{long}");
        assert!(long.len() < 250);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,200}") {
            let _ = parse_event(&line);
            prop_assert!(quote(&line).len() < 2000);
        }
    }
}
