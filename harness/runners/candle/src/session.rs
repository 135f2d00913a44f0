//! A model in candle and the greedy loop over it.

use crate::elapsed_ns;
use crate::protocol::RunnerError;
use anyhow::{Context, Result};
use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::{MAX_SEQ_LEN, ModelWeights};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

/// A loaded model; every request starts from an empty cache.
pub(crate) struct Session {
    model: ModelWeights,
    context: usize,
}

/// What one request gave; times count from its start.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) prefill_ns: u64,
    pub(crate) token_ids: Vec<u32>,
    pub(crate) token_at_ns: Vec<u64>,
    pub(crate) top_logits: Vec<Vec<(u32, f32)>>,
}

impl Session {
    /// Reads the model. candle allocates KV positions as it goes, so that `context` is only a limit here.
    pub(crate) fn load(path: &Path, context: u32) -> Result<Self> {
        let context = context as usize;
        if context > MAX_SEQ_LEN {
            let message = format!("context {context} is more than candle's limit of {MAX_SEQ_LEN} positions");
            return Err(RunnerError::new("unsupported", message).into());
        }
        let file = File::open(path).map_err(|e| model_error(path, &e))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let content = gguf_file::Content::read(&mut reader).map_err(|e| model_error(path, &e))?;
        let architecture = content.metadata.get("general.architecture").and_then(|v| v.to_string().ok());
        if architecture.is_none_or(|a| a != "llama") {
            let message = format!(
                "{}: candle's quantized_llama reads the architecture `llama`, this is `{}`",
                path.display(),
                architecture.map_or("(none)", String::as_str)
            );
            return Err(RunnerError::new("unsupported", message).into());
        }
        let device = Device::Cpu;
        let model = device
            .with_context(|| ModelWeights::from_gguf(content, &mut reader, &device))
            .map_err(|e| model_error(path, &e))?;
        Ok(Self { model, context })
    }

    /// The `top_k` likeliest tokens after `prompt` and after each token of `forced` but the last, with their natural
    /// log-probabilities over the whole vocabulary; nothing where none are wanted.
    pub(crate) fn distributions(
        &mut self,
        prompt: &[u32],
        forced: &[u32],
        top_k: u32,
    ) -> Result<Vec<Vec<(u32, f32)>>> {
        if top_k == 0 || forced.is_empty() {
            return Ok(Vec::new());
        }
        self.check_room(prompt, forced.len())?;
        self.model.clear_kv_cache();
        let device = Device::Cpu;
        let model = &mut self.model;
        device.with_context(|| {
            let logits = forward(model, prompt, 0, &device)?;
            let mut all = vec![largest_log_probabilities(&logits, top_k as usize)];
            for (i, &token) in forced[..forced.len() - 1].iter().enumerate() {
                let logits = forward(model, &[token], prompt.len() + i, &device)?;
                all.push(largest_log_probabilities(&logits, top_k as usize));
            }
            Ok(all)
        })
    }

    /// Refuses what does not fit the context.
    fn check_room(&self, prompt: &[u32], n_more: usize) -> Result<()> {
        if prompt.is_empty() || prompt.len() + n_more > self.context {
            let message = format!(
                "a prompt of {} tokens and {n_more} more do not fit a context of {}",
                prompt.len(),
                self.context
            );
            return Err(RunnerError::new("unsupported", message).into());
        }
        Ok(())
    }

    /// Processes `prompt` in one batch, then generates `n_generate` tokens greedily, past any end of sequence.
    pub(crate) fn generate(&mut self, prompt: &[u32], n_generate: u32, top_k: u32) -> Result<Answer> {
        self.check_room(prompt, n_generate as usize)?;
        self.model.clear_kv_cache();
        let device = Device::Cpu;
        // candle's own pool, kept awake between the many short parallel sections of a pass.
        device.with_context(|| decode(&mut self.model, prompt, n_generate, top_k as usize, &device))
    }
}

fn decode(
    model: &mut ModelWeights,
    prompt: &[u32],
    n_generate: u32,
    top_k: usize,
    device: &Device,
) -> Result<Answer> {
    let mut answer = Answer::default();
    let start = Instant::now();
    let mut logits = forward(model, prompt, 0, device)?;
    answer.prefill_ns = elapsed_ns(start);
    for i in 0..n_generate as usize {
        let token = argmax(&logits)?;
        answer.token_ids.push(token);
        answer.token_at_ns.push(elapsed_ns(start));
        if top_k > 0 {
            answer.top_logits.push(largest(&logits, top_k));
        }
        if i + 1 < n_generate as usize {
            logits = forward(model, &[token], prompt.len() + i, device)?;
        }
    }
    Ok(answer)
}

/// Logits after the last of `ids`, which stand at `position` onwards.
fn forward(model: &mut ModelWeights, ids: &[u32], position: usize, device: &Device) -> Result<Vec<f32>> {
    let ids = Tensor::new(ids, device)?.unsqueeze(0)?; // [1, n]
    let logits = model.forward(&ids, position).with_context(|| format!("at position {position}"))?; // [1, n_vocab]
    Ok(logits.squeeze(0)?.to_vec1::<f32>()?)
}

/// Index of the largest logit, the first of equals.
fn argmax(logits: &[f32]) -> Result<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (id, &value) in logits.iter().enumerate() {
        if best.is_none_or(|(_, b)| value > b) && !value.is_nan() {
            best = Some((id, value));
        }
    }
    let (id, _) = best.context("candle gave no logit that is a number")?;
    Ok(u32::try_from(id)?)
}

/// The `top_k` largest logits, largest first; the smaller id first of equals.
fn largest(logits: &[f32], top_k: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(top_k);
    all
}

/// The `top_k` largest natural log-probabilities of the softmax over all `logits`, largest first.
fn largest_log_probabilities(logits: &[f32], top_k: usize) -> Vec<(u32, f32)> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - most).exp()).sum();
    let of = |logit: f32| (f64::from(logit - most) - sum.ln()) as f32;
    largest(logits, top_k).into_iter().map(|(id, logit)| (id, of(logit))).collect()
}

fn model_error(path: &Path, cause: &dyn std::fmt::Display) -> RunnerError {
    RunnerError::new("model", format!("{}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals_and_no_nan() {
        assert_eq!(argmax(&[0.0, 2.0, 2.0]).unwrap(), 1);
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NAN]).unwrap(), 1);
        assert!(argmax(&[f32::NAN]).is_err());
    }

    #[test]
    fn largest_comes_in_order() {
        assert_eq!(largest(&[1.0, 3.0, 2.0, 3.0], 3), [(1, 3.0), (3, 3.0), (2, 2.0)]);
    }

    #[test]
    fn log_probabilities_are_over_all_logits() {
        let told = largest_log_probabilities(&[0.0, 3f32.ln(), 0.0], 2);
        assert_eq!((told[0].0, told[1].0), (1, 0));
        assert!((f64::from(told[0].1).exp() - 0.6).abs() < 1e-6, "{told:?}");
        assert!((f64::from(told[1].1).exp() - 0.2).abs() < 1e-6, "{told:?}");
    }

    #[test]
    fn too_long_a_context_is_unsupported() {
        let error = Session::load(Path::new("/nowhere"), 4097).err().unwrap();
        assert_eq!(RunnerError::kind_of(&error), "unsupported");
        let error = Session::load(Path::new("/nowhere"), 4096).err().unwrap();
        assert_eq!(RunnerError::kind_of(&error), "model");
    }
}
