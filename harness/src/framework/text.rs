//! Prompts as text, for servers that take no ids: only where the text is read back as exactly these ids.

use super::Failure;
use crate::sample::FailureKind;
use engine::Tokenizer;
use engine::tokenizer::EncodeOptions;

/// As a server reads a text: with the special tokens that the model wants around it.
const AS_SERVERS_READ: EncodeOptions = EncodeOptions { add_special: true, parse_special: false };

/// The text that a server reads as `ids`; the BOS that it puts before the text itself stands in the ids, not in the
/// text.
///
/// # Errors
/// If there is no such text: ids that are no words, or another vocabulary.
pub fn text_of(tokenizer: &Tokenizer, ids: &[u32]) -> Result<String, Failure> {
    let unsupported = |message: &str| Failure::new(FailureKind::Unsupported, message);
    let text = String::from_utf8(tokenizer.decode(without_bos(tokenizer, ids)))
        .map_err(|_| unsupported("the text of a prompt is not UTF-8, and this server takes no ids"))?;
    if tokenizer.encode(text.as_bytes(), AS_SERVERS_READ) != ids {
        let message =
            "a prompt is not read back from its text as the same ids, and this server takes only text";
        return Err(unsupported(message));
    }
    Ok(text)
}

/// The ids of `continuation`, which continues `prompt`, as the tokenizer cuts the whole.
pub fn continuation_ids(tokenizer: &Tokenizer, prompt: &str, continuation: &str) -> Vec<u32> {
    let before = tokenizer.encode(prompt.as_bytes(), AS_SERVERS_READ);
    let all = tokenizer.encode(format!("{prompt}{continuation}").as_bytes(), AS_SERVERS_READ);
    let n_equal = before.iter().zip(&all).take_while(|(a, b)| a == b).count();
    all[n_equal..].to_vec()
}

/// Whether servers put BOS before each text.
pub fn shares_bos(tokenizer: &Tokenizer) -> bool {
    tokenizer.adds_bos()
}

fn without_bos<'a>(tokenizer: &Tokenizer, ids: &'a [u32]) -> &'a [u32] {
    match tokenizer.bos().filter(|_| tokenizer.adds_bos()) {
        Some(bos) => ids.strip_prefix(&[bos]).unwrap_or(ids),
        None => ids,
    }
}

/// Ordinary words of a vocabulary: of them a prompt can be made that is a text too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    ids: Vec<u32>,
    bos: Option<u32>,
}

/// Fewer words make no prompts.
const WORDS_MIN: usize = 64;

impl Words {
    /// The tokens among `ids` that are a space and lower-case letters, and that the tokenizer gives for that text.
    /// `None` with fewer than 64 of them.
    pub fn of(tokenizer: &Tokenizer, ids: std::ops::Range<u32>) -> Option<Words> {
        let is_word = |id: &u32| {
            let letters = tokenizer.piece(*id, false).strip_prefix(b" ");
            letters.is_some_and(|l| l.len() > 1 && l.iter().all(u8::is_ascii_lowercase))
                && reads_back(tokenizer, &[*id])
        };
        let ids: Vec<u32> = ids.filter(is_word).collect();
        let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        (ids.len() >= WORDS_MIN).then_some(Words { ids, bos })
    }

    /// Their ids, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// What stands before the words of each prompt.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }
}

/// Whether the text of `ids` is read as `ids`, special tokens aside.
pub fn reads_back(tokenizer: &Tokenizer, ids: &[u32]) -> bool {
    tokenizer.encode(&tokenizer.decode(ids), EncodeOptions::default()) == ids
}
