//! `harness runner fake`: a scripted framework. It computes nothing and waits for nothing: it reports the times that
//! its script says, and calls itself simulated. It ships with the product so that everything from run to report can
//! be tested without a framework, misbehaviour included.

use super::serve::{RunnerError, Speaker, read_job};
use crate::protocol::{Event, Job, SampleEvent, Verify, WeightsClass};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

/// A script: what the framework is like, and how it misbehaves.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Shown as `<version> (simulated)`.
    version: String,
    /// Load time.
    load_ms: f64,
    /// On one thread.
    prefill_tok_s: f64,
    /// On one thread.
    decode_tok_s: f64,
    /// Rates grow by threads to this power.
    #[serde(default)]
    thread_exponent: f64,
    /// Rates of a launch vary by ± this share, drawn from `seed` and the launch's id.
    #[serde(default)]
    jitter: f64,
    #[serde(default)]
    seed: u64,
    /// Real time that a launch takes, for tests that interrupt one.
    #[serde(default)]
    sleep_ms: u64,
    /// Ends with exit code 70 after this event: `start`, `hello`, `ready` or `sample`.
    crash_after: Option<String>,
    /// Never answers after `hello`.
    #[serde(default)]
    hang: bool,
    /// Prints something that is no event instead of a sample.
    #[serde(default)]
    garbage: bool,
    /// Tokens too many, or too few.
    #[serde(default)]
    wrong_length: i64,
    /// Ends as if all were well, without a sample.
    #[serde(default)]
    exit_early: bool,
    /// Reports this error instead of loading.
    error: Option<String>,
    /// Prompt tokens said to come from a cache.
    #[serde(default)]
    cached: u32,
    /// Another continuation of the verification prompt, and other distributions, than every other fake's.
    #[serde(default)]
    wrong_output: bool,
    /// Threads said to be in use, if not those asked for.
    threads_used: Option<u32>,
    /// Ends in the middle of its first sample's line.
    #[serde(default)]
    half_line: bool,
    /// Hangs in the middle of its first sample's line.
    #[serde(default)]
    hang_midway: bool,
    /// Is killed as the kernel does it when memory runs out, instead of giving a sample.
    #[serde(default)]
    killed: bool,
    /// Says so many MB on stderr once it is ready.
    #[serde(default)]
    stderr_mb: u32,
    /// Says so many MB in one line of stdout instead of a sample.
    #[serde(default)]
    stdout_mb: u32,
    /// Leaves processes behind: one in its own group, one in a session of its own, both without a parent.
    #[serde(default)]
    leave_children: bool,
    /// Computes on so many threads once it is ready, `spin_ms` of CPU time on each.
    #[serde(default)]
    spin_threads: u32,
    #[serde(default)]
    spin_ms: u64,
}

/// Exit code of a scripted crash.
const CRASH_CODE: i32 = 70;

impl Script {
    /// Reads a script.
    pub fn load(path: &Path) -> Result<Script, RunnerError> {
        let wrong =
            |e: &dyn std::fmt::Display| RunnerError::new("script", format!("{}: {e}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
        let script: Script = serde_yaml::from_str(&text).map_err(|e| wrong(&e))?;
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        if !is_positive(script.prefill_tok_s) || !is_positive(script.decode_tok_s) || script.load_ms < 0.0 {
            return Err(wrong(&"rates must be positive and load_ms not negative"));
        }
        Ok(script)
    }

    /// The factor on this launch's rates.
    fn pace(&self, launch_id: &str, threads: u32) -> f64 {
        let hash = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(launch_id).finalize();
        let draw = f64::from(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])) / f64::from(u32::MAX);
        (1.0 + self.jitter * (2.0 * draw - 1.0)) * f64::from(threads).powf(self.thread_exponent)
    }

    fn sample(&self, rep: u32, prompt: &[u32], n_generate: u32, pace: f64) -> SampleEvent {
        let n = (i64::from(n_generate) + self.wrong_length).max(0) as u32;
        let prefill_s = prompt.len() as f64 / (self.prefill_tok_s * pace);
        let at_ns = |i: u32| seconds_to_ns(prefill_s + f64::from(i) / (self.decode_tok_s * pace));
        SampleEvent {
            rep,
            n_prompt: prompt.len() as u32,
            n_cached: self.cached,
            prefill_ns: seconds_to_ns(prefill_s),
            token_ids: continuation(prompt, n),
            token_at_ns: (0..n).map(at_ns).collect(),
        }
    }

    /// At each position of the forced text a token that follows from what precedes it is the likeliest, the next ids
    /// are each a fifth less likely; a wrong output begins at the id after.
    fn distributions(&self, verify: &Verify) -> Vec<Vec<(u32, f32)>> {
        let position = |i: usize| {
            let text = [&verify.prompt[..], &verify.forced[..i]].concat();
            let first = continuation(&text, 1)[0] + u32::from(self.wrong_output);
            let entry = |j: u32| (first + j, (0.2f64.ln() + f64::from(j) * 0.8f64.ln()) as f32);
            (0..verify.top_k).map(entry).collect()
        };
        (0..verify.forced.len()).filter(|_| verify.top_k > 0).map(position).collect()
    }
}

/// Plays `script` as a runner. `Some(code)`: the process shall end with it, as a crash would.
pub fn play(
    script: &Script,
    launch_id: &str,
    mut input: impl BufRead,
    output: impl Write,
) -> Result<Option<i32>, RunnerError> {
    let mut speaker = Speaker { output };
    let job = read_job(&mut input)?;
    let crashes_after = |event: &str| script.crash_after.as_deref() == Some(event);
    if crashes_after("start") {
        return Ok(Some(CRASH_CODE));
    }
    speaker.say(&Event::Hello {
        framework: "fake".into(),
        version: format!("{} (simulated)", script.version),
        build: "scripted".into(),
        weights_class: WeightsClass::A,
        features: vec!["simulated".into()],
    })?;
    if crashes_after("hello") {
        return Ok(Some(CRASH_CODE));
    }
    if script.hang {
        hang();
    }
    if let Some(message) = &script.error {
        speaker.say(&Event::Error { kind: "scripted".into(), message: message.clone() })?;
        return Ok(Some(1));
    }
    let threads_used = script.threads_used.unwrap_or(job.threads);
    let load_ns = seconds_to_ns(script.load_ms / 1e3);
    speaker.say(&Event::Ready { load_ns, threads_used, settings: None })?;
    if crashes_after("ready") {
        eprintln!("fake: crashing as scripted");
        return Ok(Some(CRASH_CODE));
    }
    if script.exit_early {
        return Ok(None);
    }
    if let Some(code) = before_samples(script, &job, &mut speaker)? {
        return Ok(Some(code));
    }
    let ends_at_sample = answer(script, &job, launch_id, &mut speaker)?;
    if ends_at_sample {
        return Ok(Some(CRASH_CODE));
    }
    std::io::copy(&mut input, &mut std::io::sink()).map_err(|e| RunnerError::new("io", e))?;
    Ok(None)
}

/// What happens between `ready` and the first sample; `Some(code)` if the script ends there.
fn before_samples(
    script: &Script,
    job: &Job,
    speaker: &mut Speaker<impl Write>,
) -> Result<Option<i32>, RunnerError> {
    let io = |e| RunnerError::new("io", e);
    if script.leave_children {
        leave_children().map_err(io)?;
    }
    spin(script.spin_threads, Duration::from_millis(script.spin_ms));
    std::thread::sleep(Duration::from_millis(script.sleep_ms));
    let megabyte = vec![b'x'; 1_000_000];
    for _ in 0..script.stderr_mb {
        std::io::stderr().write_all(&megabyte).map_err(io)?;
    }
    for _ in 0..script.stdout_mb {
        speaker.output.write_all(&megabyte).map_err(io)?;
    }
    if script.garbage {
        speaker.say_text("llama_perf: 12.3 ms per token, and other things that are no event")?;
    }
    if script.half_line || script.hang_midway {
        let sample = Event::Sample(script.sample(0, &job.prompts[0], job.n_generate, 1.0));
        let line = serde_json::to_string(&sample).map_err(|e| RunnerError::new("internal", e))?;
        speaker.output.write_all(&line.as_bytes()[..line.len() / 2]).map_err(io)?;
        speaker.output.flush().map_err(io)?;
    }
    if script.hang_midway {
        hang();
    }
    if script.killed {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::KILL).map_err(|e| io(e.into()))?;
    }
    Ok(script.half_line.then_some(CRASH_CODE))
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Starts threads that each use so much CPU time and then wait for the end of the process; returns when all wait.
fn spin(n_threads: u32, cpu: Duration) {
    let (done, all_done) = std::sync::mpsc::channel();
    for _ in 0..n_threads {
        let done = done.clone();
        std::thread::spawn(move || {
            let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            while Duration::try_from(used()).is_ok_and(|used| used < cpu) {
                std::hint::spin_loop();
            }
            let _ = done.send(());
            hang();
        });
    }
    all_done.iter().take(n_threads as usize).for_each(drop);
}

/// Starts two processes whose parent ends at once. They hold stderr open, as a helper of a real framework does.
fn leave_children() -> std::io::Result<()> {
    let group = "sleep 300 &";
    let session = "setsid sleep 300 &";
    for script in [group, session] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.spawn()?.wait()?;
    }
    Ok(())
}

/// Samples, verification and bye; `true` if the script crashes after the first sample.
fn answer(
    script: &Script,
    job: &Job,
    launch_id: &str,
    speaker: &mut Speaker<impl Write>,
) -> Result<bool, RunnerError> {
    let pace = script.pace(launch_id, job.threads);
    for (rep, prompt) in (0..).zip(&job.prompts) {
        let is_cold = rep == 0 && job.cold_generate > 0;
        let n_generate = if is_cold { job.cold_generate } else { job.n_generate };
        speaker.say(&Event::Sample(script.sample(rep, prompt, n_generate, pace)))?;
        if script.crash_after.as_deref() == Some("sample") {
            return Ok(true);
        }
    }
    if let Some(verify) = &job.verify {
        let mut token_ids = continuation(&verify.prompt, verify.n_tokens);
        if script.wrong_output {
            token_ids.iter_mut().for_each(|id| *id += 1);
        }
        let forced_top = script.distributions(verify);
        speaker.say(&Event::Verified { token_ids, top_logits: vec![], forced_top })?;
    }
    speaker.say(&Event::Bye)?;
    Ok(false)
}

/// What every fake answers to `prompt`.
fn continuation(prompt: &[u32], n: u32) -> Vec<u32> {
    let start = prompt.iter().fold(0u32, |sum, id| sum.wrapping_mul(31).wrapping_add(*id)) % 1000;
    (0..n).map(|i| start + i).collect()
}

fn seconds_to_ns(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::Agreement;
    use crate::sample::Forced;

    fn script(text: &str) -> Script {
        let steady = "version: '1'\nload_ms: 100\nprefill_tok_s: 1000\ndecode_tok_s: 100\n";
        serde_yaml::from_str(&format!("{steady}{text}")).expect("valid")
    }

    #[test]
    fn times_follow_the_script() {
        let sample = script("").sample(1, &[5; 500], 3, 1.0);
        assert_eq!(sample.prefill_ns, 500_000_000);
        assert_eq!(sample.token_at_ns, [500_000_000, 510_000_000, 520_000_000]);
        assert_eq!(script("wrong_length: -3").sample(1, &[5; 5], 2, 1.0).token_ids.len(), 0);
    }

    #[test]
    fn jitter_is_drawn_from_seed_and_launch() {
        let jittery = script("jitter: 0.1");
        assert_eq!(jittery.pace("a", 1), jittery.pace("a", 1));
        assert_ne!(jittery.pace("a", 1), jittery.pace("b", 1));
        assert_ne!(jittery.pace("a", 1), script("jitter: 0.1\nseed: 1").pace("a", 1));
        assert!((0..100).map(|i| jittery.pace(&i.to_string(), 1)).all(|p| (0.9..=1.1).contains(&p)));
        assert_eq!(script("thread_exponent: 1").pace("a", 4), 4.0);
    }

    #[test]
    fn every_fake_tells_the_same_distributions_but_for_wrong_output() {
        let verify = Verify { prompt: vec![1, 2], n_tokens: 1, top_k: 64, forced: vec![5; 9] };
        let told = |script: Script| {
            Forced::checked(verify.forced.clone(), script.distributions(&verify)).expect("distributions")
        };
        let (right, wrong) = (told(script("")), told(script("wrong_output: true")));
        assert_eq!(right, told(script("jitter: 0.5")));
        assert_eq!((right.top.len(), right.top[0].len()), (9, 64));
        assert_ne!(right.top[0], right.top[1], "they follow the text");
        let agreement = Agreement::of(&right, &wrong).expect("the same text");
        assert!(!agreement.gate().expect("judged").passed, "{agreement:?}");
        let unasked = Verify { top_k: 0, ..verify.clone() };
        assert_eq!(script("").distributions(&unasked), [[]; 0]);
    }

    #[test]
    fn scripts_are_read_strictly() {
        assert!(serde_yaml::from_str::<Script>("version: '1'\nspeed: 3").is_err());
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("x.yaml");
        std::fs::write(&path, "version: x\nload_ms: 1\nprefill_tok_s: 0\ndecode_tok_s: 1").expect("written");
        let error = Script::load(&path).expect_err("no rate").to_string();
        assert!(error.ends_with("x.yaml: rates must be positive and load_ms not negative"), "{error}");
    }
}
