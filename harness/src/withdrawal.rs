//! Withdrawal: which blocks of a session were disturbed, and whether the session can rank at all. Pure: plain numbers
//! in, reasons out.
//!
//! A sensor that the system does not have is `None`: it is never a reason, and never a sign that all was well.

mod reason;

pub use reason::{Kind, PAUSE_S_MAX, Reason, Seen, canary_medians, reasons, unavailable};

use crate::verdict::{Judgement, Verdict};
use std::collections::BTreeMap;

/// The reasons found in one launch.
#[derive(Debug, Clone, PartialEq)]
pub struct Disturbed {
    /// The launch.
    pub launch_id: String,
    /// Its block.
    pub block: u32,
    /// What disturbed it; none for a launch within its limits.
    pub reasons: Vec<Reason>,
}

/// A block that is withdrawn.
#[derive(Debug, Clone, PartialEq)]
pub struct WithdrawnBlock {
    /// The block.
    pub block: u32,
    /// Every reason, with its launch, in the order of the launches.
    pub reasons: Vec<(String, Reason)>,
}

/// The blocks with a reason in at least one launch, ascending.
///
/// A block goes as a whole, all rows alike: to drop the disturbed launches alone would leave the others without their
/// partners, and to choose by row would favour one. The caller decides what a block holds: given only the launches of
/// one workload and thread count, this says in which blocks that column is withdrawn.
pub fn withdrawn_blocks(launches: &[Disturbed]) -> Vec<WithdrawnBlock> {
    let mut blocks: BTreeMap<u32, Vec<(String, Reason)>> = BTreeMap::new();
    for launch in launches.iter().filter(|l| !l.reasons.is_empty()) {
        let found = launch.reasons.iter().map(|r| (launch.launch_id.clone(), r.clone()));
        blocks.entry(launch.block).or_default().extend(found);
    }
    blocks.into_iter().map(|(block, reasons)| WithdrawnBlock { block, reasons }).collect()
}

/// Why every verdict of a session is withdrawn, by what was judged of its control pair (the baseline twice, under two
/// labels) in `what` (a metric, workload and thread count, for a person); `None` if they stand.
///
/// The pair is one program, so only `equivalent` and `unresolved` can be true of it. Where it could not be compared nothing is known
/// of the machine's noise, see [`column_verdicts_withdrawn`].
pub fn session_verdicts_withdrawn(what: &str, control: &Judgement) -> Option<String> {
    matches!(control.verdict, Verdict::Faster | Verdict::Slower).then(|| {
        format!(
            "the machine was too noisy to rank: the control pair, the baseline under two labels, was found {} than \
             itself in {what}; every verdict of this session is withdrawn",
            control.verdict.word()
        )
    })
}

/// Why the verdicts of one workload and thread count are withdrawn: its control pair could not be compared.
pub fn column_verdicts_withdrawn(control: &Judgement) -> Option<String> {
    (control.verdict == Verdict::Invalid).then(|| {
        format!(
            "the control pair, the baseline under two labels, could not be compared here ({}), so nothing shows that the machine was \
             quiet enough to rank",
            control.reason.as_deref().unwrap_or("no reason given")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Limits;

    fn launch(launch_id: &str, block: u32, seen: &Seen) -> Disturbed {
        let reasons = reasons(seen, &BTreeMap::new(), &Limits::default());
        Disturbed { launch_id: launch_id.to_owned(), block, reasons }
    }

    #[test]
    fn one_disturbed_launch_withdraws_its_block() {
        let quiet = Seen { steal_share: Some(0.0), ..Seen::default() };
        let stolen = Seen { steal_share: Some(0.05), major_faults: Some(3), ..Seen::default() };
        let launches = [
            launch("b02-a", 2, &stolen),
            launch("b00-a", 0, &quiet),
            launch("b00-b", 0, &quiet),
            launch("b01-a", 1, &quiet),
            launch("b01-b", 1, &Seen { swapped_pages: Some(1), ..Seen::default() }),
            launch("b03-a", 3, &Seen::default()),
        ];
        let withdrawn = withdrawn_blocks(&launches);
        let seen: Vec<_> = withdrawn
            .iter()
            .map(|w| (w.block, w.reasons.iter().map(|(id, r)| (&**id, r.kind)).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            seen,
            [
                (1, vec![("b01-b", Kind::Swap)]),
                (2, vec![("b02-a", Kind::Steal), ("b02-a", Kind::MajorFaults)])
            ]
        );
        assert_eq!(withdrawn_blocks(&launches[1..4]), []);
    }

    #[test]
    fn a_control_pair_that_differs_from_itself_withdraws_everything() {
        let judged = |verdict| {
            let control = Judgement { verdict, reason: None };
            session_verdicts_withdrawn("decode, chat, 2 threads", &control)
        };
        assert_eq!(judged(Verdict::Equivalent), None);
        assert_eq!(judged(Verdict::Unresolved), None);
        for verdict in [Verdict::Faster, Verdict::Slower] {
            let sentence = judged(verdict).unwrap();
            assert!(sentence.starts_with("the machine was too noisy to rank"), "{sentence}");
            assert!(sentence.contains(verdict.word()) && sentence.contains("decode, chat, 2 threads"));
        }
        let invalid = Judgement::invalid("no block in which both have this figure");
        assert_eq!(session_verdicts_withdrawn("load", &invalid), None);
        let sentence = column_verdicts_withdrawn(&invalid).unwrap();
        assert!(sentence.contains("no block in which both have this figure"), "{sentence}");
        assert_eq!(column_verdicts_withdrawn(&Judgement::unresolved("few")), None);
    }
}
