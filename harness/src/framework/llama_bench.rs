//! `llama-bench`, llama.cpp's own benchmark, beside `llama-server` as a cross-check: shown, never ranked.

use super::llama_cpp::cache_and_batch;
use super::{BatchAnswer, Conversation, Failure, LaunchRequest, LaunchSpec, path_arg, sibling};
use crate::protocol::quote;
use crate::sample::{FailureKind, Reported};
use serde::Deserialize;

/// Describes a `llama-bench` that prefills the workload's prompt and decodes at its depth.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    let program = sibling(request.needed_program()?, "llama-bench");
    let mut argv = vec![path_arg(&program)?, "-m".into(), path_arg(request.model.path)?];
    let workload = request.workload;
    let repetitions = request.prompts.len() - usize::from(request.cold_generate > 0);
    let device = match request.option("device")? {
        "default" => String::new(),
        device => format!("-dev {device}"),
    };
    let flags = format!(
        "-p {prompt} -n {} -d 0,{prompt} -t {} -r {} {} -ngl {} {device} -fa {} -lm {} --repack {} -o jsonl",
        workload.generate_tokens,
        request.threads,
        repetitions.max(1),
        cache_and_batch(request),
        request.option("gpu_layers")?,
        request.option("flash_attention")?,
        request.option("load_mode")?,
        u8::from(request.option("repack")? != "off"),
        prompt = workload.prompt_tokens,
    );
    argv.extend(flags.split_whitespace().map(str::to_string));
    let weights_class = request.entry.weights_class;
    let conversation = Conversation::Batch { parse: parse_answer, weights_class };
    Ok(LaunchSpec { argv, env: Default::default(), cpus: None, conversation })
}

/// Reads the rows: `prefill_tok_s` at depth 0, `decode_tok_s` at the greatest depth, and every other one as
/// `prefill_tok_s@dN` or `decode_tok_s@dN`. Rates are computed from `samples_ns`: `stddev_ns` and the rounded
/// `samples_ts` are of no use.
fn parse_answer(stdout: &str) -> Result<BatchAnswer, Failure> {
    let rows = stdout.lines().filter(|line| !line.trim().is_empty()).map(parse_row);
    let rows: Vec<WireRow> = rows.collect::<Result<_, _>>()?;
    let Some(first) = rows.first() else {
        return Err(Failure::garbage("llama-bench printed no row"));
    };
    let deepest = rows.iter().map(|row| row.n_depth).max().unwrap_or(0);
    Ok(BatchAnswer {
        version: format!("b{}", first.build_number),
        build: format!("commit {}", first.build_commit),
        threads_used: Some(first.n_threads),
        reported: rows.iter().map(|row| row.reported(deepest)).collect::<Result<_, _>>()?,
    })
}

fn parse_row(line: &str) -> Result<WireRow, Failure> {
    serde_json::from_str(line)
        .map_err(|error| Failure::garbage(format!("not a row of llama-bench ({error}): {}", quote(line))))
}

#[derive(Deserialize)]
struct WireRow {
    build_commit: String,
    build_number: u32,
    n_threads: u32,
    n_prompt: u32,
    n_gen: u32,
    n_depth: u32,
    samples_ns: Vec<u64>,
}

impl WireRow {
    fn reported(&self, deepest: u32) -> Result<Reported, Failure> {
        let (what, n_tokens, plain_depth) = match (self.n_prompt, self.n_gen) {
            (n, 0) if n > 0 => ("prefill_tok_s", n, 0),
            (0, n) if n > 0 => ("decode_tok_s", n, deepest),
            (p, g) => return Err(Failure::garbage(format!("a row with n_prompt {p} and n_gen {g}"))),
        };
        if self.samples_ns.is_empty() || self.samples_ns.contains(&0) {
            let message = format!("a row with samples_ns {:?}", self.samples_ns);
            return Err(Failure::new(FailureKind::Garbage, message));
        }
        let depth = self.n_depth;
        let name = if depth == plain_depth { what.to_string() } else { format!("{what}@d{depth}") };
        let values = self.samples_ns.iter().map(|&ns| f64::from(n_tokens) * 1e9 / ns as f64).collect();
        Ok(Reported { name, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::testing::with_request;

    const BENCH: &str = include_str!("../../tests/golden/llama.cpp-b11434/bench.jsonl");

    #[test]
    fn the_command_line_asks_for_the_same_work() {
        with_request("llama.cpp", |request| {
            let spec = describe(&request).expect("describable");
            assert_eq!(
                spec.argv.join(" "),
                "/opt/bin/llama-bench -m /models/m.gguf -p 3 -n 4 -d 0,3 -t 2 -r 1 -ctk f16 -ctv f16 \
                 -b 2048 -ub 512 -ngl 0 -dev none -fa auto -lm auto --repack 1 -o jsonl"
            );
        });
    }

    #[test]
    fn recorded_rows_give_rates_from_samples_ns() {
        let answer = parse_answer(BENCH).expect("recorded");
        assert_eq!((answer.version.as_str(), answer.threads_used), ("b0", Some(2)));
        assert_eq!(answer.reported[0].name, "prefill_tok_s");
        assert_eq!(answer.reported[0].values[0], 64.0 * 1e9 / 190_266_038.0);
        assert_eq!(answer.reported[1].name, "decode_tok_s");
        assert_eq!(
            answer.reported[1].values,
            [152974456u64, 146897097, 143242984].map(|ns| 16e9 / ns as f64)
        );
    }

    #[test]
    fn decode_counts_at_the_greatest_depth() {
        let deep = BENCH.replace("\"n_depth\": 0", "\"n_depth\": 64");
        let answer = parse_answer(&format!("{BENCH}\n{deep}")).expect("recorded");
        let names: Vec<&str> = answer.reported.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["prefill_tok_s", "decode_tok_s@d0", "prefill_tok_s@d64", "decode_tok_s"]);
    }

    #[test]
    fn empty_cut_and_malformed_output_is_garbage() {
        assert_eq!(parse_answer("\n").expect_err("empty").message, "llama-bench printed no row");
        let cut = parse_answer(&BENCH[..200]).expect_err("cut").message;
        assert!(cut.starts_with("not a row of llama-bench (EOF while parsing"), "{cut}");
        let none = BENCH.replace("[ 190266038, 187482692, 187527799 ]", "[]");
        assert_eq!(parse_answer(&none).expect_err("no samples").message, "a row with samples_ns []");
        let both = BENCH.replace("\"n_gen\": 0", "\"n_gen\": 1");
        assert_eq!(parse_answer(&both).expect_err("both").message, "a row with n_prompt 64 and n_gen 1");
    }
}
