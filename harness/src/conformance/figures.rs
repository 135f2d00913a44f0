//! Rules of the figures: counts, times, ids and distributions.

use super::said::Said;
use super::{Run, Runs, Verdict, Which, in_job};
use crate::agreement::Agreement;
use crate::framework::gates::threads_seen;
use crate::framework::settings::{Asked, settings_gates};
use crate::protocol::{Job, SampleEvent, WeightsClass};
use crate::sample::{Forced, equal_tokens};
use crate::units::ns_to_s;

/// What the launcher may read late, and clocks may differ.
const LATE_NS: u64 = 100_000_000;
/// Time between two requests that no request accounts for is forgiven up to this much, and up to the requests' own.
const BETWEEN_NS_MAX: u64 = 200_000_000;

pub(super) fn counts(runs: &Runs) -> Verdict {
    let fault = |(which, run): (Which, &Run)| {
        let faults = run.said.samples.iter().zip(&run.job.prompts).filter_map(|((_, sample), prompt)| {
            let SampleEvent { rep, n_prompt, n_cached, .. } = sample;
            let n_sent = prompt.len();
            if *n_prompt as usize != n_sent {
                return Some(format!("sample {rep}: n_prompt {n_prompt}, and {n_sent} tokens were sent"));
            }
            (*n_cached > 0).then(|| format!("sample {rep}: n_cached {n_cached}"))
        });
        faults.map(|fault| in_job(which, fault)).next()
    };
    Verdict::of(runs.done().count(), runs.done().filter_map(fault), "as sent, 0 cached")
}

/// Tokens asked for in request `rep`.
fn n_wanted(job: &Job, rep: u32) -> usize {
    (if rep == 0 && job.cold_generate > 0 { job.cold_generate } else { job.n_generate }) as usize
}

pub(super) fn lengths(runs: &Runs) -> Verdict {
    let fault = |(which, run): (Which, &Run)| {
        let wrong = run.said.samples.iter().find_map(|(_, sample)| {
            let (wanted, n_ids, n_times) =
                (n_wanted(&run.job, sample.rep), sample.token_ids.len(), sample.token_at_ns.len());
            let rep = sample.rep;
            ((n_ids, n_times) != (wanted, wanted))
                .then(|| format!("sample {rep}: {n_ids} ids and {n_times} times instead of {wanted}"))
        });
        let wrong = wrong.or_else(|| {
            let (asked, told) = run.job.verify.as_ref().zip(run.said.verified.as_ref())?;
            let (wanted, n) = (asked.n_tokens, told.token_ids.len());
            (n != wanted as usize).then(|| format!("verified: {n} ids instead of {wanted}"))
        });
        wrong.map(|fault| in_job(which, fault))
    };
    Verdict::of(runs.done().count(), runs.done().filter_map(fault), "as asked")
}

pub(super) fn eos(runs: &Runs) -> Verdict {
    let Some(eos_id) = runs.subject.eos_id else {
        return Verdict::Skipped("the model names no end of sequence".into());
    };
    let ids = || runs.done().flat_map(|(which, run)| run.said.ids().into_iter().map(move |ids| (which, ids)));
    let goes_on = |ids: &[u32]| ids.split_last().is_some_and(|(_, before)| before.contains(&eos_id));
    // Repeated to the end it is padding, not a continuation.
    let pads = |ids: &[u32]| ids.iter().rev().take_while(|&&id| id == eos_id).count() > 2;
    let ends_early = |which: Which, run: &Run| {
        run.said.samples.iter().find_map(|(_, sample)| {
            let is_short = sample.token_ids.len() < n_wanted(&run.job, sample.rep);
            let ends_there = is_short && sample.token_ids.last() == Some(&eos_id);
            ends_there.then(|| in_job(which, format!("sample {} ends with token {eos_id}", sample.rep)))
        })
    };
    if let Some(fault) = runs.done().find_map(|(which, run)| ends_early(which, run)) {
        return Verdict::Failed(fault);
    }
    let right = runs.reference.as_ref().map_or_else(|_| vec![], Said::ids);
    let several = runs.said(Which::Several).map_or_else(Vec::new, Said::ids);
    let is_comparable = runs.said(Which::Several).is_some_and(|said| said.weights_class() != WeightsClass::C);
    if is_comparable && several.iter().zip(&right).any(|(ids, right)| pads(ids) && !pads(right)) {
        let fault = format!("after the first token {eos_id} it only repeats it");
        return Verdict::Failed(in_job(Which::Several, fault));
    }
    match ids().any(|(_, ids)| goes_on(ids)) {
        true => Verdict::Passed(format!("it went on after token {eos_id}")),
        false => Verdict::Skipped(format!("no answer came to token {eos_id}")),
    }
}

pub(super) fn times(runs: &Runs) -> Verdict {
    let fault = |sample: &SampleEvent| {
        let SampleEvent { rep, prefill_ns, token_at_ns, .. } = sample;
        let (first, last) = (token_at_ns.first()?, token_at_ns.last()?);
        if !token_at_ns.is_sorted() {
            return Some(format!("sample {rep}: token times run backwards"));
        }
        if *prefill_ns == 0 || prefill_ns > first {
            return Some(format!(
                "sample {rep}: prefill_ns {prefill_ns}, and the first token came after {first}"
            ));
        }
        (token_at_ns.len() > 1 && first == last)
            .then(|| format!("sample {rep}: all {} tokens came at once", token_at_ns.len()))
    };
    let faults = runs.done().filter_map(|(which, run)| {
        run.said.samples.iter().find_map(|(_, s)| fault(s)).map(|f| in_job(which, f))
    });
    Verdict::of(runs.done().count(), faults, "in order")
}

pub(super) fn clock(runs: &Runs) -> Verdict {
    let faults = runs.done().filter_map(|(which, run)| Some(in_job(which, clock_fault(&run.said)?)));
    Verdict::of(runs.done().count(), faults, "they fit")
}

/// The requests lie between the lines `ready` and the last `sample`. Together they cannot have taken longer than that;
/// and of what they leave over, most would have to be explained.
fn clock_fault(said: &Said) -> Option<String> {
    let ready = said.ready.as_ref()?;
    let seconds = |ns: u64| format!("{:.3} s", ns_to_s(ns));
    if ready.load_ns > ready.at_ns.saturating_add(LATE_NS) {
        let (claimed, seen) = (seconds(ready.load_ns), seconds(ready.at_ns));
        return Some(format!("load_ns says {claimed}, and the process was only {seen} old at `ready`"));
    }
    let claimed =
        said.samples.iter().filter_map(|(_, s)| s.token_at_ns.last()).fold(0u64, |a, b| a.saturating_add(*b));
    let last_at = said.samples.last().map_or(ready.at_ns, |(at_ns, _)| *at_ns);
    let seen = last_at.saturating_sub(ready.at_ns);
    let n = said.samples.len();
    if claimed > seen.saturating_add(LATE_NS) {
        return Some(format!(
            "{n} requests say {} in all, and there were {}",
            seconds(claimed),
            seconds(seen)
        ));
    }
    let unexplained = seen.saturating_sub(claimed);
    (unexplained > claimed && unexplained > BETWEEN_NS_MAX.saturating_mul(n as u64)).then(|| {
        let (claimed, seen) = (seconds(claimed), seconds(seen));
        format!("{n} requests say {claimed} in all, faster than the wall clock allows: it saw {seen}")
    })
}

pub(super) fn threads(runs: &Runs) -> Verdict {
    let mut seen_by_system = false;
    let fault = |(which, run): (Which, &Run)| {
        let (asked, told) = (run.job.threads, run.said.ready.as_ref()?.threads_used);
        if told != asked {
            return Some(in_job(which, format!("{asked} were asked for, threads_used is {told}")));
        }
        let (wanted, seen, passed) = threads_seen(asked, &run.transcript.usage.cpu)?;
        seen_by_system = true;
        (!passed)
            .then(|| in_job(which, format!("threads_used is {told}, and the system saw {seen}; {wanted}")))
    };
    let faults: Vec<String> = runs.done().filter_map(fault).collect();
    let how =
        if seen_by_system { "told, and seen so" } else { "told; the requests are too short to be seen" };
    Verdict::of(runs.done().count(), faults, how)
}

pub(super) fn settings(runs: &Runs) -> Verdict {
    let mut told = None;
    for (which, run) in runs.done() {
        let Some(settings) = run.said.ready.as_ref().and_then(|ready| ready.settings.as_ref()) else {
            continue;
        };
        let class = run.said.weights_class();
        let asked = Asked { model_bytes: Some(runs.subject.model_bytes), ..Asked::of(&run.job) };
        let gates = settings_gates(&asked, class, settings);
        if let Some(gate) = gates.iter().find(|gate| !gate.passed) {
            let fault = format!("gate {}: wanted {}, told {}", gate.name, gate.wanted, gate.seen);
            return Verdict::Failed(in_job(which, fault));
        }
        told = told
            .or_else(|| (!gates.is_empty()).then(|| gates.into_iter().map(|g| g.seen).collect::<Vec<_>>()));
    }
    match told {
        Some(told) => Verdict::Passed(told.join("; ")),
        None => {
            Verdict::Skipped("`ready` tells none: nothing vouches for context, KV type and model file".into())
        }
    }
}

pub(super) fn repeatable(runs: &Runs) -> Verdict {
    let (Some(several), Some(again)) = (runs.said(Which::Several), runs.said(Which::Again)) else {
        return Verdict::Skipped("two jobs alike were not carried out".into());
    };
    for (rep, (a, b)) in several.ids().into_iter().zip(again.ids()).enumerate() {
        if let Some(n) = parting(a, b) {
            return Verdict::Failed(format!("two launches part at token {n} of prompt {rep}"));
        }
    }
    let same_prompt = several.ids().get(1).copied().unwrap_or_default();
    let alone = runs.said(Which::One).and_then(|said| said.ids().first().copied());
    let verified = several.verified.as_ref().map(|told| told.token_ids.as_slice());
    for (what, ids) in [("asked alone", alone), ("asked again as the verification", verified)] {
        if let Some(n) = ids.and_then(|ids| parting(same_prompt, ids)) {
            return Verdict::Failed(format!("prompt 1 parts at token {n} when it is {what}"));
        }
    }
    Verdict::Passed("in two launches, alone and after others".into())
}

/// The first token at which two texts part, as far as both go.
fn parting(a: &[u32], b: &[u32]) -> Option<usize> {
    let n_equal = equal_tokens(a, b);
    (n_equal < a.len().min(b.len())).then_some(n_equal)
}

/// How many requests begin with the same token, of how many; tokens equal from the first on, of how many.
fn likeness(a: &Said, b: &Said) -> ((usize, usize), (usize, usize)) {
    let pairs: Vec<_> = a.ids().into_iter().zip(b.ids()).collect();
    let n_same = pairs.iter().filter(|(a, b)| a.first() == b.first()).count();
    let n_equal = pairs.iter().map(|(a, b)| equal_tokens(a, b)).sum();
    ((n_same, pairs.len()), (n_equal, pairs.iter().map(|(a, _)| a.len()).sum()))
}

pub(super) fn over_threads(runs: &Runs) -> Verdict {
    let (Some(one), Some(two)) = (runs.said(Which::Several), runs.said(Which::TwoThreads)) else {
        let two = runs.held.get(&Which::TwoThreads).filter(|run| run.said.refuses());
        let why =
            two.map_or("the job was not carried out on one and on two threads", |_| "it refuses two threads");
        return Verdict::Skipped(why.into());
    };
    let ((n_same, n), (n_equal, n_tokens)) = likeness(one, two);
    let seen = format!("{n_equal} of {n_tokens} tokens equal on one and two threads");
    if 2 * n_same < n {
        Verdict::Failed(format!("{n_same} of {n} requests begin alike; {seen}"))
    } else {
        Verdict::Passed(seen)
    }
}

pub(super) fn distributions(runs: &Runs) -> Verdict {
    let unasked = runs.said(Which::Again).and_then(|said| said.verified.as_ref());
    if unasked.is_some_and(|told| !told.top_logits.is_empty() || !told.forced_top.is_empty()) {
        return Verdict::Failed(in_job(Which::Again, "lists were told, and top_k was 0"));
    }
    let Some(run) = runs.held.get(&Which::Several) else { return Verdict::Skipped("not asked".into()) };
    let (Some(asked), Some(told)) = (&run.job.verify, &run.said.verified) else {
        return Verdict::Skipped("nothing was verified".into());
    };
    let top_k = asked.top_k as usize;
    let short = |lists: &[Vec<(u32, f32)>]| lists.iter().position(|list| list.len() != top_k);
    if let Some(i) = short(&told.top_logits) {
        return Verdict::Failed(format!(
            "top_logits of token {i} has {} entries instead of {top_k}",
            told.top_logits[i].len()
        ));
    }
    if !told.top_logits.is_empty() && told.top_logits.len() != told.token_ids.len() {
        return Verdict::Failed(format!(
            "top_logits has {} lists for {} tokens",
            told.top_logits.len(),
            told.token_ids.len()
        ));
    }
    match Forced::checked(asked.forced.clone(), told.forced_top.clone()) {
        Err(why) => return Verdict::Failed(format!("forced_top: {why}")),
        Ok(forced) if !forced.is_told() => {
            return Verdict::Skipped(
                "`verified` has no forced_top: the output is compared by its greedy text alone".into(),
            );
        }
        Ok(_) => {}
    }
    if let Some(i) = short(&told.forced_top) {
        return Verdict::Failed(format!(
            "forced_top {i} has {} entries instead of {top_k}",
            told.forced_top[i].len()
        ));
    }
    let (likeliest, chosen) = (told.forced_top[0][0].0, told.token_ids.first());
    if chosen != Some(&likeliest) {
        let chosen = chosen.map_or("nothing".to_owned(), u32::to_string);
        return Verdict::Failed(format!(
            "after the verification prompt {likeliest} is likeliest by forced_top, and the greedy text begins with {chosen}"
        ));
    }
    Verdict::Passed(format!("{} positions of {top_k}", told.forced_top.len()))
}

pub(super) fn reference(runs: &Runs) -> Verdict {
    let (reference, said) = match (&runs.reference, runs.said(Which::Several)) {
        (Err(why), _) => return Verdict::Skipped(why.clone()),
        (_, None) => return Verdict::Skipped("the job was not carried out".into()),
        (Ok(reference), Some(said)) => (reference, said),
    };
    if said.weights_class() == WeightsClass::C {
        return Verdict::Skipped(
            "weights class C: it computes with other weights, and is never ranked".into(),
        );
    }
    let ((n_same, n), (n_equal, n_tokens)) = likeness(reference, said);
    let agreement = agreement(runs, reference, said);
    let shown =
        agreement.map(|a| format!("; mean KL {:.4} nats over {} positions", a.mean_kl, a.n_positions));
    let seen = format!("{n_equal} of {n_tokens} tokens equal to the engine's{}", shown.unwrap_or_default());
    let is_likely = agreement.and_then(|a| a.gate()).is_none_or(|gate| gate.passed);
    if 2 * n_same < n || !is_likely {
        return Verdict::Failed(format!("{n_same} of {n} requests begin alike; {seen}"));
    }
    Verdict::Passed(seen)
}

/// Of the distributions, where both told them.
fn agreement(runs: &Runs, reference: &Said, said: &Said) -> Option<Agreement> {
    let text = runs.subject.job(Which::Several).verify?.forced;
    let forced = |said: &Said| Forced::checked(text.clone(), said.verified.as_ref()?.forced_top.clone()).ok();
    Agreement::of(&forced(reference)?, &forced(said)?)
}
