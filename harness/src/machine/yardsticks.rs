//! What the machine's memory and arithmetic can do, measured once, in a child process: the harness computes nothing itself.

use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How fast memory was read at one number of threads. Small pages; each thread walks 1, 2, 4 or 8 streams in turn, with and
/// without prefetches, over [`bandwidth_bytes`] of memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReadBandwidth {
    /// Threads.
    pub threads: u32,
    /// 10⁹ bytes per second: the best of all repetitions of all ways of reading.
    pub best_gb_s: f64,
    /// The median repetition of the way of reading that has the largest median.
    pub median_gb_s: f64,
    /// Streams of each thread in that way.
    pub streams: u32,
}

/// How fast the engine's kernels compute within the first cache, at one number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Threads.
    pub threads: u32,
    /// The level of instructions: `scalar`, `avx2`, `avx512vnni`, …
    pub level: String,
    /// 10⁹ f32 operations per second; a multiply-add is two. The best repetition.
    pub f32_gflop_s: f64,
    /// The same of products of four-bit weights with 8-bit activations.
    pub int8_gop_s: f64,
    /// The clock on all of these threads, 10⁹ Hz, by a chain of steps of one cycle each. Bundles of before 2026-11-28 lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ghz: Option<f64>,
}

/// Both, as `harness runner yardsticks` prints them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Yardsticks {
    /// By threads.
    pub read_bandwidth: Vec<ReadBandwidth>,
    /// By threads.
    pub peak: Vec<Peak>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum YardstickError {
    /// The child could not be started, or waited for.
    #[error("{}: cannot run: {source}", program.display())]
    Spawn {
        /// What was started.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It failed or was ended after too long a time.
    #[error("the child that measures the machine {how}: {stderr}")]
    Ended {
        /// `ended with exit status: 1`, `took more than 60 s`
        how: String,
        /// What it said.
        stderr: String,
    },
    /// It printed something else.
    #[error("the child that measures the machine printed something else: {0}")]
    Garbage(serde_json::Error),
}

/// For how long the child may measure.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks whether it has ended.
const TICK: Duration = Duration::from_millis(20);
const BYTES_MIN: u64 = 256 << 20;
const BYTES_MAX: u64 = 1 << 30;

/// How much memory is read: four times all last caches, but at least 256 MiB and at most 1 GiB.
pub fn bandwidth_bytes(last_cache_bytes_total: Option<u64>) -> u64 {
    last_cache_bytes_total.unwrap_or(0).saturating_mul(4).clamp(BYTES_MIN, BYTES_MAX)
}

/// Runs `harness runner yardsticks` at each number of threads in `threads`; `harness` is this program's file.
///
/// # Errors
/// If the child cannot be run, fails, takes more than a minute, or prints something else.
pub fn measure_in_child(harness: &Path, threads: &[u32], bytes: u64) -> Result<Yardsticks, YardstickError> {
    let threads: Vec<String> = threads.iter().map(u32::to_string).collect();
    let bytes = bytes.to_string();
    let mut command = Command::new(harness);
    command.args(["runner", "yardsticks", "--threads", &threads.join(","), "--bytes", &bytes]);
    // Not by a level that somebody set for something else.
    command.env_remove(engine::simd::LEVEL_VARIABLE).stdin(Stdio::null());
    let out = output_within(command, TIMEOUT)?;
    serde_json::from_slice(&out).map_err(YardstickError::Garbage)
}

fn output_within(mut command: Command, timeout: Duration) -> Result<Vec<u8>, YardstickError> {
    let program = PathBuf::from(command.get_program());
    let failed = |source| YardstickError::Spawn { program: program.clone(), source };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let deadline = Instant::now() + timeout;
    // What it prints is far smaller than a pipe's buffer: it cannot block before it ends.
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                let _ = child.kill();
                let _ = child.wait();
                let how = format!("took more than {} s", timeout.as_secs());
                return Err(YardstickError::Ended { how, stderr: said(&mut child) });
            }
            None => std::thread::sleep(TICK),
        }
    };
    if !status.success() {
        return Err(YardstickError::Ended { how: format!("ended with {status}"), stderr: said(&mut child) });
    }
    let mut out = Vec::new();
    child.stdout.take().map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut out)).map_err(failed)?;
    Ok(out)
}

fn said(child: &mut Child) -> String {
    let mut text = String::new();
    // Bytes that are not UTF-8 lose the message, not the error.
    let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut text));
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_well_beyond_the_caches() {
        assert_eq!(bandwidth_bytes(None), 256 << 20);
        assert_eq!(bandwidth_bytes(Some(16 << 20)), 256 << 20);
        assert_eq!(bandwidth_bytes(Some(100 << 20)), 400 << 20);
        assert_eq!(bandwidth_bytes(Some(u64::MAX)), 1 << 30);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = measure_in_child(Path::new("/no/such/harness"), &[1], 1 << 28).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/harness: cannot run: "), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_fails_hangs_or_babbles_is_an_error() {
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            command
        };
        let minute = Duration::from_secs(60);
        let failed = output_within(shell("echo no memory >&2; exit 3"), minute).unwrap_err().to_string();
        assert!(failed.ends_with("ended with exit status: 3: no memory"), "{failed}");
        let hung = output_within(shell("exec sleep 600"), Duration::ZERO).unwrap_err().to_string();
        assert!(hung.contains("took more than 0 s"), "{hung}");
        assert_eq!(output_within(shell("printf abc"), minute).unwrap(), b"abc");
    }
}
