//! Talking to a server that completes prompts over HTTP on a loopback port.

use super::child::{ChildProcess, kill_group};
use super::sampler::Sampler;
use super::{Limits, Stop, TICK, elapsed_ns};
use crate::framework::gates::told_gates;
use crate::framework::server::{Answer, Asked, StampedEvent, Told};
use crate::framework::sse::SseSplitter;
use crate::framework::{Failure, ServerTalk};
use crate::sample::{ColdRequest, FailureKind, Forced, Measured, Reported};
use rustix::process::Pid;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at whether the model is loaded; the error of a server's load time.
pub(super) const HEALTH_POLL: Duration = Duration::from_millis(4);
/// Limit for an answer to such a look.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// What an answer may hold that is not a stream.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// How long after a broken connection the server's own end is waited for, to say why.
const CRASH_GRACE: Duration = Duration::from_millis(1500);

pub(super) fn talk(
    talk: &ServerTalk,
    child: &mut ChildProcess,
    limits: &Limits,
    started: Instant,
) -> Result<Measured, Stop> {
    let sampler = Sampler::start(child.pid());
    let client = Client::new(talk.port);
    let is_over = AtomicBool::new(false);
    let pid = i32::try_from(child.pid()).ok().and_then(Pid::from_raw);
    let result = std::thread::scope(|scope| {
        // A blocking read does not see an interrupt: this thread ends the server, and with it the read.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if limits.interrupted.load(Ordering::Relaxed) {
                    pid.into_iter().for_each(kill_group);
                    return;
                }
                std::thread::sleep(TICK);
            }
        });
        let result = client.converse(talk, child, &sampler, limits, started);
        is_over.store(true, Ordering::Relaxed);
        result
    });
    if limits.interrupted.load(Ordering::Relaxed) {
        return Err(Stop::Interrupted);
    }
    let measured = result?;
    let usage = sampler.finish();
    Ok(Measured { memory: usage.memory, cpu: usage.cpu, ..measured })
}

struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    fn new(port: u16) -> Client {
        // A connection for each request: one that is kept may be closed by the server just as it is used again.
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false);
        Client {
            agent: config.max_idle_connections(0).build().new_agent(),
            base: format!("http://127.0.0.1:{port}"),
        }
    }

    fn converse(
        &self,
        talk: &ServerTalk,
        child: &mut ChildProcess,
        sampler: &Sampler,
        limits: &Limits,
        started: Instant,
    ) -> Result<Measured, Stop> {
        self.wait_ready(talk, child, limits)?;
        let load_ns = elapsed_ns(started);
        sampler.mark_ready();
        let mut cold = None;
        let mut requests = Vec::new();
        let mut reported = Vec::new();
        for (rep, (prompt, n_generate)) in (0..).zip(&talk.requests) {
            let asked = Asked { rep, n_prompt: prompt.len() as u32, n_generate: *n_generate };
            let request_started_ns = elapsed_ns(started);
            let answer = self.complete(talk, asked, prompt, child, limits)?;
            if rep == 0 && talk.has_cold {
                let first_ns = answer.request.token_at_ns.first().copied().unwrap_or(0);
                cold = Some(ColdRequest {
                    first_token_after_launch_ns: request_started_ns.saturating_add(first_ns),
                    request: answer.request,
                });
            } else {
                requests.push(answer.request);
                merge(&mut reported, answer.reported);
            }
        }
        sampler.mark_answered();
        let verify_token_ids = self.verify(talk, child, limits)?;
        let forced = self.forced(talk, child, limits)?;
        let told = self.told(talk, child, limits)?;
        let (version, build) =
            (talk.program_version.clone().unwrap_or_else(|| told.version.clone()), told.version.clone());
        Ok(Measured {
            version,
            build,
            weights_class: talk.weights_class,
            features: vec![],
            threads_used: None,
            load_ns: Some(load_ns),
            cold,
            requests,
            memory: Default::default(),
            gates: told_gates(&talk.wanted, talk.weights_class, &told),
            reported,
            verify_token_ids,
            cpu: Default::default(),
            forced,
        })
    }

    /// Waits until the server says that its model is loaded.
    fn wait_ready(&self, talk: &ServerTalk, child: &mut ChildProcess, limits: &Limits) -> Result<(), Stop> {
        let url = format!("{}{}", self.base, talk.api.health_path());
        loop {
            limits.check("the model to be loaded")?;
            // Before the look: an answer on this port must not be another program's.
            if child.has_exited() {
                return Err(child.ended_early("the model was loaded").into());
            }
            let timeout = Some(HEALTH_TIMEOUT.min(limits.left()));
            let answer = self.agent.get(&url).config().timeout_global(timeout).build().call();
            if answer.is_ok_and(|response| response.status() == 200) {
                return Ok(());
            }
            std::thread::sleep(HEALTH_POLL);
        }
    }

    /// A streamed completion. Each read is stamped before its bytes are looked at.
    fn complete(
        &self,
        talk: &ServerTalk,
        asked: Asked,
        prompt: &[u32],
        child: &mut ChildProcess,
        limits: &Limits,
    ) -> Result<Answer, Stop> {
        let due = format!("the answer to request {}", asked.rep);
        let body = talk.api.request_body(prompt, asked.n_generate, true);
        let mut splitter = SseSplitter::default();
        let mut events = Vec::with_capacity(asked.n_generate as usize + 1);
        let mut buffer = vec![0; 64 << 10];
        let request_started = Instant::now();
        let mut response = match self.post(talk.api.completion_path(), &body, limits) {
            Ok(response) => response,
            Err(error) => return Err(broken(&error.to_string(), &due, child, limits)),
        };
        if response.status() != 200 {
            return Err(refused(talk, response).into());
        }
        let mut reader = response.body_mut().as_reader();
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    let at_ns = elapsed_ns(request_started);
                    let data = splitter.push(&buffer[..n])?;
                    events.extend(data.into_iter().map(|data| StampedEvent { at_ns, data }));
                }
                Err(error) => return Err(broken(&error.to_string(), &due, child, limits)),
            }
        }
        Ok(talk.api.parse_stream(asked, &events)?)
    }

    fn post(
        &self,
        path: &str,
        body: &str,
        limits: &Limits,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.post(&url).header("content-type", "application/json");
        request.config().timeout_global(Some(limits.left())).build().send(body)
    }

    fn verify(
        &self,
        talk: &ServerTalk,
        child: &mut ChildProcess,
        limits: &Limits,
    ) -> Result<Option<Vec<u32>>, Stop> {
        let Some(verify) = &talk.verify else { return Ok(None) };
        let due = "the verification's answer";
        let body = talk.api.request_body(&verify.prompt, verify.n_tokens, false);
        let response = match self.post(talk.api.verify_path(), &body, limits) {
            Ok(response) => response,
            Err(error) => return Err(broken(&error.to_string(), due, child, limits)),
        };
        if response.status() != 200 {
            return Err(refused(talk, response).into());
        }
        match text_of(response) {
            Ok(text) => Ok(Some(talk.api.parse_whole(verify.n_tokens, &text)?)),
            Err(error) => Err(broken(&error.to_string(), due, child, limits)),
        }
    }

    /// The distributions along the forced text: one request for each position.
    fn forced(
        &self,
        talk: &ServerTalk,
        child: &mut ChildProcess,
        limits: &Limits,
    ) -> Result<Option<Forced>, Stop> {
        let Some(verify) = talk.verify.as_ref().filter(|v| v.asks_for_distributions()) else {
            return Ok(None);
        };
        let mut top = Vec::with_capacity(verify.forced.len());
        for position in 0..verify.forced.len() {
            let due = format!("the distribution at position {position}");
            limits.check(&due)?;
            let text = [&verify.prompt[..], &verify.forced[..position]].concat();
            let Some(body) = talk.api.distribution_body(&text, verify.top_k) else { break };
            let response = match self.post(talk.api.verify_path(), &body, limits) {
                Ok(response) => response,
                Err(error) => return Err(broken(&error.to_string(), &due, child, limits)),
            };
            if response.status() != 200 {
                return Err(refused(talk, response).into());
            }
            let answer = match text_of(response) {
                Ok(text) => talk.api.parse_distribution(&text)?,
                Err(error) => return Err(broken(&error.to_string(), &due, child, limits)),
            };
            let Some(list) = answer else { break };
            top.push(list);
        }
        Ok(Some(Forced::checked(verify.forced.clone(), top).map_err(Failure::garbage)?))
    }

    /// What the server tells of itself. The version found at setup is kept where there is one, since a build from a
    /// source archive does not know its own.
    fn told(&self, talk: &ServerTalk, child: &mut ChildProcess, limits: &Limits) -> Result<Told, Stop> {
        let url = format!("{}{}", self.base, talk.api.about_path());
        let request = self.agent.get(&url).config().timeout_global(Some(limits.left())).build();
        match request.call().and_then(text_of) {
            Ok(text) => Ok(talk.api.parse_about(&text)?),
            Err(error) => Err(broken(&error.to_string(), "what it tells of itself", child, limits)),
        }
    }
}

fn text_of(mut response: ureq::http::Response<ureq::Body>) -> Result<String, ureq::Error> {
    response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string()
}

fn refused(talk: &ServerTalk, response: ureq::http::Response<ureq::Body>) -> Failure {
    let status = response.status().as_u16();
    talk.api.parse_refusal(status, &text_of(response).unwrap_or_default())
}

/// Why a connection broke: the run's end, the deadline, the server's end, or something else.
fn broken(error: &str, due: &str, child: &mut ChildProcess, limits: &Limits) -> Stop {
    if let Err(stop) = limits.check(due) {
        return stop;
    }
    if child.wait_exit(CRASH_GRACE) {
        return child.ended_early(due).into();
    }
    if let Err(stop) = limits.check(due) {
        return stop;
    }
    Failure::new(FailureKind::Garbage, format!("the connection broke before {due}: {error}")).into()
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
