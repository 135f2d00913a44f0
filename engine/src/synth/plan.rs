//! What a synthetic file will hold: the tensors with their formats, and the metadata that loaders expect.

use super::shape::Shape;
use super::vocabulary::Vocabulary;
use crate::gguf::{Array, GgufBuilder};
use crate::quant::Format;
use crate::{Error, ErrorKind, Result};

/// A synthetic model, decided and not yet made.
#[derive(Debug)]
pub struct Plan {
    /// The shape; its `format` is the one asked for.
    pub shape: Shape,
    /// The tensors, in the order of the file.
    pub tensors: Vec<Planned>,
    /// Where a matrix has another format than the one asked for, and why.
    pub notes: Vec<String>,
}

/// A tensor to be made.
#[derive(Debug)]
pub struct Planned {
    /// The name in the file.
    pub name: String,
    /// `dims[0]` is the length of a row.
    pub dims: Vec<u64>,
    /// The format, which divides the row.
    pub format: &'static Format,
    /// Whether it scales a norm (values near 1) rather than being a matrix (values near 0).
    pub is_norm: bool,
}

/// What takes the place of a format whose blocks of 256 don't divide the row: the choices of `llama-quantize`.
const FALLBACKS: &[(&str, &str)] =
    &[("Q2_K", "IQ4_NL"), ("Q3_K", "IQ4_NL"), ("Q4_K", "Q5_0"), ("Q5_K", "Q5_1"), ("Q6_K", "Q8_0")];

/// `general.file_type` for each matrix format, by name.
const FILE_TYPES: &[(&str, u32)] = &[
    ("F32", 0),
    ("F16", 1),
    ("Q4_0", 2),
    ("Q4_1", 3),
    ("Q8_0", 7),
    ("Q5_0", 8),
    ("Q5_1", 9),
    ("Q2_K", 10),
    ("Q3_K", 11),
    ("Q4_K", 14),
    ("Q5_K", 16),
    ("Q6_K", 18),
    ("IQ4_NL", 25),
    ("BF16", 32),
];

/// The file type of a model whose formats fit no other (llama.cpp's "guessed").
const FILE_TYPE_OTHER: u32 = 1024;

impl Plan {
    /// Decides the tensors of `shape`.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if a row is not a whole number of blocks and there is no format to fall back to.
    pub fn new(shape: Shape) -> Result<Self> {
        let asked = format(shape.format)?;
        let mut plan = Self { shape, tensors: Vec::new(), notes: Vec::new() };
        let Shape { n_layers, d_model, n_heads, n_kv_heads, head_dim, d_ffn, n_vocab, tied, .. } = plan.shape;
        let head = output_format(asked, d_model)?;
        plan.matrix("token_embd.weight", d_model, n_vocab, if tied { head } else { asked })?;
        for layer_idx in 0..n_layers {
            let name = |part: &str| format!("blk.{layer_idx}.{part}.weight");
            plan.norm(&name("attn_norm"), d_model)?;
            plan.matrix(&name("attn_q"), d_model, n_heads * head_dim, asked)?;
            plan.matrix(&name("attn_k"), d_model, n_kv_heads * head_dim, asked)?;
            plan.matrix(&name("attn_v"), d_model, n_kv_heads * head_dim, asked)?;
            plan.matrix(&name("attn_output"), n_heads * head_dim, d_model, asked)?;
            plan.norm(&name("ffn_norm"), d_model)?;
            plan.matrix(&name("ffn_gate"), d_model, d_ffn, asked)?;
            plan.matrix(&name("ffn_up"), d_model, d_ffn, asked)?;
            plan.matrix(&name("ffn_down"), d_ffn, d_model, asked)?;
        }
        plan.norm("output_norm.weight", d_model)?;
        if !tied {
            plan.matrix("output.weight", d_model, n_vocab, head)?;
        }
        Ok(plan)
    }

    /// Declares the whole file.
    pub(super) fn declare(&self, seed: u64) -> Result<GgufBuilder> {
        let mut builder = GgufBuilder::new();
        self.declare_model(&mut builder, seed);
        declare_vocabulary(&mut builder, self.shape.n_vocab);
        for tensor in &self.tensors {
            builder.tensor(&tensor.name, &tensor.dims, tensor.format)?;
        }
        Ok(builder)
    }

    fn declare_model(&self, builder: &mut GgufBuilder, seed: u64) {
        let shape = &self.shape;
        let file_type = FILE_TYPES.iter().find(|(name, _)| *name == shape.format);
        let mut description = format!("Random weights from seed {seed}: for measuring speed, not for text.");
        for note in &self.notes {
            description.push_str(&format!(" {note}."));
        }
        builder
            .metadata("general.architecture", "llama")
            .metadata("general.type", "model")
            .metadata("general.name", format!("Synthetic {shape}, random weights, seed {seed}").as_str())
            .metadata("general.description", description.as_str())
            .metadata("general.alignment", 32)
            .metadata("general.file_type", file_type.map_or(FILE_TYPE_OTHER, |(_, id)| *id))
            .metadata("general.quantization_version", 2)
            .metadata("llama.vocab_size", shape.n_vocab)
            .metadata("llama.context_length", shape.n_context)
            .metadata("llama.embedding_length", shape.d_model)
            .metadata("llama.block_count", shape.n_layers)
            .metadata("llama.feed_forward_length", shape.d_ffn)
            .metadata("llama.rope.dimension_count", shape.head_dim)
            .metadata("llama.rope.freq_base", shape.rope_base)
            .metadata("llama.attention.head_count", shape.n_heads)
            .metadata("llama.attention.head_count_kv", shape.n_kv_heads)
            .metadata("llama.attention.layer_norm_rms_epsilon", shape.rms_eps);
    }

    fn norm(&mut self, name: &str, cols: u32) -> Result<()> {
        let planned =
            Planned { name: name.into(), dims: vec![cols.into()], format: format("F32")?, is_norm: true };
        self.tensors.push(planned);
        Ok(())
    }

    fn matrix(&mut self, name: &str, cols: u32, rows: u32, asked: &'static Format) -> Result<()> {
        let format = dividing(asked, cols)?;
        if format != asked {
            let note = format!("rows of {cols} are {}, not whole blocks of {}", format.name, asked.name);
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        let dims = vec![cols.into(), rows.into()];
        self.tensors.push(Planned { name: name.into(), dims, format, is_norm: false });
        Ok(())
    }
}

fn declare_vocabulary(builder: &mut GgufBuilder, n_vocab: u32) {
    let Vocabulary { pieces, scores, types } = Vocabulary::new(n_vocab as usize);
    builder
        .metadata("tokenizer.ggml.model", "llama")
        .metadata("tokenizer.ggml.pre", "default")
        .metadata("tokenizer.ggml.tokens", Array::String(pieces.iter().collect()))
        .metadata("tokenizer.ggml.scores", Array::F32(scores))
        .metadata("tokenizer.ggml.token_type", Array::I32(types))
        .metadata("tokenizer.ggml.bos_token_id", 1)
        .metadata("tokenizer.ggml.eos_token_id", 2)
        .metadata("tokenizer.ggml.unknown_token_id", 0)
        .metadata("tokenizer.ggml.padding_token_id", 2)
        .metadata("tokenizer.ggml.add_bos_token", true)
        .metadata("tokenizer.ggml.add_eos_token", false)
        .metadata("tokenizer.ggml.add_space_prefix", true);
}

/// The format of the output matrix, as `llama-quantize` chooses it: 6 bits at least, 8 where K blocks don't fit.
fn output_format(asked: &'static Format, cols: u32) -> Result<&'static Format> {
    let is_wide = asked.block_bytes >= asked.block_len;
    if is_wide { Ok(asked) } else { dividing(format("Q6_K")?, cols) }
}

/// `asked`, or what stands in for it where its blocks don't divide `cols`.
fn dividing(asked: &'static Format, cols: u32) -> Result<&'static Format> {
    let divides = |f: &Format| f.row_bytes(cols.into()).is_some();
    if divides(asked) {
        return Ok(asked);
    }
    let fallback = FALLBACKS.iter().find(|(from, _)| *from == asked.name);
    let fallback = fallback.map(|(_, to)| format(to)).transpose()?.filter(|f| divides(f));
    fallback.ok_or_else(|| {
        Error::new(ErrorKind::Request, format!("rows of {cols} are not whole blocks of {}", asked.name))
    })
}

fn format(name: &str) -> Result<&'static Format> {
    Format::by_name(name)
        .ok_or_else(|| Error::new(ErrorKind::Request, format!("there is no tensor format {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(asked: &str) -> Plan {
        Plan::new(Shape::parse(asked).unwrap()).unwrap()
    }

    fn bytes(plan: &Plan) -> u64 {
        let bytes =
            |t: &Planned| t.format.row_bytes(t.dims[0]).unwrap() * t.dims[1..].iter().product::<u64>();
        plan.tensors.iter().map(bytes).sum()
    }

    #[test]
    fn tinyllama_is_as_large_as_the_real_one() {
        let plan = plan("tinyllama-1.1b-q4_0");
        assert_eq!(plan.tensors.len(), 22 * 9 + 3);
        assert_eq!(format!("{:.1}", bytes(&plan) as f64 / f64::from(1 << 20)), "606.5");
        assert_eq!(plan.tensors.last().unwrap().format.name, "Q6_K");
        assert!(plan.notes.is_empty(), "{:?}", plan.notes);
    }

    #[test]
    fn smollm2_has_the_formats_of_the_real_one() {
        let plan = plan("smollm2-135m-q4_1");
        let count = |name| plan.tensors.iter().filter(|t| t.format.name == name).count();
        assert_eq!((count("F32"), count("Q4_1"), count("Q8_0"), plan.tensors.len()), (61, 210, 1, 272));
        assert_eq!(
            (plan.tensors[0].name.as_str(), plan.tensors[0].format.name),
            ("token_embd.weight", "Q8_0")
        );
    }

    #[test]
    fn rows_that_k_blocks_do_not_divide_fall_back_and_say_so() {
        let plan = plan("smollm2-135m:Q6_K");
        assert_eq!(plan.notes, ["rows of 576 are Q8_0, not whole blocks of Q6_K"]);
        let format = |part| plan.tensors.iter().find(|t| t.name.contains(part)).unwrap().format.name;
        assert_eq!((format("attn_q"), format("ffn_down")), ("Q8_0", "Q6_K"));
    }
}
