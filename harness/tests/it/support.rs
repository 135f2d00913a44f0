//! A place to run `harness` in: scenarios of scripted frameworks, a cache and bundles, all temporary.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use harness::bundle::{self, Bundle};
use harness::sample::{LaunchRecord, Outcome};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What every script has.
const SCRIPT: &str = "version: '1'\nload_ms: 100\nprefill_tok_s: 400\ndecode_tok_s: 50\njitter: 0.01\n";

pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A scenario with a row for each script; `steady`, which behaves, is the baseline and comes on top.
    pub(crate) fn new(scripts: &[(&str, &str)], blocks: u32) -> Place {
        let place = Place { dir: tempfile::tempdir().expect("temporary directory") };
        let mut rows = String::new();
        for (label, lines) in [("steady", "")].iter().chain(scripts) {
            place.write(&format!("{label}.yaml"), &format!("{SCRIPT}{lines}\n"));
            rows += &format!("  - {{id: fake, label: {label}, options: {{script: {label}.yaml}}}}\n");
        }
        place.write_scenario(&rows, blocks);
        place
    }

    /// A scenario with these rows.
    pub(crate) fn write_scenario(&self, rows: &str, blocks: u32) {
        self.write(
            "it.yaml",
            &format!(
                "schema: 1\ntitle: Scripted\ndescription: For tests.\n\
                 model: {{name: Tiny, quantization: Q4_0, source: {{synthetic: {{shape: tiny}}}}}}\n\
                 frameworks:\n{rows}baseline: steady\nsubject: steady\n\
                 workloads:\n  - {{name: chat, prompt_tokens: 8, generate_tokens: 8, context: 64}}\n\
                 threads: [1]\nblocks: {blocks}\nrepetitions: 2\ncold_generate: 4\nlaunch_timeout_s: 2\n\
                 verify_tokens: 8\n"
            ),
        );
    }

    /// A file of the place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).expect("written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).expect("there")
    }

    /// Replaces a piece of the scenario.
    pub(crate) fn edit_scenario(&self, old: &str, new: &str) {
        let path = self.dir.path().join("it.yaml");
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(text.contains(old), "{old}");
        std::fs::write(&path, text.replace(old, new)).expect("written");
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let scenario = self.dir.path().join("it.yaml").display().to_string();
        let out = self.dir.path().join("runs").display().to_string();
        let mut arguments = vec!["run".to_owned(), scenario];
        if !more.contains(&"--resume") {
            arguments.extend(["--out".to_owned(), out]);
        }
        arguments.extend(more.iter().map(|s| (*s).to_owned()));
        arguments
    }

    /// Runs to the end.
    pub(crate) fn run(&self, more: &[&str]) -> Assert {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(self.arguments(more)).env("HARNESS_CACHE", self.dir.path().join("cache"));
        command.timeout(Duration::from_secs(120)).assert()
    }

    /// Another command of the program, to its end.
    pub(crate) fn harness(&self, arguments: &[&str]) -> Assert {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(arguments).env("HARNESS_CACHE", self.dir.path().join("cache"));
        command.timeout(Duration::from_secs(120)).assert()
    }

    /// Runs to the end by way of a shell script that gets the command as its arguments.
    pub(crate) fn run_shell(&self, script: &str) -> Assert {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_harness")]).args(self.arguments(&[]));
        command.env("HARNESS_CACHE", self.dir.path().join("cache"));
        command.timeout(Duration::from_secs(120)).assert()
    }

    /// Starts and does not wait.
    pub(crate) fn start(&self, more: &[&str]) -> Running {
        self.start_with(more, &[])
    }

    /// The same, with variables of the environment.
    pub(crate) fn start_with(&self, more: &[&str], env: &[(&str, &str)]) -> Running {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(self.arguments(more)).env("HARNESS_CACHE", self.dir.path().join("cache"));
        command.envs(env.iter().copied());
        let stderr = std::fs::File::create(self.dir.path().join("stderr")).expect("created");
        Running { child: command.stdout(Stdio::null()).stderr(stderr).spawn().expect("started") }
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).expect("written")
    }

    /// Where bundles are made.
    pub(crate) fn runs_dir(&self) -> PathBuf {
        self.dir.path().join("runs")
    }

    /// The first bundle that has its manifest: a run killed before that has begun nothing.
    #[cfg(target_os = "linux")]
    pub(crate) fn started_bundle(&self) -> Option<PathBuf> {
        self.bundle_dirs().into_iter().find(|dir| dir.join("manifest.json").is_file())
    }

    /// The bundles made so far, by name.
    pub(crate) fn bundle_dirs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.runs_dir()) else { return Vec::new() };
        let mut dirs: Vec<PathBuf> = entries.map(|e| e.expect("readable").path()).collect();
        dirs.sort();
        dirs
    }

    pub(crate) fn bundle_dir(&self) -> PathBuf {
        self.bundle_dirs().into_iter().next().expect("a bundle")
    }

    pub(crate) fn bundle(&self) -> Bundle {
        bundle::read(&self.bundle_dir()).expect("a valid bundle")
    }

    /// Waits until `n` launches are recorded.
    pub(crate) fn wait_for_launches(&self, n: usize) {
        let recorded = |dir: &PathBuf| whole_lines(dir).lines().count() >= n;
        wait_until("launches", || self.bundle_dirs().iter().any(recorded));
    }

    /// Processes that have the temporary directory in their command line: runners of this place.
    pub(crate) fn processes(&self) -> Vec<String> {
        let needle = self.dir.path().display().to_string();
        let listed = std::process::Command::new("ps").args(["-A", "-o", "stat=,args="]).output().expect("ps");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let is_ours = |line: &&str| line.contains(&needle) && !line.trim_start().starts_with('Z');
        text.lines().filter(is_ours).map(str::to_owned).collect()
    }
}

pub(crate) struct Running {
    pub(crate) child: std::process::Child,
}

impl Running {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("alive");
    }

    /// Calls `look` with the process's id until it has ended; its exit code.
    pub(crate) fn wait_watching(mut self, mut look: impl FnMut(u32)) -> Option<i32> {
        loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status.code();
            }
            look(self.child.id());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        self.child.wait().expect("waited")
    }
}

/// The lines of a bundle's samples that end: a kernel under load writes a line page by page, and a kill can fall in between.
pub(crate) fn whole_lines(dir: &Path) -> String {
    let mut bytes = std::fs::read(dir.join("samples.jsonl")).unwrap_or_default();
    bytes.truncate(bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1));
    String::from_utf8(bytes).expect("whole lines are JSON")
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How the launches of `label` failed: kind and message; none may have been measured.
pub(crate) fn failures(bundle: &Bundle, label: &str) -> Vec<(harness::sample::FailureKind, String)> {
    let of_row = bundle.records.iter().filter(|r| r.framework == label);
    of_row
        .map(|r| match &r.outcome {
            Outcome::Failed { kind, message, .. } => (*kind, message.clone()),
            Outcome::Measured(_) => panic!("{} was measured", r.launch_id),
        })
        .collect()
}

pub(crate) fn measured<'a>(bundle: &'a Bundle, label: &str) -> Vec<&'a harness::sample::Measured> {
    let of_row = bundle.records.iter().filter(|r: &&LaunchRecord| r.framework == label);
    of_row
        .map(|r| match &r.outcome {
            Outcome::Measured(measured) => measured.as_ref(),
            Outcome::Failed { message, .. } => panic!("{}: {message}", r.launch_id),
        })
        .collect()
}

/// Appends bytes to a file.
pub(crate) fn append(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("there");
    std::io::Write::write_all(&mut file, bytes).expect("written");
}

/// Appends a line to a file, which is made if it is not there.
#[cfg(target_os = "linux")]
pub(crate) fn append_line(path: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("made");
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).expect("written");
}
