//! Perplexity of a text and the Kullback-Leibler divergence from another engine's distribution.
//!
//! The method and the file are those of llama.cpp's `llama-perplexity --kl-divergence-base`: the text is cut into chunks of
//! `n_ctx` tokens, each begins with an empty cache, and the tokens of its second half are predicted. The file holds, for each
//! prediction, the log-probabilities in 16 bits over the 16 nats below the largest.

use crate::error::{Error, ErrorKind, Result};
use crate::sample::argmax;
use crate::session::Session;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

const MAGIC: &[u8; 8] = b"_logits_";
/// More than any model and text here; larger counts are refused before anything is allocated.
const MAX_VOCAB: usize = 1 << 22;
const MAX_TOKENS: usize = 1 << 26;

/// What was found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// Tokens predicted.
    pub n_tokens: usize,
    /// exp of the mean negative log-likelihood.
    pub ppl: f64,
    /// Mean KL divergence from the base, in nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_kl: Option<f64>,
    /// Largest KL divergence of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_kl: Option<f64>,
    /// Share of tokens for which both prefer the same next token, 0…1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_top: Option<f64>,
    /// The base's own perplexity, from its 16-bit log-probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_ppl: Option<f64>,
}

/// The text as tokens, in chunks of `n_ctx`.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunks {
    /// Tokens of a chunk.
    pub n_ctx: usize,
    /// All tokens; a last incomplete chunk is left out.
    pub ids: Vec<u32>,
    /// Replaces the first token of each chunk, where the model wants a BOS.
    pub bos: Option<u32>,
}

impl Chunks {
    /// Cuts `ids`.
    ///
    /// # Errors
    /// If there is not one whole chunk, or `n_ctx` is below 4.
    pub fn new(ids: Vec<u32>, n_ctx: usize, bos: Option<u32>) -> Result<Self> {
        if n_ctx < 4 || ids.len() < n_ctx {
            let message =
                format!("{} tokens make no chunk of {n_ctx} (at least 4); give more text", ids.len());
            return Err(Error::new(ErrorKind::Request, message));
        }
        Ok(Self { n_ctx, ids, bos })
    }

    fn count(&self) -> usize {
        self.ids.len() / self.n_ctx
    }

    /// The first position whose successor is predicted.
    fn first(&self) -> usize {
        self.n_ctx / 2
    }
}

/// Runs the chunks through `session`; compares with `base` or writes it, where given. `progress` hears chunks done and in all.
///
/// # Errors
/// If the context of the session is shorter than a chunk, or a file cannot be read, written or does not fit.
pub fn perplexity(
    session: &mut Session,
    n_vocab: usize,
    chunks: &Chunks,
    mut base: Option<&mut BaseReader>,
    mut write: Option<&mut BaseWriter>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Perplexity> {
    let mut sums = Sums::default();
    for (done, ids) in chunks.ids.chunks_exact(chunks.n_ctx).enumerate() {
        let mut prompt = ids.to_vec();
        if let Some(bos) = chunks.bos {
            prompt[0] = bos;
        }
        session.clear();
        session.prefill_each(&prompt[..chunks.n_ctx - 1], |t, logits| {
            if t < chunks.first() {
                return Ok(());
            }
            let row = Row::new(&logits[..n_vocab]);
            sums.add(&row, ids[t + 1], base.as_deref_mut())?;
            write.as_deref_mut().map_or(Ok(()), |w| w.row(&row))
        })?;
        progress(done + 1, chunks.count());
    }
    write.map_or(Ok(()), BaseWriter::finish)?;
    Ok(sums.result(base.is_some()))
}

/// Logits and the logarithm of their softmax's denominator.
struct Row<'a> {
    logits: &'a [f32],
    largest: f32,
    log_sum: f64,
}

impl<'a> Row<'a> {
    fn new(logits: &'a [f32]) -> Self {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|&l| f64::from(l - largest).exp()).sum();
        Self { logits, largest, log_sum: sum.ln() }
    }

    fn log_p(&self, id: usize) -> f64 {
        f64::from(self.logits[id] - self.largest) - self.log_sum
    }
}

#[derive(Default)]
struct Sums {
    n: usize,
    nll: f64,
    base_nll: f64,
    kl: f64,
    max_kl: f64,
    same_top: usize,
}

impl Sums {
    fn add(&mut self, row: &Row<'_>, next: u32, base: Option<&mut BaseReader>) -> Result<()> {
        self.n += 1;
        self.nll -= row.log_p(next as usize);
        let Some(base) = base else { return Ok(()) };
        let base = base.row()?;
        let mut kl = 0.0;
        for id in 0..row.logits.len() {
            let log_p = base.log_p(id);
            // As llama.cpp: what the 16 bits cut off at 16 nats does not count.
            if log_p > -16.0 {
                kl += log_p.exp() * (log_p - row.log_p(id));
            }
        }
        self.kl += kl;
        self.max_kl = self.max_kl.max(kl);
        self.base_nll -= base.log_p(next as usize);
        self.same_top += usize::from(argmax(row.logits) == base.top());
        Ok(())
    }

    fn result(&self, compared: bool) -> Perplexity {
        let mean = |sum: f64| sum / self.n as f64;
        Perplexity {
            n_tokens: self.n,
            ppl: mean(self.nll).exp(),
            mean_kl: compared.then(|| mean(self.kl)),
            max_kl: compared.then_some(self.max_kl),
            same_top: compared.then(|| mean(self.same_top as f64)),
            base_ppl: compared.then(|| mean(self.base_nll).exp()),
        }
    }
}

/// Reads a KL base file, row by row.
pub struct BaseReader {
    input: BufReader<File>,
    path: std::path::PathBuf,
    /// Vocabulary of the base.
    pub n_vocab: usize,
    /// The tokens it was made from.
    pub chunks: Chunks,
    row: Vec<u8>,
}

struct BaseRow<'a> {
    scale: f32,
    lowest: f32,
    steps: &'a [[u8; 2]],
}

impl BaseRow<'_> {
    fn log_p(&self, id: usize) -> f64 {
        f64::from(self.scale * f32::from(u16::from_le_bytes(self.steps[id])) + self.lowest)
    }

    fn top(&self) -> u32 {
        let steps = self.steps.iter().map(|s| u16::from_le_bytes(*s));
        let mut best = (0, 0);
        for (id, step) in steps.enumerate() {
            if step > best.1 {
                best = (id as u32, step);
            }
        }
        best.0
    }
}

impl BaseReader {
    /// Opens a file and reads its head. `bos` replaces the first token of each chunk, where the model wants it.
    ///
    /// # Errors
    /// If it is no such file, its counts are impossible or it is shorter than they say.
    pub fn open(path: &Path, bos: Option<u32>) -> Result<Self> {
        let io = |e| Error::io("cannot read", e).in_file(path);
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let mut input = BufReader::with_capacity(1 << 20, file);
        let mut head = [0; 20];
        input.read_exact(&mut head).map_err(io)?;
        let refuse = |kind, message: String| Err(Error::new(kind, message).in_file(path));
        if &head[..8] != MAGIC {
            return refuse(ErrorKind::Value, "not a KL base file (magic `_logits_` expected)".into());
        }
        let field = |i: usize| i32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let [n_ctx, n_vocab, n_chunks] = [8, 12, 16].map(field).map(|n| usize::try_from(n).unwrap_or(0));
        let n_tokens = n_ctx.saturating_mul(n_chunks);
        if n_ctx < 4 || n_chunks == 0 || n_vocab == 0 || n_vocab > MAX_VOCAB || n_tokens > MAX_TOKENS {
            let message =
                format!("impossible counts: {n_ctx} tokens, {n_vocab} vocabulary, {n_chunks} chunks");
            return refuse(ErrorKind::Bounds, message);
        }
        let rows = (n_chunks * (n_ctx - 1 - n_ctx / 2)) as u64;
        let expected = 20 + 4 * n_tokens as u64 + rows * row_bytes(n_vocab) as u64;
        if bytes < expected {
            return refuse(ErrorKind::Truncated, format!("{bytes} bytes, but its counts need {expected}"));
        }
        let mut ids = vec![0; 4 * n_tokens];
        input.read_exact(&mut ids).map_err(io)?;
        let ids: Vec<u32> = ids.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        if let Some(id) = ids.iter().find(|&&id| id as usize >= n_vocab) {
            return refuse(ErrorKind::Value, format!("token {id} is outside its vocabulary of {n_vocab}"));
        }
        let chunks = Chunks::new(ids, n_ctx, bos)?;
        Ok(Self { input, path: path.into(), n_vocab, chunks, row: vec![0; row_bytes(n_vocab)] })
    }

    fn row(&mut self) -> Result<BaseRow<'_>> {
        let read = self.input.read_exact(&mut self.row);
        read.map_err(|e| Error::io("cannot read", e).in_file(&self.path))?;
        let words = self.row.as_chunks::<2>().0;
        let number =
            |i: usize| f32::from_le_bytes([words[i][0], words[i][1], words[i + 1][0], words[i + 1][1]]);
        Ok(BaseRow { scale: number(0), lowest: number(2), steps: &words[4..4 + self.n_vocab] })
    }
}

/// Bytes of a row: scale and lowest in the first four of an even number of u16.
fn row_bytes(n_vocab: usize) -> usize {
    2 * (n_vocab.next_multiple_of(2) + 4)
}

/// Writes a KL base file, row by row.
pub struct BaseWriter {
    output: BufWriter<File>,
    path: std::path::PathBuf,
}

impl BaseWriter {
    /// Creates the file and writes its head.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path, n_vocab: usize, chunks: &Chunks) -> Result<Self> {
        let io = |e| Error::io("cannot write", e).in_file(path);
        let mut output = BufWriter::new(File::create(path).map_err(io)?);
        let mut head = MAGIC.to_vec();
        for n in [chunks.n_ctx, n_vocab, chunks.count()] {
            head.extend((n as i32).to_le_bytes());
        }
        head.extend(chunks.ids[..chunks.count() * chunks.n_ctx].iter().flat_map(|id| id.to_le_bytes()));
        output.write_all(&head).map_err(io)?;
        Ok(Self { output, path: path.into() })
    }

    fn row(&mut self, row: &Row<'_>) -> Result<()> {
        let smallest = row.logits.iter().copied().fold(f32::INFINITY, f32::min).max(row.largest - 16.0);
        let scale = (row.largest - smallest) / 65_535.0;
        let lowest = (f64::from(smallest - row.largest) - row.log_sum) as f32;
        let mut bytes = Vec::with_capacity(row_bytes(row.logits.len()));
        bytes.extend(scale.to_le_bytes());
        bytes.extend(lowest.to_le_bytes());
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        for &logit in row.logits {
            let step = ((logit - smallest).max(0.0) * inverse).round_ties_even() as u16;
            bytes.extend(step.to_le_bytes());
        }
        bytes.resize(row_bytes(row.logits.len()), 0);
        self.output.write_all(&bytes).map_err(|e| Error::io("cannot write", e).in_file(&self.path))
    }

    fn finish(&mut self) -> Result<()> {
        self.output.flush().map_err(|e| Error::io("cannot write", e).in_file(&self.path))
    }
}
