//! Frameworks: how each is described, started and understood. Pure: no process, no clock, no disk.
//!
//! A [`LaunchRequest`] (what to measure, with which files) becomes a [`LaunchSpec`] (what to start and how to talk
//! to it); the launcher carries it out and hands the answers back to the parsers here.

pub mod engine_http;
pub mod features;
pub mod gates;
pub mod llama_bench;
pub mod llama_cpp;
pub mod llama_flags;
pub mod llama_fork;
pub mod lm_studio;
pub mod ollama;
pub mod openai;
pub mod registry;
pub mod runner;
pub mod server;
pub mod server_url;
pub mod settings;
pub mod sse;
mod spoken;
pub mod text;

use crate::protocol::{Job, Verify, WeightsClass};
use crate::sample::FailureKind;
use crate::scenario::Workload;
use engine::Tokenizer;
use llama_flags::Flags;
use registry::Entry;
use server_url::{Secret, ServerUrl};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use registry::Registry;
pub use server::ServerTalk;

/// The protocols that the harness speaks: the `driver` of an entry in frameworks.yaml, and who describes it.
const DRIVERS: &[Driver] = &[
    Driver { name: "runner", describe: runner::describe, takes_text: false },
    Driver { name: "llama-server", describe: llama_cpp::describe, takes_text: false },
    Driver { name: "llama-server-fork", describe: llama_fork::describe, takes_text: false },
    Driver { name: "llama-bench", describe: llama_bench::describe, takes_text: false },
    Driver { name: "engine-http", describe: engine_http::describe, takes_text: false },
    Driver { name: "ollama", describe: ollama::describe, takes_text: true },
    Driver { name: "lm-studio", describe: lm_studio::describe, takes_text: true },
    Driver { name: "openai", describe: openai::describe, takes_text: true },
];

struct Driver {
    name: &'static str,
    describe: Describe,
    /// Prompts have to be texts as well.
    takes_text: bool,
}

type Describe = fn(&LaunchRequest) -> Result<LaunchSpec, Failure>;

/// One launch to describe.
#[derive(Debug, Clone)]
pub struct LaunchRequest<'a> {
    /// The framework.
    pub entry: &'a Entry,
    /// Settings of the row; see [`Entry::options_of`].
    pub options: BTreeMap<String, String>,
    /// The program, where the entry needs one.
    pub program: Option<&'a Path>,
    /// The version that was found for it, where it does not say so itself.
    pub program_version: Option<&'a str>,
    /// The flags that the program understands; `None` where it was not asked or did not tell.
    pub flags: Option<&'a Flags>,
    /// Directory of what it made of the model file beforehand; see [`Entry::prepare`].
    pub prepared: Option<&'a Path>,
    /// This program, `harness`.
    pub harness: &'a Path,
    /// The model file.
    pub model: ModelRef<'a>,
    /// See [`crate::sample::LaunchRecord::launch_id`].
    pub launch_id: &'a str,
    /// What to do.
    pub workload: &'a Workload,
    /// Compute threads.
    pub threads: u32,
    /// Prompt tokens per batch.
    pub batch: u32,
    /// KV cache element type.
    pub kv_type: &'a str,
    /// Tokens of the cold request, which is `prompts[0]`; 0: there is none.
    pub cold_generate: u32,
    /// One prompt for each request.
    pub prompts: &'a [Vec<u32>],
    /// The verification request.
    pub verify: Option<Verify>,
    /// A free loopback port, for servers.
    pub port: u16,
    /// Prompts as long as `prompts`, for requests that a server ends early.
    pub spares: &'a [Vec<u32>],
    /// Of the model file, where it is of a kind that the engine knows.
    pub tokenizer: Option<&'a Arc<Tokenizer>>,
    /// A directory of the framework's own in the cache, kept from launch to launch. It may not be there yet.
    pub store: &'a Path,
    /// Whether a server may be on another machine.
    pub allow_remote: bool,
    /// The key from the variable that the entry names.
    pub api_key: Option<Secret>,
}

/// The model file of a launch.
#[derive(Debug, Clone, Copy)]
pub struct ModelRef<'a> {
    /// Absolute path.
    pub path: &'a Path,
    /// Lower-case hexadecimal.
    pub sha256: &'a str,
}

impl LaunchRequest<'_> {
    /// Tokens asked for in the request of prompt `rep`.
    pub fn n_generate(&self, rep: usize) -> u32 {
        if rep == 0 && self.cold_generate > 0 { self.cold_generate } else { self.workload.generate_tokens }
    }

    /// The option `name`, which this driver reads.
    fn option(&self, name: &str) -> Result<&str, Failure> {
        let option = self.options.get(name).map(String::as_str);
        option.ok_or_else(|| {
            let (id, driver) = (&self.entry.id, &self.entry.driver);
            let message = format!(
                "{id} has no option `{name}`, which the driver {driver} reads: add it to `options` of {id} in its frameworks.yaml"
            );
            Failure::new(FailureKind::Unsupported, message)
        })
    }

    /// The program, which this driver needs.
    fn needed_program(&self) -> Result<&Path, Failure> {
        needed(self.program, &self.entry.id)
    }
}

/// The program of the framework `id`, which its driver needs.
fn needed<'a>(program: Option<&'a Path>, id: &str) -> Result<&'a Path, Failure> {
    let message = || format!("{id} is not installed: run `harness setup {id}`");
    program.ok_or_else(|| Failure::new(FailureKind::Missing, message()))
}

/// What to start, and how to talk to it.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment variables set on top of the inherited ones.
    pub env: BTreeMap<String, String>,
    /// Processors that it may run on, by number; `None`: all. Linux only: elsewhere such a launch fails as unsupported.
    pub cpus: Option<Vec<u32>>,
    /// How to talk to it.
    pub conversation: Conversation,
}

/// How the launcher talks to a process.
#[derive(Debug, Clone)]
pub enum Conversation {
    /// The runner protocol on stdin and stdout.
    Runner {
        /// The job.
        job: Job,
        /// See [`Entry::self_reported_load`].
        self_reported_load: bool,
    },
    /// A server on a loopback port that completes prompts.
    Server(Box<ServerTalk>),
    /// A program that runs to its end and prints figures of its own; `parse` reads its stdout.
    Batch {
        /// From stdout to figures.
        parse: fn(&str) -> Result<BatchAnswer, Failure>,
        /// See [`WeightsClass`].
        weights_class: WeightsClass,
    },
}

/// What a batch program said.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchAnswer {
    /// Its version.
    pub version: String,
    /// Its build.
    pub build: String,
    /// Threads in use.
    pub threads_used: Option<u32>,
    /// Its figures.
    pub reported: Vec<crate::sample::Reported>,
}

/// Why a launch could not be described, or its answers not be understood: becomes a failed row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// See [`FailureKind`].
    pub kind: FailureKind,
    /// For a person.
    pub message: String,
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }

    /// An answer that is not what the protocol promises.
    pub fn garbage(message: impl Into<String>) -> Failure {
        Failure::new(FailureKind::Garbage, message)
    }
}

/// Describes a launch of the framework itself.
pub fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    describe_as(&request.entry.driver, request)
}

/// What a row's program does otherwise than asked, because its build lacks the flag for it; empty for most.
///
/// # Errors
/// If the row cannot be measured with this build.
pub fn notes_on_build(
    entry: &Entry,
    options: &BTreeMap<String, String>,
    flags: Option<&Flags>,
) -> Result<Vec<String>, Failure> {
    if entry.flags_command.is_empty() {
        return Ok(Vec::new());
    }
    Ok(llama_flags::resolve(options, flags)?.notes)
}

/// Describes a launch of the framework's own benchmark, the cross-check.
pub fn describe_cross_check(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    match &request.entry.cross_check {
        Some(driver) => describe_as(driver, request),
        None => Err(Failure::new(
            FailureKind::Unsupported,
            format!("{} has no benchmark of its own", request.entry.id),
        )),
    }
}

fn describe_as(driver: &str, request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    if let Some(reason) = &request.entry.reason {
        return Err(Failure::new(FailureKind::Unsupported, reason.clone()));
    }
    let found = DRIVERS.iter().find(|known| known.name == driver).ok_or_else(|| {
        Failure::new(FailureKind::Unsupported, format!("no driver `{driver}` in this harness"))
    })?;
    (found.describe)(request)
}

/// Names of the drivers, for the check of frameworks.yaml.
pub(crate) fn driver_names() -> impl Iterator<Item = &'static str> {
    DRIVERS.iter().map(|driver| driver.name)
}

/// The address of the server of a row with these options, where it has one; `None`: the row starts its own program.
///
/// # Errors
/// If the address is none, or leads to another machine without leave.
pub fn server_url(
    options: &BTreeMap<String, String>,
    allow_remote: bool,
) -> Result<Option<ServerUrl>, Failure> {
    let url = options.get("url").filter(|url| *url != spoken::NO_URL);
    url.map(|url| ServerUrl::parse(url, allow_remote)).transpose()
}

/// Whether the prompts of a scenario with this row have to be texts too.
pub fn takes_text(entry: &Entry) -> bool {
    DRIVERS.iter().any(|driver| driver.name == entry.driver && driver.takes_text)
}

/// A path as an argument. Paths that are not UTF-8 cannot be written into a bundle.
fn path_arg(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_string).ok_or_else(|| {
        let message = format!("{} is not UTF-8; move the file to a path that is", path.display());
        Failure::new(FailureKind::Spawn, message)
    })
}

/// The program `name` beside `program`.
fn sibling(program: &Path, name: &str) -> PathBuf {
    program.with_file_name(name)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::server::{Endpoint, Prompt, Wanted};
    use super::*;

    /// That of the tiny synthetic model: it puts BOS before a text.
    pub(crate) fn tiny_tokenizer() -> Arc<Tokenizer> {
        static TINY: std::sync::OnceLock<Arc<Tokenizer>> = std::sync::OnceLock::new();
        let make = || {
            let dir = tempfile::tempdir().expect("temporary directory");
            let path = dir.path().join("tiny.gguf");
            crate::model::synthesize("tiny", &path, 1, &mut |_| ()).expect("made");
            let gguf = engine::gguf::Gguf::open(&path).expect("valid");
            Arc::new(Tokenizer::from_gguf(&gguf).expect("a known kind"))
        };
        TINY.get_or_init(make).clone()
    }

    /// One request of one token to a llama-server.
    pub(crate) fn server_talk(endpoint: Endpoint) -> ServerTalk {
        ServerTalk {
            api: std::sync::Arc::new(llama_cpp::LlamaServer),
            endpoint,
            opening: vec![],
            loading: vec![],
            closing: vec![],
            requests: vec![(Prompt::of_ids(&[1]), 1)],
            spares: vec![],
            has_cold: false,
            verify: None,
            verify_text: None,
            weights_class: WeightsClass::A,
            program_version: None,
            wanted: Wanted {
                model_path: "/m.gguf".into(),
                model_sha256: String::new(),
                context: 32,
                slots: 1,
            },
            features: vec![],
        }
    }

    /// A request with two prompts, the first cold, for the entry `id` of the embedded registry.
    pub(crate) fn with_request<T>(id: &str, f: impl FnOnce(LaunchRequest) -> T) -> T {
        let registry = Registry::embedded().expect("frameworks.yaml is valid");
        let workload = Workload { name: "chat".into(), prompt_tokens: 3, generate_tokens: 4, context: 32 };
        let prompts = vec![vec![1, 2, 3], vec![4, 5, 6]];
        f(LaunchRequest {
            entry: registry.get(id).expect("known"),
            options: registry.get(id).expect("known").options.clone(),
            program: Some(Path::new("/opt/bin/llama-server")),
            program_version: Some("b11434"),
            flags: None,
            prepared: Some(Path::new("/cache/prepared/x")),
            harness: Path::new("/opt/bin/harness"),
            model: ModelRef { path: Path::new("/models/m.gguf"), sha256: "abc" },
            launch_id: "b00-x-chat-t2",
            workload: &workload,
            threads: 2,
            batch: 2048,
            kv_type: "f16",
            cold_generate: 2,
            prompts: &prompts,
            verify: None,
            port: 4000,
            spares: &[],
            tokenizer: None,
            store: Path::new("/cache/stores/x"),
            allow_remote: false,
            api_key: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{tiny_tokenizer, with_request};
    use super::*;
    use engine::tokenizer::EncodeOptions;

    #[test]
    fn an_option_that_a_driver_misses_is_a_failure() {
        let tokenizer = tiny_tokenizer();
        let with_bos = EncodeOptions { add_special: true, parse_special: false };
        let texts = ["the of and", "and the of"].map(|text| tokenizer.encode(text.as_bytes(), with_bos));
        let check = |id: &str, describe: fn(&LaunchRequest) -> Result<LaunchSpec, Failure>, option: &str| {
            let message = with_request(id, |request| {
                let mut options = request.options.clone();
                options.insert("url".into(), "http://127.0.0.1:1".into());
                options.remove(option);
                let tokenizer = Some(&tokenizer);
                describe(&LaunchRequest { options, prompts: &texts, spares: &texts, tokenizer, ..request })
            });
            let message = message.expect_err("needed").message;
            let wanted = format!("{id} has no option `{option}`, which the driver ");
            assert!(message.starts_with(&wanted), "{message}");
        };
        check("openai-compatible", describe, "model");
        check("lm-studio", describe, "model");
        check("ollama", describe, "gpu_layers");
        check("llama.cpp", describe_cross_check, "load_mode");
    }
}
