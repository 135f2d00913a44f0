//! `kill -9` at random moments: in the end the bundle is the one of a run that nobody disturbed.

use crate::support::{Place, wait_until, whole_lines};
use harness::bundle::Bundle;
use harness::sample::{LaunchRecord, Measured, Outcome};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const KILLS: u64 = 20;
/// A run is killed after it has recorded fewer launches than this …
const LAUNCHES_MAX: u64 = 2;
/// … and a while, shorter than this: in the middle of a launch, of writing it down, or between the two.
const WHILE_MS_MAX: u64 = 40;
const SEED: u64 = 7;

/// The `n`th draw below `limit` (splitmix64, Steele, Lea and Flood 2014).
fn draw(n: u64, limit: u64) -> u64 {
    let mut x = SEED.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % limit
}

fn place() -> Place {
    let place = Place::new(&[("other", "seed: 2")], 24);
    place.run(&["--dry-run"]).code(0); // makes the model
    place
}

/// What of a launch does not depend on the clock: everything but wall times, memory and processor time.
fn lasting(record: &LaunchRecord) -> LaunchRecord {
    let outcome = match &record.outcome {
        Outcome::Measured(m) => Outcome::Measured(Box::new(Measured {
            memory: Default::default(),
            cpu: Default::default(),
            ..m.as_ref().clone()
        })),
        failed => failed.clone(),
    };
    LaunchRecord {
        started_at: String::new(),
        wall_ns: 0,
        conditions: Default::default(),
        argv: vec![],
        outcome,
        ..record.clone()
    }
}

/// Launches that are recorded so far.
fn n_recorded(place: &Place) -> usize {
    place.started_bundle().map_or(0, |dir| whole_lines(&dir).lines().count())
}

fn by_id(bundle: &Bundle) -> BTreeMap<String, LaunchRecord> {
    bundle.records.iter().map(|r| (r.launch_id.clone(), lasting(r))).collect()
}

#[test]
fn twenty_kills_change_nothing() {
    let undisturbed = place();
    undisturbed.run(&[]).code(0);
    let undisturbed = undisturbed.bundle();
    let n_all = undisturbed.manifest.plan.launches.len();

    let place = place();
    let mut n_midway = 0;
    for n in 0..KILLS {
        let running = match place.started_bundle() {
            Some(dir) => place.start(&["--resume", &dir.display().to_string()]),
            None => place.start(&[]),
        };
        let n_wanted = (n_recorded(&place) + draw(2 * n, LAUNCHES_MAX) as usize).min(n_all);
        wait_until("launches", || n_recorded(&place) >= n_wanted);
        std::thread::sleep(Duration::from_millis(draw(2 * n + 1, WHILE_MS_MAX)));
        running.signal(Signal::KILL);
        running.wait();
        n_midway += usize::from((1..n_all).contains(&n_recorded(&place)));
    }
    assert!(n_midway > 0, "killed midway");
    let dir = place.started_bundle().expect("begun");
    place.run(&["--resume", &dir.display().to_string()]).code(0);

    let bundle = harness::bundle::read(&dir).expect("a valid bundle");
    assert_eq!(bundle.records.len(), bundle.manifest.plan.launches.len(), "each launch exactly once");
    assert_eq!(bundle.manifest.plan, undisturbed.manifest.plan);
    assert_eq!(by_id(&bundle), by_id(&undisturbed));
    assert_eq!(place.processes(), [""; 0]);
}

#[test]
fn what_a_killed_harness_left_behind_is_ended_by_the_next() {
    let place = Place::new(&[("leaves", "leave_children: true\nsleep_ms: 3000")], 1);
    place.edit_scenario("launch_timeout_s: 2", "launch_timeout_s: 60");
    let marker = place.runs_dir().display().to_string();
    let running = place.start_with(&[], &[("HARNESS_TEST_PLACE", &marker)]);
    let left = || {
        let processes = std::fs::read_dir("/proc").expect("readable").flatten();
        let is_ours = |path: &Path| {
            let has = |name: &str, wanted: &str| {
                std::fs::read(path.join(name))
                    .is_ok_and(|text| String::from_utf8_lossy(&text).contains(wanted))
            };
            has("environ", &marker) && has("cmdline", "sleep")
        };
        processes.filter(|process| is_ours(&process.path())).count()
    };
    wait_until("the processes that are left behind", || left() == 2);
    running.signal(Signal::KILL);
    running.wait();
    assert_eq!(left(), 2, "the kernel ends the framework alone");
    let dir = place.bundle_dir().display().to_string();
    place.run(&["--resume", &dir]).code(0);
    assert_eq!(left(), 0);
}
