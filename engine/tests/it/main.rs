//! The engine's integration tests, one binary.

mod support;

mod cli;
mod determinism;
mod hyperparameters;
mod network;
mod sessions;
mod tokenizer_smollm2;
