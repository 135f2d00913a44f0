//! A complete CPU inference engine for GGUF language models.
#![deny(unsafe_code)]

pub mod error;
pub mod gguf;
pub mod quant;
pub mod synth;

pub use error::{Error, ErrorKind, Result};
