//! Writing a bundle as the evidence comes: the manifest once, then a line for each launch, on disk before the next.

use super::Manifest;
use super::chain::{seal, sha256_hex};
use super::read::{Bundle, BundleError, read, read_samples};
use super::seal::Complete;
use crate::locked::Locked;
use crate::redact::Redactor;
use crate::sample::{LaunchRecord, Outcome};
use crate::scenario::ModelSource;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bundles of one day, machine and scenario.
const BUNDLES_MAX: u32 = 1000;
/// Keeps two writers out of one bundle.
const LOCK_FILE: &str = ".lock";
/// Says that the run has ended.
const COMPLETE_FILE: &str = "complete.json";

/// An open bundle; only one writer can have it.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    samples: File,
    redactor: Redactor,
    manifest_sha256: String,
    /// Lines written.
    lines: usize,
    /// The chain's value after them.
    head: String,
    _lock: Locked,
}

impl Writer {
    /// Makes a new directory `<parent>/<id>` — with `-2`, `-3`, … if it is there already — and writes the manifest.
    pub fn create(parent: &Path, mut manifest: Manifest, redactor: Redactor) -> Result<Writer, BundleError> {
        std::fs::create_dir_all(parent).map_err(BundleError::io(parent))?;
        let (dir, id) = new_dir(parent, &manifest.id)?;
        let lock = lock(&dir)?;
        let logs_dir = dir.join("logs");
        std::fs::create_dir(&logs_dir).map_err(BundleError::io(&logs_dir))?;
        manifest.id = id;
        redact_manifest(&mut manifest, &redactor);
        let path = dir.join("manifest.json");
        let text = serde_json::to_string_pretty(&manifest).map_err(BundleError::json(&path))?;
        let text = text + "\n";
        write_atomically(&path, text.as_bytes()).map_err(BundleError::io(&path))?;
        let samples = open_samples(&dir)?;
        let manifest_sha256 = sha256_hex(text.as_bytes());
        let head = manifest_sha256.clone();
        Ok(Writer { dir, samples, redactor, manifest_sha256, lines: 0, head, _lock: lock })
    }

    /// Opens the bundle of a run that did not end, to go on with it. A torn last line is cut off. Refused if the
    /// scenario or the model is another one by now.
    pub fn resume(
        dir: &Path,
        scenario_sha256: &str,
        model_sha256: &str,
        redactor: Redactor,
    ) -> Result<(Writer, Bundle), BundleError> {
        let lock = lock(dir)?;
        let bundle = read(dir)?;
        let other = |reason: &str| BundleError::Other { path: dir.to_owned(), reason: reason.into() };
        if bundle.manifest.scenario_sha256 != scenario_sha256 {
            return Err(other("the scenario's text has changed since; start a new run"));
        }
        if bundle.manifest.model.sha256 != model_sha256 {
            return Err(other("the model file is another one now; start a new run"));
        }
        let path = dir.join("samples.jsonl");
        let (whole, _) = read_samples(&path)?;
        let samples = open_samples(dir)?;
        let whole_bytes = whole.len() as u64;
        samples.set_len(whole_bytes).and_then(|()| samples.sync_all()).map_err(BundleError::io(&path))?;
        // A run that goes on is not complete until it ends again.
        remove(&dir.join(COMPLETE_FILE))?;
        let writer = Writer {
            dir: dir.to_owned(),
            samples,
            redactor,
            manifest_sha256: bundle.seal.manifest_sha256.clone(),
            lines: bundle.seal.lines,
            head: bundle.seal.head.clone(),
            _lock: lock,
        };
        Ok((writer, bundle))
    }

    /// Writes one launch, chained to the line before; it is on the disk when this returns.
    pub fn append(&mut self, record: &LaunchRecord) -> Result<(), BundleError> {
        let path = self.dir.join("samples.jsonl");
        let mut record = record.clone();
        redact_record(&mut record, &self.redactor);
        let json = serde_json::to_string(&record).map_err(BundleError::json(&path))?;
        let (line, head) = seal(&self.head, &json);
        // One write, so that a kill leaves a torn line at most, never two interleaved ones.
        self.samples
            .write_all((line + "\n").as_bytes())
            .and_then(|()| self.samples.sync_data())
            .map_err(BundleError::io(&path))?;
        self.head = head;
        self.lines += 1;
        Ok(())
    }

    /// Ends the bundle of a run that made every launch of its plan: `complete.json` says where the samples end and
    /// what the logs are, and nothing is left to be locked.
    pub fn finish(self) -> Result<(), BundleError> {
        self.seal(false)
    }

    /// As [`Self::finish`], for a run that its owner ends before the plan's last launch.
    pub fn finish_early(self) -> Result<(), BundleError> {
        self.seal(true)
    }

    fn seal(self, ended_early: bool) -> Result<(), BundleError> {
        let logs = hash_files(&self.logs_dir())?;
        let complete = Complete::new(self.lines, self.head, self.manifest_sha256, logs, ended_early);
        let path = self.dir.join(COMPLETE_FILE);
        let text = serde_json::to_string_pretty(&complete).map_err(BundleError::json(&path))?;
        write_atomically(&path, (text + "\n").as_bytes()).map_err(BundleError::io(&path))?;
        remove(&self.dir.join(LOCK_FILE))
    }

    /// The bundle's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where logs of launches go.
    pub fn logs_dir(&self) -> PathBuf {
        self.dir.join("logs")
    }
}

fn new_dir(parent: &Path, id: &str) -> Result<(PathBuf, String), BundleError> {
    for n in 1..=BUNDLES_MAX {
        let id = if n == 1 { id.to_owned() } else { format!("{id}-{n}") };
        let dir = parent.join(&id);
        match std::fs::create_dir(&dir) {
            Ok(()) => return Ok((dir, id)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(BundleError::io(&dir)(e)),
        }
    }
    let reason = format!("there are {BUNDLES_MAX} bundles with this name");
    Err(BundleError::Content { path: parent.join(id), line: None, reason })
}

fn lock(dir: &Path) -> Result<Locked, BundleError> {
    let path = dir.join(LOCK_FILE);
    let options = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = options.map_err(BundleError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Locked::holding(file)),
        Err(TryLockError::WouldBlock) => Err(BundleError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(e)) => Err(BundleError::io(&path)(e)),
    }
}

/// The sha256 of every file in `dir`, by name; none where there is no such directory.
pub(crate) fn hash_files(dir: &Path) -> Result<BTreeMap<String, String>, BundleError> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        result => result.map_err(BundleError::io(dir))?,
    };
    let mut hashes = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(BundleError::io(dir))?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).map_err(BundleError::io(&path))?;
            hashes.insert(name, sha256_hex(&bytes));
        }
    }
    Ok(hashes)
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> Result<(), BundleError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(BundleError::io(path)(e)),
        _ => Ok(()),
    }
}

fn open_samples(dir: &Path) -> Result<File, BundleError> {
    let path = dir.join("samples.jsonl");
    OpenOptions::new().create(true).append(true).open(&path).map_err(BundleError::io(&path))
}

/// Writes a file that is either whole or as it was.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // A temporary file is its owner's alone; a bundle is to be published.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    File::open(dir)?.sync_all()
}

fn redact_manifest(manifest: &mut Manifest, redactor: &Redactor) {
    let redact = |text: &mut String| *text = redactor.text(text);
    manifest.command.iter_mut().for_each(redact);
    for framework in &mut manifest.frameworks {
        if let Some(program) = &mut framework.program {
            redact(&mut program.path);
            redact(&mut program.build);
            program.notes.iter_mut().for_each(redact);
        }
        if let Some(unavailable) = &mut framework.unavailable {
            redact(&mut unavailable.reason);
        }
    }
    if let Some(file) = &mut manifest.frameworks_file {
        redact(&mut file.path);
        redact(&mut file.text);
    }
    if let ModelSource::Path(path) = &mut manifest.scenario.model.source {
        redact(path);
    }
    if let Some(reason) = &mut manifest.model.stand_in_reason {
        redact(reason);
    }
}

fn redact_record(record: &mut LaunchRecord, redactor: &Redactor) {
    let redact = |text: &mut String| *text = redactor.text(text);
    record.argv.iter_mut().for_each(redact);
    record.environment.values_mut().for_each(redact);
    match &mut record.outcome {
        Outcome::Measured(measured) => redact(&mut measured.build),
        Outcome::Failed { message, stderr_tail, .. } => {
            redact(message);
            redact(stderr_tail);
        }
    }
}
