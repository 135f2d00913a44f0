//! The launcher: the only owner of child processes, sockets, timeouts and memory sampling.
//!
//! Every launch is one child in a process group of its own (none, where a server that runs already is measured), killed as a group when the launch ends, times out, is
//! interrupted or the launcher is dropped. Whatever goes wrong becomes a failed outcome, never an abort.
//!
//! Clocks. `load_ns` runs on the launcher's monotonic clock from just before the spawn until the runner's `ready`
//! line (or the server's first healthy answer, asked for every 4 ms) was read. The cold first token
//! of a server is stamped on the same clock; that of a runner is `load_ns` plus the runner's own time of its first
//! token, because its first request starts right at `ready`. Runners that simulate (see
//! [`crate::framework::registry::Entry::self_reported_load`]) report their load themselves.

mod batch;
mod child;
mod client;
mod command;
#[cfg(all(test, unix))]
mod contract;
mod lines;
mod oom;
mod port;
mod probe;
mod runner;
mod sampler;
mod server;
mod stream;
mod sweep;

use crate::framework::gates::{Expected, check_lengths, gates};
use crate::framework::server::TRIES_MORE_MAX;
use crate::framework::{Conversation, Failure, LaunchSpec};
use crate::redact::Redactor;
use crate::sample::{FailureKind, Measured, Outcome};
use child::{ChildProcess, Pipes};
use oom::OomKills;
pub use port::free_port;
pub use probe::{Exit, Input, SaidLine, Transcript};
pub use sampler::{Sampler, Usage};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
pub use sweep::end_abandoned;

/// Between two looks at whether the run was interrupted, while a launch waits for what is being timed.
const INTERRUPT_POLL: Duration = Duration::from_millis(100);
/// How often a wait for anything else looks at the interrupt flag and the deadline.
const TICK: Duration = Duration::from_millis(25);

/// Carries out launches, one after the other.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// `harness` itself, put between so that children die with it: see `cmd/child.rs`. `None`: started directly.
    pub shim: Option<PathBuf>,
    /// Where each launch's stderr goes, as `<launch id>.log`.
    pub logs_dir: PathBuf,
    /// Limit for one launch, from start to end.
    pub timeout: Duration,
    /// Set when the run shall stop.
    pub interrupted: Arc<AtomicBool>,
    /// Applied to what goes into logs and messages.
    pub redactor: Redactor,
    /// Variables of the environment that no child gets: the keys of servers.
    pub hidden_variables: Vec<String>,
}

/// A launch, carried out.
#[derive(Debug, Clone)]
pub struct Launched {
    /// Wall time of the whole launch.
    pub wall_ns: u64,
    /// The command line as it was started, with the port that it got in the end.
    pub argv: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// The run was interrupted; the launch in flight was killed and counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Launcher {
    /// Starts what `spec` describes, talks to it, and ends it.
    pub fn launch(&self, launch_id: &str, threads: u32, spec: &LaunchSpec) -> Result<Launched, Interrupted> {
        let started = Instant::now();
        let limits = Limits {
            deadline: started + self.timeout,
            timeout: self.timeout,
            interrupted: &self.interrupted,
            hidden_variables: &self.hidden_variables,
        };
        let log_path = self.logs_dir.join(format!("{launch_id}.log"));
        let mut stderr_tail = String::new();
        let mut spec = spec.clone();
        let (mut n_tried, mut n_again) = (1, 0);
        let result = loop {
            let started = Instant::now();
            match self.talk(&mut spec, &limits, started, log_path.clone(), &mut stderr_tail) {
                Err(Stop::Failed(failure)) if port::was_lost(&spec, &failure) => {
                    if n_tried == port::PORTS_MAX {
                        let message = format!("{}; its port was taken, {n_tried} times", failure.message);
                        break Err(Failure::new(failure.kind, message).into());
                    }
                    n_tried += 1;
                }
                Err(Stop::ColdEndedEarly(_)) if n_again < TRIES_MORE_MAX && replace_cold(&mut spec) => {
                    n_again += 1
                }
                Err(Stop::ColdEndedEarly(failure)) => {
                    let message = format!("{}; so did {n_again} other prompts before", failure.message);
                    break Err(Failure::new(failure.kind, message).into());
                }
                result => break result,
            }
        };
        let expected = Expected::of(&spec, threads);
        let outcome = match result.and_then(|measured| Ok(accept(&expected, measured)?)) {
            Ok(mut measured) => {
                self.make_printable(&mut measured);
                Outcome::Measured(Box::new(measured))
            }
            Err(Stop::Interrupted) => return Err(Interrupted),
            Err(Stop::Failed(failure) | Stop::ColdEndedEarly(failure)) => Outcome::Failed {
                kind: failure.kind,
                message: self.redactor.printable(&failure.message),
                stderr_tail,
            },
        };
        Ok(Launched { wall_ns: elapsed_ns(started), argv: spec.argv, outcome })
    }

    /// What a framework said of itself goes into bundles, and from there to pages and terminals.
    fn make_printable(&self, measured: &mut Measured) {
        let gates = measured.gates.iter_mut().map(|gate| &mut gate.seen);
        let told = [&mut measured.version, &mut measured.build].into_iter().chain(&mut measured.features);
        gates.chain(told).for_each(|text| *text = self.redactor.printable(text));
    }

    fn talk(
        &self,
        spec: &mut LaunchSpec,
        limits: &Limits,
        started: Instant,
        log_path: PathBuf,
        stderr_tail: &mut String,
    ) -> Result<Measured, Stop> {
        limits.check("its start")?;
        port::ensure_free(spec)?;
        let oom_kills_before = OomKills::read();
        let pipes = match spec.conversation {
            Conversation::Runner { .. } => Pipes::Both,
            Conversation::Batch { .. } => Pipes::Stdout,
            Conversation::Server(_) => Pipes::None,
        };
        if let Conversation::Server(talk) = &spec.conversation
            && talk.endpoint.is_running()
        {
            return server::talk(talk, None, limits, started);
        }
        let log = lines::Log { path: log_path, redactor: self.redactor.clone() };
        let mut child = ChildProcess::spawn(spec, self.shim.as_deref(), pipes, log, &self.hidden_variables)?;
        let result = match &spec.conversation {
            Conversation::Runner { job, self_reported_load } => {
                runner::talk(job, *self_reported_load, &mut child, limits, started)
            }
            Conversation::Server(talk) => server::talk(talk, Some(&mut child), limits, started),
            Conversation::Batch { parse, weights_class } => {
                batch::talk(*parse, *weights_class, &mut child, limits)
            }
        };
        let remains = child.end();
        *stderr_tail = remains.stderr_tail;
        result.map_err(|stop| match stop {
            Stop::Failed(failure) => {
                oom::classify(failure, remains.was_killed, oom_kills_before, OomKills::read()).into()
            }
            Stop::Interrupted | Stop::ColdEndedEarly(_) => stop,
        })
    }
}

/// Gives the cold request a spare prompt; whether there was one.
fn replace_cold(spec: &mut LaunchSpec) -> bool {
    let Conversation::Server(talk) = &mut spec.conversation else { return false };
    let Some((prompt, _)) = talk.requests.first_mut().filter(|_| !talk.spares.is_empty()) else {
        return false;
    };
    *prompt = talk.spares.remove(0);
    true
}

/// Gates, or the refusal of a launch with the wrong number of tokens.
fn accept(expected: &Expected, mut measured: Measured) -> Result<Measured, Failure> {
    check_lengths(expected, &measured)?;
    // A conversation has brought some, if it was told settings.
    measured.gates.extend(gates(expected, &measured));
    Ok(measured)
}

/// Why a conversation ended before its end.
#[derive(Debug)]
enum Stop {
    /// The run is to stop.
    Interrupted,
    /// The launch failed.
    Failed(Failure),
    /// A server ended the cold request by itself: the launch is to be made again with another prompt.
    ColdEndedEarly(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// When a launch has to end.
struct Limits<'a> {
    deadline: Instant,
    timeout: Duration,
    interrupted: &'a AtomicBool,
    /// See [`Launcher::hidden_variables`].
    hidden_variables: &'a [String],
}

impl Limits<'_> {
    /// Stops at the deadline or at an interrupt; `waiting_for` says what was due.
    fn check(&self, waiting_for: &str) -> Result<(), Stop> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Stop::Interrupted);
        }
        if Instant::now() >= self.deadline {
            let seconds = self.timeout.as_secs_f64();
            let message = format!("no end within {seconds} s, waiting for {waiting_for}");
            return Err(Failure::new(FailureKind::TimedOut, message).into());
        }
        Ok(())
    }

    /// Time left.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

fn elapsed_ns(since: Instant) -> u64 {
    ns(since.elapsed())
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, unix))]
mod tests;
