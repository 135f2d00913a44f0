//! Runners that this program itself contains: the engine's, the engine behind HTTP, and the scripted `fake`. Each runs
//! as a child process of the harness, like any other runner; so does what measures the machine.

pub mod engine;
pub mod fake;
pub mod http;
mod logits;
mod serve;
pub mod yardsticks;

pub use serve::{Backend, Loaded, RunnerError, serve};
