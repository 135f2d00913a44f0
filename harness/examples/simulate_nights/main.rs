//! Simulates nightly histories: how often are alarms false, and how soon is a true change told? Prints the tables of
//! harness/METHODOLOGY.md, "Nightly tracking". The seeds are fixed.
//!
//!     cargo run --release -p harness --example simulate_nights -- [--series N]
//!     cargo run --release -p harness --example simulate_nights -- --write FILE [--years 10] [--series 1000]
//!
//! With --write it makes a history of so many years and series instead, for `harness track check --history FILE`.

mod nights;
mod study;
#[cfg(test)]
mod tests;
mod write;

use anyhow::{Context, bail};
use harness::history::{RULES, Rules};
use nights::Noise;
use std::path::PathBuf;

const SERIES: u64 = 400;
/// Blocks of a nightly session.
const BLOCKS: [usize; 3] = [10, 16, 20];
/// Standard deviations of a session's log ratio.
const SDS: [f64; 5] = [0.005, 0.01, 0.02, 0.03, 0.05];

struct Arguments {
    series: Option<u64>,
    years: u64,
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { series, years, write } = arguments()?;
    if let Some(path) = write {
        return write::write(&path, years, series.unwrap_or(1_000));
    }
    let series = series.unwrap_or(SERIES);
    print_false_alarms(series);
    print_steps(series);
    print_drift(series);
    Ok(())
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut found = Arguments { series: None, years: 10, write: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument}: give a value"))?;
        let number = || value.parse().with_context(|| format!("{argument}: {value} is not a number"));
        match argument.as_str() {
            "--series" => found.series = Some(number()?),
            "--years" => found.years = number()?,
            "--write" => found.write = Some(PathBuf::from(value)),
            _ => bail!("{argument}: not known; there are --series, --years and --write"),
        }
    }
    Ok(found)
}

fn noises() -> Vec<Noise> {
    let of = |&(is_heavy, correlation): &(bool, f64)| SDS.map(|sd| Noise { sd, is_heavy, correlation });
    [(false, 0.0), (true, 0.0), (false, 0.3)].iter().flat_map(of).collect()
}

fn print_false_alarms(series: u64) {
    println!("Nothing happens; {series} series-years a line, each night checked:\n");
    println!(
        "| noise of a session's log ratio | false regressions per series-year | the same with p 0.001 | false improvements |"
    );
    println!("|---|--:|--:|--:|");
    for noise in noises() {
        let told = study::false_alarms(&noise, &RULES, series);
        let laxer = study::false_alarms(&noise, &Rules { p_told: 0.001, ..RULES }, series);
        println!(
            "| {} | {:.2} | {:.2} | {:.2} |",
            noise.words(),
            told.regressions,
            laxer.regressions,
            told.improvements
        );
    }
    println!();
}

fn print_steps(series: u64) {
    println!("A step of −5% after 60 nights, told within two nights; {series} series a line:\n");
    println!(
        "| noise of a session's log ratio | of a block's | blocks | by the first-night alarm | by a change point | by either |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    for (sd, block_sd) in [(0.01, 0.02), (0.02, 0.02), (0.02, 0.04), (0.03, 0.04), (0.03, 0.05)] {
        let noise = Noise { sd, is_heavy: false, correlation: 0.0 };
        for blocks in BLOCKS {
            let [first, step, either] = study::step_found(&noise, block_sd, blocks, 0.95, &RULES, series);
            let (words, block) = (noise.words(), block_sd * 100.0);
            println!("| {words} | {block:.1}% | {blocks} | {first:.3} | {step:.3} | {either:.3} |");
        }
    }
    println!();
}

fn print_drift(series: u64) {
    println!("A drift of −1% a week after 60 nights; {series} series a line:\n");
    println!(
        "| noise of a session's log ratio | told within 3 weeks | 4 weeks | 5 weeks | 6 weeks |\n|---|--:|--:|--:|--:|"
    );
    for sd in SDS {
        let noise = Noise { sd, is_heavy: false, correlation: 0.0 };
        let shares = [21, 28, 35, 42]
            .map(|nights| format!("{:.3}", study::drift_found(&noise, nights, &RULES, series)));
        println!("| {} | {} |", noise.words(), shares.join(" | "));
    }
}
