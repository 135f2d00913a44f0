//! Runners that this program itself contains: the engine's, the engine behind HTTP, and the scripted `fake`. Each runs
//! as a child process of the harness, like any other runner.

pub mod engine;
pub mod fake;
mod logits;
pub mod http;
mod serve;

pub use serve::{Backend, RunnerError, serve};
