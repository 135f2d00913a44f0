//! `engine bench`

use super::output;
use engine::ModelOptions;
use engine::bandwidth::{self, Bandwidth, Pattern, Sweep};
use engine::bench::{Measurement, Test, run as measure};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// GGUF file.
    #[arg(required_unless_present = "bandwidth")]
    model: Option<PathBuf>,
    /// Measure reading alone, the limit of decode, over streams, prefetch distances, pages and threads; needs no model.
    #[arg(long, conflicts_with_all = ["model", "n_prompt", "n_gen", "depth"])]
    bandwidth: bool,
    /// MiB that --bandwidth reads: several times the last cache.
    #[arg(long, value_name = "MIB", default_value_t = 1024, requires = "bandwidth")]
    size: usize,
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
    let Some(path) = &args.model else { return read(args) };
    let threads = args.threads.iter().copied().max();
    let (model, _) = output::open(path, ModelOptions { threads, ..ModelOptions::default() })?;
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

/// Every way of reading, then the fastest of each number of threads.
fn read(args: &Args) -> super::Outcome {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let all = (1..=processors).collect();
    let threads = if args.threads.is_empty() { all } else { args.threads.clone() };
    let line = |b: &Bandwidth| {
        let Pattern { threads, pages, streams, prefetch_bytes } = b.pattern;
        let (best, median) = (b.best_gb_s, b.median_gb_s);
        format!(
            "{threads:>8} {:>8} {streams:>8} {prefetch_bytes:>10} {median:>10.2} {best:>8.2}\n",
            pages.name()
        )
    };
    if !args.json {
        let [a, b, c, d, e, f] = ["threads", "pages", "streams", "prefetch B", "GB/s", "best"];
        output::print(&format!("{a:>8} {b:>8} {c:>8} {d:>10} {e:>10} {f:>8}\n"))?;
    }
    let all = bandwidth::measure(&Sweep::FULL, args.size << 20, &threads, args.repetitions, |found| {
        if !args.json {
            // A broken pipe is met again, and said, below.
            let _ = output::print(&line(found));
        }
    })?;
    if args.json {
        return output::json(&all);
    }
    output::print("the fastest of each number of threads:\n")?;
    for threads in threads {
        let of_these = all.iter().filter(|b| b.pattern.threads == threads);
        let fastest = of_these.max_by(|a, b| a.median_gb_s.total_cmp(&b.median_gb_s));
        fastest.map_or(Ok(()), |b| output::print(&line(b)))?;
    }
    Ok(())
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
