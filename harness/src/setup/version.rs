//! Asking a program for its version.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const TIME_LIMIT: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Why a program did not give its version.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It could not be started, or not be waited for.
    #[error("it cannot be started: {0}")]
    Start(#[from] std::io::Error),
    /// It did not end.
    #[error("it did not give its version within {} s", TIME_LIMIT.as_secs())]
    TimedOut,
    /// It failed; what it said is quoted.
    #[error("it failed when asked for its version ({status}): {said}")]
    Failed {
        /// Exit status.
        status: std::process::ExitStatus,
        /// The first line.
        said: String,
    },
    /// No version in its answer.
    #[error("no version in its answer: {0}")]
    Unclear(String),
}

/// Starts `program` with `args` (`--version`) and reads the version out of what it prints.
pub fn ask_version(program: &Path, args: &[&str]) -> Result<String, AskError> {
    let (status, text) = ask(program, args)?;
    let said = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
    match parse_version(&text) {
        _ if !status.success() => Err(AskError::Failed { status, said }),
        Some(version) => Ok(version),
        None => Err(AskError::Unclear(said)),
    }
}

/// Starts `program` with `args` (`--help`) and returns what it prints, stdout first. Its exit status does not count:
/// some programs fail when they have helped.
pub fn ask_help(program: &Path, args: &[&str]) -> Result<String, AskError> {
    ask(program, args).map(|(_, text)| text)
}

fn ask(program: &Path, args: &[&str]) -> Result<(ExitStatus, String), AskError> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // Read while it runs: a help is longer than a pipe.
    let readers = [child.stdout.take().map(read_all), child.stderr.take().map(read_all)];
    let status = wait(&mut child)?;
    let read = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    let bytes: Vec<u8> = readers.into_iter().flatten().flat_map(read).collect();
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what it said.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn wait(child: &mut Child) -> Result<ExitStatus, AskError> {
    let deadline = Instant::now() + TIME_LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(AskError::TimedOut);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The version in what a program prints of itself.
///
/// llama.cpp says `version: 4589 (eb7cf15a)`, and since it has release numbers `version: 0.6.0 (build 11434, commit …)`;
/// the build is what its releases are known by, unless it was built outside a checkout, where it is 0.
fn parse_version(text: &str) -> Option<String> {
    if let Some(rest) = text.lines().find_map(|line| line.trim().strip_prefix("version: ")) {
        let number = |s: &str| s.parse::<u64>().ok().filter(|&n| n > 0);
        let build = rest.split_once("(build ").and_then(|(_, after)| after.split([',', ')']).next());
        let first = rest.split_whitespace().next()?;
        return Some(match build.and_then(number).or_else(|| number(first)) {
            Some(n) => format!("b{n}"),
            None => first.to_owned(),
        });
    }
    let words = text.split_whitespace().map(|word| word.trim_matches(['(', ')', ',', ';']));
    words.map(|word| word.strip_prefix('v').unwrap_or(word)).find(|word| is_version(word)).map(str::to_owned)
}

fn is_version(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.contains('.')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(parse_version(text).as_deref(), expected);
    }

    #[test]
    fn versions_are_read_out_of_what_programs_say() {
        check("version: 0.6.0-dev (build 0, commit unknown)\nbuilt with GNU 12.2.0 for x", Some("0.6.0-dev"));
        check("noise\nversion: 0.6.0 (build 11434, commit abc)\n", Some("b11434"));
        check("version: 4589 (eb7cf15a)\nbuilt with cc (Debian 12.2.0) 12.2.0", Some("b4589"));
        check("candle 0.11.1 (candle-runner 0.1.0; release, x86_64: avx2)", Some("0.11.1"));
        check("ollama version is 0.12.6", Some("0.12.6"));
        check("Python 3.11.7\n", Some("3.11.7"));
        check("tool v1.2.3-rc1\n", Some("1.2.3-rc1"));
        check("usage: tool [options]", None);
        check("", None);
    }

    #[test]
    fn a_program_is_asked() {
        let sh = Path::new("/bin/sh");
        assert_eq!(ask_version(sh, &["-c", "echo x 1.2 >&2"]).unwrap(), "1.2");
        assert!(matches!(ask_version(sh, &["-c", "echo no"]), Err(AskError::Unclear(_))));
        let failed = ask_version(sh, &["-c", "echo library missing; exit 127"]).unwrap_err().to_string();
        assert!(failed.contains("127") && failed.ends_with("library missing"), "{failed}");
        assert!(matches!(ask_version(Path::new("/nonexistent"), &[]), Err(AskError::Start(_))));
        // Longer than a pipe holds, and failed when it had helped.
        let help =
            ask_help(sh, &["-c", "head -c 300000 /dev/zero | tr '\\0' x; echo -y >&2; exit 1"]).unwrap();
        assert_eq!((help.len(), help.ends_with("-y\n")), (300_003, true));
    }
}
