//! Published figures as data: the tables of a comparison that somebody else has written down.
//!
//! Nothing here was measured by this project. A file holds what the document states, ranges as ranges; what follows from
//! other figures of the document is computed by [`tables`], and [`audit`] lists where the document claims something else.

mod audit;
mod span;
mod tables;
#[cfg(test)]
mod tests;
mod wire;

pub use audit::{Finding, audit};
pub use span::Span;
pub use tables::{Table, TableRow, tables};
pub use wire::{
    Cores, Document, Efficiency, EfficiencyRow, FeatureRow, Features, GapCause, Known, Memory, MemoryRow,
    Model, MultiRow, MultiThread, Platform, Position, PositionRow, Provenance, Published, QuickComparison,
    QuickRow, Roadmap, SingleRow, SpectrumRow, Statement, Step,
};

use std::path::Path;

/// The schema of a file of published figures.
const PUBLISHED_SCHEMA: u32 = 1;

/// What is wrong with a file of published figures.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// It cannot be read.
    #[error("{path}: cannot read: {source}")]
    Read {
        /// Of the file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not YAML, or not of this shape; the message has line and column.
    #[error("{path}: {source}")]
    Syntax {
        /// Of the file.
        path: String,
        /// The parser's reason, with line and column.
        source: serde_yaml::Error,
    },
    /// Of another schema, or in contradiction with itself.
    #[error("{path}: {what}")]
    Content {
        /// Of the file.
        path: String,
        /// Which key, and the remedy.
        what: String,
    },
}

impl Published {
    /// Reads a file of published figures.
    ///
    /// # Errors
    /// If it cannot be read or is not of the shape, with its path and, from the parser, line and column.
    pub fn load(path: &Path) -> Result<Published, PublishedError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| PublishedError::Read { path: shown.clone(), source })?;
        Published::parse(&shown, &text)
    }

    /// Reads the text of such a file; `path` is for messages.
    ///
    /// # Errors
    /// See [`Published::load`].
    pub fn parse(path: &str, text: &str) -> Result<Published, PublishedError> {
        let published: Published = serde_yaml::from_str(text)
            .map_err(|source| PublishedError::Syntax { path: path.to_owned(), source })?;
        match published.contradiction() {
            Some(what) => Err(PublishedError::Content { path: path.to_owned(), what }),
            None => Ok(published),
        }
    }

    /// The harness's id of the framework that the document calls `name`; the name itself where it is not one of ours.
    pub fn id_of<'a>(&'a self, name: &'a str) -> &'a str {
        let known = self.frameworks.iter().find(|known| known.names.iter().any(|n| n == name));
        known.map_or(name, |known| &known.id)
    }

    /// The platform `id`.
    pub fn platform(&self, id: &str) -> Option<&Platform> {
        self.platforms.iter().find(|platform| platform.id == id)
    }

    /// What a person has to correct, if anything.
    fn contradiction(&self) -> Option<String> {
        if self.schema != PUBLISHED_SCHEMA {
            return Some(format!(
                "schema {} is not known; this harness reads schema {PUBLISHED_SCHEMA}",
                self.schema
            ));
        }
        for (key, id) in
            [("quick_comparison", &self.quick_comparison.platform), ("efficiency", &self.efficiency.platform)]
        {
            if self.platform(id).is_none() {
                return Some(format!("{key}: platform: `{id}` is not among platforms"));
            }
        }
        for table in &self.features {
            if let Some(row) = table.rows.iter().find(|row| row.cells.len() != table.frameworks.len()) {
                return Some(format!(
                    "features: {}: {}: wants {} cells",
                    table.title,
                    row.feature,
                    table.frameworks.len()
                ));
            }
        }
        let known = |of: &str| {
            ["quick_comparison", "efficiency", "metal"].contains(&of) || self.platform(of).is_some()
        };
        if let Some(of) = self.statements.iter().filter_map(|s| s.of.as_deref()).find(|of| !known(of)) {
            return Some(format!(
                "statements: of: `{of}` is neither a platform nor quick_comparison, efficiency or metal"
            ));
        }
        let n = self.position.columns.len();
        let row = self.position.rows.iter().find(|row| row.stars.len() != n);
        row.map(|row| format!("position: {}: wants {n} numbers of stars", row.framework))
    }
}

impl Platform {
    /// The single-thread row of the framework `id`.
    pub fn single<'a>(&'a self, published: &Published, id: &str) -> Option<&'a SingleRow> {
        self.single_thread.iter().find(|row| row.id(published) == id)
    }
}

impl SingleRow {
    /// The harness's id of its framework; see [`Published::id_of`].
    pub fn id<'a>(&'a self, published: &'a Published) -> &'a str {
        self.id.as_deref().unwrap_or_else(|| published.id_of(&self.framework))
    }
}
