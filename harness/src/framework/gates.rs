//! The gates of one launch, from what was asked and what was measured.

use super::server::{Told, Wanted};
use super::{Conversation, Failure, LaunchSpec};
use crate::machine::topology::{cpu_list, parse_cpu_list};
use crate::protocol::WeightsClass;
use crate::sample::{
    CpuUse, FEATURE_EMPTY_CACHE, FEATURE_SHARED_BOS, FEATURE_VERIFIED_BY_TEXT, FailureKind, Gate, Measured,
    RequestSample, gate,
};
use std::collections::BTreeSet;

/// A timed window shorter than this says nothing of processor time: the kernel counts it in steps of 10 ms.
pub const WINDOW_S_MIN: f64 = 0.5;
/// Busy threads beyond those asked for: one that hands work to a pool and is idle while the pool computes. What it
/// computes itself does not add to the processors in use at once, which have a limit of their own.
const COORDINATORS_MAX: u32 = 1;
/// Processor time of the timed window may exceed that of the threads asked for by this factor.
const CPU_ALLOWANCE: f64 = 1.1;
/// A cache may be this much larger than asked for less one: sizes are rounded up.
const CONTEXT_STEP: u32 = 256;

/// What a launch was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// For each request, cold one first: prompt tokens sent, and tokens to be generated.
    pub requests: Vec<(u32, u32)>,
    /// Threads asked for.
    pub threads: u32,
    /// Tokens of the verification continuation, where one was asked for.
    pub n_verify: Option<u32>,
    /// Processors that were to be used; `None` too for a server that the harness did not start, which nobody pinned.
    pub cpus: Option<BTreeSet<u32>>,
}

impl Expected {
    /// What `spec` asks for, on `threads`.
    pub fn of(spec: &LaunchSpec, threads: u32) -> Expected {
        let len = |prompt: &Vec<u32>| prompt.len() as u32;
        let (requests, n_verify) = match &spec.conversation {
            Conversation::Runner { job, .. } => (
                (0..)
                    .zip(&job.prompts)
                    .map(|(rep, prompt)| {
                        let is_cold = rep == 0 && job.cold_generate > 0;
                        (len(prompt), if is_cold { job.cold_generate } else { job.n_generate })
                    })
                    .collect(),
                job.verify.as_ref().map(|v| v.n_tokens),
            ),
            Conversation::Server(talk) => {
                // Of a server that ran before the cold request is only a warm-up.
                let n_left_out = usize::from(talk.has_cold && talk.endpoint.is_running());
                let requests = talk.requests.iter().skip(n_left_out);
                (
                    requests.map(|(prompt, n)| (len(&prompt.ids), *n)).collect(),
                    talk.verify.as_ref().map(|v| v.n_tokens),
                )
            }
            Conversation::Batch { .. } => (vec![], None),
        };
        let is_ours = !matches!(&spec.conversation, Conversation::Server(talk) if talk.endpoint.is_running());
        let cpus = spec.cpus.as_ref().filter(|_| is_ours).map(|cpus| cpus.iter().copied().collect());
        Expected { requests, threads, n_verify, cpus }
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
    let by_text = measured.features.iter().any(|f| f == FEATURE_VERIFIED_BY_TEXT);
    match (&measured.verify_token_ids, expected.n_verify) {
        (Some(ids), Some(n_wanted)) if ids.len() != n_wanted as usize && !by_text => Err(Failure::new(
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
    if let Some((wanted, seen, passed)) = threads_seen(expected.threads, &measured.cpu) {
        add(gate::THREADS_SEEN, wanted, seen, passed);
    }
    if let Some(wanted) = &expected.cpus {
        let seen = measured.cpu.cpus_allowed.clone();
        let cpus = seen.as_deref().and_then(parse_cpu_list);
        let passed = cpus.is_some_and(|cpus| !cpus.is_empty() && cpus.is_subset(wanted));
        add(gate::AFFINITY, cpu_list(wanted), seen.unwrap_or_else(|| "unavailable".into()), passed);
    }
    if expected.requests.is_empty() {
        return gates;
    }
    let n_prompts: Vec<u32> = requests(measured).map(|r| r.n_prompt).collect();
    let n_sent: Vec<u32> = expected.requests.iter().map(|r| r.0).collect();
    add(gate::PROMPT_COUNT, list(&n_sent), list(&n_prompts), n_prompts == n_sent);
    let (wanted, seen, passed) = nothing_cached(measured);
    add(gate::NOTHING_CACHED, wanted, seen, passed);
    let n_tokens: Vec<u32> = requests(measured).map(|r| r.token_ids.len() as u32).collect();
    let n_wanted: Vec<u32> = expected.requests.iter().map(|r| r.1).collect();
    add(gate::OUTPUT_LENGTH, list(&n_wanted), list(&n_tokens), n_tokens == n_wanted);
    gates
}

/// Whether no prompt token came from a cache: wanted, seen, passed. A BOS that a server puts before each text is the one
/// token that prompts share. A server that does not tell passes only where there was nothing to be found in its cache.
fn nothing_cached(measured: &Measured) -> (String, String, bool) {
    let has = |feature: &str| measured.features.iter().any(|f| f == feature);
    let n_shared = u32::from(has(FEATURE_SHARED_BOS));
    let wanted = if n_shared == 0 { "0".to_owned() } else { "0, or 1 (BOS)".to_owned() };
    let told: Option<Vec<u32>> = requests(measured).map(|r| r.n_cached).collect();
    match told {
        Some(n_cached) => {
            let passed = n_cached.iter().all(|&n| n <= n_shared);
            (wanted, list(&n_cached), passed)
        }
        None if has(FEATURE_EMPTY_CACHE) => (wanted, "not told; the cache was empty".into(), true),
        None => (wanted, "unavailable".into(), false),
    }
}

/// Whether the timed window was computed with no more than `threads`: wanted, seen, passed. `None` where the system
/// does not tell, or the window is too short. Threads that only wait (a server's, a pool's of another size) do not
/// count: a thread is busy by [`crate::sample::BUSY_SHARE`].
pub fn threads_seen(threads: u32, cpu: &CpuUse) -> Option<(String, String, bool)> {
    let window = cpu.window.as_ref().filter(|w| w.wall_s.is_some_and(|s| s >= WINDOW_S_MIN))?;
    let cpus = window.cpus()?;
    let (busy_max, cpus_max) = (threads + COORDINATORS_MAX, f64::from(threads) * CPU_ALLOWANCE);
    let count = |n: Option<u32>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let seen = format!(
        "{} busy of {} threads, {cpus:.2} CPUs",
        count(window.threads_busy),
        count(window.threads_max)
    );
    let passed = window.threads_busy.is_none_or(|n| n <= busy_max) && cpus <= cpus_max;
    Some((format!("at most {busy_max} busy threads, {cpus_max:.1} CPUs"), seen, passed))
}

/// Whether a context that was told is the one asked for, rounded up or not.
pub(super) fn is_context_close(wanted: u32, told: u32) -> bool {
    (wanted..wanted.saturating_add(CONTEXT_STEP)).contains(&told)
}

/// The gates on what a server tells of itself; none for what it does not tell.
pub fn told_gates(wanted: &Wanted, class: WeightsClass, told: &Told) -> Vec<Gate> {
    let mut gates = Vec::new();
    let mut add = |name: &str, passed: bool, wanted: String, seen: String| {
        gates.push(Gate { name: name.into(), passed, wanted, seen });
    };
    if let Some(path) = &told.model_path {
        let file = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let sha256: String = wanted.model_sha256.chars().take(12).collect();
        let seen = if *path == wanted.model_path { file(path) } else { path.clone() };
        let wanted_file = format!("{}, sha256 {sha256}…", file(&wanted.model_path));
        add(gate::WEIGHTS, *path == wanted.model_path, wanted_file, format!("{seen}, class {class:?}"));
    }
    let settings = [
        told.context.map(|n| {
            (
                is_context_close(wanted.context, n),
                format!("context {}", wanted.context),
                format!("context {n}"),
            )
        }),
        told.slots.map(|n| (n == wanted.slots, format!("slots {}", wanted.slots), format!("slots {n}"))),
    ];
    let settings: Vec<_> = settings.into_iter().flatten().collect();
    if !settings.is_empty() {
        let all =
            |of: fn(&(bool, String, String)) -> &str| settings.iter().map(of).collect::<Vec<_>>().join(", ");
        let passed = settings.iter().all(|s| s.0);
        add(gate::SETTINGS, passed, all(|s| &s.1), all(|s| &s.2));
    }
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
    use crate::framework::server::Endpoint;
    use crate::framework::server_url::ServerUrl;
    use crate::framework::testing::server_talk;
    use crate::sample::{ColdRequest, CpuSpan, Memory};

    fn request(rep: u32, n: u32) -> RequestSample {
        RequestSample {
            rep,
            n_prompt: 10,
            n_cached: Some(0),
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
            settings: None,
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
        Expected { requests: vec![(10, 2), (10, 4), (10, 4)], threads: 2, n_verify: Some(2), cpus: None }
    }

    #[test]
    fn a_server_that_ran_before_is_on_no_chosen_processors() {
        let check = |endpoint: Endpoint, wanted: Option<&[u32]>| {
            let conversation = Conversation::Server(Box::new(server_talk(endpoint)));
            let spec =
                LaunchSpec { argv: vec![], env: Default::default(), cpus: Some(vec![2, 3]), conversation };
            assert_eq!(Expected::of(&spec, 1).cpus, wanted.map(|cpus| cpus.iter().copied().collect()));
        };
        check(Endpoint::Child { port: 1 }, Some(&[2, 3]));
        let url = ServerUrl::parse("http://127.0.0.1:1", false).expect("local");
        check(Endpoint::Running { url, api_key: None }, None);
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
        check(|m| m.requests[1].n_cached = Some(5), "nothing_cached: 0 / 0, 0, 5");
        check(|m| m.requests[1].token_ids.truncate(3), "output_length: 2, 4, 4 / 2, 4, 3");
        let mut untold = measured();
        untold.threads_used = None;
        assert!(gates(&expected(), &untold).iter().all(|g| g.name != gate::THREADS));
    }

    #[test]
    fn a_cache_that_cannot_be_seen_passes_only_where_it_was_empty() {
        let check = |n_cached: Option<u32>, features: &[&str], wanted: Option<&str>| {
            let mut m = measured();
            m.requests[0].n_cached = n_cached;
            m.features = features.iter().map(|f| (*f).to_owned()).collect();
            assert_eq!(failed(&m).first().map(String::as_str), wanted, "{n_cached:?} {features:?}");
        };
        check(None, &[], Some("nothing_cached: 0 / unavailable"));
        check(None, &[FEATURE_EMPTY_CACHE], None);
        check(Some(1), &[], Some("nothing_cached: 0 / 0, 1, 0"));
        check(Some(1), &[FEATURE_SHARED_BOS], None);
        check(Some(2), &[FEATURE_SHARED_BOS], Some("nothing_cached: 0, or 1 (BOS) / 0, 2, 0"));
    }

    /// The gate `name` of a launch whose timed window was so.
    fn gate_of(name: &str, window: CpuSpan, cpus: Option<&[u32]>) -> Option<(bool, String, String)> {
        let cpu = CpuUse { window: Some(window), cpus_allowed: Some("0-1".into()), ..CpuUse::default() };
        let expected = Expected { cpus: cpus.map(|c| c.iter().copied().collect()), ..expected() };
        let found = gates(&expected, &Measured { cpu, ..measured() }).into_iter().find(|g| g.name == name);
        found.map(|g| (g.passed, g.wanted, g.seen))
    }

    #[test]
    fn more_threads_than_asked_for_are_seen() {
        let window = |threads_busy, cpu_s| CpuSpan {
            wall_s: Some(2.0),
            user_s: Some(cpu_s),
            system_s: Some(0.0),
            threads_max: Some(9),
            threads_busy,
            ..CpuSpan::default()
        };
        let check = |window, passed: bool, seen: &str| {
            let wanted = "at most 3 busy threads, 2.2 CPUs".to_owned();
            assert_eq!(gate_of(gate::THREADS_SEEN, window, None), Some((passed, wanted, seen.to_owned())));
        };
        check(window(Some(2), 4.0), true, "2 busy of 9 threads, 2.00 CPUs");
        check(window(Some(3), 4.3), true, "3 busy of 9 threads, 2.15 CPUs");
        check(window(Some(4), 4.0), false, "4 busy of 9 threads, 2.00 CPUs");
        check(window(Some(2), 4.5), false, "2 busy of 9 threads, 2.25 CPUs");
        check(window(None, 0.0), true, "? busy of 9 threads, 0.00 CPUs");
        let short = CpuSpan { wall_s: Some(0.4), ..window(Some(9), 9.0) };
        assert_eq!(gate_of(gate::THREADS_SEEN, short, None), None, "too short to tell");
        assert_eq!(gate_of(gate::THREADS_SEEN, CpuSpan::default(), None), None, "not told");
    }

    #[test]
    fn processors_are_those_asked_for_or_fewer() {
        let check = |cpus: &[u32], passed: bool, wanted: &str| {
            let seen = gate_of(gate::AFFINITY, CpuSpan::default(), Some(cpus));
            assert_eq!(seen, Some((passed, wanted.to_owned(), "0-1".to_owned())));
        };
        check(&[0, 1], true, "0-1");
        check(&[0, 1, 2], true, "0-2");
        check(&[0], false, "0");
        assert_eq!(gate_of(gate::AFFINITY, CpuSpan::default(), None), None);
        let untold = gates(&Expected { cpus: Some([0].into()), ..expected() }, &measured());
        assert!(untold.iter().any(|g| g.name == gate::AFFINITY && !g.passed && g.seen == "unavailable"));
    }

    #[test]
    fn what_a_server_tells_of_itself_is_compared() {
        let wanted = Wanted {
            model_path: "/m/a.gguf".into(),
            model_sha256: "0123456789abcdef".into(),
            context: 100,
            slots: 1,
        };
        let told = |model_path: Option<&str>, context, slots| {
            let model_path = model_path.map(str::to_owned);
            let told = Told { version: String::new(), model_path, context, slots };
            let line = |g: Gate| format!("{} {}: {} / {}", g.name, g.passed, g.wanted, g.seen);
            told_gates(&wanted, WeightsClass::A, &told).into_iter().map(line).collect::<Vec<_>>()
        };
        let same = told(Some("/m/a.gguf"), Some(256), Some(1));
        let weights = "weights true: a.gguf, sha256 0123456789ab… / a.gguf, class A";
        assert_eq!(same, [weights, "settings true: context 100, slots 1 / context 256, slots 1"]);
        let other = told(Some("/m/b.gguf"), Some(356), Some(1));
        let weights = "weights false: a.gguf, sha256 0123456789ab… / /m/b.gguf, class A";
        assert_eq!(other, [weights, "settings false: context 100, slots 1 / context 356, slots 1"]);
        assert_eq!(told(None, None, Some(4)), ["settings false: slots 1 / slots 4"]);
        assert_eq!(told(None, None, None), [""; 0]);
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
