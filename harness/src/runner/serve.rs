//! The runner's side of the protocol, for any engine behind [`Backend`].

use super::logits::{largest, largest_log_probabilities};
use crate::protocol::{Event, Job, PROTOCOL_VERSION, SampleEvent, Settings, Verify};
use std::io::{BufRead, Write};
use std::time::Instant;

/// Kind of a [`RunnerError`]: what was asked for is impossible.
pub(super) const JOB: &str = "job";

/// An engine that a runner drives: one session, greedy.
pub trait Backend {
    /// Who it is: an [`Event::Hello`].
    fn hello(&self) -> Event;
    /// Loads the model and makes a session.
    fn load(&mut self, job: &Job) -> Result<Loaded, RunnerError>;
    /// Forgets every position.
    fn clear(&mut self);
    /// Processes a prompt; returns the most likely next token.
    fn prefill(&mut self, prompt_ids: &[u32]) -> Result<u32, RunnerError>;
    /// Processes one token; returns the most likely next one.
    fn decode(&mut self, token_id: u32) -> Result<u32, RunnerError>;
    /// The logits after the last step, \[n_vocab\].
    fn logits(&self) -> &[f32];
}

/// What a backend works with, once it has loaded its model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Compute threads in use.
    pub threads_used: u32,
    /// See [`Settings`].
    pub settings: Settings,
}

/// Why a runner gives up: an [`Event::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct RunnerError {
    /// `model`, `job`, `io`, `internal`, …
    pub kind: &'static str,
    /// For a person.
    pub message: String,
}

impl RunnerError {
    /// An error of `kind`.
    pub fn new(kind: &'static str, error: impl std::fmt::Display) -> RunnerError {
        RunnerError { kind, message: error.to_string() }
    }
}

/// Reads one job from `input`, carries it out and says so on `output`, then waits until `input` is closed.
pub fn serve(
    backend: &mut impl Backend,
    mut input: impl BufRead,
    output: impl Write,
) -> Result<(), RunnerError> {
    let mut speaker = Speaker { output };
    let result = read_job(&mut input).and_then(|job| carry_out(backend, &job, &mut speaker));
    if let Err(error) = &result {
        let event = Event::Error { kind: error.kind.into(), message: error.message.clone() };
        speaker.say(&event)?;
    }
    result?;
    // The launcher reads this process's high-water marks and then closes our stdin.
    let io = |e| RunnerError::new("io", e);
    std::io::copy(&mut input, &mut std::io::sink()).map(|_| ()).map_err(io)
}

/// Reads the job line.
pub(super) fn read_job(input: &mut impl BufRead) -> Result<Job, RunnerError> {
    let mut line = String::new();
    input.read_line(&mut line).map_err(|e| RunnerError::new("io", e))?;
    let job: Job = serde_json::from_str(&line).map_err(|e| RunnerError::new(JOB, e))?;
    if job.protocol != PROTOCOL_VERSION {
        let message = format!("protocol {} is not spoken here, but {PROTOCOL_VERSION}", job.protocol);
        return Err(RunnerError::new(JOB, message));
    }
    Ok(job)
}

fn carry_out(
    backend: &mut impl Backend,
    job: &Job,
    speaker: &mut Speaker<impl Write>,
) -> Result<(), RunnerError> {
    speaker.say(&backend.hello())?;
    let started = Instant::now();
    let Loaded { threads_used, settings } = backend.load(job)?;
    let load_ns = elapsed_ns(started);
    speaker.say(&Event::Ready { load_ns, threads_used, settings: Some(settings) })?;
    for (rep, prompt) in (0..).zip(&job.prompts) {
        let is_cold = rep == 0 && job.cold_generate > 0;
        let n_generate = if is_cold { job.cold_generate } else { job.n_generate };
        backend.clear();
        speaker.say(&Event::Sample(request(backend, rep, prompt, n_generate)?))?;
    }
    if let Some(verify) = &job.verify {
        speaker.say(&Event::Phase { name: "verify".into() })?;
        let (token_ids, top_logits) = continuation(backend, verify)?;
        let forced_top = distributions(backend, verify)?;
        speaker.say(&Event::Verified { token_ids, top_logits, forced_top })?;
    }
    speaker.say(&Event::Bye)
}

/// Ids with a value each, largest first.
type Top = Vec<(u32, f32)>;

/// The greedy continuation of the verification prompt, with the largest logits of each token if they are wanted.
fn continuation(backend: &mut impl Backend, verify: &Verify) -> Result<(Vec<u32>, Vec<Top>), RunnerError> {
    backend.clear();
    let (mut token_ids, mut top_logits) = (Vec::new(), Vec::new());
    while token_ids.len() < verify.n_tokens as usize {
        let token = match token_ids.last() {
            None => backend.prefill(&verify.prompt)?,
            Some(&last) => backend.decode(last)?,
        };
        if verify.top_k > 0 {
            top_logits.push(largest(backend.logits(), verify.top_k as usize));
        }
        token_ids.push(token);
    }
    Ok((token_ids, top_logits))
}

/// The distributions at each position of the forced text: after the prompt, then after each of its tokens but the last.
fn distributions(backend: &mut impl Backend, verify: &Verify) -> Result<Vec<Top>, RunnerError> {
    let mut forced_top = Vec::new();
    if !verify.asks_for_distributions() {
        return Ok(forced_top);
    }
    backend.clear();
    for position in 0..verify.forced.len() {
        match position.checked_sub(1) {
            None => backend.prefill(&verify.prompt)?,
            Some(last) => backend.decode(verify.forced[last])?,
        };
        forced_top.push(largest_log_probabilities(backend.logits(), verify.top_k as usize));
    }
    Ok(forced_top)
}

/// One timed request. Nothing is written, and nothing allocated, between its first and its last stamp.
fn request(
    backend: &mut impl Backend,
    rep: u32,
    prompt: &[u32],
    n_generate: u32,
) -> Result<SampleEvent, RunnerError> {
    let mut token_ids = Vec::with_capacity(n_generate as usize);
    let mut token_at_ns = Vec::with_capacity(n_generate as usize);
    let started = Instant::now();
    let mut token = backend.prefill(prompt)?;
    let prefill_ns = elapsed_ns(started);
    token_ids.push(token);
    token_at_ns.push(prefill_ns);
    while token_ids.len() < n_generate as usize {
        token = backend.decode(token)?;
        token_ids.push(token);
        token_at_ns.push(elapsed_ns(started));
    }
    Ok(SampleEvent { rep, n_prompt: prompt.len() as u32, n_cached: 0, prefill_ns, token_ids, token_at_ns })
}

fn elapsed_ns(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Writes events, one line each, at once.
pub(super) struct Speaker<W> {
    pub(super) output: W,
}

impl<W: Write> Speaker<W> {
    pub(super) fn say(&mut self, event: &Event) -> Result<(), RunnerError> {
        let line = serde_json::to_string(event).map_err(|e| RunnerError::new("internal", e))?;
        self.say_text(&line)
    }

    pub(super) fn say_text(&mut self, line: &str) -> Result<(), RunnerError> {
        let result = self.output.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.output.flush());
        result.map_err(|e| RunnerError::new("io", e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EventOrder, JobModel, Verify, WeightsClass, parse_event};

    /// Counts upwards from the sum of the prompt; its likeliest of four tokens is the last one's remainder.
    #[derive(Default)]
    struct Counter {
        n_positions: usize,
        logits: [f32; 4],
    }

    impl Counter {
        fn say(&mut self, token: u32) -> u32 {
            self.logits = [0.0; 4];
            self.logits[token as usize % 4] = 2.0;
            token
        }
    }

    impl Backend for Counter {
        fn hello(&self) -> Event {
            Event::Hello {
                framework: "counter".into(),
                version: "1".into(),
                build: String::new(),
                weights_class: WeightsClass::A,
                features: vec![],
            }
        }

        fn load(&mut self, job: &Job) -> Result<Loaded, RunnerError> {
            match job.model.path.as_str() {
                "/missing" => Err(RunnerError::new("model", "/missing: no such file")),
                _ => Ok(Loaded { threads_used: job.threads, ..Loaded::default() }),
            }
        }

        fn clear(&mut self) {
            self.n_positions = 0;
        }

        fn prefill(&mut self, ids: &[u32]) -> Result<u32, RunnerError> {
            assert_eq!(self.n_positions, 0, "cleared");
            self.n_positions = ids.len();
            Ok(self.say(ids.iter().sum()))
        }

        fn decode(&mut self, id: u32) -> Result<u32, RunnerError> {
            self.n_positions += 1;
            Ok(self.say(id + 1))
        }

        fn logits(&self) -> &[f32] {
            &self.logits
        }
    }

    fn job() -> Job {
        Job {
            protocol: PROTOCOL_VERSION,
            model: JobModel { path: "/m".into(), sha256: "0".into() },
            prompts: vec![vec![1, 2], vec![3, 4]],
            cold_generate: 1,
            n_generate: 3,
            context: 8,
            threads: 2,
            kv_type: "f16".into(),
            batch: 4,
            verify: Some(Verify { prompt: vec![9], n_tokens: 2, top_k: 1, forced: vec![5, 6, 7] }),
        }
    }

    fn answers(job: &Job) -> (Vec<Event>, Result<(), RunnerError>) {
        let mut output = Vec::new();
        let input = serde_json::to_string(job).expect("writable") + "\n";
        let result = serve(&mut Counter::default(), input.as_bytes(), &mut output);
        let text = String::from_utf8(output).expect("text");
        (text.lines().map(|line| parse_event(line).expect("an event")).collect(), result)
    }

    #[test]
    fn a_job_is_answered_in_the_protocols_order() {
        let (events, result) = answers(&job());
        assert_eq!(result, Ok(()));
        let mut order = EventOrder::new(&job());
        events.iter().for_each(|event| order.accept(event).expect("in order"));
        assert!(order.is_done());
        let samples: Vec<&SampleEvent> =
            events.iter().filter_map(|e| if let Event::Sample(s) = e { Some(s) } else { None }).collect();
        assert_eq!((&samples[0].token_ids[..], &samples[1].token_ids[..]), (&[3][..], &[7, 8, 9][..]));
        assert!(samples[1].token_at_ns.is_sorted() && samples[1].prefill_ns <= samples[1].token_at_ns[0]);
        let log_probability = -(1.0 + 3.0 * (-2f64).exp()).ln() as f32;
        let verified = Event::Verified {
            token_ids: vec![9, 10],
            top_logits: vec![vec![(1, 2.0)], vec![(2, 2.0)]],
            // After the prompt, after 5, after 6.
            forced_top: [1, 2, 3].map(|id| vec![(id, log_probability)]).to_vec(),
        };
        assert!(events.contains(&verified), "{events:?}");
    }

    #[test]
    fn nothing_is_told_that_was_not_asked_for() {
        let mut job = job();
        job.verify = Some(Verify { prompt: vec![9], n_tokens: 2, top_k: 0, forced: vec![5] });
        let told = Event::Verified { token_ids: vec![9, 10], top_logits: vec![], forced_top: vec![] };
        assert!(answers(&job).0.contains(&told));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let mut missing = job();
        missing.model.path = "/missing".into();
        let (events, result) = answers(&missing);
        assert!(result.is_err());
        let told = Event::Error { kind: "model".into(), message: "/missing: no such file".into() };
        assert_eq!(events.last(), Some(&told));
        let mut newer = job();
        newer.protocol = 2;
        assert!(matches!(&answers(&newer).0[..], [Event::Error { kind, .. }] if kind == "job"));
    }
}
