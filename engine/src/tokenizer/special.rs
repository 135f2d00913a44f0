//! Tokens that are more than text: which they are, which end a generation, and where they occur.

use std::ops::Range;

use memchr::memmem::Finder;

use super::vocab::{TokenType, Vocab};

/// How a token is treated. A name that looks like a control token makes it one, whatever its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attr {
    pub(super) kind: TokenType,
    pub(super) control: bool,
    /// Swallows the spaces that follow it.
    strip_right: bool,
}

impl Attr {
    /// Control and unknown tokens: matched in text only on request, and printed only on request.
    pub(super) fn is_hidden(self) -> bool {
        self.control || self.kind == TokenType::Unknown
    }

    /// Whether its bytes are those in the file, unchanged.
    pub(super) fn is_literal(self) -> bool {
        self.is_hidden() || self.kind == TokenType::UserDefined
    }
}

/// The tokens with a role, by llama.cpp's rules: named by the file, else found by their text.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) attrs: Vec<Attr>,
    pub(super) eot: Option<u32>,
    /// Sorted.
    pub(super) eog: Vec<u32>,
}

const EOT: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
const EOM: &[&str] = &["<|eom_id|>"];
const FIM_PREFIX: &[&str] = &[
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
];
const FIM_SUFFIX: &[&str] = &[
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
];
const FIM_MIDDLE: &[&str] = &[
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
    "<|code_middle|>",
    "<|middle|>",
];
const FIM_PAD: &[&str] = &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"];
const FIM_REPO: &[&str] = &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"];
const FIM_SEPARATOR: &[&str] = &["<|file_sep|>"];
/// End a generation besides [`EOT`] and [`EOM`].
const EOG: &[&str] = &[
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "</s>",
    "[EOS]",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
];
/// Printed always.
const USER_DEFINED: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

impl Roles {
    /// Collects the roles of a checked vocabulary; `eos` is what ends a text.
    pub(super) fn of(vocab: &Vocab, eos: Option<u32>) -> Self {
        let attr = |&kind: &TokenType| Attr { kind, control: kind == TokenType::Control, strip_right: false };
        let mut attrs: Vec<Attr> = vocab.types.iter().map(attr).collect();
        let named = Named::of(vocab);
        let mut role = |given: Option<u32>, names: &[&str]| {
            let found = given.is_none().then(|| named.first(names)).flatten();
            if let Some(id) = found {
                attrs[id as usize].control = true;
            }
            given.or(found)
        };
        let eot = role(vocab.eot, EOT);
        let eom = role(vocab.eom, EOM);
        for names in [FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE] {
            role(None, names);
        }
        let fim =
            [role(vocab.fim_pad, FIM_PAD), role(vocab.fim_rep, FIM_REPO), role(vocab.fim_sep, FIM_SEPARATOR)];
        let mut eog: Vec<u32> = fim.into_iter().chain([eos, eot, eom]).flatten().collect();
        for id in [EOT, EOM, EOG].into_iter().flat_map(|names| named.all(names)) {
            attrs[id as usize].control = true;
            eog.push(id);
        }
        for id in named.all(USER_DEFINED) {
            attrs[id as usize] = attr(&TokenType::UserDefined);
        }
        eog.sort_unstable();
        eog.dedup();
        phi3(vocab, &named, &mut attrs);
        Self { attrs, eot, eog }
    }
}

/// Phi-3 strips the spaces to the right of most special tokens; GGUF has no key for it.
fn phi3(vocab: &Vocab, named: &Named<'_>, attrs: &mut [Attr]) {
    let name = vocab.model_name.as_deref().unwrap_or_default().to_ascii_lowercase();
    if !name.contains("phi-3") && !name.contains("phi3") {
        return;
    }
    for attr in attrs.iter_mut().filter(|attr| attr.is_literal()) {
        attr.strip_right = true;
    }
    for (names, strip) in [(&["</s>"][..], true), (&["<unk>", "<s>", "<|endoftext|>"], false)] {
        named.all(names).for_each(|id| attrs[id as usize].strip_right = strip);
    }
}

/// The tokens whose text is one of the names above, in the order of their ids.
struct Named<'a>(Vec<(&'a [u8], u32)>);

impl<'a> Named<'a> {
    fn of(vocab: &'a Vocab) -> Self {
        let looks_special = |text: &[u8]| {
            text.starts_with(b"<") || text.starts_with(b"[") || text.ends_with(b">") && text.contains(&b'<')
        };
        let tokens = vocab.tokens.iter().map(Vec::as_slice).zip(0u32..);
        Self(tokens.filter(|(text, _)| looks_special(text)).collect())
    }

    fn all(&self, names: &[&str]) -> impl Iterator<Item = u32> {
        let is_named = |text: &[u8]| names.iter().any(|name| name.as_bytes() == text);
        self.0.iter().filter(move |(text, _)| is_named(text)).map(|&(_, id)| id)
    }

    /// Of several names the one that stands first: `<|im_end|>` before `<|endoftext|>`.
    fn first(&self, names: &[&str]) -> Option<u32> {
        names.iter().find_map(|name| self.all(&[name]).next())
    }
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fragment {
    Text(Range<usize>),
    Token(u32),
}

/// Finds special tokens in text.
#[derive(Debug)]
pub(super) struct Specials {
    /// The longest first, among equals the lowest id.
    tokens: Vec<Special>,
}

#[derive(Debug)]
struct Special {
    id: u32,
    attr: Attr,
    finder: Finder<'static>,
}

impl Specials {
    pub(super) fn new(vocab: &Vocab, attrs: &[Attr]) -> Self {
        let literal = vocab.tokens.iter().zip(attrs).zip(0u32..).filter(|((_, attr), _)| attr.is_literal());
        let mut tokens: Vec<Special> = literal
            .map(|((text, &attr), id)| Special { id, attr, finder: Finder::new(text).into_owned() })
            .collect();
        tokens.sort_by_key(|special| std::cmp::Reverse(special.finder.needle().len()));
        Self { tokens }
    }

    /// Cuts `text` at its special tokens. Longer tokens take precedence over the whole text, as in
    /// llama.cpp, and user-defined ones are matched even when `parse_special` is off.
    pub(super) fn partition(&self, text: &[u8], parse_special: bool) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        if !text.is_empty() {
            fragments.push(Fragment::Text(0..text.len()));
        }
        for special in &self.tokens {
            if !parse_special && special.attr.is_hidden() || special.finder.find(text).is_none() {
                continue;
            }
            let mut next = Vec::with_capacity(fragments.len() + 2);
            for fragment in fragments {
                match fragment {
                    Fragment::Text(range) => special.cut(text, range, &mut next),
                    token => next.push(token),
                }
            }
            fragments = next;
        }
        fragments
    }
}

impl Special {
    fn cut(&self, text: &[u8], mut range: Range<usize>, out: &mut Vec<Fragment>) {
        while let Some(at) = self.finder.find(&text[range.clone()]) {
            let at = range.start + at;
            if at > range.start {
                out.push(Fragment::Text(range.start..at));
            }
            out.push(Fragment::Token(self.id));
            range.start = at + self.finder.needle().len();
            if self.attr.strip_right {
                let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t'..=b'\r');
                range.start += text[range.clone()].iter().take_while(is_space).count();
            }
        }
        if !range.is_empty() {
            out.push(Fragment::Text(range));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specials(tokens: &[(&str, TokenType)], name: &str) -> (Roles, Specials) {
        let vocab = Vocab {
            model: "llama".into(),
            tokens: tokens.iter().map(|(text, _)| text.as_bytes().to_vec()).collect(),
            types: tokens.iter().map(|&(_, kind)| kind).collect(),
            model_name: Some(name.into()),
            ..Vocab::default()
        };
        let roles = Roles::of(&vocab, None);
        let specials = Specials::new(&vocab, &roles.attrs);
        (roles, specials)
    }

    #[test]
    fn the_longest_token_wins_over_the_leftmost() {
        use Fragment::{Text, Token};
        let (_, specials) = specials(&[("abc", TokenType::UserDefined), ("cdef", TokenType::Control)], "");
        assert_eq!(specials.partition(b"abcdef", true), [Text(0..2), Token(1)]);
        assert_eq!(specials.partition(b"abcdef", false), [Token(0), Text(3..6)]);
        assert_eq!(specials.partition(b"xabcabc", true), [Text(0..1), Token(0), Token(0)]);
        assert_eq!(specials.partition(b"", true), []);
    }

    #[test]
    fn phi3_strips_to_the_right() {
        use Fragment::{Text, Token};
        let tokens = [("<|user|>", TokenType::Control), ("<s>", TokenType::Control)];
        let (_, specials) = specials(&tokens, "Phi-3 mini");
        assert_eq!(specials.partition(b"<|user|> \n hi", true), [Token(0), Text(11..13)]);
        assert_eq!(specials.partition(b"<|user|>  ", true), [Token(0)]);
        assert_eq!(specials.partition(b"<s> hi", true), [Token(1), Text(3..6)]);
    }

    #[test]
    fn names_make_roles() {
        let (roles, _) = specials(
            &[
                ("<|im_end|>", TokenType::Normal),
                ("x", TokenType::Normal),
                ("<|fim_pad|>", TokenType::Normal),
                ("<|endoftext|>", TokenType::Control),
                ("</s>", TokenType::Normal),
            ],
            "",
        );
        assert_eq!((roles.eot, roles.eog), (Some(0), vec![0, 2, 3, 4]));
        assert!(roles.attrs[0].is_hidden() && roles.attrs[4].is_hidden() && !roles.attrs[1].is_literal());
    }
}
