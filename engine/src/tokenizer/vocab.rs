//! What a GGUF file says about its vocabulary, checked.

use foldhash::{HashSet, HashSetExt};

use crate::gguf::caps::MAX_VOCAB;
use crate::{Error, ErrorKind, Result};

/// What GGUF's `tokenizer.ggml.*` keys say. Empty `scores` or `types` mean that the key is absent.
#[derive(Debug, Clone, Default)]
pub struct Vocab {
    /// `model`: `llama` for SPM, `gpt2` for BPE.
    pub model: String,
    /// `pre`: the pre-tokenizer of a BPE model.
    pub pre: Option<String>,
    /// `tokens`: the pieces as the file writes them (`▁the`, `Ġthe`, `<0x0A>`).
    pub tokens: Vec<Vec<u8>>,
    /// `scores`, one a token: SPM merges the highest first.
    pub scores: Vec<f32>,
    /// `token_type`, one a token.
    pub types: Vec<TokenType>,
    /// `merges`, best first: two pieces with a space between.
    pub merges: Vec<Vec<u8>>,
    /// `bos_token_id`
    pub bos: Option<u32>,
    /// `eos_token_id`
    pub eos: Option<u32>,
    /// `eot_token_id`
    pub eot: Option<u32>,
    /// `eom_token_id`
    pub eom: Option<u32>,
    /// `unknown_token_id`
    pub unk: Option<u32>,
    /// `fim_pad_token_id`
    pub fim_pad: Option<u32>,
    /// `fim_rep_token_id`
    pub fim_rep: Option<u32>,
    /// `fim_sep_token_id`
    pub fim_sep: Option<u32>,
    /// `add_bos_token`
    pub add_bos: Option<bool>,
    /// `add_eos_token`
    pub add_eos: Option<bool>,
    /// `add_space_prefix`
    pub add_space_prefix: Option<bool>,
    /// `general.name`: Phi-3 models swallow the spaces after a special token, and only this tells.
    pub model_name: Option<String>,
}

/// The kind of a token, as numbered in `tokenizer.ggml.token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// 0, or a number without meaning.
    Undefined,
    /// 1: ordinary text.
    Normal,
    /// 2: stands for what the vocabulary cannot express.
    Unknown,
    /// 3: marks the prompt's structure; never text.
    Control,
    /// 4: text that is matched before everything else.
    UserDefined,
    /// 5: reserved.
    Unused,
    /// 6: one byte, written `<0xXX>`.
    Byte,
}

impl From<i32> for TokenType {
    fn from(number: i32) -> Self {
        match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Undefined,
        }
    }
}

/// An error that names `tokenizer.ggml.{key}`.
pub(super) fn refuse(kind: ErrorKind, key: &str, message: impl Into<String>) -> Error {
    Error::new(kind, message).at_key(format!("tokenizer.ggml.{key}"))
}

/// Refuses a vocabulary of so many tokens. Each costs a hundred bytes and more, though it takes eight in the file: so this comes before
/// they are copied.
pub(super) fn check_count(n_tokens: usize) -> Result<()> {
    if n_tokens == 0 || n_tokens as u64 > MAX_VOCAB {
        let message = format!("{n_tokens} tokens; between 1 and {MAX_VOCAB} are supported");
        return Err(refuse(ErrorKind::Bounds, "tokens", message));
    }
    Ok(())
}

impl Vocab {
    /// Checks lengths, ids, bytes, scores and duplicates, and fills in what llama.cpp would:
    /// types, scores, names for empty tokens.
    pub(super) fn validate(mut self) -> Result<Self> {
        let n_tokens = self.tokens.len();
        check_count(n_tokens)?;
        self.check_lengths()?;
        self.check_ids()?;
        if let Some(id) = self.scores.iter().position(|score| score.is_nan()) {
            return Err(refuse(ErrorKind::Value, "scores", format!("the score of token {id} is NaN")));
        }
        self.types.resize(n_tokens, TokenType::Normal);
        self.scores.resize(n_tokens, 0.0);
        self.types.truncate(n_tokens);
        self.scores.truncate(n_tokens);
        for (id, token) in self.tokens.iter_mut().enumerate() {
            if token.is_empty() {
                *token = format!("[EMPTY_{id}]").into_bytes();
            }
        }
        self.check_tokens()?;
        Ok(self)
    }

    /// Longer lists than the vocabulary are tolerated, as llama.cpp tolerates them; shorter are not.
    fn check_lengths(&self) -> Result<()> {
        let n_tokens = self.tokens.len();
        for (key, len) in [("scores", self.scores.len()), ("token_type", self.types.len())] {
            if len != 0 && len < n_tokens {
                let message = format!("{len} entries for {n_tokens} tokens");
                return Err(refuse(ErrorKind::Bounds, key, message));
            }
        }
        if self.model == "gpt2" && self.merges.is_empty() {
            return Err(refuse(ErrorKind::Missing, "merges", "a BPE vocabulary needs its merges"));
        }
        Ok(())
    }

    fn check_ids(&self) -> Result<()> {
        for (key, id) in [
            ("bos_token_id", self.bos),
            ("eos_token_id", self.eos),
            ("eot_token_id", self.eot),
            ("eom_token_id", self.eom),
            ("unknown_token_id", self.unk),
            ("fim_pad_token_id", self.fim_pad),
            ("fim_rep_token_id", self.fim_rep),
            ("fim_sep_token_id", self.fim_sep),
        ] {
            if let Some(id) = id.filter(|&id| id as usize >= self.tokens.len()) {
                let message = format!("token {id} is beyond the vocabulary of {}", self.tokens.len());
                return Err(refuse(ErrorKind::Value, key, message));
            }
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<()> {
        let mut seen = HashSet::with_capacity(self.tokens.len());
        for (id, (token, kind)) in self.tokens.iter().zip(&self.types).enumerate() {
            if !seen.insert(token.as_slice()) {
                let message = format!("token {id} ({:?}) occurs twice", String::from_utf8_lossy(token));
                return Err(refuse(ErrorKind::Duplicate, "tokens", message));
            }
            if *kind == TokenType::Byte && byte_of(token).is_none() {
                let message = format!("byte token {id} ({:?}) is not <0xXX>", String::from_utf8_lossy(token));
                return Err(refuse(ErrorKind::Value, "tokens", message));
            }
        }
        Ok(())
    }
}

/// The byte that a token `<0xXX>` stands for.
pub(super) fn byte_of(token: &[u8]) -> Option<u8> {
    let digits = token.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let [high, low] = digits else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocab() -> Vocab {
        let tokens = ["a", "b", "", "<0x0A>"].map(|t| t.as_bytes().to_vec()).to_vec();
        Vocab { model: "llama".into(), tokens, ..Vocab::default() }
    }

    fn check(change: impl Fn(&mut Vocab), kind: ErrorKind, key: &str) {
        let mut vocab = vocab();
        change(&mut vocab);
        let error = vocab.validate().unwrap_err();
        assert_eq!((error.kind(), error.key()), (kind, Some(format!("tokenizer.ggml.{key}").as_str())));
    }

    #[test]
    fn defaults_are_filled_in() {
        let vocab = vocab().validate().unwrap();
        assert_eq!((vocab.scores.len(), vocab.types[3]), (4, TokenType::Normal));
        assert_eq!(vocab.tokens[2], b"[EMPTY_2]");
    }

    #[test]
    fn refusals_name_the_key() {
        check(|v| v.tokens.clear(), ErrorKind::Bounds, "tokens");
        check(|v| v.tokens.resize(MAX_VOCAB as usize + 1, Vec::new()), ErrorKind::Bounds, "tokens");
        check(|v| v.tokens[1] = b"a".to_vec(), ErrorKind::Duplicate, "tokens");
        check(|v| v.scores = vec![0.0], ErrorKind::Bounds, "scores");
        check(|v| v.scores = vec![0.0, f32::NAN, 0.0, 0.0], ErrorKind::Value, "scores");
        check(|v| v.types = vec![TokenType::Normal], ErrorKind::Bounds, "token_type");
        check(|v| v.types = vec![TokenType::Byte; 4], ErrorKind::Value, "tokens");
        check(|v| v.model = "gpt2".into(), ErrorKind::Missing, "merges");
        check(|v| v.bos = Some(4), ErrorKind::Value, "bos_token_id");
        check(|v| v.unk = Some(u32::MAX), ErrorKind::Value, "unknown_token_id");
    }

    #[test]
    fn byte_tokens() {
        assert_eq!(byte_of(b"<0x0A>"), Some(10));
        assert_eq!(byte_of(b"<0xfF>"), Some(255));
        for token in [&b"<0x0>"[..], b"<0x+1>", b"0x0A", b"<0x0AA>", b""] {
            assert_eq!(byte_of(token), None, "{token:?}");
        }
    }
}
