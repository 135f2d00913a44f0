//! Choosing the next token from the logits.
//!
//! The order is llama.cpp's default chain, as far as it goes: penalties → top-k → top-p → min-p →
//! temperature → draw. Everything is computed in f64 with our own exponential and our own
//! generator, in a fixed order, so that a seed gives the same tokens on every machine.

mod math;
mod rng;

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};

use crate::{Error, ErrorKind, Result};
use math::exp;
use rng::Rng;

/// How to choose. The default is greedy.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerOptions {
    /// Divides the logits before the draw; 0 takes the best token and draws nothing.
    pub temperature: f32,
    /// Keep the k best tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest best tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Keep the tokens at least this fraction as probable as the best; 0 keeps all.
    pub min_p: f32,
    /// Positive logits of recent tokens are divided by this, others multiplied; 1 changes nothing.
    pub repeat_penalty: f32,
    /// How many tokens count as recent.
    pub repeat_last_n: usize,
    /// Where the generator starts.
    pub seed: u64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            seed: 0,
        }
    }
}

impl SamplerOptions {
    fn validate(&self) -> Result<()> {
        // Negated, so that NaN fails too.
        let within = |name: &str, value: f32, ok: bool, range: &str| match ok {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Request, format!("{name} must be {range} (got {value})"))),
        };
        let (t, penalty) = (self.temperature, self.repeat_penalty);
        within("temperature", t, t >= 0.0 && t.is_finite(), "at least 0 and finite")?;
        within("top_p", self.top_p, (0.0..=1.0).contains(&self.top_p), "between 0 and 1")?;
        within("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "between 0 and 1")?;
        within("repeat_penalty", penalty, penalty > 0.0 && penalty.is_finite(), "above 0 and finite")
    }
}

/// A token that may be chosen.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    logit: f32,
}

/// Chooses token after token; it remembers what was accepted.
#[derive(Debug)]
pub struct Sampler {
    options: SamplerOptions,
    rng: Rng,
    recent: VecDeque<u32>,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// # Errors
    /// `Request` if an option is NaN or out of its range.
    pub fn new(options: SamplerOptions) -> Result<Self> {
        options.validate()?;
        let rng = Rng::new(options.seed);
        Ok(Self { options, rng, recent: VecDeque::new(), candidates: Vec::new() })
    }

    /// Tells the sampler that `id` is part of the text now: of the prompt, or chosen.
    pub fn accept(&mut self, id: u32) {
        self.recent.push_back(id);
        if self.recent.len() > self.options.repeat_last_n {
            self.recent.pop_front();
        }
    }

    /// The next token; penalties change `logits` in place. NaN never wins; among equals the lowest
    /// id is the better. Without any logit that is a number the answer is 0.
    pub fn sample(&mut self, logits: &mut [f32]) -> u32 {
        self.penalize(logits);
        if self.options.temperature == 0.0 {
            return argmax(logits);
        }
        self.candidates.clear();
        let all = logits.iter().zip(0u32..).map(|(&logit, id)| Candidate { id, logit });
        self.candidates.extend(all.filter(|candidate| !candidate.logit.is_nan()));
        self.top_k();
        self.top_p();
        self.min_p();
        self.draw()
    }

    fn penalize(&self, logits: &mut [f32]) {
        let penalty = self.options.repeat_penalty;
        if penalty == 1.0 {
            return;
        }
        for &id in &self.recent.iter().collect::<HashSet<_>>() {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit = if *logit <= 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
    }

    fn top_k(&mut self) {
        let k = self.options.top_k;
        if k == 0 || k >= self.candidates.len() {
            return;
        }
        self.candidates.select_nth_unstable_by(k, better_first);
        self.candidates.truncate(k);
    }

    fn top_p(&mut self) {
        if self.options.top_p >= 1.0 || self.candidates.is_empty() {
            return;
        }
        self.candidates.sort_unstable_by(better_first);
        let max = self.candidates[0].logit;
        let weight = |candidate: &Candidate| weight(candidate.logit, max, 1.0);
        let wanted = f64::from(self.options.top_p) * self.candidates.iter().map(weight).sum::<f64>();
        let mut sum = 0.0;
        let enough = self.candidates.iter().position(|candidate| {
            sum += weight(candidate);
            sum >= wanted
        });
        self.candidates.truncate(enough.map_or(self.candidates.len(), |last| last + 1));
    }

    fn min_p(&mut self) {
        if self.options.min_p > 0.0 {
            let (max, least) = (max(&self.candidates), f64::from(self.options.min_p));
            self.candidates.retain(|candidate| weight(candidate.logit, max, 1.0) >= least);
        }
    }

    /// Draws by the softmax of logit ÷ temperature, walking from the best token down.
    fn draw(&mut self) -> u32 {
        self.candidates.sort_unstable_by(better_first);
        let Some(best) = self.candidates.first().copied() else { return 0 };
        let temperature = f64::from(self.options.temperature);
        let weight = |candidate: &Candidate| weight(candidate.logit, best.logit, temperature);
        let total: f64 = self.candidates.iter().map(weight).sum();
        let mut left = self.rng.unit() * total;
        for candidate in &self.candidates {
            left -= weight(candidate);
            if left < 0.0 {
                return candidate.id;
            }
        }
        best.id
    }
}

/// e^((logit − max) ÷ temperature); of infinite logits the highest alone count.
fn weight(logit: f32, max: f32, temperature: f64) -> f64 {
    match logit == max {
        true => 1.0,
        false => exp((f64::from(logit) - f64::from(max)) / temperature),
    }
}

fn better_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.id.cmp(&b.id))
}

fn max(candidates: &[Candidate]) -> f32 {
    candidates.iter().map(|candidate| candidate.logit).fold(f32::NEG_INFINITY, f32::max)
}

/// The id of the largest logit, the lowest of equals; NaN never wins. 0 if there is none.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best: Option<Candidate> = None;
    for (&logit, id) in logits.iter().zip(0u32..) {
        if !logit.is_nan() && best.is_none_or(|best| logit > best.logit) {
            best = Some(Candidate { id, logit });
        }
    }
    best.map_or(0, |best| best.id)
}

#[cfg(test)]
mod tests;
