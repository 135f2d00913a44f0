//! A complete CPU inference engine for GGUF language models.
#![deny(unsafe_code)]

pub mod error;
pub mod quant;
pub mod tokenizer;

pub use error::{Error, ErrorKind, Result};
