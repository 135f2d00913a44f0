use super::*;

fn before() -> Sensors {
    Sensors {
        at_ns: 1_000_000_000,
        clock_mhz: Some(2400.0),
        governor: Some("performance".into()),
        throttle_count: Some(7),
        cpu: Some(CpuTimes { busy_s: 100.0, steal_s: 2.0, total_s: 1000.0 }),
        context_switches: Some(5000),
        harness_cpu_s: Some(3.0),
        pressure: Pressure { cpu_us: Some(10), memory_us: Some(20), io_us: None },
        pages_swapped_in: Some(1),
        pages_swapped_out: Some(1),
        major_faults: Some(40),
        load_average: Some(0.25),
        energy: vec![Domain { name: "intel-rapl:0".into(), energy_uj: 5_000_000, range_uj: 262_143_328_850 }],
        ..Sensors::default()
    }
}

fn after() -> Sensors {
    Sensors {
        at_ns: 11_000_000_000,
        clock_mhz: Some(2000.0),
        throttle_count: Some(9),
        cpu: Some(CpuTimes { busy_s: 112.0, steal_s: 2.5, total_s: 1020.0 }),
        context_switches: Some(5600),
        harness_cpu_s: Some(3.5),
        pressure: Pressure { cpu_us: Some(510), memory_us: Some(20), io_us: Some(1) },
        pages_swapped_out: Some(4),
        load_average: Some(1.75),
        temperature_c: Some(61.5),
        energy: vec![Domain { energy_uj: 155_000_000, ..before().energy[0].clone() }],
        ..before()
    }
}

#[test]
fn differences_are_taken_and_shares_are_of_all_processors() {
    let canary = Canary { compute_ns: 1, read_ns: 2 };
    let c = Conditions::between(&before(), &after(), Some(10.0), Some(1.0), Some(canary));
    assert_eq!((c.canary, c.duration_ns), (Some(canary), Some(10_000_000_000)));
    assert_eq!((c.steal_s, c.steal_share), (Some(0.5), Some(0.025)));
    assert_eq!((c.busy_cpu_s, c.other_cpu_s, c.other_cpu_share), (Some(12.0), Some(1.0), Some(0.05)));
    assert_eq!((c.throttled, c.context_switches, c.major_faults), (Some(2), Some(600), Some(0)));
    assert_eq!((c.pages_swapped_in, c.pages_swapped_out), (Some(0), Some(3)));
    assert_eq!(c.pressure, Pressure { cpu_us: Some(500), memory_us: Some(0), io_us: None });
    assert_eq!((c.load_average, c.energy_j, c.temperature_c), (Some(0.25), Some(150.0), Some(61.5)));
    assert_eq!((c.clock_mhz_before, c.clock_mhz_after), (Some(2400.0), Some(2000.0)));
    assert_eq!((c.governor.as_deref(), c.governor_before), (Some("performance"), None));
}

#[test]
fn others_use_what_framework_and_harness_did_not() {
    let other = |tree, harness| Conditions::between(&before(), &after(), tree, harness, None).other_cpu_s;
    assert_eq!(other(Some(10.0), None), Some(1.5), "the sensors' own figure of the harness");
    assert_eq!(other(Some(50.0), Some(0.0)), Some(0.0), "never negative");
    assert_eq!(other(None, Some(1.0)), None);
    let blind = Sensors { harness_cpu_s: None, ..before() };
    assert_eq!(Conditions::between(&blind, &after(), Some(1.0), None, None).other_cpu_s, None);
}

#[test]
fn what_is_not_told_is_unavailable() {
    let c = Conditions::between(&Sensors::default(), &Sensors::default(), Some(1.0), Some(1.0), None);
    assert_eq!(c, Conditions { duration_ns: Some(0), ..Conditions::default() });
    let c = Conditions::between(&before(), &Sensors::default(), Some(1.0), Some(1.0), None);
    assert_eq!((c.steal_share, c.throttled, c.energy_j, c.governor), (None, None, None, None));
}

#[test]
fn a_counter_that_was_set_back_is_unavailable() {
    let c = Conditions::between(&after(), &before(), Some(1.0), Some(1.0), None);
    assert_eq!((c.throttled, c.context_switches, c.steal_s, c.other_cpu_s), (None, None, None, None));
}

#[test]
fn a_changed_governor_is_told() {
    let later = Sensors { governor: Some("powersave".into()), ..after() };
    let c = Conditions::between(&before(), &later, None, None, None);
    let seen = (c.governor.as_deref(), c.governor_before.as_deref());
    assert_eq!(seen, (Some("powersave"), Some("performance")));
}

#[test]
fn older_records_have_no_conditions_and_newer_ones_read_back() {
    assert_eq!(serde_json::from_str::<Conditions>("{}").unwrap(), Conditions::default());
    let c = Conditions::between(
        &before(),
        &after(),
        Some(10.0),
        None,
        Some(Canary { compute_ns: 1, read_ns: 2 }),
    );
    let text = serde_json::to_string(&c).unwrap();
    assert_eq!(serde_json::from_str::<Conditions>(&text).unwrap(), c);
}
