//! `engine`: runs, times and examines GGUF language models on the CPU.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
