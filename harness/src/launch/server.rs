//! Talking to a server that completes prompts over HTTP: a child of ours on a loopback port, or one that runs already.

use super::child::{ChildProcess, kill_group};
use super::client::{Client, reply};
use super::sampler::{Sampler, Usage};
use super::stream::StampedStream;
use super::{INTERRUPT_POLL, Limits, Stop, command, elapsed_ns, ns};
use crate::framework::gates::{WINDOW_S_MIN, told_gates};
use crate::framework::server::{
    Action, Answer, Asked, CompletionServer, Endpoint, Prompt, Reply, StampedEvent, Step, TRIES_MORE_MAX,
    Told,
};
use crate::framework::{Failure, ServerTalk};
use crate::sample::{ColdRequest, CpuSpan, FEATURE_RAN_BEFORE, FailureKind, Forced, Measured, Reported};
use crate::system;
use rustix::process::Pid;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Between two looks at whether the model is loaded; the error of a server's load time.
pub(super) const HEALTH_POLL: Duration = Duration::from_millis(4);
/// Limit for an answer to such a look.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after a broken connection the server's own end is waited for, to say why.
const CRASH_GRACE: Duration = Duration::from_millis(1500);
/// A process that takes less than this, in processors, of a window of requests does not compute.
const COMPUTES_CPUS_MIN: f64 = 0.05;
/// Limit for all that is done at the end of a launch.
const CLOSING_LIMIT: Duration = Duration::from_secs(10);

pub(super) fn talk(
    talk: &ServerTalk,
    child: Option<&mut ChildProcess>,
    limits: &Limits,
    started: Instant,
) -> Result<Measured, Stop> {
    let pid = child.as_ref().and_then(|c| i32::try_from(c.pid()).ok()).and_then(Pid::from_raw);
    let mut conversation = Conversation::new(talk, child, limits, started);
    let result = std::thread::scope(|scope| {
        let (over, is_over) = channel::<()>();
        // A blocking read does not see an interrupt: this thread ends the server, and with it the read.
        scope.spawn(move || {
            let Some(pid) = pid else { return };
            while is_over.recv_timeout(INTERRUPT_POLL) == Err(RecvTimeoutError::Timeout) {
                if limits.interrupted.load(Ordering::Relaxed) {
                    kill_group(pid);
                    return;
                }
            }
        });
        let result = conversation.hold();
        // What is in a server that is not ours has to be put away in any case; one of ours is killed.
        if result.is_ok() || talk.endpoint.is_running() {
            conversation.close();
        }
        drop(over);
        result
    });
    if limits.interrupted.load(Ordering::Relaxed) {
        return Err(Stop::Interrupted);
    }
    result
}

/// The conversation of one launch.
struct Conversation<'a> {
    talk: &'a ServerTalk,
    /// The dialect, as the server turned out to speak it.
    api: Arc<dyn CompletionServer>,
    client: Client,
    /// The server's process, where it is ours.
    child: Option<&'a mut ChildProcess>,
    limits: &'a Limits<'a>,
    started: Instant,
    /// Time of steps that are no part of the load time.
    set_aside: Duration,
    spares: std::slice::Iter<'a, Prompt>,
    /// Requests that were made again.
    n_again: u32,
    features: Vec<String>,
}

impl<'a> Conversation<'a> {
    fn new(
        talk: &'a ServerTalk,
        child: Option<&'a mut ChildProcess>,
        limits: &'a Limits<'a>,
        started: Instant,
    ) -> Conversation<'a> {
        Conversation {
            talk,
            api: talk.api.clone(),
            client: Client::new(&talk.endpoint),
            child,
            limits,
            started,
            set_aside: Duration::ZERO,
            spares: talk.spares.iter(),
            n_again: 0,
            features: talk.features.clone(),
        }
    }

    fn hold(&mut self) -> Result<Measured, Stop> {
        let mut sampler = self.child.as_ref().map(|child| Sampler::start(child.pid()));
        self.steps(&self.talk.opening)?;
        self.wait_ready()?;
        if let Endpoint::Running { url, .. } = &self.talk.endpoint {
            self.features.extend([FEATURE_RAN_BEFORE.to_owned(), format!("at {url}")]);
            let pid = url.loopback_port().and_then(system::listener_on);
            if let Some(name) = pid.and_then(system::process_name) {
                self.features.push(format!("memory of `{name}`, which listens there"));
            }
            sampler = pid.map(Sampler::attach);
        }
        self.steps(&self.talk.loading)?;
        let load_ns = self.since_start_ns();
        self.probe()?;
        sampler.iter().for_each(Sampler::mark_ready);
        let (cold, requests, reported) = self.requests()?;
        sampler.iter().for_each(Sampler::mark_answered);
        let verify_token_ids = self.verify()?;
        let forced = self.forced()?;
        let told = self.told()?;
        let mut usage = sampler.map_or_else(Usage::default, Sampler::finish);
        if self.talk.endpoint.is_running() && !has_computed(&usage) {
            usage = Usage::default();
            self.features.push("that process did not compute: its figures are left out".into());
        }
        self.features.extend(self.api.notes());
        if self.n_again > 0 {
            self.features.push(format!("{} requests made again, ended early", self.n_again));
        }
        let talk = self.talk;
        Ok(Measured {
            version: talk.program_version.clone().unwrap_or_else(|| told.version.clone()),
            build: told.version.clone(),
            weights_class: talk.weights_class,
            features: std::mem::take(&mut self.features),
            threads_used: None,
            settings: None,
            load_ns: (!talk.endpoint.is_running()).then_some(load_ns),
            cold,
            requests,
            memory: usage.memory,
            gates: told_gates(&talk.wanted, talk.weights_class, &told),
            reported,
            verify_token_ids,
            cpu: usage.cpu,
            forced,
        })
    }

    /// What is put away at the end; that it cannot be is no failure of the measurement, which is over.
    fn close(&mut self) {
        let limits = Limits {
            deadline: Instant::now() + CLOSING_LIMIT,
            timeout: CLOSING_LIMIT,
            // An interrupted launch puts away all the same.
            interrupted: &AtomicBool::new(false),
            hidden_variables: self.limits.hidden_variables,
        };
        for step in &self.talk.closing {
            let _ = match &step.action {
                Action::Post { path, body } => {
                    self.client.post(path, body, limits.left()).and_then(reply).map(drop).is_ok()
                }
                Action::Upload { .. } => false,
                Action::Command { argv } => command::run(argv, step.due, &limits).is_ok(),
            };
        }
    }

    /// Time since the start of the launch, ns, without that of steps that are made once and kept.
    fn since_start_ns(&self) -> u64 {
        elapsed_ns(self.started).saturating_sub(ns(self.set_aside))
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), Stop> {
        for step in steps {
            self.limits.check(step.due)?;
            let began = Instant::now();
            match &step.action {
                Action::Post { path, body } => {
                    let answer = self.client.post(path, body, self.limits.left()).and_then(reply);
                    self.succeeded(answer, step.due)?;
                }
                Action::Upload { path, file } => {
                    let is_there = self.client.has(path, self.limits.left());
                    if !is_there.map_err(|error| self.broken(&error.to_string(), step.due))? {
                        let answer = self.client.upload(path, file, self.limits.left());
                        self.succeeded(answer, step.due)?;
                    }
                }
                Action::Command { argv } => command::run(argv, step.due, self.limits)?,
            }
            if !step.is_load {
                self.set_aside += began.elapsed();
            }
        }
        Ok(())
    }

    fn succeeded(&mut self, answer: Result<Reply, ureq::Error>, due: &str) -> Result<String, Stop> {
        match answer {
            Ok(reply) if (200..300).contains(&reply.status) => Ok(reply.body),
            Ok(reply) => Err(self.api.parse_refusal(reply.status, &reply.body).into()),
            Err(error) => Err(self.broken(&error.to_string(), due)),
        }
    }

    /// Waits until the server says that it is there, with a model if it loads one by itself.
    fn wait_ready(&mut self) -> Result<(), Stop> {
        loop {
            self.limits.check("the model to be loaded")?;
            // Before the look: an answer on this port must not be another program's.
            if let Some(child) = self.child.as_mut().filter(|child| child.has_exited()) {
                return Err(child.ended_early("the model was loaded").into());
            }
            match self.client.get(self.api.health_path(), HEALTH_TIMEOUT.min(self.limits.left())) {
                Ok(reply) if reply.status == 200 => return Ok(()),
                // 503: a model is being loaded.
                Ok(reply) if self.child.is_none() && reply.status != 503 => {
                    return Err(self.api.parse_refusal(reply.status, &reply.body).into());
                }
                Err(error) if self.child.is_none() && self.talk.opening.is_empty() => {
                    let message = format!("no server answers at {}: {error}", self.talk.endpoint.base());
                    return Err(Failure::new(FailureKind::Missing, message).into());
                }
                _ => std::thread::sleep(HEALTH_POLL),
            }
        }
    }

    /// Finds out what the server understands.
    fn probe(&mut self) -> Result<(), Stop> {
        let mut answers = Vec::new();
        for body in self.api.probes() {
            let due = "what it understands";
            self.limits.check(due)?;
            let answer =
                self.client.post(self.api.completion_path(), &body, self.limits.left()).and_then(reply);
            answers.push(answer.map_err(|error| self.broken(&error.to_string(), due))?);
        }
        if let Some(api) = self.api.informed(&answers)? {
            self.api = api;
        }
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "three parts of one answer")]
    fn requests(
        &mut self,
    ) -> Result<(Option<ColdRequest>, Vec<crate::sample::RequestSample>, Vec<Reported>), Stop> {
        let (mut cold, mut requests, mut reported) = (None, Vec::new(), Vec::new());
        let talk = self.talk;
        for (rep, (prompt, n_generate)) in (0..).zip(&talk.requests) {
            let is_cold = rep == 0 && talk.has_cold;
            let asked = Asked { rep, n_prompt: prompt.ids.len() as u32, n_generate: *n_generate };
            let began_ns = self.since_start_ns();
            let answer = self.complete_in_length(asked, prompt, is_cold)?;
            match (is_cold, talk.endpoint.is_running()) {
                (true, false) => {
                    let first_ns = answer.request.token_at_ns.first().copied().unwrap_or(0);
                    let first_token_after_launch_ns = began_ns.saturating_add(first_ns);
                    cold = Some(ColdRequest { first_token_after_launch_ns, request: answer.request });
                }
                // Only a warm-up: nothing says how cold the server was.
                (true, true) => {}
                (false, _) => {
                    requests.push(answer.request);
                    merge(&mut reported, answer.reported);
                }
            }
        }
        if talk.endpoint.is_running() {
            (0..).zip(&mut requests).for_each(|(rep, request)| request.rep = rep);
        }
        Ok((cold, requests, reported))
    }

    /// A completion of the length asked for. One that ended early is made again with a spare prompt; after a cold one
    /// the whole launch begins again, since nothing is cold any more.
    fn complete_in_length(&mut self, asked: Asked, prompt: &Prompt, is_cold: bool) -> Result<Answer, Stop> {
        let mut prompt = prompt;
        let mut n_tries = 1;
        loop {
            let events = self.complete(asked, prompt)?;
            let Some(why) = self.api.ended_early(asked, &events) else {
                return Ok(self.api.parse_stream(asked, &events)?);
            };
            let refused = |more: String| {
                Failure::new(FailureKind::WrongLength, format!("request {}: {why}{more}", asked.rep))
            };
            if is_cold {
                return Err(Stop::ColdEndedEarly(refused(String::new())));
            }
            let spare = self.spares.next().filter(|_| n_tries <= TRIES_MORE_MAX);
            prompt =
                spare.ok_or_else(|| refused(format!("; so did {} other prompts before", n_tries - 1)))?;
            n_tries += 1;
            self.n_again += 1;
        }
    }

    /// A streamed completion. Each read is stamped before its bytes are looked at, which is done for many of them at once:
    /// between two tokens the processor belongs to the server.
    fn complete(&mut self, asked: Asked, prompt: &Prompt) -> Result<Vec<StampedEvent>, Stop> {
        let due = format!("the answer to request {}", asked.rep);
        let body = self.api.completion_body(prompt, asked.n_generate, true);
        let path = self.api.completion_path();
        let mut stream = StampedStream::new(self.api.framing(), asked.n_generate as usize + 1);
        let request_started = Instant::now();
        let mut response = match self.client.post(path, &body, self.limits.left()) {
            Ok(response) => response,
            Err(error) => return Err(self.broken(&error.to_string(), &due)),
        };
        if response.status() != 200 {
            let status = response.status().as_u16();
            let body = reply(response).map(|reply| reply.body).unwrap_or_default();
            return Err(self.api.parse_refusal(status, &body).into());
        }
        let mut reader = response.body_mut().as_reader();
        loop {
            match reader.read(stream.room()?) {
                Ok(0) => return Ok(stream.into_events()?),
                Ok(n) => stream.took(n, elapsed_ns(request_started)),
                Err(error) => return Err(self.broken(&error.to_string(), &due)),
            }
        }
    }

    fn verify(&mut self) -> Result<Option<Vec<u32>>, Stop> {
        let Some(verify) = &self.talk.verify else { return Ok(None) };
        let prompt = Prompt { ids: verify.prompt.clone(), text: self.talk.verify_text.clone() };
        let body = self.api.completion_body(&prompt, verify.n_tokens, false);
        let Some(text) = self.ask(&body, "the verification's answer")? else { return Ok(None) };
        Ok(Some(self.api.parse_whole(&prompt, verify.n_tokens, &text)?))
    }

    /// The distributions along the forced text: one request for each position.
    fn forced(&mut self) -> Result<Option<Forced>, Stop> {
        let Some(verify) = self.talk.verify.as_ref().filter(|v| v.asks_for_distributions()) else {
            return Ok(None);
        };
        let mut top = Vec::with_capacity(verify.forced.len());
        for position in 0..verify.forced.len() {
            let due = format!("the distribution at position {position}");
            self.limits.check(&due)?;
            let text = [&verify.prompt[..], &verify.forced[..position]].concat();
            let Some(body) = self.api.distribution_body(&text, verify.top_k) else { break };
            let answer = self.ask(&body, &due)?;
            let list = answer.map(|answer| self.api.parse_distribution(&answer)).transpose()?.flatten();
            let Some(list) = list else {
                top.clear();
                break;
            };
            top.push(list);
        }
        Ok(Some(Forced::checked(verify.forced.clone(), top).map_err(Failure::garbage)?))
    }

    /// The answer, in one piece, to a completion request.
    fn ask(&mut self, body: &str, due: &str) -> Result<Option<String>, Stop> {
        let answer = self.client.post(self.api.verify_path(), body, self.limits.left()).and_then(reply);
        match self.succeeded(answer, due) {
            Err(Stop::Failed(failure)) if self.api.leaves_untold(&failure) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// What the server tells of itself. The version found at setup is kept where there is one, since a build from a
    /// source archive does not know its own.
    fn told(&mut self) -> Result<Told, Stop> {
        let mut bodies = Vec::new();
        for path in self.api.about_paths() {
            let answer = self.client.get(&path, self.limits.left());
            bodies.push(self.succeeded(answer, "what it tells of itself")?);
        }
        Ok(self.api.parse_about(&bodies)?)
    }

    /// Why a connection broke: the run's end, the deadline, the server's end, or something else.
    fn broken(&mut self, error: &str, due: &str) -> Stop {
        if let Err(stop) = self.limits.check(due) {
            return stop;
        }
        if let Some(child) = self.child.as_mut().filter(|child| child.wait_exit(CRASH_GRACE)) {
            return child.ended_early(due).into();
        }
        if let Err(stop) = self.limits.check(due) {
            return stop;
        }
        Failure::new(FailureKind::Garbage, format!("the connection broke before {due}: {error}")).into()
    }
}

/// Whether a process took part in what was timed. One that only passes requests on (a proxy, a container's port) does
/// not: its memory and threads say nothing. A window too short to tell says nothing against it.
fn has_computed(usage: &Usage) -> bool {
    let window = usage.cpu.window.as_ref().filter(|window| window.wall_s.is_some_and(|s| s >= WINDOW_S_MIN));
    window.and_then(CpuSpan::cpus).is_none_or(|cpus| cpus >= COMPUTES_CPUS_MIN)
}

/// Adds one repetition's figures to those of the others, by name.
fn merge(all: &mut Vec<Reported>, one: Vec<Reported>) {
    for figure in one {
        match all.iter_mut().find(|r| r.name == figure.name) {
            Some(r) => r.values.extend(figure.values),
            None => all.push(figure),
        }
    }
}

#[cfg(all(test, unix))]
#[path = "server_tests.rs"]
mod tests;
