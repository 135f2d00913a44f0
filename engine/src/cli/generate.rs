//! `engine generate`

use super::output;
use engine::generate::{GenerateOptions, Generated, generate};
use engine::sample::SamplerOptions;
use engine::tokenizer::EncodeOptions;
use engine::{ModelOptions, SessionOptions, Tokenizer};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("input").required(true)))]
pub(super) struct Args {
    /// GGUF file.
    model: PathBuf,
    /// Prompt; BOS and EOS are added as the model wants them, and the text of special tokens is read as those.
    #[arg(long, group = "input")]
    prompt: Option<String>,
    /// Prompt as token ids; nothing is added.
    #[arg(long, group = "input", value_delimiter = ',', value_name = "IDS")]
    prompt_ids: Option<Vec<u32>>,
    /// Most tokens to generate.
    #[arg(short, default_value_t = 128)]
    n: usize,
    /// Threads; the machine's processors where not given.
    #[arg(long, short)]
    threads: Option<usize>,
    /// KV positions; prompt and answer where not given.
    #[arg(long, short)]
    context: Option<usize>,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Keep the K best; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Keep the best that reach this probability together.
    #[arg(long, default_value_t = 1.0)]
    top_p: f32,
    /// Keep those at least this fraction as probable as the best.
    #[arg(long, default_value_t = 0.0)]
    min_p: f32,
    /// Divides the logits of recent tokens; 1 changes nothing.
    #[arg(long, default_value_t = 1.0)]
    repeat_penalty: f32,
    /// Tokens that count as recent.
    #[arg(long, default_value_t = 64)]
    repeat_last_n: usize,
    /// Seed of the sampler.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop at this text; may be given several times.
    #[arg(long)]
    stop: Vec<String>,
    /// Generate on after an end-of-generation token.
    #[arg(long)]
    ignore_eos: bool,
    /// With --json, a hash of all logits: the same on every processor, at every ENGINE_SIMD and number of threads.
    #[arg(long, requires = "json")]
    logits_hash: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> super::Outcome {
    let (model, load) =
        output::open(&args.model, ModelOptions { threads: args.threads, ..ModelOptions::default() })?;
    let tokenizer = Tokenizer::from_gguf(model.gguf())?;
    let text = EncodeOptions { add_special: true, parse_special: true };
    let prompt = match (&args.prompt_ids, &args.prompt) {
        (Some(ids), _) => ids.clone(),
        (None, prompt) => tokenizer.encode(prompt.as_deref().unwrap_or_default().as_bytes(), text),
    };
    let wanted = (prompt.len() + args.n).clamp(1, model.config().n_context);
    let context = Some(args.context.unwrap_or(wanted));
    let mut session = model.session(SessionOptions { context, ..SessionOptions::default() })?;
    let json = args.json;
    let options = options(args);
    let mut failed = None;
    let generated = generate(&mut session, &tokenizer, &prompt, &options, &mut |text| {
        if !json {
            failed = output::print(text).err().or(failed.take());
        }
    })?;
    failed.map_or(Ok(()), Err)?;
    if json { output::json(&document(&prompt, &generated, load)) } else { summary(&prompt, &generated, load) }
}

fn options(args: Args) -> GenerateOptions {
    let sampler = SamplerOptions {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repeat_penalty: args.repeat_penalty,
        repeat_last_n: args.repeat_last_n,
        seed: args.seed,
    };
    GenerateOptions {
        max_tokens: args.n,
        sampler,
        stops: args.stop,
        ignore_eos: args.ignore_eos,
        hash_logits: args.logits_hash,
    }
}

fn prefill_tok_s(prompt: &[u32], generated: &Generated) -> f64 {
    prompt.len() as f64 / generated.prefill.as_secs_f64()
}

fn document(prompt: &[u32], generated: &Generated, load: Duration) -> serde_json::Value {
    let mut document = serde_json::json!({
        "prompt_ids": prompt,
        "ids": generated.ids,
        "text": generated.text,
        "stop": generated.stop,
        "timings": {
            "load_ms": load.as_secs_f64() * 1e3,
            "ttft_ms": generated.first_token.as_secs_f64() * 1e3,
            "prefill_tok_s": prefill_tok_s(prompt, generated),
            "decode_tok_s": generated.decode_tok_s(),
        },
        "peak_rss_bytes": output::peak_rss_bytes(),
    });
    if let Some(hash) = generated.logits_hash {
        document["logits_hash"] = format!("{hash:016x}").into();
    }
    document
}

fn summary(prompt: &[u32], generated: &Generated, load: Duration) -> super::Outcome {
    output::print("\n")?;
    let decode = generated.decode_tok_s().map_or("n/a".into(), |rate| format!("{rate:.1} tok/s"));
    eprintln!(
        "load {:.2} s, prefill {} tokens at {:.1} tok/s, decode {} tokens at {decode}",
        load.as_secs_f64(),
        prompt.len(),
        prefill_tok_s(prompt, generated),
        generated.ids.len(),
    );
    Ok(())
}
