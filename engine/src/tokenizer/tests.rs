//! Whole tokenizers over small vocabularies. The ids follow llama.cpp's rules, worked out by hand.

use proptest::prelude::*;

use super::*;

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const SPECIAL: EncodeOptions = EncodeOptions { add_special: true, parse_special: true };

/// `<unk>`, `<s>`, `</s>`, 256 bytes, then pieces with falling scores.
fn spm_vocab() -> Vocab {
    let mut tokens: Vec<Vec<u8>> = ["<unk>", "<s>", "</s>"].map(|t| t.as_bytes().to_vec()).to_vec();
    let mut types = vec![TokenType::Unknown, TokenType::Control, TokenType::Control];
    tokens.extend((0..=255).map(|byte: u8| format!("<0x{byte:02X}>").into_bytes()));
    types.extend([TokenType::Byte; 256]);
    let pieces = ["▁", "a", "b", "c", "é", "ab", "▁a", "bc", "▁ab", "▁▁", "aa", "▁▁▁▁", "abc"];
    tokens.extend(pieces.map(|t| t.as_bytes().to_vec()));
    types.extend([TokenType::Normal; 13]);
    tokens.push(b"[ud]".to_vec());
    types.push(TokenType::UserDefined);
    let scores = (0..tokens.len()).map(|id| -(id as f32)).collect();
    Vocab { model: "llama".into(), tokens, types, scores, ..Vocab::default() }
}

fn spm() -> Tokenizer {
    Tokenizer::new(spm_vocab()).unwrap()
}

/// The first of [`spm_vocab`]'s pieces.
const P: u32 = 259;

/// 256 bytes, a few merges, a control and a user-defined token.
fn bpe_vocab(pre: &str) -> Vocab {
    let alphabet = (0..=255u8).map(|byte| bpe::char_of(byte).to_string());
    let pieces = ["ab", "Ġa", "abc", "Ġab", "aa", "ĠĠ", "<|im_end|>", "[ud]", "xyz"].map(str::to_owned);
    let tokens: Vec<_> = alphabet.chain(pieces).map(String::into_bytes).collect();
    let mut types = vec![TokenType::Normal; tokens.len()];
    types[262] = TokenType::Control;
    types[263] = TokenType::UserDefined;
    let merges = ["a b", "Ġ a", "ab c", "Ġ ab", "a a", "Ġ Ġ", "q r", "odd", "Ġ a"];
    let merges = merges.map(|merge| merge.as_bytes().to_vec()).to_vec();
    Vocab { model: "gpt2".into(), pre: Some(pre.into()), tokens, types, merges, ..Vocab::default() }
}

fn bpe(pre: &str) -> Tokenizer {
    Tokenizer::new(bpe_vocab(pre)).unwrap()
}

#[test]
fn spm_merges_the_best_score_first() {
    let check = |text: &str, want: &[u32]| assert_eq!(spm().encode(text.as_bytes(), PLAIN), want, "{text:?}");
    check("", &[]);
    // ab (5) before ▁a (6), then ▁ab (8).
    check("ab", &[P + 8]);
    check("abc", &[P + 8, P + 3]);
    check("xab", &[P, 3 + u32::from(b'x'), P + 5]);
    // Equal pairs: the leftmost goes first.
    check("caaa", &[P, P + 3, P + 10, P + 1]);
    check("é中", &[P, P + 4, 3 + 0xE4, 3 + 0xB8, 3 + 0xAD]);
    check("   ", &[P + 11]);
    check("\n", &[P, 3 + 10]);
}

#[test]
fn spm_takes_invalid_bytes_one_by_one_or_as_announced() {
    let check = |text: &[u8], want: &[u32]| assert_eq!(spm().encode(text, PLAIN), want, "{text:x?}");
    check(b"\xFF", &[P, 3 + 0xFF]);
    check(b"\x80a", &[P, 3 + 0x80, P + 1]);
    // The lead byte announces three bytes, and what follows is swallowed: no ab here.
    check(b"\xE2ab", &[P, 3 + 0xE2, 3 + u32::from(b'a'), 3 + u32::from(b'b')]);
}

#[test]
fn spm_special_tokens_and_the_space_prefix() {
    let spm = spm();
    assert_eq!(spm.encode(b"", SPECIAL), [1]);
    assert_eq!(spm.encode(b"a</s>a", SPECIAL), [1, P + 6, 2, P + 6]);
    assert_eq!(spm.encode(b"[ud]a[ud]", PLAIN), [272, P + 6, 272]);
    assert_eq!(spm.encode(b"</s>", PLAIN)[0], P);
    let bare =
        Vocab { add_space_prefix: Some(false), add_bos: Some(false), add_eos: Some(true), ..spm_vocab() };
    assert_eq!(Tokenizer::new(bare).unwrap().encode(b"a", SPECIAL), [P + 1, 2]);
}

#[test]
fn spm_decodes_without_the_space_it_added() {
    let spm = spm();
    assert_eq!(spm.decode(&[P + 8, P + 8]), b"ab ab");
    assert_eq!(spm.decode(&[1, P + 8, 2]), b" ab");
    assert_eq!(spm.decode(&[3 + 0xC3, 3 + 0xA9]), "é".as_bytes());
    assert_eq!((spm.piece(P + 8, false), spm.piece(1, false)), (&b" ab"[..], &b""[..]));
    assert_eq!((spm.piece(1, true), spm.piece(9999, true)), (&b"<s>"[..], &b""[..]));
}

#[test]
fn a_byte_without_a_token_is_unknown() {
    let tokens = ["<unk>", "<s>", "</s>", "a"].map(|t| t.as_bytes().to_vec()).to_vec();
    let vocab = Vocab { model: "llama".into(), tokens, ..Vocab::default() };
    assert_eq!(Tokenizer::new(vocab).unwrap().encode(b"ab", PLAIN), [0, 0, 0, 3, 0]);
}

#[test]
fn bpe_merges_by_rank_within_words() {
    let check =
        |text: &str, want: &[u32]| assert_eq!(bpe("gpt-2").encode(text.as_bytes(), PLAIN), want, "{text:?}");
    check("", &[]);
    check("abc", &[258]);
    // ab (rank 0) before Ġa (rank 1), then abc (2) before Ġab (3).
    check(" ab", &[259]);
    check(" abc", &[u32::from(b' '), 258]);
    check(" a", &[257]);
    check("aaa", &[260, u32::from(b'a')]);
    check("a    b", &[u32::from(b'a'), 261, 32, 32, u32::from(b'b')]);
    check("é", &[0xC3, 0xA9]);
    // The merge of q and r makes no token: llama.cpp spells it.
    check("qr", &[u32::from(b'q'), u32::from(b'r')]);
}

#[test]
fn bpe_takes_whole_words_when_merges_are_ignored() {
    assert_eq!(bpe("gpt-2").encode(b"xyz", PLAIN), b"xyz".map(u32::from));
    let vocab = Vocab { bos: Some(262), ..bpe_vocab("llama-bpe") };
    let llama3 = Tokenizer::new(vocab).unwrap();
    assert_eq!(llama3.encode(b"xyz", PLAIN), [264]);
    assert_eq!(llama3.encode(b"xyz", SPECIAL), [262, 264]);
}

#[test]
fn bpe_replaces_invalid_bytes() {
    let check = |text: &[u8], like: &str| {
        assert_eq!(bpe("gpt-2").encode(text, PLAIN), bpe("gpt-2").encode(like.as_bytes(), PLAIN));
    };
    check(b"a\xFFb", "a\u{FFFD}b");
    check(b"\xC1\xA1b", "ab");
}

#[test]
fn bpe_special_tokens() {
    let bpe = bpe("smollm");
    assert_eq!(bpe.encode(b"a<|im_end|>[ud]", SPECIAL), [97, 262, 263]);
    assert_eq!(bpe.encode(b"[ud]<", PLAIN), [263, u32::from(b'<')]);
    assert_eq!(bpe.encode(b"<|im_end|>", PLAIN).len(), 10);
    assert_eq!((bpe.decode(&[97, 262, 263]), bpe.eot()), (b"a[ud]".to_vec(), Some(262)));
    assert!(bpe.is_end_of_generation(262) && !bpe.is_end_of_generation(97));
    assert_eq!(
        (bpe.id_of("Ġa".as_bytes()), bpe.id_of(b"<|im_end|>"), bpe.id_of(b" a")),
        (Some(257), Some(262), None)
    );
    assert_eq!((bpe.bos(), bpe.vocab_size()), (None, 265));
}

#[test]
fn impossible_vocabularies_are_refused() {
    let check = |vocab: Vocab, kind, key| {
        let error = Tokenizer::new(vocab).unwrap_err();
        assert_eq!((error.kind(), error.key()), (kind, Some(key)));
    };
    let (spm, bpe) = (spm_vocab, || bpe_vocab("gpt-2"));
    check(Vocab { model: "bert".into(), ..spm() }, ErrorKind::Unsupported, "tokenizer.ggml.model");
    check(bpe_vocab("tekken"), ErrorKind::Unsupported, "tokenizer.ggml.pre");
    check(bpe_vocab("llama-bpe"), ErrorKind::Missing, "tokenizer.ggml.bos_token_id");
    check(Vocab { add_eos: Some(true), ..bpe() }, ErrorKind::Missing, "tokenizer.ggml.eos_token_id");
    check(Vocab { eos: Some(99999), ..spm() }, ErrorKind::Value, "tokenizer.ggml.eos_token_id");
}

#[test]
fn long_runs_take_no_quadratic_time() {
    for unit in ["a", " ", "\n", "ab", "é", "=", "1", "<|"] {
        let text = unit.repeat(200_000 / unit.len());
        for tokenizer in [spm(), bpe("gpt-2"), bpe("qwen2"), bpe("default")] {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text.as_bytes(), PLAIN)), text.as_bytes());
        }
    }
}

/// Text with many of the small vocabularies' pieces in it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[abcé \n'1!]{0,40}", "( ?[abc]{1,4}|[0-9]+|\\s|\\PC){0,20}"]
}

proptest! {
    #[test]
    fn spm_round_trips(text in text()) {
        // ▁ itself is a space to SPM.
        let text = text.replace('▁', "_").replace("[ud]", "");
        prop_assert_eq!(spm().decode(&spm().encode(text.as_bytes(), PLAIN)), text.as_bytes());
    }

    #[test]
    fn bpe_round_trips(
        text in text(),
        pre in prop::sample::select(vec!["default", "gpt-2", "smollm", "dbrx", "qwen2"]),
    ) {
        let bpe = bpe(pre);
        prop_assert_eq!(bpe.decode(&bpe.encode(text.as_bytes(), PLAIN)), text.as_bytes());
    }

    #[test]
    fn any_bytes_encode(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        spm().encode(&bytes, SPECIAL);
        let ids = bpe("qwen2").encode(&bytes, SPECIAL);
        let text = String::from_utf8_lossy(&bpe("qwen2").decode(&ids)).into_owned();
        prop_assert!(bytes.is_ascii() || !text.is_empty());
    }
}
