//! What a framework would have said next along a text that it was given: teacher forcing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How far the probabilities of a list may add up beyond 1. llama.cpp sums its softmax in 32 bits: over a vocabulary of
/// 49152 its probabilities were seen to add up to 1.00014.
const SUM_EXCESS_MAX: f64 = 1e-2;

/// The likeliest next tokens at each position of a given text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forced {
    /// The text, which continues the verification prompt: \[n_positions\].
    pub token_ids: Vec<u32>,
    /// For each `i` what was likeliest after the prompt and `token_ids[..i]`: ids with their natural log-probabilities
    /// over the whole vocabulary, largest first. \[n_positions\], or empty where the framework does not tell them.
    pub top: Vec<Vec<(u32, f32)>>,
}

impl Forced {
    /// What a framework told of a text; `top` is empty if it told nothing.
    ///
    /// # Errors
    /// If there is not one list for each position, or a list is no distribution: empty, an id that comes twice, a value
    /// that is no log-probability, values that are not in order or add up to more than 1.
    pub fn checked(token_ids: Vec<u32>, top: Vec<Vec<(u32, f32)>>) -> Result<Forced, String> {
        if !top.is_empty() && top.len() != token_ids.len() {
            return Err(format!("{} distributions instead of {}", top.len(), token_ids.len()));
        }
        for (position, list) in top.iter().enumerate() {
            check_list(list).map_err(|why| format!("the distribution at position {position} {why}"))?;
        }
        Ok(Forced { token_ids, top })
    }

    /// Whether the framework told its distributions.
    pub fn is_told(&self) -> bool {
        !self.top.is_empty()
    }
}

fn check_list(list: &[(u32, f32)]) -> Result<(), String> {
    if list.is_empty() {
        return Err("is empty".into());
    }
    let ids: BTreeSet<u32> = list.iter().map(|entry| entry.0).collect();
    if ids.len() < list.len() {
        return Err("has an id twice".into());
    }
    if let Some((id, value)) = list.iter().find(|(_, value)| value.is_nan()) {
        return Err(format!("has {value} for id {id}"));
    }
    if list.windows(2).any(|pair| pair[1].1 > pair[0].1) {
        return Err("is not in order, largest first".into());
    }
    let sum: f64 = list.iter().map(|&(_, value)| f64::from(value).exp()).sum();
    if sum > 1.0 + SUM_EXCESS_MAX {
        return Err(format!("adds up to {sum:.3}: not log-probabilities"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(token_ids: &[u32], top: &[&[(u32, f32)]]) -> String {
        let top = top.iter().map(|list| list.to_vec()).collect();
        Forced::checked(token_ids.to_vec(), top).expect_err("refused")
    }

    #[test]
    fn only_distributions_are_taken() {
        let half = 0.5f32.ln();
        let fair = vec![vec![(3, half), (1, half)], vec![(7, -1.0)]];
        assert!(Forced::checked(vec![5, 6], fair.clone()).expect("fair").is_told());
        assert!(!Forced::checked(vec![5, 6], vec![]).expect("nothing told").is_told());
        assert_eq!(refusal(&[5], &[&fair[0], &fair[1]]), "2 distributions instead of 1");
        assert_eq!(refusal(&[5], &[&[]]), "the distribution at position 0 is empty");
        assert_eq!(
            refusal(&[5], &[&[(1, -1.0), (1, -2.0)]]),
            "the distribution at position 0 has an id twice"
        );
        assert_eq!(
            refusal(&[5, 6], &[&fair[0], &[(1, f32::NAN)]]),
            "the distribution at position 1 has NaN for id 1"
        );
        let unordered: &[(u32, f32)] = &[(1, -2.0), (2, -1.0)];
        assert_eq!(
            refusal(&[5], &[unordered]),
            "the distribution at position 0 is not in order, largest first"
        );
        let logits: &[(u32, f32)] = &[(1, 12.0), (2, 11.0)];
        assert!(refusal(&[5], &[logits]).ends_with("not log-probabilities"));
    }
}
