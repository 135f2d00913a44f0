//! `candle-runner`: drives candle through the harness's runner protocol, version 1.
//!
//! One job comes as a JSON line on stdin, events go as JSON lines to stdout; after `bye` the program waits until
//! stdin is closed. Nothing is tuned here that candle's own users could not have: its SIMD is what the compiler
//! was told to build for, its threads are those of `RAYON_NUM_THREADS` and `CANDLE_NUM_THREADS`.
#![forbid(unsafe_code)]

mod flags;
mod protocol;
mod session;

use anyhow::{Context, Result};
use protocol::{Event, Job, PROTOCOL_VERSION, RunnerError, Sample, Settings, send};
use session::Session;
use std::io::{BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!(
            "candle {} (candle-runner {}; {})",
            flags::CANDLE_VERSION,
            env!("CARGO_PKG_VERSION"),
            flags::build()
        );
        return ExitCode::SUCCESS;
    }
    match catch_unwind(AssertUnwindSafe(serve)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(RunnerError::kind_of(&error), &format!("{error:#}")),
        Err(panic) => fail("internal", &format!("panicked: {}", panic_text(panic.as_ref()))),
    }
}

/// The whole conversation: hello, ready, one sample for each prompt, verified, bye.
fn serve() -> Result<()> {
    send(&Event::Hello {
        framework: "candle",
        version: flags::CANDLE_VERSION,
        build: &flags::build(),
        weights_class: "A",
        features: &flags::features(),
    })?;
    let mut stdin = std::io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line).context("cannot read the job from stdin")?;
    let job = parse_job(&line)?;
    let threads_used = check_threads(job.threads)?;

    let loading = Instant::now();
    let mut session = Session::load(job.model.path.as_ref(), job.context)?;
    let load_ns = elapsed_ns(loading);
    send(&Event::Ready { load_ns, threads_used, settings: settings(&job) })?;

    for (rep, prompt) in job.prompts.iter().enumerate() {
        let cold = rep == 0 && job.cold_generate > 0;
        if rep == 0 || (rep == 1 && job.cold_generate > 0) {
            send(&Event::Phase { name: if cold { "cold" } else { "sample" } })?;
        }
        let n_generate = if cold { job.cold_generate } else { job.n_generate };
        let answer = session.generate(prompt, n_generate, 0)?;
        send(&Event::Sample(Sample {
            rep: u32::try_from(rep)?,
            n_prompt: u32::try_from(prompt.len())?,
            n_cached: 0,
            prefill_ns: answer.prefill_ns,
            token_ids: answer.token_ids,
            token_at_ns: answer.token_at_ns,
        }))?;
    }
    if let Some(verify) = &job.verify {
        send(&Event::Phase { name: "verify" })?;
        let answer = session.generate(&verify.prompt, verify.n_tokens, verify.top_k)?;
        let forced_top = session.distributions(&verify.prompt, &verify.forced, verify.top_k)?;
        let (token_ids, top_logits) = (answer.token_ids, answer.top_logits);
        send(&Event::Verified { token_ids, top_logits, forced_top })?;
    }
    send(&Event::Bye)?;
    // The launcher reads this process's high-water marks now, while it is alive.
    stdin.read_to_end(&mut Vec::new()).context("cannot wait for stdin to close")?;
    Ok(())
}

fn settings(job: &Job) -> Settings {
    Settings {
        context: job.context,
        // The rotated keys, and the values, are kept as the matrix products of quantized weights give them.
        kv_type: "f32",
        model_bytes: std::fs::metadata(&job.model.path).ok().map(|meta| meta.len()),
    }
}

fn parse_job(line: &str) -> Result<Job> {
    if line.trim().is_empty() {
        return Err(RunnerError::new("protocol", "stdin closed without a job").into());
    }
    let job: Job = serde_json::from_str(line)
        .map_err(|e| RunnerError::new("protocol", format!("the job cannot be read: {e}")))?;
    if job.protocol != PROTOCOL_VERSION {
        let message =
            format!("this runner speaks protocol {PROTOCOL_VERSION}, the job is of {}", job.protocol);
        return Err(RunnerError::new("protocol", message).into());
    }
    Ok(job)
}

/// candle takes its thread counts from the environment when its pools start, so that a job cannot change them.
fn check_threads(wanted: u32) -> Result<u32> {
    let rayon = candle_core::utils::get_num_threads();
    let barrier = candle_core::utils::barrier_pool().n_workers() + 1;
    if rayon != wanted as usize || barrier != wanted as usize {
        let message = format!(
            "the job asks for {wanted} threads, candle would use {rayon} (rayon) and {barrier} (matrix products): \
             start this runner with RAYON_NUM_THREADS={wanted} CANDLE_NUM_THREADS={wanted}"
        );
        return Err(RunnerError::new("unsupported", message).into());
    }
    Ok(wanted)
}

fn elapsed_ns(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Says what went wrong in the protocol; where even that fails the exit code has to do.
fn fail(kind: &str, message: &str) -> ExitCode {
    if let Err(error) = send(&Event::Error { kind, message }) {
        eprintln!("candle-runner: {message} (and the event could not be sent: {error:#})");
    }
    ExitCode::FAILURE
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"{"protocol":1,"model":{"path":"/m.gguf","sha256":"00"},"prompts":[[1,2]],"cold_generate":0,
        "n_generate":2,"context":64,"threads":1,"kv_type":"f16","batch":512,"verify":null,"unknown":true}"#;

    #[test]
    fn reads_a_job_and_ignores_what_it_does_not_know() {
        let job = parse_job(JOB).unwrap();
        assert_eq!(job.prompts, [[1, 2]]);
        assert!(job.verify.is_none());
    }

    #[test]
    fn a_verification_may_come_with_a_text_to_force_and_without() {
        let forced = |verify: &str| {
            let job = parse_job(&JOB.replace("\"verify\":null", &format!("\"verify\":{verify}"))).unwrap();
            job.verify.unwrap().forced
        };
        assert_eq!(forced(r#"{"prompt":[1],"n_tokens":2,"top_k":3}"#), [0; 0]);
        assert_eq!(forced(r#"{"prompt":[1],"n_tokens":2,"top_k":3,"forced":[7,8]}"#), [7, 8]);
    }

    #[test]
    fn refuses_what_is_not_a_job_of_this_protocol() {
        for (line, said) in [
            ("", "without a job"),
            ("{}", "missing field"),
            (&JOB.replace("\"protocol\":1", "\"protocol\":2"), "protocol 1, the job is of 2"),
        ] {
            let error = parse_job(line).err().unwrap();
            assert_eq!(RunnerError::kind_of(&error), "protocol");
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn panics_have_a_text() {
        let caught = catch_unwind(|| panic!("with {}", 1)).unwrap_err();
        assert_eq!(panic_text(caught.as_ref()), "with 1");
    }
}
