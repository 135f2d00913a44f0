//! `harness runner engine-http`: a [`Backend`] behind a minimal HTTP server on the loopback, for measuring what the
//! harness's HTTP path adds to an engine that is otherwise driven through pipes.
//!
//! It speaks as much of llama-server's dialect as [`crate::framework::llama_cpp`] reads. One thread, one slot: a
//! connection carries one request and is answered before the next is accepted. The tokens are written by the thread
//! that computes them, each as a chunk of its own, before the next is computed. So a server cannot add much less.

mod dialect;
mod wire;

use super::logits::largest_log_probabilities;
use super::serve::{Backend, JOB, RunnerError};
use crate::protocol::{Event, Job};
use dialect::{Chunk, Completion, End, Timings};
use serde_json::json;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Instant;
use wire::{Connection, ReadError, Refusal, Request};

/// Loads the model of `job` and answers on `port` of 127.0.0.1 until the process is killed. There is nobody to answer
/// before the model is loaded: until then connections are refused. Only the settings of `job` count, not its prompts.
///
/// # Errors
/// If the model cannot be loaded, or the port cannot be had.
pub fn serve(backend: &mut impl Backend, job: &Job, port: u16) -> Result<Infallible, RunnerError> {
    let mut slot = Slot::load(backend, job)?;
    slot.answer_all(&listen(port)?)
}

/// Listens on `port` of 127.0.0.1, and nowhere else.
fn listen(port: u16) -> Result<TcpListener, RunnerError> {
    let failed = |error| RunnerError::new("io", format!("port {port} of 127.0.0.1: {error}"));
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)
}

/// The one slot.
struct Slot<'a, B> {
    backend: &'a mut B,
    /// KV positions.
    n_context: u32,
    build_info: String,
    model_path: String,
    /// What the cache holds after a request for probabilities.
    held: Vec<u32>,
}

impl<'a, B: Backend> Slot<'a, B> {
    fn load(backend: &'a mut B, job: &Job) -> Result<Slot<'a, B>, RunnerError> {
        backend.load(job)?;
        let build_info = match backend.hello() {
            Event::Hello { version, build, features, .. } => {
                format!("{version} ({})", [vec![build], features].concat().join(", "))
            }
            _ => String::new(),
        };
        let model_path = job.model.path.clone();
        Ok(Slot { backend, n_context: job.context, build_info, model_path, held: vec![] })
    }

    /// Answers one connection after the other. What goes wrong with one ends that one alone.
    fn answer_all(&mut self, listener: &TcpListener) -> Result<Infallible, RunnerError> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // The client left while it was waiting.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(RunnerError::new("io", error)),
            };
            let answered = Connection::new(stream).and_then(|mut connection| self.answer(&mut connection));
            if let Err(error) = answered {
                eprintln!("engine-http: a connection broke: {error}");
            }
        }
    }

    fn answer(&mut self, connection: &mut Connection) -> io::Result<()> {
        let answered = match connection.read_request() {
            Ok(request) => self.route(&request, connection)?,
            Err(ReadError::Refused(refusal)) => Err(refusal),
            Err(ReadError::Io(error)) => return Err(error),
        };
        if let Err(refusal) = answered {
            connection.respond(refusal.status, &dialect::error_text(&refusal))?;
            connection.drain();
        }
        Ok(())
    }

    /// Answers, or says why not. The outer error is the connection's.
    fn route(&mut self, request: &Request, connection: &mut Connection) -> io::Result<Result<(), Refusal>> {
        let method = match request.path.as_str() {
            "/health" | "/props" => "GET",
            "/completion" => "POST",
            path => return Ok(Err(Refusal::new(404, format!("there is no {path} here")))),
        };
        if request.method != method {
            let message = format!("{} is asked for with {method}", request.path);
            return Ok(Err(Refusal::new(405, message)));
        }
        match request.path.as_str() {
            "/health" => connection.respond(200, &json!({ "status": "ok" }).to_string())?,
            "/props" => connection.respond(200, &self.props())?,
            _ => match Completion::parse(&request.body, self.n_context) {
                Ok(asked) if asked.n_probs > 0 => return self.tell_likeliest(&asked, connection),
                Ok(asked) => return self.complete(&asked, connection),
                Err(refusal) => return Ok(Err(refusal)),
            },
        }
        Ok(Ok(()))
    }

    fn props(&self) -> String {
        let settings = json!({ "n_ctx": self.n_context });
        json!({
            "build_info": self.build_info,
            "model_path": self.model_path,
            "total_slots": 1,
            "default_generation_settings": settings,
        })
        .to_string()
    }

    /// Nothing of an answer is sent before its first token is there, so that a prompt can still be refused.
    fn complete(
        &mut self,
        asked: &Completion,
        connection: &mut Connection,
    ) -> io::Result<Result<(), Refusal>> {
        self.held.clear();
        self.backend.clear();
        let started = Instant::now();
        let first = match self.backend.prefill(&asked.prompt) {
            Ok(token_id) => token_id,
            Err(error) => return Ok(Err(refusal(error))),
        };
        let prompt_ms = elapsed_ms(started);
        let generating = Instant::now();
        let mut answer =
            Answer { asked, connection, token_ids: Vec::with_capacity(asked.n_predict as usize) };
        answer.put(first)?;
        let (mut last, mut predicted_ms) = (first, 0.0);
        while answer.token_ids.len() < asked.n_predict as usize {
            last = match self.backend.decode(last) {
                Ok(token_id) => token_id,
                Err(error) => return answer.break_off(refusal(error)),
            };
            predicted_ms = elapsed_ms(generating);
            answer.put(last)?;
        }
        let timings = Timings {
            cache_n: 0,
            prompt_n: asked.prompt.len() as u32,
            prompt_ms,
            predicted_n: asked.n_predict,
            predicted_ms,
        };
        answer.end(timings).map(Ok)
    }

    /// What is likeliest after a prompt. Not timed by anybody. A prompt that grows by one token goes on from the cache
    /// where that is allowed: computed as a runner computes it, token after token.
    fn tell_likeliest(
        &mut self,
        asked: &Completion,
        connection: &mut Connection,
    ) -> io::Result<Result<(), Refusal>> {
        let held = std::mem::take(&mut self.held);
        let started = Instant::now();
        let (n_cached, step) = match asked.prompt.strip_prefix(&held[..]) {
            Some(&[next]) if asked.may_use_cache && !held.is_empty() => {
                (held.len(), self.backend.decode(next))
            }
            _ => {
                self.backend.clear();
                (0, self.backend.prefill(&asked.prompt))
            }
        };
        if let Err(error) = step {
            return Ok(Err(refusal(error)));
        }
        self.held.clone_from(&asked.prompt);
        let timings = Timings {
            cache_n: n_cached as u32,
            prompt_n: (asked.prompt.len() - n_cached) as u32,
            prompt_ms: elapsed_ms(started),
            predicted_n: 1,
            predicted_ms: 0.0,
        };
        let top = largest_log_probabilities(self.backend.logits(), asked.n_probs as usize);
        let end = End::with_probabilities(&top, timings);
        connection.respond(200, &dialect::text(&end)).map(Ok)
    }
}

/// An answer under way.
struct Answer<'a> {
    asked: &'a Completion,
    connection: &'a mut Connection,
    token_ids: Vec<u32>,
}

impl Answer<'_> {
    fn put(&mut self, token_id: u32) -> io::Result<()> {
        self.token_ids.push(token_id);
        if !self.asked.is_streamed {
            return Ok(());
        }
        let n_predicted = self.token_ids.len();
        if n_predicted == 1 {
            self.connection.start_stream();
        }
        let chunk = Chunk::new(token_id, n_predicted, self.asked.prompt.len());
        self.connection.send_event(&dialect::text(&chunk))
    }

    fn end(self, timings: Timings) -> io::Result<()> {
        if self.asked.is_streamed {
            self.connection.send_event(&dialect::text(&End::new(&[], timings)))?;
            return self.connection.end_stream();
        }
        self.connection.respond(200, &dialect::text(&End::new(&self.token_ids, timings)))
    }

    /// A stream has its status already: it ends with the error as an event.
    fn break_off(self, refusal: Refusal) -> io::Result<Result<(), Refusal>> {
        if !self.asked.is_streamed {
            return Ok(Err(refusal));
        }
        self.connection.send_event(&dialect::error_text(&refusal))?;
        self.connection.end_stream().map(Ok)
    }
}

fn refusal(error: RunnerError) -> Refusal {
    Refusal::new(if error.kind == JOB { 400 } else { 500 }, error.message)
}

fn elapsed_ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests;
