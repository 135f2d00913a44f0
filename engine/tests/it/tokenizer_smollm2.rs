//! Ids for SmolLM2-135M-Instruct, against those that llama.cpp b11434 gave (`tokenizer_smollm2.tsv`).
//!
//! `ENGINE_TEST_MODEL` names the model file; without it the tests are skipped.

use std::path::Path;

use engine::gguf::Gguf;
use engine::tokenizer::{EncodeOptions, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

fn tokenizer() -> Option<Tokenizer> {
    let Some(path) = std::env::var_os("ENGINE_TEST_MODEL") else {
        eprintln!("skipped: ENGINE_TEST_MODEL does not name the SmolLM2-135M-Instruct GGUF file");
        return None;
    };
    let gguf = Gguf::open(Path::new(&path)).unwrap();
    Some(Tokenizer::from_gguf(&gguf).unwrap())
}

#[test]
fn ids_are_those_of_llama_cpp() {
    let Some(tokenizer) = tokenizer() else { return };
    for line in include_str!("tokenizer_smollm2.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [flags, text, ids] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let special = flags == "3";
        let options = EncodeOptions { add_special: special, parse_special: special };
        let want: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(tokenizer.encode(&unescape(text), options), want, "{line}");
    }
}

#[test]
fn long_runs_are_those_of_llama_cpp() {
    let Some(tokenizer) = tokenizer() else { return };
    let check = |unit: &str, n, want: &[(u32, usize)]| {
        let ids: Vec<u32> = want.iter().flat_map(|&(id, n)| std::iter::repeat_n(id, n)).collect();
        assert_eq!(tokenizer.encode(unit.repeat(n).as_bytes(), PLAIN), ids, "{n} × {unit:?}");
    };
    check("a", 5000, &[(46880, 1250)]);
    check(" ", 5000, &[(40686, 78), (353, 1)]);
    check("\n", 3001, &[(22342, 749), (1116, 1), (16506, 1)]);
    check("=-", 2000, &[(15196, 2000)]);
    check("1", 1000, &[(33, 1000)]);
    check("é", 2000, &[(2756, 2000)]);
    check("ab ", 2000, &[(369, 1), (453, 1999), (216, 1)]);
}

#[test]
fn special_tokens() {
    let Some(tokenizer) = tokenizer() else { return };
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()), (49152, Some(1), Some(2)));
    assert_eq!(tokenizer.id_of(b"<|im_end|>"), Some(2));
    assert_eq!(tokenizer.end_of_generation(), [0, 2, 4]);
    assert!(!tokenizer.adds_bos() && !tokenizer.adds_eos());
    assert_eq!((tokenizer.piece(2, true), tokenizer.piece(2, false)), (&b"<|im_end|>"[..], &b""[..]));
}

#[test]
fn ordinary_text_comes_back() {
    let Some(tokenizer) = tokenizer() else { return };
    for text in ["Hello, world!", "a  b\n\n c ", "你好 👨‍👩‍👧 e\u{301} مرحبا", "<|im_end|>", ""]
    {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text.as_bytes(), PLAIN)), text.as_bytes());
    }
}

/// `\xNN` and `\\`.
fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, len) = match (byte, after) {
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', hex @ ..]) => {
                (u8::from_str_radix(std::str::from_utf8(&hex[..2]).unwrap(), 16).unwrap(), 4)
            }
            _ => (byte, 1),
        };
        out.push(byte);
        rest = &rest[len..];
    }
    out
}
