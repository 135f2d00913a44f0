//! `engine bench`

use super::output;
use engine::bench::{Measurement, Test, run as measure};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// GGUF file.
    model: PathBuf,
    /// Prompt tokens; several by commas, 0 leaves the test out.
    #[arg(short = 'p', long, value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<usize>,
    /// Generated tokens; several by commas, 0 leaves the test out.
    #[arg(short = 'n', long, value_delimiter = ',', default_value = "128")]
    n_gen: Vec<usize>,
    /// Tokens in the cache before; several by commas.
    #[arg(short = 'd', long, value_delimiter = ',', default_value = "0")]
    depth: Vec<usize>,
    /// Threads; several by commas; the machine's processors where not given.
    #[arg(short = 't', long, value_delimiter = ',')]
    threads: Vec<usize>,
    /// Repetitions that count.
    #[arg(short = 'r', long, default_value_t = 5)]
    repetitions: usize,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> super::Outcome {
    let most = args.threads.iter().copied().max();
    let (model, _) = output::open(&args.model, most)?;
    let threads = if args.threads.is_empty() { vec![model.threads()] } else { args.threads.clone() };
    let mut measurements: Vec<Measurement> = Vec::new();
    if !args.json {
        output::print(&format!("{:>14} {:>8} {:>12} {:>24}\n", "test", "threads", "tok/s", "min … max"))?;
    }
    for test in tests(args, &threads) {
        let m = measure(&model, test, args.repetitions)?;
        if !args.json {
            let min = m.samples_tok_s.iter().copied().fold(f64::INFINITY, f64::min);
            let max = m.samples_tok_s.iter().copied().fold(0.0, f64::max);
            let range = format!("{min:.2} … {max:.2}");
            output::print(&format!(
                "{:>14} {:>8} {:>12.2} {range:>24}\n",
                m.test, m.threads, m.median_tok_s
            ))?;
        }
        measurements.push(m);
    }
    if args.json { output::json(&measurements) } else { Ok(()) }
}

fn tests(args: &Args, threads: &[usize]) -> Vec<Test> {
    let mut tests = Vec::new();
    for &threads in threads {
        for &depth in &args.depth {
            let prompts = args.n_prompt.iter().map(|&n_prompt| (n_prompt, 0));
            let gens = args.n_gen.iter().map(|&n_gen| (0, n_gen));
            for (n_prompt, n_gen) in prompts.chain(gens).filter(|&n| n != (0, 0)) {
                tests.push(Test { n_prompt, n_gen, depth, threads });
            }
        }
    }
    tests
}
