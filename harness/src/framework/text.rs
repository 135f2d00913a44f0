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
const WORDS_MIN: usize = 16;

impl Words {
    /// The tokens among `ids` that are a space and lower-case letters, and that the tokenizer gives for that text.
    /// `None` with fewer than 16 of them.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::testing::tiny_tokenizer;
    use engine::tokenizer::{TokenType, Vocab};

    /// A byte-level BPE vocabulary without BOS: single bytes, and the words `aa` to `dd`, each with a space before it.
    fn bpe() -> Tokenizer {
        let printable: Vec<Vec<u8>> = (b'!'..=b'~').map(|b| vec![b]).collect();
        let mut tokens = [printable, vec!["Ġ".as_bytes().to_vec()]].concat();
        let mut merges = Vec::new();
        for (a, b) in "abcd".chars().flat_map(|a| "abcd".chars().map(move |b| (a, b))) {
            tokens.extend([format!("{a}{b}").into_bytes(), format!("Ġ{a}{b}").into_bytes()]);
            merges.extend([format!("{a} {b}").into_bytes(), format!("Ġ {a}{b}").into_bytes()]);
        }
        let types = vec![TokenType::Normal; tokens.len()];
        let vocab = Vocab {
            model: "gpt2".into(),
            pre: Some("gpt-2".into()),
            tokens,
            types,
            merges,
            ..Vocab::default()
        };
        Tokenizer::new(vocab).expect("a vocabulary")
    }

    #[test]
    fn a_text_is_that_of_exactly_these_ids() {
        let check = |tokenizer: &Tokenizer, text: &str| {
            let ids = tokenizer.encode(text.as_bytes(), AS_SERVERS_READ);
            assert_eq!(text_of(tokenizer, &ids).as_deref(), Ok(text));
            ids
        };
        // With BOS and a space that is put before the text: neither stands in the text.
        let tiny = tiny_tokenizer();
        let ids = check(&tiny, "the of and");
        assert_eq!(ids[0], tiny.bos().expect("it has one"));
        check(&bpe(), " aa bd ca");
    }

    #[test]
    fn ids_that_no_text_gives_are_refused() {
        let tiny = tiny_tokenizer();
        let ids = tiny.encode(b"the of", AS_SERVERS_READ);
        let message = |ids: &[u32]| text_of(&tiny, ids).expect_err("no text").message;
        assert!(message(&ids[1..]).contains("not read back"), "without BOS");
        // Letters that the tokenizer would have put together.
        let letters: Vec<u32> =
            [b"t", b"h"].iter().map(|piece| tiny.id_of(&piece[..]).expect("a letter")).collect();
        assert!(message(&[&ids[..1], &letters[..]].concat()).contains("not read back"));
        let half = tiny.id_of(b"<0xC3>").expect("a byte");
        assert!(message(&[ids[0], half]).contains("not UTF-8"));
    }

    #[test]
    fn words_are_read_back_and_plain() {
        for tokenizer in [&*tiny_tokenizer(), &bpe()] {
            let n = tokenizer.vocab_size() as u32;
            let words = Words::of(tokenizer, 0..n).expect("enough words");
            for &id in words.ids() {
                let piece = String::from_utf8(tokenizer.piece(id, false).to_vec()).expect("letters");
                let letters = piece.strip_prefix(' ').expect("a space first");
                assert!(letters.len() > 1 && letters.chars().all(|c| c.is_ascii_lowercase()), "{piece}");
            }
            assert_eq!(Words::of(tokenizer, 0..10), None, "too few");
        }
    }

    #[test]
    fn a_continuation_is_cut_with_what_it_continues() {
        let tiny = tiny_tokenizer();
        let all = tiny.encode(b"the of and the", AS_SERVERS_READ);
        let before = tiny.encode(b"the of", AS_SERVERS_READ);
        assert_eq!(continuation_ids(&tiny, "the of", " and the"), all[before.len()..]);
        assert_eq!(continuation_ids(&tiny, "the of", ""), [0; 0]);
    }
}
