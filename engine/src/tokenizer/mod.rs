//! Tokenizers from GGUF metadata, both ways, with the ids that llama.cpp gives.

mod bpe;
mod gguf;
mod merge;
mod pretokenize;
mod special;
mod spm;
mod stream;
mod unicode;
mod unicode_table;
mod vocab;

pub use stream::Utf8Stream;
pub use vocab::{TokenType, Vocab};

use bpe::Bpe;
use merge::Merger;
use special::{Attr, Fragment, Roles, Specials};
use spm::Spm;
use vocab::refuse;

use crate::{ErrorKind, Result};

/// Text to token ids and back.
///
/// Ids equal llama.cpp's for any bytes. Three things differ on purpose: where llama.cpp aborts
/// (code points beyond U+10FFFF, a byte without a token) the byte becomes U+FFFD or the unknown
/// token; a BPE file that names no BOS or EOS token has none, instead of token 11; and
/// [`decode`](Self::decode) does not "clean up" the spaces before punctuation.
#[derive(Debug)]
pub struct Tokenizer {
    model: Model,
    specials: Specials,
    attrs: Vec<Attr>,
    pieces: Pieces,
    bos: Option<u32>,
    eos: Option<u32>,
    eot: Option<u32>,
    unk: Option<u32>,
    /// Ends of a generation, sorted.
    eog: Vec<u32>,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
}

#[derive(Debug)]
enum Model {
    Spm(Box<Spm>),
    Bpe(Box<Bpe>),
}

/// How [`Tokenizer::encode`] treats special tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Put BOS before and EOS after, as far as the model wants them.
    pub add_special: bool,
    /// Read the text of control tokens (`<|im_start|>`) as those tokens.
    pub parse_special: bool,
}

impl Tokenizer {
    /// Checks the vocabulary and builds the tokenizer.
    ///
    /// # Errors
    /// `Unsupported` for another `model` or `pre`; otherwise the kind that fits, with the key.
    pub fn new(vocab: Vocab) -> Result<Self> {
        let is_spm = match vocab.model.as_str() {
            "llama" => true,
            "gpt2" => false,
            other => {
                let message = format!("tokenizer {other:?} is not supported (known: llama, gpt2)");
                return Err(refuse(ErrorKind::Unsupported, "model", message));
            }
        };
        let pre = pretokenize::by_name(vocab.pre.as_deref().filter(|_| !is_spm))?;
        let vocab = vocab.validate()?;
        // SPM files may leave these out.
        let default = |id: u32| Some(id).filter(|&id| is_spm && (id as usize) < vocab.tokens.len());
        let (bos, eos) = (vocab.bos.or(default(1)), vocab.eos.or(default(2)));
        let unk = vocab.unk.or(default(0));
        let add_bos = vocab.add_bos.unwrap_or(is_spm || pre.add_bos);
        let add_eos = vocab.add_eos.unwrap_or(false);
        for (wanted, id, key) in [(add_bos, bos, "bos_token_id"), (add_eos, eos, "eos_token_id")] {
            if wanted && id.is_none() {
                return Err(refuse(
                    ErrorKind::Missing,
                    key,
                    "the model adds this token but does not name it",
                ));
            }
        }
        let roles = Roles::of(&vocab, eos);
        let unescape = if is_spm { spm::unescape } else { bpe::unescape };
        Ok(Self {
            specials: Specials::new(&vocab, &roles.attrs),
            pieces: Pieces::new(&vocab, &roles.attrs, unescape),
            model: if is_spm {
                Model::Spm(Box::new(Spm::new(&vocab, unk)))
            } else {
                Model::Bpe(Box::new(Bpe::new(&vocab, pre)))
            },
            attrs: roles.attrs,
            bos,
            eos,
            eot: roles.eot,
            unk,
            eog: roles.eog,
            add_bos,
            add_eos,
            add_space_prefix: is_spm && vocab.add_space_prefix.unwrap_or(true),
        })
    }

    /// The ids of `text`, which need not be UTF-8.
    ///
    /// # Panics
    /// On texts of more than 512 MiB.
    pub fn encode(&self, text: &[u8], options: EncodeOptions) -> Vec<u32> {
        assert!(text.len() <= merge::LEN_MAX / 4, "a text of {} bytes", text.len());
        let mut ids = Vec::with_capacity(text.len() / 3 + 2);
        if options.add_special && self.add_bos {
            ids.extend(self.bos);
        }
        let mut merger = Merger::default();
        let mut after_special = true;
        for fragment in self.specials.partition(text, options.parse_special) {
            after_special = match fragment {
                Fragment::Token(id) => {
                    ids.push(id);
                    true
                }
                Fragment::Text(range) => {
                    let space_prefix = self.add_space_prefix && after_special;
                    match &self.model {
                        Model::Spm(spm) => spm.encode(&text[range], space_prefix, &mut merger, &mut ids),
                        Model::Bpe(bpe) => bpe.encode(&text[range], &mut merger, &mut ids),
                    }
                    false
                }
            };
        }
        if options.add_special && self.add_eos {
            ids.extend(self.eos);
        }
        ids
    }

    /// The bytes of one token; of a control or unknown token its name if `special`, else nothing.
    /// An id beyond the vocabulary has no bytes.
    pub fn piece(&self, id: u32, special: bool) -> &[u8] {
        match self.attrs.get(id as usize) {
            Some(attr) if special || !attr.is_hidden() => self.pieces.get(id as usize),
            _ => &[],
        }
    }

    /// The text of `ids`: the pieces without control tokens, less the space that encoding put
    /// before the first one. After a leading BOS the space stays, as in llama.cpp.
    pub fn decode(&self, ids: &[u32]) -> Vec<u8> {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.piece(id, false)).copied().collect();
        let first = ids.first().map_or(&[][..], |&id| self.piece(id, false));
        match self.add_space_prefix && first.starts_with(b" ") {
            true => bytes[1..].to_vec(),
            false => bytes,
        }
    }

    /// The number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.attrs.len()
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The token that ends a turn, named by the file or found by its text.
    pub fn eot(&self) -> Option<u32> {
        self.eot
    }

    /// The token for what the vocabulary cannot express.
    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// Whether `add_special` puts BOS before the text.
    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    /// Whether `add_special` puts EOS after the text.
    pub fn adds_eos(&self) -> bool {
        self.add_eos
    }

    /// Whether a generation is over at `id`: EOS, EOT, EOM, the separators of files and
    /// repositories, and every token with such a name.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.eog.binary_search(&id).is_ok()
    }

    /// The tokens that end a generation, in ascending order.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.eog
    }

    /// The token that the file writes as `piece` (`▁the`, `Ġthe`, `<|im_end|>`).
    pub fn id_of(&self, piece: &[u8]) -> Option<u32> {
        match &self.model {
            Model::Spm(spm) => spm.id_of(piece),
            Model::Bpe(bpe) => bpe.id_of(piece),
        }
    }
}

/// The bytes of all tokens, end to end.
#[derive(Debug)]
struct Pieces {
    bytes: Vec<u8>,
    /// One more than there are tokens.
    starts: Vec<usize>,
}

impl Pieces {
    fn new(vocab: &Vocab, attrs: &[Attr], unescape: fn(&[u8]) -> Vec<u8>) -> Self {
        let mut pieces = Self { bytes: Vec::new(), starts: vec![0] };
        for (text, attr) in vocab.tokens.iter().zip(attrs) {
            match attr.kind {
                _ if attr.is_literal() => pieces.bytes.extend_from_slice(text),
                TokenType::Normal => pieces.bytes.append(&mut unescape(text)),
                TokenType::Byte => pieces.bytes.extend(vocab::byte_of(text)),
                _ => {}
            }
            pieces.starts.push(pieces.bytes.len());
        }
        pieces
    }

    fn get(&self, id: usize) -> &[u8] {
        &self.bytes[self.starts[id]..self.starts[id + 1]]
    }
}

#[cfg(test)]
mod tests;
