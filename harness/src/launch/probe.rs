//! One conversation with a runner, written down as it went, right or wrong: what `harness check-runner` judges. A
//! launch that measures ends at the first fault; here the runner may go on, so that all of them are seen.

use super::child::{ChildProcess, Pipes, describe_exit};
use super::lines::Log;
use super::sampler::{Sampler, Usage};
use super::{Interrupted, Launcher, Limits, Stop, elapsed_ns, ns};
use crate::framework::{Failure, LaunchSpec};
use crate::protocol::{Event, parse_event};
use std::time::{Duration, Instant};

/// How long a runner is watched that has said `bye` and must wait.
const WATCH: Duration = Duration::from_millis(300);
/// A runner that has said more lines than this is not listened to any longer.
const LINES_MAX: usize = 100_000;

/// What is done with the runner's stdin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// It is closed, and nothing was said.
    Nothing,
    /// It is closed after this line.
    LineThenEnd(String),
    /// It is kept open after this line, until some time after `bye`, or until the runner has nothing more to say.
    Line(String),
}

/// A line that the runner said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidLine {
    /// When its end was read, from the spawn of the process.
    pub at_ns: u64,
    /// Without its end.
    pub text: String,
}

/// How a runner ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// `None` after a signal.
    pub code: Option<i32>,
    /// `ended with exit code 3`
    pub how: String,
}

/// A conversation, as it went.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    /// The process could not be started, or did not come to its end in time: why. It was killed.
    pub failure: Option<String>,
    /// What it said on stdout.
    pub lines: Vec<SaidLine>,
    /// Whether it still ran a while after `bye`, its stdin being open; `None` without a `bye`, or with stdin closed.
    pub waited_after_bye: Option<bool>,
    /// How it ended by itself; `None` if it had to be killed.
    pub exit: Option<Exit>,
    /// Processes that left the runner's process group, seen at `bye`; `None` where the system does not tell.
    pub n_outside_group: Option<usize>,
    /// Memory and processor time.
    pub usage: Usage,
    /// The last lines of stderr.
    pub stderr_tail: String,
}

impl Launcher {
    /// Starts what `spec` describes, says `input`, and writes down what comes. `n_requests`: after so many samples the
    /// timed window ends.
    ///
    /// # Errors
    /// If the run was interrupted.
    pub fn probe(
        &self,
        launch_id: &str,
        spec: &LaunchSpec,
        input: &Input,
        n_requests: usize,
    ) -> Result<Transcript, Interrupted> {
        let started = Instant::now();
        let limits = Limits {
            deadline: started + self.timeout,
            timeout: self.timeout,
            interrupted: &self.interrupted,
            hidden_variables: &self.hidden_variables,
        };
        let log =
            Log { path: self.logs_dir.join(format!("{launch_id}.log")), redactor: self.redactor.clone() };
        let mut transcript = Transcript::default();
        let mut child =
            match ChildProcess::spawn(spec, self.shim.as_deref(), Pipes::Both, log, &self.hidden_variables) {
                Ok(child) => child,
                Err(Failure { message, .. }) => {
                    return Ok(Transcript { failure: Some(message), ..transcript });
                }
            };
        match input {
            Input::Nothing => child.close_stdin(),
            Input::Line(line) => child.send(format!("{line}\n")),
            Input::LineThenEnd(line) => {
                child.send(format!("{line}\n"));
                child.close_stdin();
            }
        }
        let holds_stdin = matches!(input, Input::Line(_));
        match converse(&mut child, &limits, started, (n_requests, holds_stdin), &mut transcript) {
            Ok(()) => {}
            Err(Stop::Interrupted) => return Err(Interrupted),
            Err(Stop::Failed(failure) | Stop::ColdEndedEarly(failure)) => {
                transcript.failure = Some(failure.message)
            }
        }
        transcript.stderr_tail = child.end().stderr_tail;
        Ok(transcript)
    }
}

fn converse(
    child: &mut ChildProcess,
    limits: &Limits,
    started: Instant,
    (n_requests, holds_stdin): (usize, bool),
    transcript: &mut Transcript,
) -> Result<(), Stop> {
    let sampler = Sampler::start(child.pid());
    let mut n_samples = 0;
    let (mut is_done, mut has_given_up) = (false, false);
    while !is_done && !has_given_up && transcript.lines.len() < LINES_MAX {
        let Some(line) = child.next_line(limits, "the runner's next line")? else { break };
        match parse_event(&line.text) {
            Ok(Event::Ready { .. }) => sampler.mark_ready(),
            Ok(Event::Sample(_)) => n_samples += 1,
            Ok(Event::Bye) => is_done = true,
            Ok(Event::Error { .. }) => has_given_up = true,
            _ => {}
        }
        if n_samples == n_requests {
            sampler.mark_answered();
        }
        let at_ns = ns(line.at.saturating_duration_since(started));
        transcript.lines.push(SaidLine { at_ns, text: line.text });
    }
    if is_done {
        transcript.n_outside_group = child.n_outside_group();
    }
    transcript.usage = sampler.finish();
    if is_done && holds_stdin {
        let watched = Instant::now();
        while watched.elapsed() < WATCH && !child.has_exited() {
            std::thread::sleep(Duration::from_millis(10));
        }
        transcript.waited_after_bye = Some(!child.has_exited());
    }
    child.let_go();
    if !child.has_exited() {
        return Ok(());
    }
    let status = child.wait(limits)?;
    transcript.exit = Some(Exit { code: status.code(), how: describe_exit(status) });
    // A process that got away may still hold its stdout open.
    let limits = Limits { deadline: Instant::now() + WATCH, ..*limits };
    while let (true, Ok(Some(line))) =
        (transcript.lines.len() < LINES_MAX, child.next_line(&limits, "the end of what it says"))
    {
        transcript.lines.push(SaidLine { at_ns: elapsed_ns(started), text: line.text });
    }
    Ok(())
}
