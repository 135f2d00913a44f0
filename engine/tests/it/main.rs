//! The engine's integration tests, one binary.

mod tokenizer_smollm2;
