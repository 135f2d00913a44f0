//! What the machine can do, measured by the program as its own child.

use harness::machine::{YardstickError, measure_in_child};
use std::path::Path;

#[test]
fn the_child_measures_every_number_of_threads() {
    let harness = Path::new(env!("CARGO_BIN_EXE_harness"));
    let measured = measure_in_child(harness, &[1, 2], 1 << 20).unwrap();
    let threads: Vec<u32> = measured.read_bandwidth.iter().map(|b| b.threads).collect();
    assert_eq!(threads, [1, 2]);
    assert!(measured.read_bandwidth.iter().all(|b| [1, 2, 4, 8].contains(&b.streams)), "{measured:?}");
    assert!(measured.peak.iter().all(|p| p.f32_gflop_s > 0.0 && p.int8_gop_s > 0.0), "{measured:?}");
}

#[test]
fn a_child_that_refuses_says_why() {
    let harness = Path::new(env!("CARGO_BIN_EXE_harness"));
    let error = measure_in_child(harness, &[1], 1000).unwrap_err();
    assert!(matches!(error, YardstickError::Ended { .. }), "{error:?}");
    assert!(error.to_string().contains("at least 1 MiB"), "{error}");
}
