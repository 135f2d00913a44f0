//! SentencePiece's unigram vocabulary as llama.cpp reads it: merge the neighbours whose union has
//! the best score.

use foldhash::HashMap;

use super::merge::{Merge, Merger, NO_ID, Symbol};
use super::vocab::Vocab;

/// U+2581, which stands for a space in the pieces.
const SPACE: &[u8] = "▁".as_bytes();

/// The pieces, their order of merging, and the bytes to fall back on.
#[derive(Debug)]
pub(super) struct Spm {
    ids: HashMap<Box<[u8]>, u32>,
    priorities: Vec<u32>,
    bytes: [Option<u32>; 256],
    len_max: usize,
}

impl Spm {
    /// From a checked vocabulary. A byte that has no token falls back on `unk`, or is dropped.
    pub(super) fn new(vocab: &Vocab, unk: Option<u32>) -> Self {
        let tokens = || vocab.tokens.iter().zip(0u32..);
        let ids: HashMap<Box<[u8]>, u32> = tokens().map(|(text, id)| (text.as_slice().into(), id)).collect();
        let byte_id = |byte: u8| {
            let name = format!("<0x{byte:02X}>");
            ids.get(name.as_bytes()).or_else(|| ids.get(&[byte][..])).copied().or(unk)
        };
        let bytes = std::array::from_fn(|byte| byte_id(byte as u8));
        let len_max = vocab.tokens.iter().map(Vec::len).max().unwrap_or(0);
        let priorities = vocab.scores.iter().map(|&score| priority(score)).collect();
        Self { ids, priorities, bytes, len_max }
    }

    pub(super) fn id_of(&self, text: &[u8]) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Appends the ids of `text`, with a space in front if asked.
    pub(super) fn encode(&self, text: &[u8], space_prefix: bool, merger: &mut Merger, out: &mut Vec<u32>) {
        let text = escape(text, space_prefix);
        merger.clear();
        let mut at = 0;
        while at < text.len() {
            let len = char_len(text[at]).min(text.len() - at);
            merger.push(at, len, self.id_of(&text[at..at + len]).unwrap_or(NO_ID));
            at += len;
        }
        let find = |left: &Symbol, right: &Symbol| {
            let both = text.get(left.range_with(right)).filter(|both| both.len() <= self.len_max)?;
            let id = self.id_of(both)?;
            Some(Merge { priority: self.priorities[id as usize], id })
        };
        for symbol in merger.run(find) {
            match symbol.id {
                NO_ID => {
                    let bytes = text[symbol.range()].iter();
                    out.extend(bytes.filter_map(|&byte| self.bytes[usize::from(byte)]));
                }
                id => out.push(id),
            }
        }
    }
}

/// The bytes of a piece: `▁` is a space.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match rest.strip_prefix(SPACE) {
            Some(after) => {
                out.push(b' ');
                rest = after;
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}

fn escape(text: &[u8], space_prefix: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 2 + SPACE.len());
    if space_prefix {
        out.extend_from_slice(SPACE);
    }
    for &byte in text {
        match byte {
            b' ' => out.extend_from_slice(SPACE),
            _ => out.push(byte),
        }
    }
    out
}

/// The length that the first byte of a character announces; what follows it is not looked at.
fn char_len(lead: u8) -> usize {
    match lead {
        0x00..=0xBF => 1,
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xFF => 4,
    }
}

/// Turns scores round: the highest gets the lowest number.
fn priority(score: f32) -> u32 {
    // Adding zero makes −0 and 0 the same.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_fall_with_the_score() {
        let scores = [f32::INFINITY, 2.0, 1.5, 1e-40, 0.0, -1e-40, -3.0, -1e9, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| priority(pair[0]) < priority(pair[1])));
        assert_eq!(priority(0.0), priority(-0.0));
    }

    #[test]
    fn spaces_there_and_back() {
        assert_eq!(escape(b"a  b", true), "▁a▁▁b".as_bytes());
        assert_eq!(unescape("▁a▁▁b\u{2582}".as_bytes()), " a  b\u{2582}".as_bytes());
        assert_eq!(unescape(b"\xE2\x96"), b"\xE2\x96");
    }
}
