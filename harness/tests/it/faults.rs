//! Faults of a framework, of the disk and of the harness's own end, and what is left after each.

use crate::support::{Place, failures, measured};
use harness::sample::FailureKind;
use std::path::Path;

#[test]
fn frameworks_that_stop_or_talk_too_much_are_rows() {
    use FailureKind::*;
    let cases = [
        (
            "tears",
            "half_line: true",
            Crashed,
            "exit code 70 before the end of a line, where `sample` was due",
        ),
        ("is-killed", "killed: true", Crashed, "signal 9 (SIGKILL: out of memory, or killed by hand)"),
        ("floods", "stdout_mb: 100", Garbage, "more characters"),
    ];
    let mut scripts: Vec<(&str, &str)> = cases.iter().map(|(label, script, ..)| (*label, *script)).collect();
    scripts.push(("chatters", "stderr_mb: 100"));
    scripts.push(("leaves", "leave_children: true"));
    let place = Place::new(&scripts, 1);
    // A flood takes a while where the machine is busy, and none of these hangs.
    place.edit_scenario("launch_timeout_s: 2", "launch_timeout_s: 300");
    let running = place.start(&[]);
    let mut peak_bytes = 0;
    let code = running.wait_watching(|pid| peak_bytes = peak_bytes.max(rss_peak_bytes(pid)));
    assert_eq!(code, Some(3), "{}", place.stderr());
    let bundle = place.bundle();
    for (label, _, kind, message) in cases {
        let seen = failures(&bundle, label);
        assert!(seen.len() == 1 && seen[0].0 == kind && seen[0].1.contains(message), "{label}: {seen:?}");
    }
    assert_eq!(measured(&bundle, "chatters").len(), 1);
    assert_eq!(place.processes(), [""; 0]);
    let log = std::fs::metadata(bundle.dir.join("logs/b00-chatters-chat-t1.log")).expect("kept");
    assert!(log.len() < 5_000_000, "{log:?}");
    assert!(peak_bytes < 250_000_000, "the harness took {peak_bytes} bytes");
}

#[test]
fn a_framework_that_stalls_is_a_row() {
    let place = Place::new(&[("stalls", "hang_midway: true")], 1);
    // Time enough to come to its hang on a busy machine.
    place.edit_scenario("launch_timeout_s: 2", "launch_timeout_s: 15");
    let status = place.start(&[]).wait();
    assert_eq!(status.code(), Some(3), "{}", place.stderr());
    let seen = failures(&place.bundle(), "stalls");
    let message = "no end within 15 s, waiting for `sample`";
    assert!(seen.len() == 1 && seen[0].0 == FailureKind::TimedOut && seen[0].1.contains(message), "{seen:?}");
    assert_eq!(place.processes(), [""; 0]);
}

/// High-water mark of a process; 0 where the system does not tell.
fn rss_peak_bytes(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    mark.and_then(|kb| kb.trim().parse::<u64>().ok()).map_or(0, |kb| kb * 1024)
}

/// What a run that could not record a launch must have done: said so, kept what was there, and be resumable.
fn check_full_disk(place: &Place, stderr: &str, make_room: impl FnOnce()) {
    let dir = place.bundle_dir();
    let samples = dir.join("samples.jsonl");
    assert!(stderr.contains("samples.jsonl"), "{stderr}");
    assert!(stderr.contains("Make room on the disk, then go on with: harness run"), "{stderr}");
    assert!(stderr.contains(&format!("--resume {}", dir.display())), "{stderr}");
    let whole = |path: &Path| {
        let text = std::fs::read_to_string(path).expect("readable");
        text[..text.rfind('\n').map_or(0, |end| end + 1)].to_owned()
    };
    let before = whole(&samples);
    assert!(before.lines().count() >= 1, "some launches were recorded");
    assert_eq!(place.processes(), [""; 0], "no orphan");
    make_room();
    place.run(&["--resume", &dir.display().to_string()]).code(0);
    assert!(whole(&samples).starts_with(&before), "what was recorded is untouched");
    let bundle = place.bundle();
    assert_eq!(bundle.records.len(), bundle.manifest.plan.launches.len());
}

#[test]
fn a_file_that_may_not_grow_stops_the_run_and_loses_nothing() {
    let place = Place::new(&[("other", "seed: 2")], 12);
    place.run(&["--dry-run"]).code(0); // makes the model, which is larger than the limit
    // As a full disk, but for the error's number: writes beyond the limit fail once the signal is ignored.
    let limited = place.run_shell("trap '' XFSZ; ulimit -f 120; exec \"$@\"").code(1);
    let stderr = String::from_utf8_lossy(&limited.get_output().stderr).into_owned();
    check_full_disk(&place, &stderr, || ());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let place = Place::new(&[("other", "seed: 2")], 12);
    let runs = place.runs_dir();
    std::fs::create_dir_all(&runs).expect("created");
    let mount = |options: &str| {
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&runs);
        command.output().is_ok_and(|output| output.status.success())
    };
    if !mount("size=120k") {
        eprintln!("SKIPPED: a small file system cannot be mounted here; that takes root");
        return;
    }
    let _unmount = Unmount(runs.clone());
    let limited = place.run(&[]).code(1);
    let stderr = String::from_utf8_lossy(&limited.get_output().stderr).into_owned();
    assert!(stderr.contains("No space left on device"), "{stderr}");
    check_full_disk(&place, &stderr, || assert!(mount("remount,size=16m"), "remounted"));
}

/// Unmounts at the end of a test, however it ends.
#[cfg(target_os = "linux")]
struct Unmount(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
