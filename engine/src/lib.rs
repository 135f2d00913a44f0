//! A complete CPU inference engine for GGUF language models.
#![deny(unsafe_code)]

pub mod error;
pub mod ablation;
pub mod simd;
pub mod quant;
pub mod gguf;
mod memory;
mod pool;
mod kernels;
mod tensor;
pub mod kv;
pub mod arch;
pub mod model;
pub mod session;
pub mod tokenizer;
pub mod sample;
pub mod stop;
pub mod generate;
pub mod perplexity;
pub mod bench;
pub mod bandwidth;
pub mod peak;
pub mod synth;
pub mod inspect;

pub use ablation::{Part, Without};
pub use error::{Error, ErrorKind, Result};
pub use kv::KvType;
pub use memory::Pages;
pub use model::{Model, ModelOptions};
pub use session::{Session, SessionOptions};
pub use tokenizer::Tokenizer;
