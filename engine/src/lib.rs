//! A complete CPU inference engine for GGUF language models.
#![deny(unsafe_code)]

pub mod error;
pub mod simd;
pub mod quant;
mod kernels;

pub use error::{Error, ErrorKind, Result};
