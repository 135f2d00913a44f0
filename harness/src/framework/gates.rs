//! The gates of one launch, from what was asked and what was measured.

use super::Failure;
use crate::sample::{FailureKind, Gate, Measured, RequestSample, gate};

/// What a launch was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// For each request, cold one first: prompt tokens sent, and tokens to be generated.
    pub requests: Vec<(u32, u32)>,
    /// Threads asked for.
    pub threads: u32,
    /// Tokens of the verification continuation, where one was asked for.
    pub n_verify: Option<u32>,
}

impl Expected {
    /// What `conversation` asks for, on `threads`.
    pub fn of(conversation: &super::Conversation, threads: u32) -> Expected {
        let len = |prompt: &Vec<u32>| prompt.len() as u32;
        match conversation {
            super::Conversation::Runner { job, .. } => Expected {
                requests: (0..)
                    .zip(&job.prompts)
                    .map(|(rep, prompt)| {
                        let is_cold = rep == 0 && job.cold_generate > 0;
                        (len(prompt), if is_cold { job.cold_generate } else { job.n_generate })
                    })
                    .collect(),
                threads,
                n_verify: job.verify.as_ref().map(|v| v.n_tokens),
            },
            super::Conversation::Server(talk) => Expected {
                requests: talk.requests.iter().map(|(prompt, n)| (len(prompt), *n)).collect(),
                threads,
                n_verify: talk.verify.as_ref().map(|v| v.n_tokens),
            },
            super::Conversation::Batch { .. } => Expected { requests: vec![], threads, n_verify: None },
        }
    }
}

/// Refuses a launch whose requests have the wrong number of tokens, or times that cannot be.
pub fn check_lengths(expected: &Expected, measured: &Measured) -> Result<(), Failure> {
    for (request, &(_, n_wanted)) in requests(measured).zip(&expected.requests) {
        let (rep, n_seen) = (request.rep, request.token_ids.len());
        if n_seen != n_wanted as usize || request.token_at_ns.len() != n_seen {
            let message = format!(
                "request {rep}: {n_seen} tokens and {} times instead of {n_wanted}",
                request.token_at_ns.len()
            );
            return Err(Failure::new(FailureKind::WrongLength, message));
        }
        if !request.token_at_ns.is_sorted() {
            return Err(Failure::garbage(format!("request {rep}: token times run backwards")));
        }
    }
    match (&measured.verify_token_ids, expected.n_verify) {
        (Some(ids), Some(n_wanted)) if ids.len() != n_wanted as usize => Err(Failure::new(
            FailureKind::WrongLength,
            format!("verification: {} tokens instead of {n_wanted}", ids.len()),
        )),
        _ => Ok(()),
    }
}

/// Every gate but [`gate::RIGHT_OUTPUT`], which needs the reference: see
/// [`crate::sample::add_right_output_gates`].
pub fn gates(expected: &Expected, measured: &Measured) -> Vec<Gate> {
    let mut gates = Vec::new();
    let mut add = |name: &str, wanted: String, seen: String, passed: bool| {
        gates.push(Gate { name: name.into(), passed, wanted, seen });
    };
    if let Some(used) = measured.threads_used {
        let wanted = expected.threads;
        add(gate::THREADS, wanted.to_string(), used.to_string(), used == wanted);
    }
    if expected.requests.is_empty() {
        return gates;
    }
    let n_prompts: Vec<u32> = requests(measured).map(|r| r.n_prompt).collect();
    let n_sent: Vec<u32> = expected.requests.iter().map(|r| r.0).collect();
    add(gate::PROMPT_COUNT, list(&n_sent), list(&n_prompts), n_prompts == n_sent);
    let n_cached: Vec<u32> = requests(measured).map(|r| r.n_cached).collect();
    let nothing_cached = n_cached.iter().all(|&n| n == 0);
    add(gate::NOTHING_CACHED, "0".into(), list(&n_cached), nothing_cached);
    let n_tokens: Vec<u32> = requests(measured).map(|r| r.token_ids.len() as u32).collect();
    let n_wanted: Vec<u32> = expected.requests.iter().map(|r| r.1).collect();
    add(gate::OUTPUT_LENGTH, list(&n_wanted), list(&n_tokens), n_tokens == n_wanted);
    gates
}

/// The cold request, then the warm ones.
fn requests(measured: &Measured) -> impl Iterator<Item = &RequestSample> {
    measured.cold.iter().map(|c| &c.request).chain(&measured.requests)
}

/// `12, 256, 256` — or just `256` where all are equal.
fn list(values: &[u32]) -> String {
    let is_uniform = values.windows(2).all(|pair| pair[0] == pair[1]);
    let shown = if is_uniform { &values[..values.len().min(1)] } else { values };
    shown.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::WeightsClass;
    use crate::sample::{ColdRequest, Memory};

    fn request(rep: u32, n: u32) -> RequestSample {
        RequestSample {
            rep,
            n_prompt: 10,
            n_cached: 0,
            prefill_ns: Some(1),
            token_ids: (0..n).collect(),
            token_at_ns: (0..u64::from(n)).collect(),
        }
    }

    fn measured() -> Measured {
        Measured {
            version: "1".into(),
            build: String::new(),
            weights_class: WeightsClass::A,
            features: vec![],
            threads_used: Some(2),
            load_ns: Some(1),
            cold: Some(ColdRequest { first_token_after_launch_ns: 1, request: request(0, 2) }),
            requests: vec![request(1, 4), request(2, 4)],
            memory: Memory::default(),
            gates: vec![],
            reported: vec![],
            verify_token_ids: Some(vec![1, 2]),
            cpu: Default::default(),
            forced: None,
        }
    }

    fn expected() -> Expected {
        Expected { requests: vec![(10, 2), (10, 4), (10, 4)], threads: 2, n_verify: Some(2) }
    }

    /// The gates that failed, as `name: wanted / seen`.
    fn failed(measured: &Measured) -> Vec<String> {
        let gates = gates(&expected(), measured);
        let failed = gates.iter().filter(|g| !g.passed);
        failed.map(|g| format!("{}: {} / {}", g.name, g.wanted, g.seen)).collect()
    }

    #[test]
    fn gates_hold_when_the_work_was_the_same() {
        assert_eq!(check_lengths(&expected(), &measured()), Ok(()));
        let names: Vec<String> = gates(&expected(), &measured()).into_iter().map(|g| g.name).collect();
        assert_eq!(names, [gate::THREADS, gate::PROMPT_COUNT, gate::NOTHING_CACHED, gate::OUTPUT_LENGTH]);
        assert_eq!(failed(&measured()), [""; 0]);
    }

    #[test]
    fn each_gate_says_what_was_seen() {
        let check = |change: fn(&mut Measured), wanted: &str| {
            let mut m = measured();
            change(&mut m);
            assert_eq!(failed(&m), [wanted]);
        };
        check(|m| m.threads_used = Some(1), "threads: 2 / 1");
        check(|m| m.requests[0].n_prompt = 9, "prompt_count: 10 / 10, 9, 10");
        check(|m| m.requests[1].n_cached = 5, "nothing_cached: 0 / 0, 0, 5");
        check(|m| m.requests[1].token_ids.truncate(3), "output_length: 2, 4, 4 / 2, 4, 3");
        let mut untold = measured();
        untold.threads_used = None;
        assert!(gates(&expected(), &untold).iter().all(|g| g.name != gate::THREADS));
    }

    #[test]
    fn wrong_lengths_refuse_the_launch() {
        let check = |change: fn(&mut Measured), kind: FailureKind, wanted: &str| {
            let mut m = measured();
            change(&mut m);
            assert_eq!(check_lengths(&expected(), &m), Err(Failure::new(kind, wanted)));
        };
        let wrong = FailureKind::WrongLength;
        check(|m| m.requests[0] = request(1, 3), wrong, "request 1: 3 tokens and 3 times instead of 4");
        check(|m| m.verify_token_ids = Some(vec![1]), wrong, "verification: 1 tokens instead of 2");
        check(
            |m| m.requests[1].token_at_ns = vec![3, 2, 1, 4],
            FailureKind::Garbage,
            "request 2: token times run backwards",
        );
    }
}
