//! Cuts text into the words inside which BPE merges, one splitter per published regex.
//!
//! Written out by hand over character classes: linear in the text, and free of the surprises that
//! engines differ in. Patterns and aliases as in llama.cpp b11434.

use super::unicode::{Class, Point, Text};
use crate::{Error, ErrorKind, Result};

/// Hands the words of normalized text to the sink, in order and without gaps.
pub(super) type Split = fn(Text<'_>, &mut dyn FnMut(&[u8]));

/// A way to cut text into words, and the defaults that come with its name.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    /// Values of `tokenizer.ggml.pre`; the first is the canonical one.
    pub(super) names: &'static [&'static str],
    pub(super) split: Split,
    /// A word that is itself a piece is taken whole, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Whether a text starts with the BOS token when the file does not say.
    pub(super) add_bos: bool,
}

const fn plain(names: &'static [&'static str], split: Split) -> PreTokenizer {
    PreTokenizer { names, split, ignore_merges: false, add_bos: false }
}

/// Every pre-tokenizer that the engine knows.
pub(super) static KNOWN: [PreTokenizer; 6] = [
    plain(&["default"], split_default),
    plain(&["gpt-2", "phi-2", "mpt", "olmo", "exaone4", "mellum", "gigachat", "a.x-4.0"], split_gpt2),
    plain(&["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"], split_smollm),
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        split: |text, sink| split_llama3(text, 3, sink),
        ignore_merges: true,
        add_bos: true,
    },
    plain(&["dbrx", "smaug-bpe"], |text, sink| split_llama3(text, 3, sink)),
    plain(
        &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan"],
        |text, sink| split_llama3(text, 1, sink),
    ),
];

/// The pre-tokenizer called `name`; a file without a name gets the default, as in llama.cpp.
pub(super) fn by_name(name: Option<&str>) -> Result<&'static PreTokenizer> {
    let name = name.filter(|name| !name.is_empty()).unwrap_or("default");
    KNOWN.iter().find(|known| known.names.contains(&name)).ok_or_else(|| {
        let known: Vec<_> = KNOWN.iter().flat_map(|known| known.names).copied().collect();
        Error::new(
            ErrorKind::Unsupported,
            format!("pre-tokenizer {name:?} is not supported (known: {})", known.join(", ")),
        )
        .at_key("tokenizer.ggml.pre")
    })
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn split_gpt2(text: Text<'_>, sink: &mut dyn FnMut(&[u8])) {
    let mut at = 0;
    while let Some(first) = text.at(at) {
        let body = match first.cp {
            0x20 => text.at(first.end).unwrap_or(first),
            _ => first,
        };
        let end = contraction(&text.0[at..], false)
            .map(|len| at + len)
            .or_else(|| same_kind(text, body))
            .unwrap_or_else(|| spaces(text, at));
        sink(&text.0[at..end]);
        at = end;
    }
}

/// The end of the run of letters, numbers or symbols that `first` begins; none if it is a space.
fn same_kind(text: Text<'_>, first: Point) -> Option<usize> {
    Some(match first.class {
        Class::Letter => text.skip(first.end, |p| p.is(Class::Letter)),
        Class::Number => text.skip(first.end, |p| p.is(Class::Number)),
        Class::Punctuation | Class::Other => text.skip(first.end, Point::is_symbol),
        Class::Space => return None,
    })
}

/// `\s+(?!\S)|\s+` from `at`: all the spaces, less the last when a word follows and one remains.
fn spaces(text: Text<'_>, at: usize) -> usize {
    let (mut end, mut before_last) = (at, at);
    while let Some(point) = text.at(end).filter(|p| p.is(Class::Space)) {
        (before_last, end) = (end, point.end);
    }
    if end < text.0.len() && before_last > at { before_last } else { end }
}

/// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at the start of `text`.
fn contraction(text: &[u8], any_case: bool) -> Option<usize> {
    let [b'\'', rest @ ..] = text else { return None };
    let letter = |at: usize| match rest.get(at) {
        Some(byte) if any_case => byte.to_ascii_lowercase(),
        Some(&byte) => byte,
        None => 0,
    };
    match (letter(0), letter(1)) {
        (b's' | b't' | b'm' | b'd', _) => Some(2),
        (b'r' | b'v', b'e') | (b'l', b'l') => Some(3),
        _ => None,
    }
}

/// `\p{N}`, each by itself, then GPT-2's pattern on what lies between.
fn split_smollm(text: Text<'_>, sink: &mut dyn FnMut(&[u8])) {
    isolate(text, |p| p.is(Class::Number).then_some(p.end), &mut |part, is_number| match is_number {
        true => sink(part),
        false => split_gpt2(Text(part), sink),
    });
}

/// Hands over, in order, the stretches that `matches` finds (true) and those between them (false).
/// `matches` gets the code point where a stretch may begin and returns its end.
fn isolate(text: Text<'_>, matches: impl Fn(Point) -> Option<usize>, sink: &mut dyn FnMut(&[u8], bool)) {
    let (mut gap, mut at) = (0, 0);
    while let Some(point) = text.at(at) {
        let Some(end) = matches(point) else {
            at = point.end;
            continue;
        };
        if gap < at {
            sink(&text.0[gap..at], false);
        }
        sink(&text.0[at..end], true);
        (gap, at) = (end, end);
    }
    if gap < text.0.len() {
        sink(&text.0[gap..], false);
    }
}

/// llama.cpp's fallback for files that do not name their pre-tokenizer, four patterns one after
/// the other: ``[\p{P}\$\+<=>\^~\|]+``, GPT-2's, `\p{N}+`, `[0-9][0-9][0-9]`.
fn split_default(text: Text<'_>, sink: &mut dyn FnMut(&[u8])) {
    let mark = |p: Point| {
        p.is(Class::Punctuation) || u8::try_from(p.cp).is_ok_and(|byte| b"$+<=>^~|".contains(&byte))
    };
    let number = |p: Point| p.is(Class::Number);
    let mut words = |part: &[u8], is_marks: bool| match is_marks {
        true => sink(part),
        false => split_gpt2(Text(part), &mut |word| {
            let text = Text(word);
            let run = |p: Point| number(p).then(|| text.skip(p.end, number));
            isolate(text, run, &mut |part, is_number| match is_number {
                true => threes(part, sink),
                false => sink(part),
            });
        }),
    };
    isolate(text, |p| mark(p).then(|| text.skip(p.end, mark)), &mut words);
}

/// `[0-9][0-9][0-9]` by themselves, and what lies between.
fn threes(number: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let text = Text(number);
    let three = |p: Point| {
        let digits = number.get(p.end - 1..p.end + 2)?;
        (p.cp < 0x80 && digits.iter().all(u8::is_ascii_digit)).then_some(p.end + 2)
    };
    isolate(text, three, &mut |part, _| sink(part));
}

/// ``(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max_digits}|``
/// `` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+``
fn split_llama3(text: Text<'_>, max_digits: usize, sink: &mut dyn FnMut(&[u8])) {
    let mut at = 0;
    while let Some(first) = text.at(at) {
        let end = contraction(&text.0[at..], true)
            .map(|len| at + len)
            .or_else(|| letters(text, first))
            .or_else(|| digits(text, first, max_digits))
            .or_else(|| symbols(text, first))
            .or_else(|| through_newline(text, at))
            .unwrap_or_else(|| spaces(text, at));
        sink(&text.0[at..end]);
        at = end;
    }
}

/// `[^\r\n\p{L}\p{N}]?\p{L}+`
fn letters(text: Text<'_>, first: Point) -> Option<usize> {
    let is_letter = |p: Point| p.is(Class::Letter);
    let starts = is_letter(first)
        || !first.is_newline() && !first.is(Class::Number) && text.at(first.end).is_some_and(is_letter);
    starts.then(|| text.skip(first.end, is_letter))
}

/// `\p{N}{1,max}`
fn digits(text: Text<'_>, first: Point, max: usize) -> Option<usize> {
    if !first.is(Class::Number) {
        return None;
    }
    let mut end = first.end;
    for _ in 1..max {
        end = text.at(end).filter(|p| p.is(Class::Number)).map_or(end, |p| p.end);
    }
    Some(end)
}

/// ` ?[^\s\p{L}\p{N}]+[\r\n]*`
fn symbols(text: Text<'_>, first: Point) -> Option<usize> {
    let body = if first.cp == 0x20 { text.at(first.end)? } else { first };
    let end = text.skip(body.is_symbol().then_some(body.end)?, Point::is_symbol);
    Some(text.skip(end, Point::is_newline))
}

/// `\s*[\r\n]+`: through the last newline of the run of spaces at `at`.
fn through_newline(text: Text<'_>, at: usize) -> Option<usize> {
    let end = text.skip(at, |p| p.is(Class::Space));
    let newline = text.0[at..end].iter().rposition(|&byte| byte == b'\n' || byte == b'\r')?;
    Some(at + newline + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, want: &[&str]) {
        let mut words = Vec::new();
        let pre = by_name(Some(name)).unwrap();
        (pre.split)(Text(text.as_bytes()), &mut |word| {
            words.push(String::from_utf8(word.to_vec()).unwrap());
        });
        assert_eq!(words, want, "{name}: {text:?}");
    }

    #[test]
    fn gpt2() {
        check("gpt-2", "", &[]);
        check("gpt-2", "I'll we'RE it's", &["I", "'ll", " we", "'", "RE", " it", "'s"]);
        check("gpt-2", "a   b \n", &["a", "  ", " b", " \n"]);
        check("gpt-2", "x \n\n y  ", &["x", " \n\n", " y", "  "]);
        check("gpt-2", "n 123456!? é", &["n", " 123456", "!?", " é"]);
        check("gpt-2", "\t\tx", &["\t", "\t", "x"]);
    }

    #[test]
    fn smollm_isolates_each_digit() {
        check("smollm", "a 123 b", &["a", " ", "1", "2", "3", " b"]);
        check("smollm", "  7", &["  ", "7"]);
        check("smollm", "٣½", &["٣", "½"]);
    }

    #[test]
    fn llama3_and_qwen2() {
        check("llama-bpe", "I'LL 1234567", &["I", "'LL", " ", "123", "456", "7"]);
        check("qwen2", "x12", &["x", "1", "2"]);
        check("llama-bpe", "a\n\n  \nb", &["a", "\n\n  \n", "b"]);
        check("llama-bpe", "f(x);\r\n\tg", &["f", "(x", ");\r\n", "\tg"]);
        check("llama-bpe", "a   b ", &["a", "  ", " b", " "]);
        check("llama-bpe", " !\n", &[" !\n"]);
        check("llama-bpe", "\u{301}e\u{301}", &["\u{301}e", "\u{301}"]);
    }

    #[test]
    fn default_isolates_marks_and_threes() {
        check("default", "a, 12345", &["a", ",", " ", "123", "45"]);
        check("default", "it's $5", &["it", "'", "s", " ", "$", "5"]);
    }

    #[test]
    fn unknown_names_are_refused_and_the_known_listed() {
        let error = by_name(Some("tekken")).unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Unsupported, Some("tokenizer.ggml.pre")));
        assert!(error.to_string().contains("tekken") && error.to_string().contains("llama-bpe"));
        assert_eq!(by_name(None).unwrap().names, ["default"]);
        assert_eq!(by_name(Some("")).unwrap().names, ["default"]);
    }
}
