//! `engine perplexity`

use super::output;
use engine::perplexity::{BaseReader, BaseWriter, Chunks, perplexity};
use engine::tokenizer::EncodeOptions;
use engine::{Error, ErrorKind, ModelOptions, SessionOptions, Tokenizer};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// GGUF file.
    model: PathBuf,
    /// Text to predict; not needed with --kl-base, which holds its tokens.
    #[arg(long, required_unless_present = "kl_base")]
    file: Option<PathBuf>,
    /// Tokens of a chunk; the base's with --kl-base.
    #[arg(short = 'c', long, default_value_t = 512)]
    context: usize,
    /// Compare with this file, as `llama-perplexity --kl-divergence-base` writes it.
    #[arg(long, value_name = "FILE")]
    kl_base: Option<PathBuf>,
    /// Write such a file.
    #[arg(long, value_name = "FILE")]
    write_kl_base: Option<PathBuf>,
    /// Threads; the machine's processors where not given.
    #[arg(long, short)]
    threads: Option<usize>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> super::Outcome {
    let (model, _) =
        output::open(&args.model, ModelOptions { threads: args.threads, ..ModelOptions::default() })?;
    let tokenizer = Tokenizer::from_gguf(model.gguf())?;
    let bos = tokenizer.bos().filter(|_| tokenizer.adds_bos());
    let n_vocab = model.config().n_vocab;
    let mut base = args.kl_base.as_ref().map(|path| BaseReader::open(path, bos)).transpose()?;
    if let Some(base) = base.as_ref().filter(|base| base.n_vocab != n_vocab) {
        let message = format!("the base has a vocabulary of {}, the model one of {n_vocab}", base.n_vocab);
        return Err(Error::new(ErrorKind::Value, message));
    }
    let chunks = match &base {
        Some(base) => base.chunks.clone(),
        None => Chunks::new(ids(args, &tokenizer)?, args.context, bos)?,
    };
    let writer = args.write_kl_base.as_ref().map(|path| BaseWriter::create(path, n_vocab, &chunks));
    let mut writer = writer.transpose()?;
    let context = Some(chunks.n_ctx);
    let mut session = model.session(SessionOptions { context, ..SessionOptions::default() })?;
    let bar = output::bar("chunks");
    let found =
        perplexity(&mut session, n_vocab, &chunks, base.as_mut(), writer.as_mut(), &mut |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        })?;
    bar.finish_and_clear();
    if args.json {
        return output::json(&found);
    }
    let mut text = format!("tokens {}\nperplexity {:.4}\n", found.n_tokens, found.ppl);
    if let (Some(kl), Some(max), Some(top), Some(ppl)) =
        (found.mean_kl, found.max_kl, found.same_top, found.base_ppl)
    {
        text += &format!(
            "base perplexity {ppl:.4}\nmean KL {kl:.3e}\nmax KL {max:.3e}\nsame top-1 {:.3}%\n",
            100.0 * top
        );
    }
    output::print(&text)
}

fn ids(args: &Args, tokenizer: &Tokenizer) -> engine::Result<Vec<u32>> {
    let path = args.file.as_deref().unwrap_or(std::path::Path::new(""));
    let mut text = std::fs::read(path).map_err(|e| Error::io("cannot read", e).in_file(path))?;
    // As llama.cpp reads its prompt files: without one final newline.
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    Ok(tokenizer.encode(&text, EncodeOptions { add_special: true, parse_special: false }))
}
