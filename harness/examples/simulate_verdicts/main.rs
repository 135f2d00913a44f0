//! Simulates sessions of two equal frameworks and asks the harness for its verdicts: how often are they false, and how
//! large must a true difference be to be found? Prints the tables of harness/METHODOLOGY.md. The seeds are fixed.
//!
//!     cargo run --release -p harness --example simulate_verdicts -- [--sessions N] [BUNDLE…]
//!
//! With bundles it also prints how much their own figures vary.

mod adaptive;
mod measured;
mod session;
mod study;
#[cfg(test)]
mod tests;

use anyhow::Context;
use harness::stats::{Ratio, Schedule};
use session::Noise;
use std::path::PathBuf;
use study::{MARGIN, Method, POWER};

const SESSIONS: u64 = 2_000;
const BLOCKS: [usize; 3] = [6, 10, 20];
/// Standard deviations of a block's log ratio. 4.2% is that of launches which vary by 3% each; 8% is the worst decode
/// seen in a committed run.
const RATIO_SDS: [f64; 5] = [0.01, 0.02, 0.03, 0.042, 0.08];

fn main() -> anyhow::Result<()> {
    let (sessions, bundles) = arguments()?;
    for bundle in bundles {
        print_measured(&bundle)?;
    }
    print_verdicts(sessions);
    print_methods(sessions);
    print_adaptive(sessions);
    Ok(())
}

fn arguments() -> anyhow::Result<(u64, Vec<PathBuf>)> {
    let (mut sessions, mut bundles) = (SESSIONS, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--sessions" {
            let number = arguments.next().context("--sessions: give a number")?;
            sessions = number.parse().with_context(|| format!("--sessions: {number} is not a number"))?;
            anyhow::ensure!(sessions > 0, "--sessions: must be at least 1 (got 0)");
        } else {
            bundles.push(PathBuf::from(argument));
        }
    }
    Ok((sessions, bundles))
}

fn print_measured(dir: &std::path::Path) -> anyhow::Result<()> {
    let bundle = harness::bundle::read(dir)?;
    println!("Spread of {}, in % (standard deviation of logarithms):\n", bundle.manifest.id);
    println!("| metric | threads | row | blocks | launch | log ratio |\n|---|--:|---|--:|--:|--:|");
    for s in measured::spreads(&bundle) {
        let metric = harness::summary::metric_key(s.metric);
        let (launch, ratio) = (percent(s.launch_sd), percent(s.ratio_sd));
        println!("| {metric} | {} | {} | {} | {launch} | {ratio} |", s.threads, s.row, s.blocks);
    }
    println!();
    Ok(())
}

fn print_verdicts(sessions: u64) {
    println!("{sessions} sessions a line, δ = {}%:\n", MARGIN * 100.0);
    println!(
        "| noise of a block's log ratio | blocks | equal: ranked | equal: equivalent | at δ: ranked | \
         at δ: equivalent | coverage | 5% found | 90% find |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    for ratio_sd in RATIO_SDS {
        for (has_drift, is_heavy) in [(false, false), (true, false), (true, true)] {
            let noise = Noise { ratio_sd, has_drift, is_heavy };
            for blocks in BLOCKS {
                let r = study::rates(&study::ratios(&noise, blocks, sessions));
                let rates = [
                    r.ranked_equal,
                    r.equivalent_equal,
                    r.ranked_at_margin,
                    r.equivalent_at_margin,
                    r.coverage,
                ];
                let enough = if r.found < POWER { ", too few blocks" } else { "" };
                let (rates, found) = (rates.map(percent).join(" | "), percent(r.found));
                let smallest = percent(r.smallest_found);
                println!("| {} | {blocks} | {rates} | {found}{enough} | {smallest} |", noise.words());
            }
        }
    }
    println!();
}

fn print_methods(sessions: u64) {
    println!("The interval by other methods, on the same sessions:\n");
    println!(
        "| noise | blocks | interval | coverage | equal: ranked | at δ: ranked | 5% found |\n\
         |---|--:|---|--:|--:|--:|--:|"
    );
    let noises = [(0.02, false), (0.02, true), (0.042, false)];
    for (ratio_sd, is_heavy) in noises {
        let noise = Noise { ratio_sd, has_drift: true, is_heavy };
        for blocks in BLOCKS {
            let logs = study::log_ratios(&noise, blocks, sessions);
            for method in Method::ALL {
                let ratios = study::ratios_by(method, &logs);
                let r = study::rates(&ratios);
                let rates =
                    [r.coverage, r.ranked_equal, r.ranked_at_margin, r.found].map(percent).join(" | ");
                println!("| {} | {blocks} | {} | {rates} |", noise.words(), method.words());
                if method == Method::Wider {
                    print_with_p(&noise, blocks, &ratios, &logs);
                }
            }
        }
    }
    println!();
}

/// The interval in use, with a small p demanded too.
fn print_with_p(noise: &Noise, blocks: usize, ratios: &[Ratio], logs: &[Vec<f64>]) {
    for (family, words) in [(1.0, "and p ≤ 5%"), (2.0, "and p ≤ 5%, Holm over 2 rows")] {
        let (margin, found) = study::ranked_with_p(ratios, logs, family);
        let rates = [margin, found].map(percent).join(" | ");
        println!("| {} | {blocks} | the wider, {words} | | | {rates} |", noise.words());
    }
}

fn print_adaptive(sessions: u64) {
    println!("Blocks added, from 6 to at most 40, until the interval is narrower than target_ci:\n");
    println!(
        "| target_ci | noise | median blocks | at the cap | equal: ranked | at δ: ranked | coverage | 5% found |\n\
         |--:|---|--:|--:|--:|--:|--:|--:|"
    );
    for target_ci in [0.02, 0.05] {
        let schedule = Schedule { initial: 6, max: 40, target_ci };
        for (ratio_sd, is_heavy) in
            [(0.01, false), (0.02, false), (0.03, false), (0.042, false), (0.02, true)]
        {
            let noise = Noise { ratio_sd, has_drift: true, is_heavy };
            let ratios = adaptive::ratios(&noise, &schedule, sessions);
            let (blocks, at_cap) = adaptive::lengths(&ratios, &schedule);
            let r = study::rates(&ratios);
            let rates = [at_cap, r.ranked_equal, r.ranked_at_margin, r.coverage, r.found].map(percent);
            println!("| {} | {} | {blocks} | {} |", percent(target_ci), noise.words(), rates.join(" | "));
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
