//! `--frameworks FILE`: frameworks that the harness does not ship.

use crate::framework::Registry;
use crate::framework::registry::RegistryError;
use std::path::{Path, PathBuf};

/// A further frameworks.yaml. Commands come from such files and from the command line, never from a scenario.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MoreFrameworks {
    /// A further frameworks.yaml, whose entries are added to those that are known
    #[arg(long = "frameworks", value_name = "FILE")]
    frameworks_file: Option<PathBuf>,
}

impl MoreFrameworks {
    /// The file, if one was given.
    pub(super) fn file(&self) -> Option<&Path> {
        self.frameworks_file.as_deref()
    }

    /// Every framework that is known.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what it should be.
    pub(super) fn registry(&self) -> Result<Registry, RegistryError> {
        let registry = Registry::embedded()?;
        let Some(path) = &self.frameworks_file else { return Ok(registry) };
        let unreadable = |error: std::io::Error| {
            let what = format!("cannot be read: {error}");
            RegistryError::Added { path: path.display().to_string(), what }
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        registry.with_file(&std::path::absolute(path).map_err(unreadable)?, &text)
    }
}
