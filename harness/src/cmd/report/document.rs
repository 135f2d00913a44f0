//! The file that describes a document over several bundles.

use crate::bundle::{self, Bundle};
use crate::history;
use crate::published::Published;
use crate::report::{Document, Nightly, Source, render_document_with};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Schema of [`Wire`].
const DOCUMENT_SCHEMA: u32 = 1;

/// `comparison.yaml`; paths count from its directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: u32,
    /// Published figures to stand beside the measured ones.
    published: Option<PathBuf>,
    /// The nightly history.
    #[serde(default)]
    history: Option<PathBuf>,
    /// A section each, in this order.
    bundles: Vec<PathBuf>,
}

/// Renders the document that `file` describes.
///
/// # Errors
/// If the file, a bundle or the published figures cannot be read, with its path.
pub(super) fn render(file: &Path) -> Result<Document> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown}: cannot read"))?;
    let wire: Wire = serde_yaml::from_str(&text).with_context(|| format!("{shown}"))?;
    if wire.schema != DOCUMENT_SCHEMA {
        bail!("{shown}: schema {} is not known; this harness reads schema {DOCUMENT_SCHEMA}", wire.schema);
    }
    if wire.bundles.is_empty() {
        bail!("{shown}: bundles: name at least one");
    }
    let dir = file.parent().unwrap_or(Path::new(""));
    let bundles = wire
        .bundles
        .iter()
        .map(|path| Ok(bundle::read(&dir.join(path))?))
        .collect::<Result<Vec<Bundle>>>()?;
    let hrefs: Vec<String> = wire.bundles.iter().map(|path| path.display().to_string()).collect();
    let sources: Vec<Source> = bundles
        .iter()
        .zip(&hrefs)
        .map(|(bundle, href)| Source { manifest: &bundle.manifest, records: &bundle.records, href })
        .collect();
    let published = wire.published.as_deref().map(|path| Published::load(&dir.join(path))).transpose()?;
    let name = wire.published.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let published = published.as_ref().map(|published| (published, &*name));
    let history = wire.history.as_deref().map(|path| history::read(&dir.join(path))).transpose()?;
    let href = wire.history.as_deref().unwrap_or(Path::new("")).display().to_string();
    let nightly = history.as_ref().map(|history| Nightly { history, href: &href });
    Ok(render_document_with(&sources, published, nightly))
}
