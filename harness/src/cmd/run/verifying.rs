//! The verification: which launch is asked for it, and for what.

use super::loading::{Loaded, VerifyText};
use crate::plan::{Cell, PlannedLaunch};
use crate::prompts::{verification_continuation, verification_prompt};
use crate::protocol::Verify;
use crate::sample::{LaunchRecord, Outcome, Role};
use crate::scenario::{Scenario, Workload};
use std::collections::BTreeSet;

/// Tokens of a verification prompt of random ids, where the contexts have room for them.
const PROMPT_TOKENS: u32 = 32;
/// Tokens of the text along which distributions are compared, where the context has room for them.
const FORCED_TOKENS: usize = 32;
/// How many of the likeliest tokens are told at each position.
const TOP_K: u32 = 64;

/// Cells that have been verified: each is once, in its first block with a measured launch. It costs time, and a
/// program computes the same every time; but a launch that fails must not take the verification with it.
#[derive(Debug, Default)]
pub(super) struct Verifying {
    verified: BTreeSet<Cell>,
}

impl Verifying {
    /// After what a run that is resumed has measured.
    pub(super) fn after<'a>(records: impl IntoIterator<Item = &'a LaunchRecord>) -> Verifying {
        let mut verifying = Verifying::default();
        records.into_iter().for_each(|record| verifying.take(record));
        verifying
    }

    /// Takes note of a launch.
    pub(super) fn take(&mut self, record: &LaunchRecord) {
        if matches!(&record.outcome, Outcome::Measured(m) if m.verify_token_ids.is_some()) {
            self.verified.insert(Cell {
                framework: record.framework.clone(),
                workload: record.workload.clone(),
                threads: record.threads,
            });
        }
    }

    /// What `planned` is to be asked, if its cell still has to be verified.
    pub(super) fn request(&self, loaded: &Loaded, planned: &PlannedLaunch) -> Option<Verify> {
        if planned.role != Role::Measure || self.verified.contains(&planned.cell) {
            return None;
        }
        let vocabulary =
            Vocabulary { seed: loaded.seed, size: loaded.vocab_size, text: loaded.verify_text.as_ref() };
        verify(&loaded.scenario, &planned.cell, &vocabulary)
    }
}

/// What token ids can be made of.
struct Vocabulary<'a> {
    seed: u64,
    size: u32,
    text: Option<&'a VerifyText>,
}

fn verify(scenario: &Scenario, cell: &Cell, vocabulary: &Vocabulary) -> Option<Verify> {
    let n_tokens = scenario.verify_tokens;
    if n_tokens == 0 {
        return None;
    }
    let Vocabulary { seed, size, text } = *vocabulary;
    let room = scenario.workloads.iter().map(|w| w.context.saturating_sub(n_tokens)).min()?;
    let (prompt, mut forced) = match text {
        Some(text) if text.prompt.len() <= room as usize => (text.prompt.clone(), text.forced.clone()),
        _ => {
            let prompt = verification_prompt(seed, room.clamp(1, PROMPT_TOKENS), size);
            (prompt, verification_continuation(seed, FORCED_TOKENS as u32, size))
        }
    };
    // One workload is enough: the next one would be asked for the same of the same program.
    let context =
        scenario.workloads.first().filter(|w| w.name == cell.workload).map(|w: &Workload| w.context);
    let n_forced = (context.unwrap_or(0) as usize).saturating_sub(prompt.len() + 1);
    forced.truncate(n_forced.min(FORCED_TOKENS));
    let top_k = if forced.is_empty() { 0 } else { TOP_K.min(size) };
    Some(Verify { prompt, n_tokens, top_k, forced })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::FailureKind;
    use crate::testing;

    const NO_TEXT: Vocabulary = Vocabulary { seed: 1, size: 1000, text: None };

    fn cell(workload: &str) -> Cell {
        Cell { framework: "engine".into(), workload: workload.into(), threads: 1 }
    }

    #[test]
    fn a_cell_is_verified_by_its_first_measured_launch() {
        let (manifest, records) = testing::example();
        let planned = |block: u32| {
            let mut launches = manifest.plan.launches.iter();
            launches.find(|p| p.cell == cell("chat") && p.block == block)
        };
        let (first, second) = (planned(0).expect("planned"), planned(1).expect("planned"));
        let crashed = testing::failed(first, FailureKind::Crashed, "exit code 1");
        let mut measured =
            records.iter().find(|r| r.launch_id == second.launch_id).expect("measured").clone();
        let mut verifying = Verifying::after([&crashed, &measured]);
        assert!(!verifying.verified.contains(&second.cell), "neither was verified");
        let Outcome::Measured(m) = &mut measured.outcome else { panic!("measured") };
        m.verify_token_ids = Some(vec![1, 2]);
        verifying.take(&measured);
        assert_eq!(verifying.verified, BTreeSet::from([second.cell.clone()]));
    }

    #[test]
    fn the_request_fits_every_context() {
        let mut scenario = testing::manifest(&testing::LABELS, 1).scenario;
        let text = VerifyText { prompt: vec![7; 40], forced: vec![8; 50] };
        let vocabulary = Vocabulary { text: Some(&text), ..NO_TEXT };
        let asked = |scenario: &Scenario, workload, vocabulary: &Vocabulary| {
            let v = verify(scenario, &cell(workload), vocabulary).expect("asked");
            (v.prompt.len(), v.n_tokens, v.forced.len(), v.top_k)
        };
        assert_eq!(asked(&scenario, "chat", &vocabulary), (40, 32, 32, 64));
        assert_eq!(asked(&scenario, "chat", &NO_TEXT), (32, 32, 32, 64));
        // Another workload: the continuation alone.
        let code = Workload { name: "code".into(), ..scenario.workloads[0].clone() };
        scenario.workloads.push(code);
        assert_eq!(asked(&scenario, "code", &vocabulary), (40, 32, 0, 0));
        // 60 positions: no room for the text's prompt and 32 more.
        scenario.workloads[0].context = 60;
        assert_eq!(asked(&scenario, "chat", &vocabulary), (28, 32, 31, 64));
        scenario.workloads[0].context = 33;
        assert_eq!(asked(&scenario, "chat", &vocabulary), (1, 32, 31, 64));
        scenario.verify_tokens = 0;
        assert_eq!(verify(&scenario, &cell("chat"), &vocabulary), None);
    }
}
