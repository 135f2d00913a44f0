//! `kill -9` at random moments: in the end the bundle is the one of a run that nobody disturbed.

use crate::support::Place;
use harness::bundle::Bundle;
use harness::sample::{LaunchRecord, Measured, Outcome};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

const KILLS: u64 = 20;
/// A run is killed this long after its start at the latest.
const LIFE_MS_MAX: u64 = 400;
const SEED: u64 = 7;

/// The `n`th draw below `limit` (splitmix64, Steele, Lea and Flood 2014).
fn draw(n: u64, limit: u64) -> u64 {
    let mut x = SEED.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % limit
}

fn place() -> Place {
    let place = Place::new(&[("other", "seed: 2")], 30);
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

fn by_id(bundle: &Bundle) -> BTreeMap<String, LaunchRecord> {
    bundle.records.iter().map(|r| (r.launch_id.clone(), lasting(r))).collect()
}

#[test]
fn twenty_kills_change_nothing() {
    let undisturbed = place();
    undisturbed.run(&[]).code(0);
    let undisturbed = undisturbed.bundle();

    let place = place();
    let mut n_midway = 0;
    for n in 0..KILLS {
        let running = match place.started_bundle() {
            Some(dir) => place.start(&["--resume", &dir.display().to_string()]),
            None => place.start(&[]),
        };
        std::thread::sleep(Duration::from_millis(draw(n, LIFE_MS_MAX)));
        running.signal(Signal::KILL);
        running.wait();
        n_midway += usize::from(place.started_bundle().is_some());
    }
    assert!(n_midway > 0, "a bundle was begun before the last kill");
    let dir = place.started_bundle().expect("begun");
    place.run(&["--resume", &dir.display().to_string()]).code(0);

    let bundle = harness::bundle::read(&dir).expect("a valid bundle");
    assert_eq!(bundle.records.len(), bundle.manifest.plan.launches.len(), "each launch exactly once");
    assert_eq!(bundle.manifest.plan, undisturbed.manifest.plan);
    assert_eq!(by_id(&bundle), by_id(&undisturbed));
    assert_eq!(place.processes(), [""; 0]);
}
