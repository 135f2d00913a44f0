//! The shapes that can be made: one line each in [`SHAPES`].

use std::fmt;

use crate::quant::Format;
use crate::{Error, ErrorKind, Result};

/// The hyperparameters of a llama-architecture model, and the format of its matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The name before the format: `tinyllama-1.1b`.
    pub name: &'static str,
    /// The format of the matrices where no other is asked for: `Q4_0`.
    pub format: &'static str,
    /// Transformer layers.
    pub n_layers: u32,
    /// Width of the residual stream.
    pub d_model: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Key and value heads.
    pub n_kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Width of the feed-forward layer.
    pub d_ffn: u32,
    /// Tokens in the vocabulary.
    pub n_vocab: u32,
    /// Positions that the model declares.
    pub n_context: u32,
    /// The base of the rotary embedding.
    pub rope_base: f32,
    /// The epsilon of the norms.
    pub rms_eps: f32,
    /// Whether the embedding table is the output matrix too.
    pub tied: bool,
}

/// Every shape.
pub(super) static SHAPES: &[Shape] = &[
    Shape {
        name: "tinyllama-1.1b",
        format: "Q4_0",
        n_layers: 22,
        d_model: 2048,
        n_heads: 32,
        n_kv_heads: 4,
        head_dim: 64,
        d_ffn: 5632,
        n_vocab: 32_000,
        n_context: 2048,
        rope_base: 10_000.0,
        rms_eps: 1e-5,
        tied: false,
    },
    Shape {
        name: "smollm2-135m",
        format: "Q4_1",
        n_layers: 30,
        d_model: 576,
        n_heads: 9,
        n_kv_heads: 3,
        head_dim: 64,
        d_ffn: 1536,
        n_vocab: 49_152,
        n_context: 8192,
        rope_base: 100_000.0,
        rms_eps: 1e-5,
        tied: true,
    },
    Shape {
        name: "tiny",
        format: "Q4_0",
        n_layers: 2,
        d_model: 256,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 64,
        d_ffn: 512,
        n_vocab: 512,
        n_context: 512,
        rope_base: 10_000.0,
        rms_eps: 1e-5,
        tied: false,
    },
];

impl fmt::Display for Shape {
    /// The full name: `tinyllama-1.1b-q4_0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.format.to_lowercase())
    }
}

impl Shape {
    /// The shape that `asked` names: `NAME`, `NAME-FORMAT` or either with `:FORMAT`, which decides.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if there is no such shape or format; the message lists the shapes.
    pub fn parse(asked: &str) -> Result<Self> {
        let (name, asked_format) = match asked.split_once(':') {
            Some((name, format)) => (name, Some(format)),
            None => (asked, None),
        };
        let named = SHAPES.iter().find_map(|shape| {
            let rest = name.strip_prefix(shape.name)?;
            let format = if rest.is_empty() { shape.format } else { rest.strip_prefix('-')? };
            Some((shape, Format::by_name(format)?))
        });
        let Some((shape, format)) = named else {
            let known: Vec<String> = SHAPES.iter().map(Self::to_string).collect();
            let why =
                format!("there is no shape {name}; there are {}, each also with :FORMAT", known.join(", "));
            return Err(Error::new(ErrorKind::Request, why));
        };
        let format = match asked_format {
            None => format,
            Some(name) => Format::by_name(name)
                .ok_or_else(|| Error::new(ErrorKind::Request, format!("there is no tensor format {name}")))?,
        };
        Ok(Self { format: format.name, ..shape.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_carry_a_format_twice_and_the_last_decides() {
        let check = |asked: &str, full: &str| assert_eq!(Shape::parse(asked).unwrap().to_string(), full);
        check("tiny", "tiny-q4_0");
        check("tiny-q4_0", "tiny-q4_0");
        check("tinyllama-1.1b-Q4_0", "tinyllama-1.1b-q4_0");
        check("smollm2-135m:q4_0", "smollm2-135m-q4_0");
        check("smollm2-135m-q4_0:Q4_0", "smollm2-135m-q4_0");
        for bad in ["", "tin", "tiny-", "tiny-q9", "tiny:", "tiny:q9", "tiny:q4_0:q4_0", "huge"] {
            assert_eq!(Shape::parse(bad).unwrap_err().kind(), ErrorKind::Request, "{bad}");
        }
    }
}
