//! From a prompt to a text: prefill, sample, decode, stop.

use crate::error::Result;
use crate::sample::{Sampler, SamplerOptions};
use crate::session::Session;
use crate::stop::{StopEvent, StopStrings};
use crate::tokenizer::{Tokenizer, Utf8Stream};
use std::time::{Duration, Instant};

/// How to generate. The default is greedy, at most 128 tokens.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// How to choose each.
    pub sampler: SamplerOptions,
    /// Texts at which to stop; they are not part of the answer.
    pub stops: Vec<String>,
    /// Generate on after an end-of-generation token.
    pub ignore_eos: bool,
    /// Hash the logits, for [`Generated::logits_hash`].
    pub hash_logits: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 128,
            sampler: SamplerOptions::default(),
            stops: Vec::new(),
            ignore_eos: false,
            hash_logits: false,
        }
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StopReason {
    /// The most tokens asked for, or the context is full.
    Length,
    /// An end-of-generation token.
    Eos,
    /// A stop string.
    Stop,
}

/// A finished generation.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The tokens chosen, an end-of-generation token included.
    pub ids: Vec<u32>,
    /// Their text, without stop strings.
    pub text: String,
    /// Why it ended.
    pub stop: StopReason,
    /// Time to process the prompt and choose the first token.
    pub first_token: Duration,
    /// Time to process the prompt.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// Hash of all logits, the prompt's last and each token's that was decoded: the same on every processor, level and number of
    /// threads. Where [`GenerateOptions::hash_logits`] asks for it.
    pub logits_hash: Option<u64>,
}

impl Generated {
    /// Tokens per second after the first; `None` for fewer than two.
    pub fn decode_tok_s(&self) -> Option<f64> {
        (self.ids.len() > 1).then(|| (self.ids.len() - 1) as f64 / self.decode.as_secs_f64())
    }
}

/// Continues `prompt` in `session`; `on_text` hears the text as it becomes certain.
///
/// ```no_run
/// use engine::generate::{GenerateOptions, generate};
/// use engine::tokenizer::EncodeOptions;
///
/// let model = engine::Model::open("model.gguf")?;
/// let tokenizer = engine::Tokenizer::from_gguf(model.gguf())?;
/// let mut session = model.session(Default::default())?;
/// let prompt = tokenizer.encode(b"Once upon a time", EncodeOptions { add_special: true, ..Default::default() });
/// let options = GenerateOptions { max_tokens: 32, ..Default::default() };
/// let generated = generate(&mut session, &tokenizer, &prompt, &options, &mut |text| print!("{text}"))?;
/// assert!(generated.ids.len() <= 32);
/// # Ok::<(), engine::Error>(())
/// ```
///
/// # Errors
/// If the options are out of range or the prompt is empty or does not fit the context.
pub fn generate(
    session: &mut Session,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    options: &GenerateOptions,
    on_text: &mut dyn FnMut(&str),
) -> Result<Generated> {
    let mut sampler = Sampler::new(options.sampler.clone())?;
    let mut out = Output {
        stops: StopStrings::new(&options.stops)?,
        utf8: Utf8Stream::new(),
        text: String::new(),
        on_text,
    };
    let started = Instant::now();
    prompt.iter().for_each(|&id| sampler.accept(id));
    let mut hash = options.hash_logits.then_some(FNV_OFFSET);
    let mut logits = session.prefill(prompt)?.to_vec();
    hash = hash.map(|hash| hash_logits(hash, &logits));
    let prefill = started.elapsed();
    let (mut ids, mut stop) = (Vec::new(), StopReason::Length);
    let mut first_token = prefill;
    while ids.len() < options.max_tokens {
        let id = sampler.sample(&mut logits);
        sampler.accept(id);
        ids.push(id);
        if ids.len() == 1 {
            first_token = started.elapsed();
        }
        if tokenizer.is_end_of_generation(id) && !options.ignore_eos {
            stop = StopReason::Eos;
            break;
        }
        if out.push(tokenizer.piece(id, false)) {
            stop = StopReason::Stop;
            break;
        }
        if ids.len() == options.max_tokens || session.len() == session.context() {
            break;
        }
        logits.copy_from_slice(session.decode(id)?);
        hash = hash.map(|hash| hash_logits(hash, &logits));
    }
    let decode = started.elapsed() - first_token;
    let text = out.finish();
    Ok(Generated { ids, text, stop, first_token, prefill, decode, logits_hash: hash })
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo), over the bytes of each value, little-endian.
fn hash_logits(hash: u64, logits: &[f32]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    logits.iter().flat_map(|value| value.to_bits().to_le_bytes()).fold(hash, step)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// Bytes of tokens on their way to text.
struct Output<'a> {
    stops: StopStrings,
    utf8: Utf8Stream,
    text: String,
    on_text: &'a mut dyn FnMut(&str),
}

impl Output<'_> {
    /// Whether a stop string is complete.
    fn push(&mut self, bytes: &[u8]) -> bool {
        match self.stops.push(bytes) {
            StopEvent::Continue(bytes) => {
                self.emit(&bytes);
                false
            }
            StopEvent::Stopped { text, .. } => {
                self.emit(&text);
                true
            }
        }
    }

    fn emit(&mut self, bytes: &[u8]) {
        let text = self.utf8.push(bytes);
        self.say(&text);
    }

    fn say(&mut self, text: &str) {
        if !text.is_empty() {
            (self.on_text)(text);
            self.text.push_str(text);
        }
    }

    fn finish(mut self) -> String {
        let held = self.stops.finish();
        self.emit(&held);
        let rest = self.utf8.finish();
        self.say(&rest);
        self.text
    }
}
