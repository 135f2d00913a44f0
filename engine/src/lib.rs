//! A complete CPU inference engine for GGUF language models.
#![deny(unsafe_code)]

pub mod error;
pub mod gguf;
pub mod quant;
pub mod sample;
pub mod stop;
pub mod synth;
pub mod tokenizer;

pub use error::{Error, ErrorKind, Result};
