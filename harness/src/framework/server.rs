//! Servers that complete prompts over HTTP: where they are, what is to be done around the timed requests, and what the
//! launcher needs to know of their dialect. Pure: described here, carried out by the launcher.

use super::Failure;
use super::server_url::{Secret, ServerUrl};
use super::sse::Framing;
use crate::protocol::{Verify, WeightsClass, quote};
use crate::sample::{FailureKind, Reported, RequestSample};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

/// A request that a server ended by itself before its length is made again, with another prompt of the same length, at
/// most so often.
pub const TRIES_MORE_MAX: u32 = 3;

/// What to ask a server for.
#[derive(Debug, Clone)]
pub struct ServerTalk {
    /// Its dialect.
    pub api: Arc<dyn CompletionServer>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Done before the server is asked whether it is there.
    pub opening: Vec<Step>,
    /// Done once it is there, until a model is loaded.
    pub loading: Vec<Step>,
    /// Done at the end, whatever came before.
    pub closing: Vec<Step>,
    /// Each prompt with the number of tokens to generate; the first is cold if `has_cold`.
    pub requests: Vec<(Prompt, u32)>,
    /// Prompts of the same length for requests that end early; see [`TRIES_MORE_MAX`].
    pub spares: Vec<Prompt>,
    /// Whether the first request is the cold one.
    pub has_cold: bool,
    /// The verification request.
    pub verify: Option<Verify>,
    /// Its prompt as text, for a server that takes no ids.
    pub verify_text: Option<String>,
    /// See [`WeightsClass`].
    pub weights_class: WeightsClass,
    /// Version found at setup, which stands in where the server does not know its own.
    pub program_version: Option<String>,
    /// What it should tell of itself.
    pub wanted: Wanted,
    /// For the record: settings that stand in no command line.
    pub features: Vec<String>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A child of ours.
    Child {
        /// Port on 127.0.0.1.
        port: u16,
    },
    /// A server that is not ours. Neither its load time nor a cold start can be had.
    Running {
        /// Its base.
        url: ServerUrl,
        /// Sent to it as a bearer token, and to nobody else.
        api_key: Option<Secret>,
    },
}

impl Endpoint {
    /// What the paths of requests are appended to.
    pub fn base(&self) -> String {
        match self {
            Endpoint::Child { port } => format!("http://127.0.0.1:{port}"),
            Endpoint::Running { url, .. } => url.base().to_owned(),
        }
    }

    /// Whether the server ran before the launch and goes on after it.
    pub fn is_running(&self) -> bool {
        matches!(self, Endpoint::Running { .. })
    }
}

/// Something to be done besides the requests that are timed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is waited for, for messages: `the model to be loaded`.
    pub due: &'static str,
    /// What to do.
    pub action: Action,
    /// Its time is part of the load time. What is made once and kept is not.
    pub is_load: bool,
}

/// What a [`Step`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A JSON body by POST; anything but success is a failure.
    Post {
        /// Appended to the base.
        path: String,
        /// JSON.
        body: String,
    },
    /// A file by POST, unless HEAD of the same path finds it there.
    Upload {
        /// Appended to the base.
        path: String,
        /// Local file.
        file: PathBuf,
    },
    /// A program that runs to its end; anything but exit code 0 is a failure.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
}

/// A prompt: the ids, and for a server that takes none the text that it reads as these ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// With the BOS that a server puts before a text, if it does.
    pub ids: Vec<u32>,
    /// Without that BOS. `None` where ids are sent.
    pub text: Option<String>,
}

impl Prompt {
    /// A prompt that is sent as ids.
    pub fn of_ids(ids: &[u32]) -> Prompt {
        Prompt { ids: ids.to_vec(), text: None }
    }

    /// The text, or nothing.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

/// A dialect of completing prompts over HTTP. Pure: bodies in, values out.
pub trait CompletionServer: Debug + Send + Sync {
    /// How a streamed answer is cut into events.
    fn framing(&self) -> Framing {
        Framing::ServerSentEvents
    }
    /// Answers 200 once the server, and with it a model that it loads by itself, is there.
    fn health_path(&self) -> &'static str;
    /// These tell the version and the settings.
    fn about_paths(&self) -> Vec<String>;
    /// What the bodies of `about_paths` tell.
    fn parse_about(&self, bodies: &[String]) -> Result<Told, Failure>;
    /// Requests that find out what the server understands, made once in a launch before anything is timed.
    fn probes(&self) -> Vec<String> {
        vec![]
    }
    /// The dialect as this server speaks it, from the answers to `probes`; `None`: as it is.
    fn informed(&self, _answers: &[Reply]) -> Result<Option<Arc<dyn CompletionServer>>, Failure> {
        Ok(None)
    }
    /// What was found out of the server, for the record.
    fn notes(&self) -> Vec<String> {
        vec![]
    }
    /// Takes completion requests by POST.
    fn completion_path(&self) -> &'static str;
    /// Takes the requests of the verification by POST: those that are not streamed, and those for distributions.
    fn verify_path(&self) -> &'static str {
        self.completion_path()
    }
    /// A request to complete `prompt` with `n_generate` greedy tokens; streamed, or in one answer.
    fn completion_body(&self, prompt: &Prompt, n_generate: u32, stream: bool) -> String;
    /// Why a streamed request stopped before its length though nothing is wrong, if it did: a dialect without a way to
    /// ignore the end of a sequence.
    fn ended_early(&self, _asked: Asked, _events: &[StampedEvent]) -> Option<String> {
        None
    }
    /// What a streamed request yielded, from its events.
    fn parse_stream(&self, asked: Asked, events: &[StampedEvent]) -> Result<Answer, Failure>;
    /// The token ids of an answer that was not streamed.
    fn parse_whole(&self, prompt: &Prompt, n_generate: u32, body: &str) -> Result<Vec<u32>, Failure>;
    /// A request for the `top_k` likeliest tokens after `prompt`; `None` where the dialect has none. Such requests
    /// follow one another with prompts that grow, untimed, and may use what the server has cached.
    fn distribution_body(&self, _prompt: &[u32], _top_k: u32) -> Option<String> {
        None
    }
    /// The tokens of such an answer with their natural log-probabilities over the whole vocabulary, largest first;
    /// `None` where the server does not tell them.
    fn parse_distribution(&self, _body: &str) -> Result<Option<Vec<(u32, f32)>>, Failure> {
        Ok(None)
    }
    /// Whether a request of the verification failed only because the server cannot tell what it computed: then that is
    /// unavailable, and the launch counts.
    fn leaves_untold(&self, _failure: &Failure) -> bool {
        false
    }
    /// The error that the body of a refused request tells.
    fn parse_refusal(&self, status: u16, body: &str) -> Failure;
}

/// The refusal of a request: the error that its body tells, if `message` finds one.
pub(super) fn refusal(status: u16, body: &str, message: Option<String>) -> Failure {
    match message {
        Some(message) => Failure::new(FailureKind::Reported, format!("HTTP {status}: {message}")),
        None if (300..400).contains(&status) => {
            Failure::garbage(format!("HTTP {status}: the server sends elsewhere, which is not followed"))
        }
        None => Failure::garbage(format!("HTTP {status}: {}", quote(body))),
    }
}

/// An answer to a request that is not timed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP.
    pub status: u16,
    /// As text.
    pub body: String,
}

/// What a server tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Its version, or build.
    pub version: String,
    /// Path of the model file that it has loaded.
    pub model_path: Option<String>,
    /// KV positions of a sequence.
    pub context: Option<u32>,
    /// Sequences that it can hold at once.
    pub slots: Option<u32>,
}

/// What a server should tell of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Path of the model file that it was given.
    pub model_path: String,
    /// The file's sha256.
    pub model_sha256: String,
    /// KV positions asked for.
    pub context: u32,
    /// Sequences asked for.
    pub slots: u32,
}

/// What a request asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Index of the prompt.
    pub rep: u32,
    /// Tokens sent.
    pub n_prompt: u32,
    /// Tokens wanted.
    pub n_generate: u32,
}

/// A server-sent event, or a line, with the time at which its last byte was read, counted from the start of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampedEvent {
    /// Stamped before the event was looked at.
    pub at_ns: u64,
    /// The event's data.
    pub data: String,
}

/// What a streamed request yielded.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Times by the client's clock, except for `prefill_ns`.
    pub request: RequestSample,
    /// The server's own figures, one value each.
    pub reported: Vec<Reported>,
}
