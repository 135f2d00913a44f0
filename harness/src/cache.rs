//! Where the harness keeps what it fetches and builds: models, frameworks, logs.
//!
//! ```text
//! <root>/models/…                            model files
//! <root>/frameworks/<id>/<version>/…         what `harness setup` installed, with a marker once it is whole
//! <root>/prepared/<id>/<version>-<model>/…   what a framework makes of a model file before it is measured
//! <root>/build/…                             build directories that a later setup goes on from
//! <root>/logs/…                              full logs of setups
//! ```

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// The variable that names the cache directory.
pub const CACHE_VARIABLE: &str = "HARNESS_CACHE";

/// The cache directory; nothing is created before it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache that the environment names: `HARNESS_CACHE`, else `harness` in the user's cache directory
    /// (`$XDG_CACHE_HOME`, `~/.cache`; `~/Library/Caches` on macOS). The path is absolute.
    pub fn from_env() -> Result<Self> {
        let Some(root) = root_from(|name| std::env::var_os(name).map(PathBuf::from)) else {
            bail!("there is no home directory to keep the cache in: set {CACHE_VARIABLE}");
        };
        let root =
            std::path::absolute(&root).with_context(|| format!("{}: not a usable path", root.display()))?;
        Ok(Self { root })
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Model files.
    pub fn models_dir(&self) -> PathBuf {
        self.root.join("models")
    }

    /// An installed framework.
    pub fn framework_dir(&self, id: &str, version: &str) -> PathBuf {
        self.root.join("frameworks").join(id).join(version)
    }

    /// What the framework `id` makes of a model file; `name` tells its version and the file.
    pub fn prepared_dir(&self, id: &str, name: &str) -> PathBuf {
        self.root.join("prepared").join(id).join(name)
    }

    /// A build directory, kept between builds.
    pub fn build_dir(&self, name: &str) -> PathBuf {
        self.root.join("build").join(name)
    }

    /// Logs of setups.
    pub fn logs_dir(&self) -> PathBuf {
        self.root.join("logs")
    }
}

fn root_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(root) = set(CACHE_VARIABLE) {
        return Some(root);
    }
    // The XDG convention takes absolute paths only.
    if let Some(base) = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        return Some(base.join("harness"));
    }
    let home = set("HOME")?;
    let base = if cfg!(target_os = "macos") { home.join("Library/Caches") } else { home.join(".cache") };
    Some(base.join("harness"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: Option<&str>) {
        let look_up = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        assert_eq!(root_from(look_up), expected.map(PathBuf::from));
    }

    #[test]
    fn the_environment_names_the_root() {
        let home = if cfg!(target_os = "macos") { "/h/Library/Caches/harness" } else { "/h/.cache/harness" };
        check(&[("HARNESS_CACHE", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/c"));
        check(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/harness"));
        check(&[("XDG_CACHE_HOME", "relative"), ("HARNESS_CACHE", ""), ("HOME", "/h")], Some(home));
        check(&[], None);
    }
}
