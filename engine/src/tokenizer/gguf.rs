//! The vocabulary out of a GGUF file.

use super::{TokenType, Tokenizer, Vocab, vocab::check_count};
use crate::gguf::Gguf;
use crate::{Error, Result};

impl Tokenizer {
    /// Reads the `tokenizer.ggml.*` keys.
    ///
    /// # Errors
    /// As [`Tokenizer::new`], with the file and the place of the key.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let n_tokens = gguf.require_strings("tokenizer.ggml.tokens")?.len();
        let checked = check_count(n_tokens).and_then(|()| Self::new(vocab(gguf)?));
        checked.map_err(|error| locate(gguf, error))
    }
}

fn vocab(gguf: &Gguf) -> Result<Vocab> {
    let text = |key: &str| Ok::<_, Error>(gguf.str(key)?.map(str::to_owned));
    let strings = |key: &str| match gguf.strings(key)? {
        Some(strings) => Ok::<_, Error>(strings.iter().map(<[u8]>::to_vec).collect()),
        None => Ok(Vec::new()),
    };
    let types = gguf.i32s("tokenizer.ggml.token_type")?.unwrap_or_default();
    Ok(Vocab {
        model: gguf.require_str("tokenizer.ggml.model")?.to_owned(),
        pre: text("tokenizer.ggml.pre")?,
        tokens: strings("tokenizer.ggml.tokens")?,
        scores: scores(gguf)?,
        types: types.iter().copied().map(TokenType::from).collect(),
        merges: strings("tokenizer.ggml.merges")?,
        bos: gguf.u32("tokenizer.ggml.bos_token_id")?,
        eos: gguf.u32("tokenizer.ggml.eos_token_id")?,
        eot: gguf.u32("tokenizer.ggml.eot_token_id")?,
        eom: gguf.u32("tokenizer.ggml.eom_token_id")?,
        unk: gguf.u32("tokenizer.ggml.unknown_token_id")?,
        fim_pad: gguf.u32("tokenizer.ggml.fim_pad_token_id")?,
        fim_rep: gguf.u32("tokenizer.ggml.fim_rep_token_id")?,
        fim_sep: gguf.u32("tokenizer.ggml.fim_sep_token_id")?,
        add_bos: gguf.bool("tokenizer.ggml.add_bos_token")?,
        add_eos: gguf.bool("tokenizer.ggml.add_eos_token")?,
        add_space_prefix: gguf.bool("tokenizer.ggml.add_space_prefix")?,
        model_name: text("general.name")?,
    })
}

/// Usually f32; i32 is allowed.
fn scores(gguf: &Gguf) -> Result<Vec<f32>> {
    let key = "tokenizer.ggml.scores";
    match (gguf.f32s(key), gguf.i32s(key)) {
        (Ok(scores), _) => Ok(scores.unwrap_or_default().to_vec()),
        (_, Ok(scores)) => Ok(scores.unwrap_or_default().iter().map(|&score| score as f32).collect()),
        (Err(error), _) => Err(error),
    }
}

/// Adds the file, and the offset of the key's value.
fn locate(gguf: &Gguf, error: Error) -> Error {
    let offset = error.key().and_then(|key| gguf.value_error(key, error.kind(), "").offset());
    let error = error.in_file(gguf.path());
    match offset {
        Some(offset) => error.at_offset(offset),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::gguf::{Array, GgufBuilder};
    use crate::tokenizer::EncodeOptions;

    fn open(bos: u32) -> Result<Tokenizer> {
        let tokens = ["<unk>", "<s>", "</s>", "▁", "a", "▁a"];
        let mut builder = GgufBuilder::new();
        builder.metadata("tokenizer.ggml.model", "llama");
        builder.metadata("tokenizer.ggml.tokens", Array::String(tokens.iter().collect()));
        builder.metadata("tokenizer.ggml.scores", Array::I32(vec![0, 0, 0, -3, -2, -1]));
        builder.metadata("tokenizer.ggml.token_type", Array::I32(vec![2, 3, 3, 1, 1, 1]));
        builder.metadata("tokenizer.ggml.bos_token_id", bos);
        let file = tempfile::NamedTempFile::new().unwrap();
        builder.start(file.reopen().unwrap()).unwrap().finish().unwrap();
        Tokenizer::from_gguf(&Gguf::open(file.path()).unwrap())
    }

    #[test]
    fn reads_the_keys() {
        let options = EncodeOptions { add_special: true, parse_special: true };
        assert_eq!(open(1).unwrap().encode(b"a</s>", options), [1, 5, 2]);
    }

    #[test]
    fn errors_name_file_key_and_offset() {
        let error = open(6).unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Value, Some("tokenizer.ggml.bos_token_id")));
        assert!(error.file().is_some() && error.offset().is_some());
    }
}
