//! Prompts: token ids drawn from a seed. The tokenizer is not measured, and no two requests begin alike, so that no
//! prefix cache can help.

use crate::framework::text::{Words, reads_back};
use crate::scenario::Workload;
use engine::Tokenizer;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Ids below this are control tokens and single bytes in the vocabularies that we know.
pub const RESERVED_LOW: u32 = 300;
/// As many ids at the end of a vocabulary may be added special tokens.
pub const RESERVED_HIGH: u32 = 64;

/// Draws of a word that may follow another, before the other is said again.
const WORD_TRIES: u32 = 16;

/// The ids that prompts are made of, for a vocabulary of `vocab_size`: ordinary tokens only. In a vocabulary too small
/// for the usual reserves (those of test models) a quarter is left out below and an eighth above.
pub fn ordinary_ids(vocab_size: u32) -> Range<u32> {
    let low = RESERVED_LOW.min(vocab_size / 4);
    let high = RESERVED_HIGH.min(vocab_size / 8);
    low..vocab_size - high
}

/// One prompt of `workload.prompt_tokens` ids for each of `n_requests` requests. The same arguments give the same
/// prompts for every framework; the first ids of all requests differ as long as there are as many ordinary ids.
pub fn prompts(seed: u64, workload: &Workload, n_requests: u32, vocab_size: u32) -> Vec<Vec<u32>> {
    draw(
        seed,
        &format!("prompt {}", workload.name),
        n_requests,
        workload.prompt_tokens,
        ordinary_ids(vocab_size),
    )
}

/// Which launch prompts of words are for: no two launches of a row get the same ones, because a server may keep what it
/// has seen from one launch to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchIdx {
    /// Block, from 0.
    pub block: u32,
    /// Index into the scenario's thread counts.
    pub threads_idx: u32,
    /// How many thread counts there are.
    pub n_threads: u32,
    /// The second half of the control pair.
    pub is_control: bool,
}

/// Prompts of words, for scenarios in which a server takes only text: as long as [`prompts`], each with the BOS that
/// servers put before a text, and the same for every framework. The first words of all launches of a workload differ
/// as long as there are as many words. Two words that the tokenizer would not cut apart do not follow each other.
pub fn word_prompts(
    seed: u64,
    workload: &Workload,
    launch: LaunchIdx,
    n_requests: u32,
    tokenizer: &Tokenizer,
    words: &Words,
) -> Vec<Vec<u32>> {
    let ids = words.ids();
    let n_ids = ids.len() as u32;
    let launch_idx =
        (launch.block * launch.n_threads + launch.threads_idx) * 2 + u32::from(launch.is_control);
    let offset = below(&mut rng(seed, &format!("words {}", workload.name)), n_ids);
    let mut rng = rng(seed, &format!("words {} {launch_idx}", workload.name));
    let prompt = |request: u32| {
        let first = offset + u64::from(launch_idx) * u64::from(n_requests) + u64::from(request);
        let mut prompt: Vec<u32> = words.bos().into_iter().collect();
        prompt.push(ids[(first % u64::from(n_ids)) as usize]);
        while prompt.len() < workload.prompt_tokens as usize {
            let before = prompt[prompt.len() - 1];
            let mut tries = (0..WORD_TRIES).map(|_| ids[below(&mut rng, n_ids) as usize]);
            let word = tries.find(|&word| reads_back(tokenizer, &[before, word]));
            prompt.push(word.unwrap_or(before));
        }
        prompt.truncate(workload.prompt_tokens as usize);
        prompt
    };
    (0..n_requests).map(prompt).collect()
}

/// The prompt whose greedy continuation is compared with the reference's: the same for all workloads.
pub fn verification_prompt(seed: u64, n_tokens: u32, vocab_size: u32) -> Vec<u32> {
    draw(seed, "verify", 1, n_tokens, ordinary_ids(vocab_size)).swap_remove(0)
}

/// Random ids that continue the verification prompt, for teacher forcing where there is no text to force.
pub fn verification_continuation(seed: u64, n_tokens: u32, vocab_size: u32) -> Vec<u32> {
    draw(seed, "forced", 1, n_tokens, ordinary_ids(vocab_size)).swap_remove(0)
}

fn draw(seed: u64, purpose: &str, n_requests: u32, n_tokens: u32, ids: Range<u32>) -> Vec<Vec<u32>> {
    let n_ids = ids.len().max(1) as u32;
    let mut rng = rng(seed, purpose);
    let offset = below(&mut rng, n_ids);
    let prompt = |request: u32| {
        let first = (offset + u64::from(request)) % u64::from(n_ids);
        let rest = (1..n_tokens).map(|_| below(&mut rng, n_ids));
        std::iter::once(first).chain(rest).take(n_tokens as usize).map(|id| ids.start + id as u32).collect()
    };
    (0..n_requests).map(prompt).collect()
}

/// A generator for one purpose: another purpose or seed gives an unrelated one.
pub(crate) fn rng(seed: u64, purpose: &str) -> ChaCha8Rng {
    let hash = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(purpose.as_bytes()).finalize();
    ChaCha8Rng::from_seed(hash.into())
}

/// A number below `n`, by multiplication: at most n / 2^64 from uniform.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u32) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn workload(name: &str, prompt_tokens: u32) -> Workload {
        Workload { name: name.to_owned(), prompt_tokens, generate_tokens: 1, context: prompt_tokens + 1 }
    }

    #[test]
    fn the_same_seed_gives_the_same_prompts_for_ever() {
        let made = prompts(1, &workload("chat", 6), 2, 32_000);
        assert_eq!(made, prompts(1, &workload("chat", 6), 2, 32_000));
        assert_ne!(made, prompts(2, &workload("chat", 6), 2, 32_000));
        assert_ne!(made, prompts(1, &workload("talk", 6), 2, 32_000));
        assert_eq!(made, GOLDEN, "published runs could no longer be repeated");
    }

    const GOLDEN: [[u32; 6]; 2] =
        [[7352, 27417, 1965, 20894, 680, 15496], [7353, 20746, 28004, 13818, 643, 9957]];

    #[test]
    fn prompts_of_words_are_texts_and_no_two_begin_alike() {
        let tokenizer = crate::framework::testing::tiny_tokenizer();
        let words = Words::of(&tokenizer, ordinary_ids(512)).expect("enough words");
        let w = workload("chat", 12);
        let launch = |block, is_control| LaunchIdx { block, threads_idx: 0, n_threads: 1, is_control };
        let made = |launch| word_prompts(1, &w, launch, 3, &tokenizer, &words);
        let all = [made(launch(0, false)), made(launch(0, true)), made(launch(1, false))].concat();
        for prompt in &all {
            assert_eq!((prompt.len(), prompt.first().copied()), (12, tokenizer.bos()));
            crate::framework::text::text_of(&tokenizer, prompt).expect("a text");
        }
        let firsts: std::collections::BTreeSet<u32> = all.iter().map(|prompt| prompt[1]).collect();
        assert_eq!(firsts.len(), all.len(), "what a server kept of one prompt is of no use for another");
        assert_eq!(made(launch(1, false)), all[6..], "the same for every framework");
        assert_ne!(word_prompts(2, &w, launch(0, false), 3, &tokenizer, &words), all[..3]);
    }

    #[test]
    fn small_vocabularies_still_have_ordinary_ids() {
        assert_eq!(ordinary_ids(32_000), 300..31_936);
        assert_eq!(ordinary_ids(256), 64..224);
        assert_eq!(ordinary_ids(1), 0..1);
    }

    #[test]
    fn more_requests_begin_with_the_same_prompts() {
        let w = workload("chat", 5);
        assert_eq!(prompts(1, &w, 1, 500)[0], prompts(1, &w, 4, 500)[0]);
    }

    proptest! {
        #[test]
        fn ids_are_ordinary_and_beginnings_differ(
            seed: u64, n_requests in 1u32..40, n_tokens in 1u32..40, vocab_size in 100u32..200_000,
        ) {
            let made = prompts(seed, &workload("w", n_tokens), n_requests, vocab_size);
            prop_assert_eq!(made.len(), n_requests as usize);
            let ids = ordinary_ids(vocab_size);
            for p in &made {
                prop_assert_eq!(p.len(), n_tokens as usize);
                prop_assert!(p.iter().all(|id| ids.contains(id)));
            }
            let firsts: std::collections::BTreeSet<u32> = made.iter().map(|p| p[0]).collect();
            prop_assert_eq!(firsts.len(), made.len());
        }
    }
}
