//! Reasons: what was seen around one launch, against its limits.

use crate::scenario::Limits;
use crate::stats;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fewer readings of a canary figure in a session have no median to drift from.
const CANARY_READINGS_MIN: usize = 3;

/// Seconds without a launch after which a session counts as interrupted: what is launched next meets another state of the machine.
pub const PAUSE_S_MAX: f64 = 60.0;

/// What was seen around one launch; `None` is unavailable.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The canary's figures by name (a time or a rate, any unit); empty without a canary.
    pub canary: BTreeMap<String, f64>,
    /// Share of the processor time that the hypervisor gave to others.
    pub steal_share: Option<f64>,
    /// Processor time of other processes, in cores.
    pub other_cpu_cores: Option<f64>,
    /// Involuntary context switches of the framework, per second and thread.
    pub involuntary_switches_per_s: Option<f64>,
    /// Pages swapped in or out.
    pub swapped_pages: Option<u64>,
    /// Major page faults of the framework in its timed windows.
    pub major_faults: Option<u64>,
    /// Rise of the processor's throttle counters.
    pub throttle_events: Option<u64>,
    /// Seconds without a launch between this one and the one before it in its block, workload and thread count, which it is
    /// compared with; `None` for the first of them.
    pub pause_s: Option<f64>,
}

/// What a limit is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The canary took another time than in the rest of the session.
    CanaryDrift,
    /// The hypervisor gave processor time to others.
    Steal,
    /// Other processes computed.
    OtherCpu,
    /// The framework's threads were put off their cores.
    InvoluntarySwitches,
    /// The system swapped.
    Swap,
    /// The framework waited for the disk.
    MajorFaults,
    /// The processor throttled.
    Throttling,
    /// The session was interrupted between launches that are compared.
    Pause,
}

impl Kind {
    /// Whether it tells of the launch that it was seen at and of no other: its framework waited for the disk, or its own threads
    /// were in each other's way. Everything else is the machine's, and a block's launches share that.
    pub fn is_own(self) -> bool {
        matches!(self, Kind::MajorFaults | Kind::InvoluntarySwitches)
    }
}

/// One limit that was passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Which.
    pub kind: Kind,
    /// What was seen, in the limit's unit; of a canary figure its drift, below 0 for a smaller value than the median.
    pub seen: f64,
    /// The limit.
    pub limit: f64,
    /// Both, for a person.
    pub sentence: String,
}

/// The median of each canary figure over a session's launches; figures with fewer than three readings have none.
pub fn canary_medians<'a>(launches: impl IntoIterator<Item = &'a Seen>) -> BTreeMap<String, f64> {
    let mut readings: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for seen in launches {
        for (name, &value) in seen.canary.iter().filter(|(_, v)| is_reading(**v)) {
            readings.entry(name).or_default().push(value);
        }
    }
    readings.retain(|_, values| values.len() >= CANARY_READINGS_MIN);
    readings
        .into_iter()
        .filter_map(|(name, values)| Some((name.to_owned(), stats::median(&values)?)))
        .collect()
}

/// Every limit that a launch passed, in the order of [`Kind`]. One swapped page and one throttle event are too many.
///
/// The drift of a canary figure is its ratio to the median, taken upwards: so a time and the rate that is its inverse
/// drift alike. A number that is not finite is as good as none.
pub fn reasons(seen: &Seen, medians: &BTreeMap<String, f64>, limits: &Limits) -> Vec<Reason> {
    let mut found: Vec<Reason> = seen
        .canary
        .iter()
        .filter(|(_, value)| is_reading(**value))
        .filter_map(|(name, &value)| canary_drift(name, value, *medians.get(name)?, limits.canary_drift))
        .collect();
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let plain = |number: f64| format!("{number:.0}");
    let count = |n: Option<u64>| n.map(|n| n as f64);
    let mut check = |kind, seen: Option<f64>, limit: f64, what: &str, write: &dyn Fn(f64) -> String| {
        if let Some(value) = seen.filter(|v| v.is_finite() && *v > limit) {
            let sentence = format!("{what}: {} (limit {})", write(value), write(limit));
            found.push(Reason { kind, seen: value, limit, sentence });
        }
    };
    check(Kind::Steal, seen.steal_share, limits.steal, "processor time stolen by the hypervisor", &percent);
    check(
        Kind::OtherCpu,
        seen.other_cpu_cores,
        limits.other_cpu,
        "processor time of other processes, of one core",
        &percent,
    );
    check(
        Kind::InvoluntarySwitches,
        seen.involuntary_switches_per_s,
        limits.involuntary_switches_per_s,
        "involuntary context switches per second and thread",
        &plain,
    );
    check(Kind::Swap, count(seen.swapped_pages), 0.0, "pages swapped", &plain);
    check(
        Kind::MajorFaults,
        count(seen.major_faults),
        limits.major_faults as f64,
        "major page faults while timed",
        &plain,
    );
    check(Kind::Throttling, count(seen.throttle_events), 0.0, "rise of the throttle counters", &plain);
    check(Kind::Pause, seen.pause_s, PAUSE_S_MAX, "seconds without a launch before it", &plain);
    found
}

/// What the system did not tell of a launch, in the order of [`Kind`]: to be reported as unavailable. A pause is not the system's to tell.
pub fn unavailable(seen: &Seen) -> Vec<Kind> {
    let told = |value: Option<f64>| value.is_some_and(f64::is_finite);
    [
        (Kind::CanaryDrift, seen.canary.values().any(|v| is_reading(*v))),
        (Kind::Steal, told(seen.steal_share)),
        (Kind::OtherCpu, told(seen.other_cpu_cores)),
        (Kind::InvoluntarySwitches, told(seen.involuntary_switches_per_s)),
        (Kind::Swap, seen.swapped_pages.is_some()),
        (Kind::MajorFaults, seen.major_faults.is_some()),
        (Kind::Throttling, seen.throttle_events.is_some()),
    ]
    .into_iter()
    .filter_map(|(kind, is_told)| (!is_told).then_some(kind))
    .collect()
}

fn canary_drift(name: &str, value: f64, median: f64, limit: f64) -> Option<Reason> {
    let factor = (value / median).max(median / value);
    let signed = if value < median { 1.0 - factor } else { factor - 1.0 };
    (factor > 1.0 + limit).then(|| Reason {
        kind: Kind::CanaryDrift,
        seen: signed,
        limit,
        sentence: format!(
            "canary {name} drifted by {:+.1}% from the session's median (limit {:.1}%)",
            signed * 100.0,
            limit * 100.0
        ),
    })
}

fn is_reading(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(value: f64) -> Seen {
        Seen { canary: BTreeMap::from([("arithmetic_ns".to_owned(), value)]), ..Seen::default() }
    }

    fn check(seen: Seen, expected: &[(Kind, &str)]) {
        let medians = BTreeMap::from([("arithmetic_ns".to_owned(), 100.0)]);
        let found = reasons(&seen, &medians, &Limits::default());
        let found: Vec<_> = found.iter().map(|r| (r.kind, &*r.sentence)).collect();
        assert_eq!(found, expected, "{seen:?}");
    }

    #[test]
    fn a_value_beyond_its_limit_is_a_reason_with_both_figures() {
        let none = Seen::default;
        check(
            Seen { steal_share: Some(0.025), ..none() },
            &[(Kind::Steal, "processor time stolen by the hypervisor: 2.5% (limit 1.0%)")],
        );
        check(
            Seen { other_cpu_cores: Some(0.31), ..none() },
            &[(Kind::OtherCpu, "processor time of other processes, of one core: 31.0% (limit 10.0%)")],
        );
        check(
            Seen { involuntary_switches_per_s: Some(550.0), ..none() },
            &[(
                Kind::InvoluntarySwitches,
                "involuntary context switches per second and thread: 550 (limit 500)",
            )],
        );
        check(
            Seen { swapped_pages: Some(1), major_faults: Some(2), throttle_events: Some(3), ..none() },
            &[
                (Kind::Swap, "pages swapped: 1 (limit 0)"),
                (Kind::MajorFaults, "major page faults while timed: 2 (limit 0)"),
                (Kind::Throttling, "rise of the throttle counters: 3 (limit 0)"),
            ],
        );
        check(
            Seen { pause_s: Some(61.0), ..none() },
            &[(Kind::Pause, "seconds without a launch before it: 61 (limit 60)")],
        );
    }

    #[test]
    fn values_on_the_limit_and_unavailable_ones_are_no_reason() {
        check(Seen::default(), &[]);
        let on_the_limit = Seen {
            steal_share: Some(0.01),
            other_cpu_cores: Some(0.1),
            involuntary_switches_per_s: Some(500.0),
            swapped_pages: Some(0),
            major_faults: Some(0),
            throttle_events: Some(0),
            pause_s: Some(60.0),
            ..canary(103.0)
        };
        check(on_the_limit, &[]);
        check(Seen { steal_share: Some(f64::NAN), other_cpu_cores: Some(f64::INFINITY), ..canary(0.0) }, &[]);
    }

    #[test]
    fn a_canary_drifts_both_ways_and_a_time_like_its_rate() {
        let slow = "canary arithmetic_ns drifted by +4.0% from the session's median (limit 3.0%)";
        check(canary(104.0), &[(Kind::CanaryDrift, slow)]);
        let fast = "canary arithmetic_ns drifted by -4.0% from the session's median (limit 3.0%)";
        check(canary(100.0 / 1.04), &[(Kind::CanaryDrift, fast)]);
        check(canary(97.5), &[]);
        check(Seen { canary: BTreeMap::from([("other".to_owned(), 1.0)]), ..Seen::default() }, &[]);
    }

    #[test]
    fn the_sessions_median_needs_three_readings() {
        let session = [canary(100.0), canary(104.0), canary(98.0), canary(f64::NAN), Seen::default()];
        assert_eq!(canary_medians(&session), BTreeMap::from([("arithmetic_ns".to_owned(), 100.0)]));
        assert_eq!(canary_medians(&session[1..]), BTreeMap::new());
    }

    #[test]
    fn what_is_not_told_is_named() {
        let all = [
            Kind::CanaryDrift,
            Kind::Steal,
            Kind::OtherCpu,
            Kind::InvoluntarySwitches,
            Kind::Swap,
            Kind::MajorFaults,
            Kind::Throttling,
        ];
        assert_eq!(unavailable(&Seen::default()), all);
        assert_eq!(unavailable(&Seen { steal_share: Some(0.0), ..canary(1.0) }), all[2..]);
    }

    #[test]
    fn limits_read_from_a_record_keep_their_defaults() {
        let limits: Limits = serde_json::from_str(r#"{"steal": 0.5}"#).unwrap();
        assert_eq!(limits, Limits { steal: 0.5, ..Limits::default() });
    }
}
