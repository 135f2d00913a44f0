//! A long step of a setup: a program that runs to its end, with its last line and the time shown, all of it logged.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Lines of the log quoted when a step fails.
const TAIL_LINES: usize = 15;
/// A sign of life quotes this much of the last line.
const LINE_CHARS_MAX: usize = 120;
/// Where there is no terminal, a sign of life this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(200);

/// The steps of one framework's setup, and their log.
#[derive(Debug)]
pub(super) struct Steps {
    id: String,
    log_path: PathBuf,
    log: File,
}

impl Steps {
    /// Starts a new log in `logs_dir`; that of the setup before is replaced.
    pub(super) fn start(id: &str, logs_dir: &Path) -> Result<Self> {
        Self::logged(id, logs_dir, &format!("setup-{id}.log"))
    }

    /// Starts the log `file_name`.
    pub(super) fn logged(id: &str, logs_dir: &Path, file_name: &str) -> Result<Self> {
        std::fs::create_dir_all(logs_dir)
            .with_context(|| format!("{}: cannot create", logs_dir.display()))?;
        let log_path = logs_dir.join(file_name);
        let log =
            File::create(&log_path).with_context(|| format!("{}: cannot create", log_path.display()))?;
        Ok(Self { id: id.to_owned(), log_path, log })
    }

    /// Says something about the setup, to people and to the log.
    pub(super) fn say(&mut self, text: &str) {
        eprintln!("{}: {text}", self.id);
        // A log that cannot be written does not stop the work.
        let _ = writeln!(self.log, "== {text}");
    }

    /// Runs `command` to its end and returns what it printed. It fails unless the command succeeds.
    pub(super) fn run(&mut self, title: &str, command: &mut Command) -> Result<String> {
        let started = Instant::now();
        let program = command.get_program().to_string_lossy().into_owned();
        let _ = writeln!(self.log, "== {title}: {command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{title}: {program} cannot be started"))?;
        let (sender, lines) = channel();
        let readers = [
            child.stdout.take().map(|pipe| forward_lines(pipe, sender.clone())),
            child.stderr.take().map(|pipe| forward_lines(pipe, sender)),
        ];
        let mut display = Display::new(&self.id, title);
        let output = collect(&lines, &mut self.log, &mut display);
        for reader in readers.into_iter().flatten() {
            let _ = reader.join();
        }
        let status = child.wait().with_context(|| format!("{title}: cannot wait for {program}"))?;
        display.finish(status.success(), started.elapsed());
        self.judge(title, &program, status, output)
    }

    fn judge(&self, title: &str, program: &str, status: ExitStatus, output: Vec<String>) -> Result<String> {
        if status.success() {
            return Ok(output.join("\n"));
        }
        let tail = output[output.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        bail!(
            "{title}: {program} failed ({status}); the full log is {}; its last lines:\n  {tail}",
            self.log_path.display()
        )
    }
}

/// Takes lines until both pipes are closed.
fn collect(lines: &Receiver<String>, log: &mut File, display: &mut Display) -> Vec<String> {
    let mut output = Vec::new();
    loop {
        match lines.recv_timeout(TICK) {
            Ok(line) => {
                let _ = writeln!(log, "{line}");
                display.show(&line);
                output.push(line);
            }
            Err(RecvTimeoutError::Timeout) => display.tick(),
            Err(RecvTimeoutError::Disconnected) => return output,
        }
    }
}

/// Sends each line of `pipe`, as text; a carriage return ends one too, as progress bars use it.
fn forward_lines(pipe: impl Read + Send + 'static, lines: Sender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut line = Vec::new();
        let flush = |line: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            line.clear();
            text.is_empty() || lines.send(text).is_ok()
        };
        for byte in BufReader::new(pipe).bytes().map_while(Result::ok) {
            if !matches!(byte, b'\n' | b'\r') {
                line.push(byte);
            } else if !flush(&mut line) {
                return;
            }
        }
        flush(&mut line);
    })
}

/// One step on the screen: a line that changes on a terminal, now and then a line elsewhere.
#[derive(Debug)]
struct Display {
    id: String,
    title: String,
    bar: Option<ProgressBar>,
    started: Instant,
    said: Instant,
    last_line: String,
}

impl Display {
    fn new(id: &str, title: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(format!("{id}: {title}"));
            bar
        });
        if bar.is_none() {
            eprintln!("{id}: {title} …");
        }
        let now = Instant::now();
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            bar,
            started: now,
            said: now,
            last_line: String::new(),
        }
    }

    fn show(&mut self, line: &str) {
        line.clone_into(&mut self.last_line);
        if let Some(bar) = &self.bar {
            bar.set_message(line.to_owned());
        }
        self.tick();
    }

    fn tick(&mut self) {
        if let Some(bar) = &self.bar {
            bar.tick();
        } else if self.said.elapsed() >= PLAIN_INTERVAL {
            self.said = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            let line: String = self.last_line.chars().take(LINE_CHARS_MAX).collect();
            eprintln!("{}: {} … {seconds} s: {line}", self.id, self.title);
        }
    }

    fn finish(&self, succeeded: bool, elapsed: Duration) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let word = if succeeded { "done" } else { "failed" };
        eprintln!("{}: {} {word} in {:.1} s", self.id, self.title, elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_step_returns_what_was_printed_and_logs_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = Steps::start("x", dir.path()).unwrap();
        assert_eq!(
            steps.run("counting", &mut sh("printf 'one\\rtwo\\n\\nthree'")).unwrap(),
            "one\ntwo\nthree"
        );
        let log = std::fs::read_to_string(dir.path().join("setup-x.log")).unwrap();
        assert!(log.contains("== counting") && log.ends_with("one\ntwo\nthree\n"), "{log}");
    }

    #[test]
    fn a_failure_names_the_log_and_quotes_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = Steps::start("x", dir.path()).unwrap();
        let script = "for i in $(seq 40); do echo line $i; done; exit 3";
        let message = steps.run("counting", &mut sh(script)).unwrap_err().to_string();
        assert!(message.contains("exit status: 3") && message.contains("setup-x.log"), "{message}");
        assert!(message.contains("line 40") && message.contains("line 26"), "{message}");
        assert!(!message.contains("line 25"), "{message}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = Steps::start("x", dir.path()).unwrap();
        let error = steps.run("building", &mut Command::new("/nonexistent/cmake")).unwrap_err();
        assert!(format!("{error:#}").contains("building: /nonexistent/cmake cannot be started"), "{error:#}");
    }
}
