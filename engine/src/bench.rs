//! Timing prefill and decode, with the tests and the meaning of llama-bench: random ids, sampling not timed.

use crate::error::{Error, ErrorKind, Result};
use crate::model::Model;
use crate::session::{Session, SessionOptions};
use std::time::Instant;

/// One test: a prompt of `n_prompt` or a generation of `n_gen` tokens, after `depth` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Test {
    /// Prompt tokens, or 0.
    pub n_prompt: usize,
    /// Generated tokens, or 0.
    pub n_gen: usize,
    /// Tokens in the cache before.
    pub depth: usize,
    /// Threads.
    pub threads: usize,
}

/// A test's rates.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Measurement {
    /// `pp256`, `tg64`, `tg64@d1024`
    pub test: String,
    /// Prompt tokens.
    pub n_prompt: usize,
    /// Generated tokens.
    pub n_gen: usize,
    /// Tokens in the cache before.
    pub depth: usize,
    /// Threads.
    pub threads: usize,
    /// Bytes ahead that decode asks for weights, as was fastest with so many threads; `None` where it asks for none.
    pub prefetch_bytes: Option<usize>,
    /// Tokens per second of each repetition.
    pub samples_tok_s: Vec<f64>,
    /// Their median.
    pub median_tok_s: f64,
}

impl Test {
    /// As llama-bench names it.
    pub fn name(&self) -> String {
        let name =
            if self.n_prompt > 0 { format!("pp{}", self.n_prompt) } else { format!("tg{}", self.n_gen) };
        if self.depth > 0 { format!("{name}@d{}", self.depth) } else { name }
    }
}

/// Runs a test `repetitions` times after one that does not count.
///
/// # Errors
/// If the test does not fit the model's context.
pub fn run(model: &Model, test: Test, repetitions: usize) -> Result<Measurement> {
    let n = test.n_prompt + test.n_gen;
    if n == 0 || repetitions == 0 {
        return Err(Error::new(ErrorKind::Request, "a test needs tokens and at least one repetition"));
    }
    let options = SessionOptions {
        context: Some(test.depth + n),
        threads: Some(test.threads),
        ..SessionOptions::default()
    };
    let mut session = model.session(options)?;
    let mut ids = Ids { state: 0x9e37_79b9, n_vocab: model.config().n_vocab as u32 };
    if test.depth > 0 {
        session.prefill(&ids.take(test.depth))?;
    }
    once(&mut session, &mut ids, test)?;
    let mut samples_tok_s = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        samples_tok_s.push(n as f64 / once(&mut session, &mut ids, test)?);
    }
    let mut sorted = samples_tok_s.clone();
    sorted.sort_by(f64::total_cmp);
    let median_tok_s = (sorted[(repetitions - 1) / 2] + sorted[repetitions / 2]) / 2.0;
    let Test { n_prompt, n_gen, depth, threads } = test;
    let (test, prefetch_bytes) = (test.name(), session.prefetch_bytes());
    Ok(Measurement { test, n_prompt, n_gen, depth, threads, prefetch_bytes, samples_tok_s, median_tok_s })
}

/// Seconds for one repetition.
fn once(session: &mut Session, ids: &mut Ids, test: Test) -> Result<f64> {
    session.truncate(test.depth);
    let prompt = ids.take(test.n_prompt);
    let generated = ids.take(test.n_gen);
    let started = Instant::now();
    if !prompt.is_empty() {
        session.prefill(&prompt)?;
    }
    for id in generated {
        session.decode(id)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Token ids by a linear congruential generator (Knuth).
struct Ids {
    state: u64,
    n_vocab: u32,
}

impl Ids {
    fn take(&mut self, n: usize) -> Vec<u32> {
        let mut next = || {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.state >> 33) as u32 % self.n_vocab
        };
        (0..n).map(|_| next()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_llama_bench() {
        let test = Test { n_prompt: 256, n_gen: 0, depth: 0, threads: 1 };
        assert_eq!(test.name(), "pp256");
        assert_eq!(Test { n_prompt: 0, n_gen: 64, depth: 1024, ..test }.name(), "tg64@d1024");
    }
}
