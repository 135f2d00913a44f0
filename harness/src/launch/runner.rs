//! Talking to a runner: the job goes in, events come out.

use super::child::ChildProcess;
use super::sampler::{Sampler, Usage};
use super::{Limits, Stop, ns};
use crate::framework::Failure;
use crate::protocol::{Event, EventOrder, Job, ProtocolError, SampleEvent, WeightsClass, parse_event};
use crate::sample::{ColdRequest, FEATURE_SELF_REPORTED_LOAD, FailureKind, Forced, Measured, RequestSample};
use std::time::Instant;

pub(super) fn talk(
    job: &Job,
    self_reported_load: bool,
    child: &mut ChildProcess,
    limits: &Limits,
    started: Instant,
) -> Result<Measured, Stop> {
    let sampler = Sampler::start(child.pid());
    let text = serde_json::to_string(job).map_err(|e| Failure::new(FailureKind::Spawn, e.to_string()))?;
    child.send(text + "\n");
    let mut order = EventOrder::new(job);
    let mut heard = Heard::default();
    while !order.is_done() {
        let due = format!("`{}`", order.due());
        let Some(line) = child.next_line(limits, &due)? else {
            return Err(child.ended_early(&due).into());
        };
        let event = match parse_event(&line.text) {
            // It says more to tell how the process ended in the middle of a line than what the line lacks.
            Err(_) if line.is_torn => {
                return Err(child.ended_early(&format!("the end of a line, where {due} was due")).into());
            }
            event => event.map_err(garbage)?,
        };
        order.accept(&event).map_err(garbage)?;
        let load_ns = ns(line.at.saturating_duration_since(started));
        match &event {
            Event::Ready { .. } => sampler.mark_ready(),
            Event::Sample(sample) if sample.rep as usize + 1 == job.prompts.len() => sampler.mark_answered(),
            _ => {}
        }
        heard.take(event, load_ns, self_reported_load)?;
    }
    let usage = sampler.finish();
    child.let_go();
    Ok(heard.measured(job, usage)?)
}

fn garbage(error: ProtocolError) -> Failure {
    Failure::garbage(error.to_string())
}

/// What the runner said so far.
#[derive(Default)]
struct Heard {
    version: String,
    build: String,
    weights_class: Option<WeightsClass>,
    features: Vec<String>,
    threads_used: u32,
    load_ns: u64,
    samples: Vec<SampleEvent>,
    verify_token_ids: Option<Vec<u32>>,
    forced_top: Vec<Vec<(u32, f32)>>,
}

impl Heard {
    fn take(&mut self, event: Event, since_start_ns: u64, self_reported_load: bool) -> Result<(), Failure> {
        match event {
            Event::Hello { version, build, weights_class, features, .. } => {
                self.version = version;
                self.build = build;
                self.weights_class = Some(weights_class);
                self.features = features;
                if self_reported_load {
                    self.features.push(FEATURE_SELF_REPORTED_LOAD.into());
                }
            }
            Event::Ready { load_ns, threads_used } => {
                self.load_ns = if self_reported_load { load_ns } else { since_start_ns };
                self.threads_used = threads_used;
            }
            Event::Sample(sample) => self.samples.push(sample),
            Event::Verified { token_ids, forced_top, .. } => {
                self.verify_token_ids = Some(token_ids);
                self.forced_top = forced_top;
            }
            Event::Phase { .. } | Event::Bye => {}
            Event::Error { kind, message } => {
                return Err(Failure::new(FailureKind::Reported, format!("{kind}: {message}")));
            }
        }
        Ok(())
    }

    fn measured(self, job: &Job, usage: Usage) -> Result<Measured, Failure> {
        let mut requests: Vec<RequestSample> = self.samples.into_iter().map(request).collect();
        let cold =
            (job.cold_generate > 0 && !requests.is_empty()).then(|| requests.remove(0)).map(|request| {
                let first_ns = request.token_at_ns.first().copied().unwrap_or(0);
                ColdRequest { first_token_after_launch_ns: self.load_ns.saturating_add(first_ns), request }
            });
        let asked = job.verify.as_ref().filter(|v| v.asks_for_distributions());
        let told = asked.map(|v| Forced::checked(v.forced.clone(), self.forced_top)).transpose();
        Ok(Measured {
            version: self.version,
            build: self.build,
            weights_class: self.weights_class.unwrap_or(WeightsClass::C),
            features: self.features,
            threads_used: Some(self.threads_used),
            load_ns: Some(self.load_ns),
            cold,
            requests,
            memory: usage.memory,
            gates: vec![],
            reported: vec![],
            verify_token_ids: self.verify_token_ids,
            cpu: usage.cpu,
            forced: told.map_err(Failure::garbage)?,
        })
    }
}

fn request(sample: SampleEvent) -> RequestSample {
    RequestSample {
        rep: sample.rep,
        n_prompt: sample.n_prompt,
        n_cached: Some(sample.n_cached),
        prefill_ns: Some(sample.prefill_ns),
        token_ids: sample.token_ids,
        token_at_ns: sample.token_at_ns,
    }
}
