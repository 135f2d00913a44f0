//! Byte-level BPE: words of bytes, merged in the order of the file's list.
//!
//! GPT-2 writes each byte as a printable character (`Ġ` for a space). Here everything is kept as
//! the bytes themselves; only tokens that are not written in that alphabet keep their text.

use foldhash::{HashMap, HashMapExt};

use super::merge::{Merge, Merger, Symbol};
use super::pretokenize::PreTokenizer;
use super::unicode::{Text, normalize};
use super::vocab::Vocab;

/// The pieces and merges. Symbols are numbered as the vocabulary, and after it come those that
/// only merges mention.
#[derive(Debug)]
pub(super) struct Bpe {
    pre: &'static PreTokenizer,
    n_tokens: u32,
    /// Symbols by their bytes.
    symbols: HashMap<Box<[u8]>, u32>,
    /// Tokens that are not written in GPT-2's alphabet, by their text.
    others: HashMap<Box<[u8]>, u32>,
    /// (left, right) → (rank, both).
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// The symbol of each byte.
    bytes: [u32; 256],
    /// The token whose text is one byte.
    one_byte: [Option<u32>; 256],
}

impl Bpe {
    /// From a checked vocabulary. As in llama.cpp, a merge may mention pieces that do not exist,
    /// and of a merge that occurs twice the first counts.
    pub(super) fn new(vocab: &Vocab, pre: &'static PreTokenizer) -> Self {
        let mut bpe = Self {
            pre,
            n_tokens: vocab.tokens.len() as u32,
            symbols: HashMap::with_capacity(vocab.tokens.len() + vocab.merges.len() / 8),
            others: HashMap::new(),
            merges: HashMap::with_capacity(vocab.merges.len()),
            bytes: [0; 256],
            one_byte: [None; 256],
        };
        for (text, id) in vocab.tokens.iter().zip(0u32..) {
            match bytes_of(text) {
                Some(bytes) => bpe.symbols.insert(bytes.into(), id),
                None => bpe.others.insert(text.as_slice().into(), id),
            };
        }
        let mut next = bpe.n_tokens;
        let mut symbol = |bytes: &[u8]| {
            if let Some(&known) = bpe.symbols.get(bytes) {
                return known;
            }
            bpe.symbols.insert(bytes.into(), next);
            next += 1;
            next - 1
        };
        bpe.bytes = std::array::from_fn(|byte| symbol(&[byte as u8]));
        for (merge, rank) in vocab.merges.iter().zip(0u32..) {
            let Some((left, right)) = halves(merge) else { continue };
            let Some(mut both) = bytes_of(left) else { continue };
            let left = symbol(&both);
            let Some(right) = bytes_of(right) else { continue };
            both.extend_from_slice(&right);
            let pair = (left, symbol(&right));
            let both = symbol(&both);
            bpe.merges.entry(pair).or_insert((rank, both));
        }
        bpe.one_byte = std::array::from_fn(|byte| bpe.id_of(&[byte as u8]));
        bpe
    }

    /// The token that the file writes as `text`.
    pub(super) fn id_of(&self, text: &[u8]) -> Option<u32> {
        match bytes_of(text) {
            Some(bytes) => self.token(&bytes),
            None => self.others.get(text).copied(),
        }
    }

    fn token(&self, bytes: &[u8]) -> Option<u32> {
        self.symbols.get(bytes).copied().filter(|&id| id < self.n_tokens)
    }

    /// Appends the ids of `text`.
    pub(super) fn encode(&self, text: &[u8], merger: &mut Merger, out: &mut Vec<u32>) {
        let text = normalize(text);
        (self.pre.split)(Text(&text), &mut |word| self.encode_word(word, merger, out));
    }

    fn encode_word(&self, word: &[u8], merger: &mut Merger, out: &mut Vec<u32>) {
        if self.pre.ignore_merges
            && let Some(id) = self.token(word)
        {
            return out.push(id);
        }
        merger.clear();
        for (at, &byte) in word.iter().enumerate() {
            merger.push(at, 1, self.bytes[usize::from(byte)]);
        }
        let find = |left: &Symbol, right: &Symbol| {
            let &(priority, id) = self.merges.get(&(left.id, right.id))?;
            Some(Merge { priority, id })
        };
        for symbol in merger.run(find) {
            if symbol.id < self.n_tokens {
                out.push(symbol.id);
            } else {
                self.spell(&word[symbol.range()], out);
            }
        }
    }

    /// A symbol that is no token: llama.cpp takes the bytes of its *text* one by one, and drops
    /// those that are no tokens either.
    fn spell(&self, bytes: &[u8], out: &mut Vec<u32>) {
        for &byte in bytes {
            let mut text = [0; 4];
            let text = char_of(byte).encode_utf8(&mut text).as_bytes();
            out.extend(text.iter().filter_map(|&byte| self.one_byte[usize::from(byte)]));
        }
    }
}

/// The two sides of a merge: the space between them is never its first byte.
fn halves(merge: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = 1 + merge.get(1..)?.iter().position(|&byte| byte == b' ')?;
    Some((&merge[..space], &merge[space + 1..])).filter(|(_, right)| !right.is_empty())
}

/// The bytes of a piece: what GPT-2's alphabet spells. Characters outside it stand for themselves.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

/// Whether GPT-2 writes the byte as the Latin-1 character of the same number.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The bytes that get U+0100 and the characters after it, in order.
const SHIFTED: [u8; 68] = {
    let mut shifted = [0; 68];
    let (mut n, mut byte) = (0, 0);
    while byte < 256 {
        if !is_plain(byte as u8) {
            shifted[n] = byte as u8;
            n += 1;
        }
        byte += 1;
    }
    shifted
};

pub(super) fn char_of(byte: u8) -> char {
    let shifted = SHIFTED.iter().zip('\u{100}'..).find(|&(&b, _)| b == byte);
    shifted.map_or(char::from(byte), |(_, c)| c)
}

fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        cp @ 0..=0xFF => is_plain(cp as u8).then_some(cp as u8),
        cp => SHIFTED.get(cp as usize - 0x100).copied(),
    }
}

/// The bytes that `text` spells, if it is written in GPT-2's alphabet throughout.
fn bytes_of(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in std::str::from_utf8(text).ok()?.chars() {
        bytes.push(byte_of(c)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_one_to_one() {
        for byte in 0..=255 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(0xAD)), ('Ġ', 'Ċ', 'Ń'));
        assert_eq!(bytes_of("Ġcafé".as_bytes()), Some(b" caf\xE9".to_vec()));
        assert_eq!(bytes_of(b"a b"), None);
        assert_eq!(bytes_of("中".as_bytes()), None);
        assert_eq!(bytes_of(b"\xFF"), None);
        assert_eq!(unescape("Ġa中".as_bytes()), " a中".as_bytes());
    }

    #[test]
    fn merges_split_at_the_first_space_after_the_first_byte() {
        assert_eq!(halves(b"a b"), Some((&b"a"[..], &b"b"[..])));
        assert_eq!(halves(b" b c"), Some((&b" b"[..], &b"c"[..])));
        for merge in [&b""[..], b"a", b"ab", b"ab "] {
            assert_eq!(halves(merge), None);
        }
    }
}
