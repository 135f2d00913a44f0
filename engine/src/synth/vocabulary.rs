//! A made-up SentencePiece vocabulary that tokenizes any text: specials, 256 byte tokens, single characters, and
//! pieces grown one character at a time. Every prefix of a piece is a piece of better score, so merging pairs
//! reaches each of them.

use std::collections::HashSet;

use super::weights::nth;

/// The mark that stands for a space.
const SPACE: char = '\u{2581}';
/// Letters in proportion to their frequency in English, from which pieces grow.
const LETTERS: &[u8] =
    b"eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllcccuuummmwwffggyyppbvk";
/// Characters of the longest piece grown at random.
const MAX_GROWN_CHARS: usize = 9;
/// Vocabularies at least this large also have characters beyond ASCII.
const MIN_VOCAB_FOR_LATIN_1: usize = 4096;
/// The longest run of spaces that is a piece.
const MAX_SPACES: usize = 16;

/// Common fragments and words (`_` stands for a space): real text falls into pieces of a realistic length.
const COMMON: &str = "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de \
    hi ri ro ic ne ea ra ce li ch ll be ma si om ur ing ion tion ment ness able ally ent ance ight \
    _the _a _of _to _and _in _is _it _that _for _was _on _with _as _be _are _this _by _at _from _or _an _not _have _he _you \
    _his _but _they _which _we _all _has _had _her _one _can _will _their _there _were _been _if _more _when _would _who _so \
    _what _no _out _up _about _into _than _some _could _time _them _other _only _then _do _its _my _new _your _two _may _any \
    _these _first _such _like _over _also _our _most _after _because _people _between _through _where _how _many _much \
    _should _world _year _work _well _way _even _make _good _just _very _before _being _system _number _each _under _made \
    _part _used _using _use _water _long _life _small _great _place _point _state _model _language _machine _learning \
    _data _program _computer _process _memory _function _question _answer _write _story _explain _describe _example _user \
    _important _different _human _information _history _science _energy _light _temperature _between _during _against \
    _without _again _around _however _another _something _nothing _every _always _never _often _together _country _city \
    _The _It _In _A _I _This _We _What _How _Why _When _If _But _He _She _They _There _You _For _As _On _At _To";

/// Pieces with their scores and types, by token id.
pub(super) struct Vocabulary {
    pub(super) pieces: Vec<String>,
    /// 0 for specials and bytes; below that, the rank among the pieces, negated.
    pub(super) scores: Vec<f32>,
    /// 1 normal, 2 unknown, 3 control, 6 byte.
    pub(super) types: Vec<i32>,
}

impl Vocabulary {
    /// The vocabulary of `n` tokens; a larger one differs from a smaller one only by what is appended, but for
    /// the characters beyond ASCII. `n` must leave room for the 354 specials, bytes and ASCII characters.
    pub(super) fn new(n: usize) -> Self {
        let mut pieces = vec!["<unk>".to_owned(), "<s>".into(), "</s>".into()];
        let mut types = vec![2, 3, 3];
        pieces.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
        types.resize(pieces.len(), 6);
        let n_special = pieces.len();
        pieces.extend(grow(n - n_special, n >= MIN_VOCAB_FOR_LATIN_1));
        types.resize(pieces.len(), 1);
        let score = |idx: usize| if idx < n_special { 0.0 } else { -((idx - n_special) as f32) };
        let scores = (0..pieces.len()).map(score).collect();
        Self { pieces, scores, types }
    }
}

/// `n` distinct normal pieces.
fn grow(n: usize, latin_1: bool) -> Vec<String> {
    let mut grown = Grown { n, ..Grown::default() };
    grown.add(SPACE.into());
    ('!'..='~').for_each(|c| grown.add(c.into()));
    if latin_1 {
        ('¡'..='ÿ').chain("–—‘’“”…€".chars()).for_each(|c| grown.add(c.into()));
    }
    for word in COMMON.split_whitespace() {
        grown.add_with_prefixes(&word.replace('_', &SPACE.to_string()));
    }
    grown.add_with_prefixes(&SPACE.to_string().repeat(MAX_SPACES));
    grown.add_at_random();
    grown.pieces
}

#[derive(Default)]
struct Grown {
    n: usize,
    pieces: Vec<String>,
    known: HashSet<String>,
}

impl Grown {
    fn add(&mut self, piece: String) {
        if self.pieces.len() < self.n && self.known.insert(piece.clone()) {
            self.pieces.push(piece);
        }
    }

    fn add_with_prefixes(&mut self, piece: &str) {
        for (end, _) in piece.char_indices().skip(1) {
            self.add(piece[..end].to_owned());
        }
        self.add(piece.to_owned());
    }

    /// Fills up by appending letters to pieces that are letters, with a space before them or none.
    fn add_at_random(&mut self) {
        let mut draws = (0..).map(|idx| nth(0, idx));
        let mut draw = |n: usize| (draws.next().expect("draws never end") % n as u64) as usize;
        while self.pieces.len() < self.n {
            let stem = &self.pieces[draw(self.pieces.len())];
            let letter = char::from(LETTERS[draw(LETTERS.len())]);
            let letters = stem.trim_start_matches(SPACE);
            let may_grow = letters.chars().all(|c| c.is_ascii_lowercase())
                && stem.chars().count() - letters.chars().count() <= 1
                && stem.chars().count() < MAX_GROWN_CHARS;
            if may_grow {
                self.add(format!("{stem}{letter}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::weights::fnv1a;
    use super::*;

    #[test]
    fn every_piece_is_unique_and_every_prefix_a_piece_of_better_score() {
        for n in [512, 32_000, 49_152] {
            let Vocabulary { pieces, scores, types } = Vocabulary::new(n);
            assert_eq!((pieces.len(), scores.len(), types.len()), (n, n, n));
            let mut seen = HashSet::new();
            for (idx, piece) in pieces.iter().enumerate() {
                if types[idx] == 1
                    && let Some((last, _)) = piece.char_indices().next_back().filter(|(at, _)| *at > 0)
                {
                    assert!(seen.contains(&piece[..last]), "{piece}");
                    assert!(seen.contains(&piece[last..]), "{piece}");
                    assert!(scores[idx] < scores[idx - 1]);
                }
                assert!(seen.insert(piece.as_str()), "{piece} twice");
            }
        }
    }

    #[test]
    fn specials_and_bytes_stand_where_loaders_expect_them() {
        let Vocabulary { pieces, types, .. } = Vocabulary::new(512);
        assert_eq!(&pieces[..5], ["<unk>", "<s>", "</s>", "<0x00>", "<0x01>"]);
        assert_eq!((pieces[258].as_str(), pieces[259].as_str()), ("<0xFF>", "\u{2581}"));
        assert_eq!(types[..4], [2, 3, 3, 6]);
        assert_eq!(types[258..260], [6, 1]);
    }

    /// The same on every machine: a change here changes how many tokens a prompt has.
    #[test]
    fn pieces_are_these() {
        let hash = |n| fnv1a(Vocabulary::new(n).pieces.join("\n").as_bytes());
        assert_eq!((hash(512), hash(32_000)), (0x7826_d825_33e0_9dbf, 0xc361_e5f5_a610_5123));
    }
}
