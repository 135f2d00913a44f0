//! Code points from bytes that may not be UTF-8, and the classes that the pre-tokenizers ask for.

use std::borrow::Cow;

use super::unicode_table::RUNS;

/// What a pre-tokenizer may want to know about a code point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// `\p{P}`
    Punctuation,
    /// Everything else: symbols, marks, controls, unassigned.
    Other,
}

/// The class of the code point `cp` in Unicode 15.1.
pub(super) fn class(cp: u32) -> Class {
    match cp {
        0x41..=0x5A | 0x61..=0x7A => return Class::Letter,
        0x30..=0x39 => return Class::Number,
        _ if char::from_u32(cp).is_some_and(char::is_whitespace) => return Class::Space,
        _ => {}
    }
    let run = RUNS.partition_point(|&run| run >> 2 <= cp);
    match RUNS[run - 1] & 3 {
        1 => Class::Letter,
        2 => Class::Number,
        3 => Class::Punctuation,
        _ => Class::Other,
    }
}

/// The code point at the start of `bytes` and its length, by the lenient rule of llama.cpp:
/// surrogates and overlong forms pass, a wrong or missing continuation byte does not.
/// Beyond U+10FFFF, where llama.cpp aborts, is refused too.
fn decode(bytes: &[u8]) -> Option<(u32, usize)> {
    let lead = *bytes.first()?;
    let (bits, len) = match lead {
        0x00..=0x7F => return Some((u32::from(lead), 1)),
        0xC0..=0xDF => (lead & 0x1F, 2),
        0xE0..=0xEF => (lead & 0x0F, 3),
        0xF0..=0xF7 => (lead & 0x07, 4),
        _ => return None,
    };
    let mut cp = u32::from(bits);
    for &byte in bytes.get(1..len)? {
        if byte & 0xC0 != 0x80 {
            return None;
        }
        cp = cp << 6 | u32::from(byte & 0x3F);
    }
    (cp <= 0x10_FFFF).then_some((cp, len))
}

/// `text` as the shortest encodings of its code points, each invalid byte as U+FFFD.
/// Surrogates keep their three bytes, so that the result is not always UTF-8.
pub(super) fn normalize(text: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut rest = text;
    while !rest.is_empty() {
        let (cp, len) = decode(rest).unwrap_or((0xFFFD, 1));
        push(cp, &mut out);
        rest = &rest[len..];
    }
    Cow::Owned(out)
}

fn push(cp: u32, out: &mut Vec<u8>) {
    match char::from_u32(cp) {
        Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            out.extend([0xE0 | (cp >> 12) as u8, 0x80 | (cp >> 6 & 0x3F) as u8, 0x80 | (cp & 0x3F) as u8])
        }
    }
}

/// A cursor over normalized text, with one code point of look-ahead at any place.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a [u8]);

/// One code point of a [`Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) cp: u32,
    pub(super) class: Class,
    /// Byte offset of the next code point.
    pub(super) end: usize,
}

impl Point {
    pub(super) fn is(self, class: Class) -> bool {
        self.class == class
    }

    /// Neither space nor letter nor number.
    pub(super) fn is_symbol(self) -> bool {
        matches!(self.class, Class::Punctuation | Class::Other)
    }

    pub(super) fn is_newline(self) -> bool {
        self.cp == 0x0A || self.cp == 0x0D
    }
}

impl Text<'_> {
    /// The code point at byte `at`, or none at the end.
    pub(super) fn at(self, at: usize) -> Option<Point> {
        let (cp, len) = decode(&self.0[at..])?;
        Some(Point { cp, class: class(cp), end: at + len })
    }

    /// The end of the run of code points from `at` that satisfy `wanted`.
    pub(super) fn skip(self, mut at: usize, wanted: impl Fn(Point) -> bool) -> usize {
        while let Some(point) = self.at(at).filter(|&p| wanted(p)) {
            at = point.end;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_unicode_15_1() {
        for (c, want) in [
            ('a', Class::Letter),
            ('é', Class::Letter),
            ('中', Class::Letter),
            ('ª', Class::Letter),
            ('7', Class::Number),
            ('٣', Class::Number),
            ('Ⅷ', Class::Number),
            ('½', Class::Number),
            (' ', Class::Space),
            ('\u{85}', Class::Space),
            ('\u{3000}', Class::Space),
            ('\u{1C}', Class::Other),
            ('\u{200B}', Class::Other),
            ('!', Class::Punctuation),
            ('。', Class::Punctuation),
            ('$', Class::Other),
            ('\u{301}', Class::Other),
            ('😀', Class::Other),
            ('\u{2EBF0}', Class::Letter),
            ('\u{10FFFF}', Class::Other),
        ] {
            assert_eq!(class(c as u32), want, "{c:?}");
        }
        assert_eq!(class(0xD800), Class::Other);
    }

    #[test]
    fn invalid_bytes_become_replacement_characters_one_by_one() {
        let check = |text: &[u8], want: &[u8]| assert_eq!(*normalize(text), *want, "{text:x?}");
        check(b"plain", b"plain");
        check(b"\x80", "\u{FFFD}".as_bytes());
        check(b"\xE2\x82", "\u{FFFD}\u{FFFD}".as_bytes());
        check(b"\xE2\x82a", "\u{FFFD}\u{FFFD}a".as_bytes());
        check(b"\xC1\xA1", b"a");
        check(b"\xC0\x80", b"\0");
        check(b"\xED\xA0\x80", b"\xED\xA0\x80");
        check(b"\xF4\x90\x80\x80", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}".as_bytes());
        check(b"\xFF\xFE", "\u{FFFD}\u{FFFD}".as_bytes());
    }
}
