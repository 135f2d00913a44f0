//! Do two frameworks compute the same next-token distributions? Top-1 agreement and Kullback-Leibler divergence along
//! a given text. Pure.
//!
//! The divergence is a lower bound of KL(reference ‖ row), in nats, because only the likeliest tokens are known: the
//! reference's listed ids count one by one and everything else as one bucket, which never raises it. An id that the
//! row does not list has at most the probability of the row's last listed one, and the bucket at most what the ids
//! known to both leave. Both bounds are used, and such ids are counted.

use crate::sample::{Forced, Gate, LaunchRecord, Outcome, Role, gate};
use std::collections::{BTreeMap, BTreeSet};

/// Fewer positions are not judged.
pub const POSITIONS_MIN: usize = 8;
/// Largest mean divergence of a right computation, in nats. It is there to tell a wrong program, not to rank: right
/// ones that round differently were seen to differ by 0.003, one with a wrong norm by 4.6; see METHODOLOGY.md.
pub const MEAN_KL_MAX: f64 = 0.03;
/// Smallest share of positions at which a right computation prefers the same token: ties and near-ties may fall
/// either way.
pub const SAME_TOP_MIN: f64 = 0.8;

/// Below this a probability counts as this: a server may tell a rounded 0.
const LOG_PROBABILITY_MIN: f64 = -100.0;
/// What the bucket of all other tokens has at least: less is lost in the rounding of the listed ones to 32 bits.
const REST_MIN: f64 = 1e-5;

/// How a row's distributions agree with the reference's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Positions compared.
    pub n_positions: usize,
    /// Positions at which both find the same token likeliest.
    pub n_same_top: usize,
    /// Mean over the positions of the divergence, in nats; a lower bound.
    pub mean_kl: f64,
    /// Largest divergence of a position, in nats; a lower bound.
    pub max_kl: f64,
    /// Over all positions, ids that the reference lists and the row does not.
    pub n_bounded: usize,
}

impl Agreement {
    /// Of `row` with `reference`; `None` where either told nothing or they were not given the same text.
    pub fn of(reference: &Forced, row: &Forced) -> Option<Agreement> {
        let n_positions = reference.top.len();
        if n_positions == 0 || row.top.len() != n_positions || row.token_ids != reference.token_ids {
            return None;
        }
        let mut agreement = Agreement { n_positions, n_same_top: 0, mean_kl: 0.0, max_kl: 0.0, n_bounded: 0 };
        for (p, q) in reference.top.iter().zip(&row.top) {
            let (kl, n_bounded) = divergence(p, q);
            let id = |list: &[(u32, f32)]| list.first().map(|entry| entry.0);
            agreement.n_same_top += usize::from(id(p).is_some() && id(p) == id(q));
            agreement.mean_kl += kl / n_positions as f64;
            agreement.max_kl = agreement.max_kl.max(kl);
            agreement.n_bounded += n_bounded;
        }
        Some(agreement)
    }

    /// Share of positions with the same likeliest token, 0…1.
    pub fn same_top(&self) -> f64 {
        self.n_same_top as f64 / self.n_positions as f64
    }

    /// The gate [`gate::DISTRIBUTION`]; `None` with fewer than [`POSITIONS_MIN`] positions.
    pub fn gate(&self) -> Option<Gate> {
        (self.n_positions >= POSITIONS_MIN).then(|| Gate {
            name: gate::DISTRIBUTION.into(),
            passed: self.mean_kl <= MEAN_KL_MAX && self.same_top() >= SAME_TOP_MIN,
            wanted: format!("mean KL at most {MEAN_KL_MAX}, top-1 at least {:.0}%", SAME_TOP_MIN * 100.0),
            seen: format!(
                "mean KL {:.4}, top-1 {} of {} positions",
                self.mean_kl, self.n_same_top, self.n_positions
            ),
        })
    }
}

/// A lower bound of KL(p ‖ q) in nats, and how many ids of `p` are not in `q`. Both are lists of (id, log-probability),
/// largest first.
fn divergence(p: &[(u32, f32)], q: &[(u32, f32)]) -> (f64, usize) {
    let log = |value: f32| f64::from(value).max(LOG_PROBABILITY_MIN);
    let listed: BTreeMap<u32, f64> = q.iter().map(|&(id, value)| (id, log(value))).collect();
    let log_unlisted_max = q.last().map_or(0.0, |&(_, value)| log(value));
    let (mut kl, mut n_bounded) = (0.0, 0);
    let (mut p_known, mut q_known) = (0.0, 0.0);
    for &(id, value) in p {
        let log_p = log(value);
        let log_q = listed.get(&id).copied();
        q_known += log_q.map_or(0.0, f64::exp);
        n_bounded += usize::from(log_q.is_none());
        p_known += log_p.exp();
        kl += log_p.exp() * (log_p - log_q.unwrap_or(log_unlisted_max));
    }
    let p_rest: f64 = 1.0 - p_known;
    if p_rest > REST_MIN {
        kl += p_rest * (p_rest / (1.0 - q_known).max(REST_MIN)).ln();
    }
    // Not negative but by rounding, or where the bounds are wide.
    (kl.max(0.0), n_bounded)
}

/// The distributions that all rows are compared with: the first that the row `baseline` told, in plan order.
pub fn distribution_reference<'a>(records: &'a [LaunchRecord], baseline: &str) -> Option<&'a Forced> {
    let told = records.iter().filter(|r| r.framework == baseline && r.role == Role::Measure);
    told.filter_map(|r| Some((r.position, forced(r)?)))
        .min_by_key(|(position, _)| *position)
        .map(|told| told.1)
}

/// What a launch told, if it did.
fn forced(record: &LaunchRecord) -> Option<&Forced> {
    match &record.outcome {
        Outcome::Measured(measured) => measured.forced.as_ref().filter(|f| f.is_told()),
        Outcome::Failed { .. } => None,
    }
}

/// Gives every launch that told its distributions its gate [`gate::DISTRIBUTION`], against [`distribution_reference`];
/// without one there is no such gate. Applied whenever a bundle is read, as
/// [`crate::sample::add_right_output_gates`] is.
pub fn add_distribution_gates(records: &mut [LaunchRecord], baseline: &str) {
    let Some(reference) = distribution_reference(records, baseline).cloned() else { return };
    for record in records.iter_mut() {
        if let Outcome::Measured(measured) = &mut record.outcome {
            measured.gates.retain(|g| g.name != gate::DISTRIBUTION);
            let agreement = measured.forced.as_ref().and_then(|row| Agreement::of(&reference, row));
            measured.gates.extend(agreement.and_then(|a| a.gate()));
        }
    }
    excuse_early_partings(records);
}

/// Greedy continuations of right programs part where two tokens are nearly equally likely; with random weights that is
/// often. So [`gate::RIGHT_OUTPUT`] also holds where the row's distributions along a given text, at that number of
/// threads, were judged and hold: they are the closer look, at positions that no earlier difference has moved.
fn excuse_early_partings(records: &mut [LaunchRecord]) {
    let seen = |record: &LaunchRecord, name: &str, passed: bool| match &record.outcome {
        Outcome::Measured(m) => m.gates.iter().any(|g| g.name == name && g.passed == passed),
        Outcome::Failed { .. } => false,
    };
    let row = |record: &LaunchRecord| (record.framework.clone(), record.threads);
    let judged: Vec<&LaunchRecord> = records.iter().filter(|r| seen(r, gate::DISTRIBUTION, true)).collect();
    let agreeing: BTreeSet<(String, u32)> = judged.into_iter().map(row).collect();
    let differing: BTreeSet<(String, u32)> =
        records.iter().filter(|r| seen(r, gate::DISTRIBUTION, false)).map(row).collect();
    for record in records {
        let row = row(record);
        if agreeing.contains(&row)
            && !differing.contains(&row)
            && let Outcome::Measured(measured) = &mut record.outcome
        {
            for gate in measured.gates.iter_mut().filter(|g| g.name == gate::RIGHT_OUTPUT && !g.passed) {
                gate.passed = true;
                gate.wanted.push_str(", or its distributions");
                gate.seen.push_str("; its distributions hold");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use proptest::prelude::*;

    #[test]
    fn an_early_parting_is_excused_by_distributions_alone() {
        let gate =
            |name: &str, passed| Gate { name: name.into(), passed, wanted: "w".into(), seen: "s".into() };
        let held = |distribution: Option<bool>| {
            let (_, mut records) = testing::example();
            let Outcome::Measured(m) = &mut records[0].outcome else { panic!("measured") };
            m.gates = vec![gate(gate::RIGHT_OUTPUT, false)];
            m.gates.extend(distribution.map(|passed| gate(gate::DISTRIBUTION, passed)));
            records.truncate(1);
            excuse_early_partings(&mut records);
            let Outcome::Measured(m) = &records[0].outcome else { panic!("measured") };
            (m.gates[0].passed, m.gates[0].seen.clone())
        };
        assert_eq!(held(Some(true)), (true, "s; its distributions hold".into()));
        assert_eq!(held(Some(false)), (false, "s".into()));
        assert_eq!(held(None), (false, "s".into()));
    }

    /// The `k` likeliest of a softmax over `logits`, as a framework tells them.
    fn top(logits: &[f64], k: usize) -> Vec<(u32, f32)> {
        let log_sum = logits.iter().map(|l| l.exp()).sum::<f64>().ln();
        let mut all: Vec<(u32, f32)> = (0..).zip(logits.iter().map(|l| (l - log_sum) as f32)).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(k);
        all
    }

    /// KL over the whole vocabulary, nats.
    fn exact(p: &[f64], q: &[f64]) -> f64 {
        let log_sum = |logits: &[f64]| logits.iter().map(|l| l.exp()).sum::<f64>().ln();
        let (sum_p, sum_q) = (log_sum(p), log_sum(q));
        p.iter().zip(q).map(|(a, b)| (a - sum_p).exp() * ((a - sum_p) - (b - sum_q))).sum()
    }

    fn forced(lists: Vec<Vec<(u32, f32)>>) -> Forced {
        Forced { token_ids: (0..lists.len() as u32).collect(), top: lists }
    }

    #[test]
    fn whole_lists_give_the_divergence_itself() {
        let (p, q) = ([2.0, 1.0, 0.5, -1.0], [1.5, 1.4, 0.0, -0.5]);
        let (kl, n_bounded) = divergence(&top(&p, 4), &top(&q, 4));
        assert!((kl - exact(&p, &q)).abs() < 1e-6, "{kl}");
        assert_eq!((n_bounded, divergence(&top(&p, 4), &top(&p, 4)).0), (0, 0.0));
    }

    #[test]
    fn a_likely_token_that_the_row_does_not_list_counts_by_the_rows_last_one() {
        let p = [(1, 0.9f32.ln()), (2, 0.05f32.ln())];
        let q = [(3, 0.9f32.ln()), (4, 0.01f32.ln())];
        let (kl, n_bounded) = divergence(&p, &q);
        let rest = 0.05 * 0.05f64.ln();
        let wanted = 0.9 * (0.9f64 / 0.01).ln() + 0.05 * (0.05f64 / 0.01).ln() + rest;
        assert!((kl - wanted).abs() < 1e-4, "{kl} {wanted}");
        assert_eq!(n_bounded, 2);
    }

    #[test]
    fn rounded_zeros_are_no_infinity() {
        let certain = [(1, 0.0f32), (2, f32::NEG_INFINITY)];
        let (kl, _) = divergence(&[(2, 0.5f32.ln()), (1, 0.5f32.ln())], &certain);
        assert!(kl.is_finite() && kl > 10.0, "{kl}");
        assert_eq!(divergence(&certain, &certain).0, 0.0);
    }

    #[test]
    fn positions_are_counted_and_averaged() {
        let (p, q) = (top(&[3.0, 1.0, 0.0], 3), top(&[1.0, 3.0, 0.0], 3));
        let (kl, _) = divergence(&p, &q);
        let reference = forced(vec![p.clone(), p.clone(), p.clone(), p.clone()]);
        let row = forced(vec![p.clone(), p.clone(), q, p]);
        let agreement = Agreement::of(&reference, &row).expect("the same text");
        assert_eq!((agreement.n_positions, agreement.n_same_top, agreement.same_top()), (4, 3, 0.75));
        assert!((agreement.mean_kl - kl / 4.0).abs() < 1e-12 && agreement.max_kl == kl);
        assert_eq!(agreement.gate(), None, "too few positions to be judged");

        let another_text = Forced { token_ids: vec![9; 4], ..row.clone() };
        assert_eq!(Agreement::of(&reference, &another_text), None);
        assert_eq!(Agreement::of(&reference, &Forced { top: vec![], ..row.clone() }), None);
        assert_eq!(Agreement::of(&Forced { top: vec![], ..reference }, &row), None);
    }

    #[test]
    fn the_gate_tells_a_wrong_program() {
        let check = |n_same_top: usize, mean_kl: f64, passed: bool| {
            let agreement = Agreement { n_positions: 10, n_same_top, mean_kl, max_kl: 1.0, n_bounded: 0 };
            assert_eq!(agreement.gate().expect("enough").passed, passed, "{n_same_top} {mean_kl}");
        };
        check(10, 0.0, true);
        check(8, 0.03, true);
        check(7, 0.0, false);
        check(10, 0.031, false);
    }

    #[test]
    fn every_launch_that_told_is_compared_with_the_baselines_first() {
        let (manifest, mut records) = testing::example();
        let right = testing::forced(0.6, 0);
        let wrong = testing::forced(0.6, 1);
        for record in &mut records {
            let Outcome::Measured(m) = &mut record.outcome else { panic!("measured") };
            m.forced = None;
        }
        let mut tell = |label: &str, block: u32, told: &Forced| {
            for record in records.iter_mut().filter(|r| r.framework == label && r.block == block) {
                let Outcome::Measured(m) = &mut record.outcome else { panic!("measured") };
                m.forced = Some(told.clone());
            }
        };
        // Of the baseline's own launches the later ones are compared with the first.
        tell("llama.cpp", 0, &right);
        tell("llama.cpp", 1, &wrong);
        tell("engine", 0, &right);
        tell("candle", 0, &Forced { top: vec![], ..right.clone() });
        records.reverse();
        for _ in 0..2 {
            add_distribution_gates(&mut records, &manifest.scenario.baseline);
        }
        let passed = |records: &[LaunchRecord], label: &str, block: u32| {
            let of_cell =
                records.iter().filter(|r| r.framework == label && r.block == block && r.threads == 1);
            let gates = of_cell.flat_map(|r| match &r.outcome {
                Outcome::Measured(m) => m.gates.clone(),
                Outcome::Failed { .. } => vec![],
            });
            gates.filter(|g| g.name == gate::DISTRIBUTION).map(|g| g.passed).collect::<Vec<_>>()
        };
        assert_eq!(passed(&records, "llama.cpp", 0), [true]);
        assert_eq!(passed(&records, "llama.cpp", 1), [false]);
        assert_eq!(passed(&records, "engine", 0), [true]);
        assert_eq!(
            (passed(&records, "engine", 1), passed(&records, "candle", 0)),
            (vec![], vec![]),
            "nothing told"
        );

        add_distribution_gates(&mut records, "engine");
        assert_eq!(distribution_reference(&records, "candle"), None);
        assert_eq!(passed(&records, "llama.cpp", 0), [true]);
    }

    proptest! {
        #[test]
        fn it_is_a_lower_bound(
            pairs in proptest::collection::vec((-8.0..8.0f64, -8.0..8.0f64), 2..40),
            k in 1usize..40,
        ) {
            let (p, q): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (kl, _) = divergence(&top(&p, k), &top(&q, k));
            // But for the rounding of the lists to 32 bits.
            prop_assert!(kl >= 0.0 && kl <= 1.01 * exact(&p, &q) + 1e-4, "{} {}", kl, exact(&p, &q));
        }
    }
}
