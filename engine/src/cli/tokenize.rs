//! `engine tokenize`

use super::output;
use engine::gguf::Gguf;
use engine::tokenizer::EncodeOptions;
use engine::{Error, Tokenizer};
use std::io::Read;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// GGUF file; a vocabulary alone is enough.
    model: PathBuf,
    /// Text; without it stdin is read to its end, as bytes.
    #[arg(long)]
    text: Option<String>,
    /// Add no BOS or EOS, and take the text of special tokens as plain text.
    #[arg(long)]
    no_special: bool,
    /// One JSON document: {"ids":[…]}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&args.model)?)?;
    let text = match args.text {
        Some(text) => text.into_bytes(),
        None => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|e| Error::io("cannot read stdin", e))?;
            bytes
        }
    };
    let special = !args.no_special;
    let ids = tokenizer.encode(&text, EncodeOptions { add_special: special, parse_special: special });
    if args.json {
        return output::json(&serde_json::json!({ "ids": ids }));
    }
    let line = |&id: &u32| format!("{id:>8}  {:?}\n", String::from_utf8_lossy(tokenizer.piece(id, true)));
    output::print(&ids.iter().map(line).collect::<String>())
}
