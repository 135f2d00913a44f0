use super::*;

const GB: u64 = 1_000_000_000;

/// A machine that nothing speaks against.
fn quiet() -> Snapshot {
    Snapshot {
        online: 8,
        logical: 8,
        load_average: Some(0.3),
        busy_share: Some(0.01),
        governor: Some("performance".into()),
        turbo: Some(false),
        memory_bytes: Some(16 * GB),
        memory_available_bytes: Some(12 * GB),
        memory_limit_bytes: None,
        swap_used_bytes: Some(0),
        on_battery: Some(false),
        hypervisor: None,
        steal_share: Some(0.0),
        steal_share_since_boot: Some(0.0),
        cpu_limit: None,
        disk_free_bytes: Some(50 * GB),
        transparent_huge_pages: Some("madvise".into()),
    }
}

const NEEDS: Needs = Needs { threads: 8, model_bytes: 4 * GB, disk_bytes: GB };

/// Exactly one finding, about `what`, which says `seen`; without the value that it comes from, none.
#[track_caller]
fn check_one(snapshot: Snapshot, severity: Severity, what: &str, seen: &str) {
    let findings = check(&snapshot, &NEEDS);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((finding.severity, finding.what.as_str()), (severity, what), "{finding:?}");
    assert!(finding.seen.contains(seen), "{finding:?}");
    assert!(!finding.remedy.is_empty());
}

#[test]
fn a_quiet_machine_has_no_findings_and_neither_has_one_that_tells_nothing() {
    assert_eq!(check(&quiet(), &NEEDS), []);
    assert_eq!(check(&Snapshot::default(), &NEEDS), []);
}

#[test]
fn load_is_judged_by_the_number_of_processors() {
    let with = |load_average: f64, online| Snapshot { load_average: Some(load_average), online, ..quiet() };
    check_one(with(0.9, 8), Severity::Warning, "load average", "0.90 on 8 processors");
    check_one(with(0.6, 2), Severity::Warning, "load average", "0.60 on 2 processors, 0.50 is quiet");
    assert_eq!(check(&with(0.5, 1), &NEEDS), []);
    assert_eq!(check(&with(6.0, 64), &NEEDS), []);
}

#[test]
fn others_that_use_processors() {
    let snapshot = Snapshot { busy_share: Some(0.5), ..quiet() };
    check_one(snapshot, Severity::Warning, "other programs", "50%");
}

#[test]
fn the_clock() {
    let governor = |name: &str| Snapshot { governor: Some(name.into()), ..quiet() };
    check_one(governor("powersave"), Severity::Warning, "frequency governor", "powersave");
    check_one(
        governor("performance,powersave"),
        Severity::Warning,
        "frequency governor",
        "performance,powersave",
    );
    assert_eq!(check(&governor("schedutil"), &NEEDS), []);
    check_one(Snapshot { turbo: Some(true), ..quiet() }, Severity::Note, "turbo", "on");
    check_one(Snapshot { on_battery: Some(true), ..quiet() }, Severity::Warning, "power", "on battery");
}

#[test]
fn memory_for_the_model_and_beside_it() {
    let available = |bytes| Snapshot { memory_available_bytes: Some(bytes), ..quiet() };
    check_one(available(5 * GB), Severity::Warning, "memory", "5000 MB available, 5074 MB wanted");
    assert_eq!(check(&available(6 * GB), &NEEDS), []);
    let limited = |bytes| Snapshot { memory_limit_bytes: Some(bytes), ..quiet() };
    check_one(limited(3 * GB), Severity::Fatal, "memory", "3000 MB here, the model alone has 4000 MB");
    check_one(limited(5 * GB), Severity::Warning, "memory", "5000 MB available");
    check_one(Snapshot { memory_bytes: Some(2 * GB), ..quiet() }, Severity::Fatal, "memory", "2000 MB here");
    check_one(Snapshot { swap_used_bytes: Some(3_400_000), ..quiet() }, Severity::Warning, "swap", "3.4 MB");
}

#[test]
fn a_virtual_machine_is_noted_and_one_whose_time_is_taken_warned_of() {
    let machine = |now, since_boot| Snapshot {
        hypervisor: Some("KVM".into()),
        steal_share: now,
        steal_share_since_boot: since_boot,
        ..quiet()
    };
    check_one(machine(None, None), Severity::Note, "hypervisor", "virtual machine (KVM)");
    check_one(machine(Some(0.002), Some(0.001)), Severity::Note, "hypervisor", "no processor time taken");
    check_one(
        machine(Some(0.03), Some(0.01)),
        Severity::Warning,
        "hypervisor",
        "3.0% of its processor time taken by others now",
    );
    check_one(
        machine(Some(0.0), Some(0.02)),
        Severity::Warning,
        "hypervisor",
        "2.0% of its processor time taken by others since",
    );
    // Without a hypervisor the counter means something else.
    assert_eq!(check(&Snapshot { steal_share: Some(0.5), ..quiet() }, &NEEDS), []);
}

#[test]
fn processors_for_the_threads() {
    check_one(Snapshot { logical: 4, ..quiet() }, Severity::Warning, "processors", "4 for 8 threads");
    check_one(
        Snapshot { cpu_limit: Some(1.5), ..quiet() },
        Severity::Warning,
        "container",
        "1.50 processors' time",
    );
    assert_eq!(check(&Snapshot { cpu_limit: Some(8.0), ..quiet() }, &NEEDS), []);
}

#[test]
fn room_for_the_bundle_and_pages() {
    check_one(Snapshot { disk_free_bytes: Some(1000), ..quiet() }, Severity::Fatal, "disk", "1000 wanted");
    let always = Snapshot { transparent_huge_pages: Some("always".into()), ..quiet() };
    check_one(always, Severity::Note, "transparent huge pages", "always");
}

#[test]
fn the_gravest_comes_first_and_every_finding_reads_as_a_sentence() {
    let snapshot =
        Snapshot { turbo: Some(true), swap_used_bytes: Some(1), disk_free_bytes: Some(0), ..quiet() };
    let findings = check(&snapshot, &NEEDS);
    let severities: Vec<_> = findings.iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Fatal, Severity::Warning, Severity::Note]);
    assert!(findings[2].to_string().starts_with("turbo: on: the clock varies"), "{}", findings[2]);
}

#[test]
fn this_machine_can_be_looked_at() {
    let machine = crate::machine::Machine::detect();
    let snapshot = Snapshot::read(&machine, std::path::Path::new("."));
    assert!(snapshot.online > 0 && snapshot.logical > 0, "{snapshot:?}");
    assert!(snapshot.memory_available_bytes.is_some() && snapshot.disk_free_bytes.is_some(), "{snapshot:?}");
}
