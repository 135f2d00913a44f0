//! One child process in a group of its own.

use super::lines::{Line, Log, read_lines, spawn_drain};
use super::sweep::{end_marked, n_outside, new_mark};
use super::{INTERRUPT_POLL, Limits, Stop, TICK};
use crate::framework::{Failure, LaunchSpec};
use crate::machine::topology::cpu_list;
use crate::sample::FailureKind;
use crate::system::{CAN_CHOOSE_PROCESSORS, MARK};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long a child that has nothing more to do may take to exit.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// How long the end of stderr may take once the processes are gone. Only a process that got away can hold it open.
const STDERR_GRACE: Duration = Duration::from_secs(10);

/// Which of the child's streams the launcher talks on; stdout goes to the log where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipes {
    Both,
    Stdout,
    None,
}

/// Variables that tune a framework from outside; a launch gets only those that its description sets.
const TUNING_PREFIXES: [&str; 5] = ["LLAMA_ARG_", "GGML_", "OMP_", "ENGINE_", "OLLAMA_"];

fn tuning_variables(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    names.filter(|name| {
        TUNING_PREFIXES.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    })
}

/// A running child; dropped, its whole group is killed.
pub(super) struct ChildProcess {
    child: Child,
    /// Lines of stdout as they come; disconnected at its end.
    stdout: Option<Receiver<Line>>,
    /// Dropped to close stdin.
    stdin_hold: Option<Sender<()>>,
    stderr_tail: Receiver<String>,
    /// See `sweep.rs`.
    mark: String,
    /// Of a child that ended by itself and was reaped.
    status: Option<ExitStatus>,
    is_ended: bool,
}

/// What is left of a child.
pub(super) struct Remains {
    /// The last lines of stderr.
    pub(super) stderr_tail: String,
    /// Whether somebody else ended it with SIGKILL.
    pub(super) was_killed: bool,
}

impl ChildProcess {
    pub(super) fn spawn(
        spec: &LaunchSpec,
        shim: Option<&Path>,
        pipes: Pipes,
        log: Log,
        hidden_variables: &[String],
    ) -> Result<ChildProcess, Failure> {
        let failed = |what: &str, error: std::io::Error| {
            Failure::new(FailureKind::Spawn, format!("cannot start {what}: {error}"))
        };
        let program = spec.argv.first().map_or("", String::as_str);
        if shim.is_some() && program.contains('/') && !Path::new(program).is_file() {
            return Err(Failure::new(FailureKind::Missing, format!("{program}: no such file")));
        }
        let mut command = command(spec, shim)?;
        let mark = new_mark();
        let (stderr_reader, stderr) = std::io::pipe().map_err(|e| failed("a pipe", e))?;
        tuning_variables(std::env::vars_os().map(|(name, _)| name)).for_each(|name| {
            command.env_remove(name);
        });
        hidden_variables.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(&spec.env).env(MARK, &mark).process_group(0);
        command.stdin(if pipes == Pipes::Both { Stdio::piped() } else { Stdio::null() });
        if pipes == Pipes::None {
            command.stdout(stderr.try_clone().map_err(|e| failed("a pipe", e))?);
        } else {
            command.stdout(Stdio::piped());
        }
        command.stderr(stderr);
        let mut child = command.spawn().map_err(|e| failed(program, e))?;
        drop(command); // closes this end of the stderr pipe
        Ok(ChildProcess {
            stdout: child.stdout.take().map(read_lines),
            child,
            stdin_hold: None,
            stderr_tail: spawn_drain(stderr_reader, log),
            mark,
            status: None,
            is_ended: false,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes `text` to stdin, from a thread because the child may not read, and keeps stdin open.
    pub(super) fn send(&mut self, text: String) {
        let Some(mut stdin) = self.child.stdin.take() else { return };
        let (hold, released) = channel();
        self.stdin_hold = Some(hold);
        std::thread::spawn(move || {
            if stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).is_ok() {
                let _ = released.recv(); // ends when the sender is dropped
            }
        });
    }

    /// Closes stdin, after what was sent.
    pub(super) fn close_stdin(&mut self) {
        self.child.stdin = None;
        self.stdin_hold = None;
    }

    /// Processes of this launch that are not in its process group; `None` where the system does not tell.
    pub(super) fn n_outside_group(&self) -> Option<usize> {
        n_outside(&self.mark, self.pid())
    }

    /// The next line of stdout, `None` at its end.
    pub(super) fn next_line(&mut self, limits: &Limits, waiting_for: &str) -> Result<Option<Line>, Stop> {
        let Some(stdout) = &self.stdout else { return Ok(None) };
        loop {
            limits.check(waiting_for)?;
            match stdout.recv_timeout(INTERRUPT_POLL.min(limits.left())) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Whether the process has ended; it is not reaped yet, so its group id stays its own.
    pub(super) fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match self.group() {
            Some(pid) => !matches!(waitid(WaitId::Pid(pid), options), Ok(None)),
            None => true,
        }
    }

    /// Waits for the end of the process; `false` if it takes longer than `limit`.
    pub(super) fn wait_exit(&self, limit: Duration) -> bool {
        let start = Instant::now();
        while !self.has_exited() {
            if start.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// The failure of a child that ended, or closed its stdout, when `due` was due.
    pub(super) fn ended_early(&mut self, due: &str) -> Failure {
        if !self.wait_exit(EXIT_GRACE) {
            return Failure::garbage(format!("closed its output before {due}"));
        }
        self.kill_group();
        let how = match self.child.wait() {
            Ok(status) => {
                self.status = Some(status);
                describe_exit(status)
            }
            Err(error) => format!("ended, how is not known ({error})"),
        };
        self.is_ended = true;
        Failure::new(FailureKind::Crashed, format!("{how} before {due}"))
    }

    /// The exit status of a child that ran to its end within `limits`.
    pub(super) fn wait(&mut self, limits: &Limits) -> Result<ExitStatus, Stop> {
        while !self.wait_exit(TICK) {
            limits.check("its exit")?;
        }
        self.kill_group();
        self.is_ended = true;
        let status = self.child.wait().map_err(|e| Failure::new(FailureKind::Crashed, e.to_string()))?;
        self.status = Some(status);
        Ok(status)
    }

    /// Closes stdin and lets the child exit by itself, for a while.
    pub(super) fn let_go(&mut self) {
        self.stdin_hold = None;
        self.wait_exit(EXIT_GRACE);
    }

    /// Ends the child with everything that it started.
    pub(super) fn end(mut self) -> Remains {
        self.finish();
        let killed = Some(Signal::KILL.as_raw());
        Remains {
            stderr_tail: self.stderr_tail.recv_timeout(STDERR_GRACE).unwrap_or_else(|_| {
                "(what it said is not known: a process that it left behind still has its stderr)".into()
            }),
            was_killed: self.status.is_some_and(|status| status.signal() == killed),
        }
    }

    fn finish(&mut self) {
        if !self.is_ended {
            self.kill_group();
            let _ = self.child.wait();
            self.is_ended = true;
        }
        end_marked(&self.mark);
        self.stdin_hold = None;
        self.stdout = None;
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Must not be called after the child was reaped: its id could be another's by then.
    fn kill_group(&self) {
        if let Some(pid) = self.group() {
            kill_group(pid);
        }
    }
}

/// The command that becomes the framework: directly, or by way of `harness launch-child`.
fn command(spec: &LaunchSpec, shim: Option<&Path>) -> Result<Command, Failure> {
    let unsupported = |why: &str| Failure::new(FailureKind::Unsupported, why);
    let Some(shim) = shim else {
        if spec.cpus.is_some() {
            return Err(unsupported("processors can be chosen only by way of `harness launch-child`"));
        }
        let (program, arguments) = spec.argv.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
        let mut command = Command::new(program);
        command.args(arguments);
        return Ok(command);
    };
    let mut command = Command::new(shim);
    command.args(["launch-child", &std::process::id().to_string()]);
    if let Some(cpus) = &spec.cpus {
        if !CAN_CHOOSE_PROCESSORS {
            return Err(unsupported("this system cannot keep a program on chosen processors; choose none"));
        }
        command.args(["--cpus", &cpu_list(&cpus.iter().copied().collect())]);
    }
    command.arg("--").args(&spec.argv);
    Ok(command)
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Kills a process group. That it is gone already is fine.
pub(super) fn kill_group(pid: Pid) {
    let _ = kill_process_group(pid, Signal::KILL);
}

/// How a process ended, for a person, with the remedy where there is one.
pub(super) fn describe_exit(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return format!("ended with exit code {code}");
    }
    let Some(number) = status.signal() else { return "ended".into() };
    let names = [
        (
            Signal::ILL,
            "SIGILL: an instruction that this machine does not allow; built for another processor?",
        ),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL: out of memory, or killed by hand"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::TERM, "SIGTERM"),
    ];
    match names.iter().find(|(signal, _)| signal.as_raw() == number) {
        Some((_, name)) => format!("was ended by signal {number} ({name})"),
        None => format!("was ended by signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_tune_are_told_from_others() {
        let names =
            ["PATH", "LLAMA_ARG_THREADS", "OMP_NUM_THREADS", "ENGINE_SIMD", "ENGINE", "MY_OMP_X", "GGML_X"];
        let found: Vec<OsString> = tuning_variables(names.into_iter().map(OsString::from)).collect();
        assert_eq!(found, ["LLAMA_ARG_THREADS", "OMP_NUM_THREADS", "ENGINE_SIMD", "GGML_X"]);
    }
}
