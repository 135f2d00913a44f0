//! `harness report`: bundles in, reports out. Nothing is measured.

mod document;

use crate::bundle::{self, Bundle, write_atomically};
use crate::chart::is_chart;
use crate::escape::printable;
use crate::html;
use crate::published::Published;
use crate::report::{Rendered, render, render_published};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where bundles are looked for when none is named.
const RUNS_DIR: &str = "reports/runs";
/// What the document over several bundles is made of.
const DOCUMENT_FILE: &str = "reports/comparison.yaml";
/// Where files of published figures are looked for when none is named.
const REFERENCE_DIR: &str = "reports/reference";

/// Arguments of `harness report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Bundles to report on; without any, the document that reports/comparison.yaml describes, or without that file the
    /// newest bundle under reports/runs.
    #[arg(value_name = "BUNDLE")]
    bundles: Vec<PathBuf>,
    /// Make the document over several bundles that this file describes, beside it or into --out
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundles", "reference_only"])]
    document: Option<PathBuf>,
    /// Write there instead of into the bundle; of several bundles each gets a directory of its own there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing; exit with 1 if a file is not what would be written.
    #[arg(long)]
    check: bool,
    /// Make the tables of a published comparison again from its figures, beside their file or into --out; without a
    /// file, of every one under reports/reference.
    #[arg(long, value_name = "FILE", num_args = 0.., conflicts_with = "bundles")]
    reference_only: Option<Vec<PathBuf>>,
    /// Write the report as one self-contained HTML page too, beside the Markdown
    #[arg(long)]
    html: bool,
}

/// Writes the reports, or checks those that are there.
pub fn run(args: Args) -> Result<ExitCode> {
    if let Some(files) = &args.reference_only {
        return published(files, &args);
    }
    let usual = Path::new(DOCUMENT_FILE);
    let is_usual = args.bundles.is_empty() && usual.is_file();
    if let Some(file) = args.document.as_deref().or(is_usual.then_some(usual)) {
        return document(file, &args);
    }
    let dirs = if args.bundles.is_empty() { vec![newest(Path::new(RUNS_DIR))?] } else { args.bundles };
    let mut n_stale = 0;
    for dir in &dirs {
        let bundle = match bundle::read(dir) {
            Ok(bundle) => bundle,
            Err(error) => {
                eprintln!("error: {}", printable(&error.to_string()));
                return Ok(ExitCode::from(2));
            }
        };
        let out = match &args.out {
            None => bundle.dir.clone(),
            Some(out) if dirs.len() == 1 => out.clone(),
            Some(out) => out.join(&bundle.manifest.id),
        };
        let rendered = render(&bundle.manifest, &bundle.records);
        let page = args.html.then(|| rendered.html());
        if args.check {
            n_stale += check(&rendered, page.as_deref(), &out)?;
        } else {
            println!("{}", write_files(&rendered, page.as_deref(), &out)?.display());
        }
    }
    Ok(if n_stale == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes or checks the tables of published comparisons.
fn published(files: &[PathBuf], args: &Args) -> Result<ExitCode> {
    let files = if files.is_empty() { published_files(Path::new(REFERENCE_DIR))? } else { files.to_vec() };
    let mut n_stale = 0;
    for file in &files {
        let published = match Published::load(file) {
            Ok(published) => published,
            Err(error) => {
                eprintln!("error: {}", printable(&error.to_string()));
                return Ok(ExitCode::from(2));
            }
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let markdown = render_published(&published, &name);
        n_stale += usize::from(!put_beside(file, &markdown, |_| None, args)?);
    }
    Ok(if n_stale == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes or checks the document over several bundles that `file` describes.
fn document(file: &Path, args: &Args) -> Result<ExitCode> {
    let document = match document::render(file) {
        Ok(document) => document,
        Err(error) => {
            eprintln!("error: {}", printable(&format!("{error:#}")));
            return Ok(ExitCode::from(2));
        }
    };
    let mut is_current = true;
    for (path, svg) in &document.charts {
        is_current &= put(&beside(file, path, args), svg, args)?;
    }
    is_current &= put_beside(file, &document.markdown, |path| document.picture(path), args)?;
    Ok(if is_current { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a file of a document goes whose path is seen from the document.
fn beside(file: &Path, path: &str, args: &Args) -> PathBuf {
    let dir = file.parent().unwrap_or(Path::new(""));
    args.out.as_deref().unwrap_or(dir).join(path)
}

/// Writes a document beside the file that it is made of, or into --out, or checks it there, as a page too with --html; whether it
/// is current.
fn put_beside<'a>(
    file: &Path,
    markdown: &str,
    picture: impl Fn(&str) -> Option<&'a str>,
    args: &Args,
) -> Result<bool> {
    let put_as = |extension: &str, text: &str| {
        let beside = file.with_extension(extension);
        let out = match &args.out {
            Some(out) => out.join(beside.file_name().unwrap_or_default()),
            None => beside,
        };
        let is_current = put(&out, text, args)?;
        if !args.check {
            println!("{}", out.display());
        }
        anyhow::Ok(is_current)
    };
    let mut is_current = put_as("md", markdown)?;
    if args.html {
        is_current &= put_as("html", &html::page(markdown, picture))?;
    }
    Ok(is_current)
}

/// Writes a file, or checks it there; whether it is current.
fn put(out: &Path, text: &str, args: &Args) -> Result<bool> {
    if args.check {
        return is_current(out, text);
    }
    out.parent().map_or(Ok(()), fs::create_dir_all).with_context(|| out.display().to_string())?;
    write_atomically(out, text.as_bytes()).with_context(|| out.display().to_string())?;
    Ok(true)
}

/// The files of published figures in `dir`.
fn published_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let none = || format!("{}: no published figures here; name a file", dir.display());
    let entries = fs::read_dir(dir).with_context(none)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    if files.is_empty() {
        bail!(none());
    }
    Ok(files)
}

/// Writes `report.md`, `summary.csv` and the charts of a bundle into `out`; returns the path of the report.
pub fn write(bundle: &Bundle, out: &Path) -> Result<PathBuf> {
    write_files(&render(&bundle.manifest, &bundle.records), None, out)
}

fn write_files(rendered: &Rendered, page: Option<&str>, out: &Path) -> Result<PathBuf> {
    fs::create_dir_all(out.join("charts")).with_context(|| out.display().to_string())?;
    for path in left_over(rendered, out)? {
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    // The report comes last: whoever sees a new one finds its charts.
    for (path, content) in files(rendered, page, out).into_iter().rev() {
        write_atomically(&path, content.as_bytes()).with_context(|| path.display().to_string())?;
    }
    Ok(out.join("report.md"))
}

/// Names every file that is not what would be written; returns how many there are.
fn check(rendered: &Rendered, page: Option<&str>, out: &Path) -> Result<usize> {
    let mut n_stale = 0;
    for (path, content) in files(rendered, page, out) {
        n_stale += usize::from(!is_current(&path, content)?);
    }
    for path in left_over(rendered, out)? {
        say_stale(&path, "is left over from an earlier report");
        n_stale += 1;
    }
    Ok(n_stale)
}

/// Whether `path` holds `content`; says so where it does not.
fn is_current(path: &Path, content: &str) -> Result<bool> {
    match fs::read(path) {
        Ok(found) if found == content.as_bytes() => return Ok(true),
        Ok(_) => say_stale(path, "differs from what its data give"),
        Err(error) if error.kind() == ErrorKind::NotFound => say_stale(path, "is missing"),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    }
    Ok(false)
}

fn say_stale(path: &Path, why: &str) {
    eprintln!("stale: {}: {why}; run `harness report` again", path.display());
}

/// Every file of a report with its content, the report itself first.
fn files<'a>(rendered: &'a Rendered, page: Option<&'a str>, out: &Path) -> Vec<(PathBuf, &'a str)> {
    let mut files =
        vec![(out.join("report.md"), &*rendered.markdown), (out.join("summary.csv"), &*rendered.summary_csv)];
    files.extend(page.map(|page| (out.join("report.html"), page)));
    files.extend(rendered.charts.iter().map(|(name, svg)| (out.join("charts").join(name), &**svg)));
    files
}

/// Charts of an earlier report that this one does not have.
fn left_over(rendered: &Rendered, out: &Path) -> Result<Vec<PathBuf>> {
    let dir = out.join("charts");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| dir.display().to_string()),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_chart(&name) && !rendered.charts.iter().any(|(wanted, _)| *wanted == name) {
            paths.push(dir.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

/// The bundle under `runs` that was begun last.
fn newest(runs: &Path) -> Result<PathBuf> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    let entries =
        fs::read_dir(runs).with_context(|| format!("{}: no bundles here; name one", runs.display()))?;
    for entry in entries {
        let dir = entry?.path();
        // One that cannot be read is not hidden for that: it is the newest if its name says so, and then refused.
        if let Ok(text) = fs::read_to_string(dir.join("manifest.json")) {
            let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let begun = manifest["created_at"].as_str().map(str::to_owned);
            let name = || dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((begun.unwrap_or_else(name), dir));
        }
    }
    let Some((_, dir)) = found.into_iter().max() else {
        bail!("{}: no bundles here; name one, or make one by `harness run`", runs.display());
    };
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_was_written_is_not_stale_until_it_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (manifest, records) = testing::example();
        let rendered = render(&manifest, &records);
        let page = rendered.html();
        let n_stale = || check(&rendered, None, dir.path()).unwrap();
        assert_eq!(n_stale(), 2 + rendered.charts.len(), "nothing is there yet");
        let report = write_files(&rendered, None, dir.path()).unwrap();
        assert_eq!(n_stale(), 0);
        assert_eq!(check(&rendered, Some(&page), dir.path()).unwrap(), 1, "the page was not asked for");
        write_files(&rendered, Some(&page), dir.path()).unwrap();
        assert_eq!(check(&rendered, Some(&page), dir.path()).unwrap(), 0);

        fs::write(&report, "changed").unwrap();
        fs::write(dir.path().join("charts/throughput-gone.svg"), "<svg/>").unwrap();
        fs::write(dir.path().join("charts/notes.txt"), "kept").unwrap();
        assert_eq!(n_stale(), 2);
        write_files(&rendered, None, dir.path()).unwrap();
        assert_eq!(n_stale(), 0);
        assert!(dir.path().join("charts/notes.txt").exists());
    }

    #[test]
    fn a_bundle_on_disk_becomes_a_report() {
        let dir = tempfile::tempdir().unwrap();
        let (manifest, records) = testing::example();
        let dir = testing::write_bundle(dir.path(), &manifest, &records);
        let code = |check| {
            let args = Args {
                bundles: vec![dir.clone()],
                out: None,
                check,
                document: None,
                reference_only: None,
                html: true,
            };
            format!("{:?}", run(args).unwrap())
        };
        assert_eq!(code(true), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(code(false), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(true), format!("{:?}", ExitCode::SUCCESS));
        fs::write(dir.join("manifest.json"), "{").unwrap();
        assert_eq!(code(false), format!("{:?}", ExitCode::from(2)));
    }

    #[test]
    fn published_tables_are_made_beside_their_figures() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("smallmind.yaml");
        let text = include_str!("../../../reports/reference/smallmind-2024-02-13.yaml");
        fs::write(&file, text).unwrap();
        let code = |check| {
            let args = Args {
                bundles: vec![],
                document: None,
                out: None,
                check,
                reference_only: Some(vec![file.clone()]),
                html: true,
            };
            format!("{:?}", run(args).unwrap())
        };
        assert_eq!(code(true), format!("{:?}", ExitCode::FAILURE), "nothing is there yet");
        assert_eq!(code(false), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(true), format!("{:?}", ExitCode::SUCCESS));
        let made = fs::read_to_string(dir.path().join("smallmind.md")).unwrap();
        assert!(
            made.contains("| **SmallMind** | **C\\# (.NET 10)** | **59.67** | **924** | **51.8** |"),
            "{made}"
        );
        assert!(made.contains("| Executive Summary | SmallMind | vs llama.cpp | -30% | -34% |"), "{made}");
        assert_eq!(published_files(dir.path()).unwrap(), std::slice::from_ref(&file));
        assert!(published_files(&dir.path().join("none")).is_err());
        fs::write(&file, text.replace("schema: 1", "schema: 9")).unwrap();
        assert_eq!(code(false), format!("{:?}", ExitCode::from(2)));
    }

    #[test]
    fn the_newest_bundle_is_the_one_begun_last() {
        let runs = tempfile::tempdir().unwrap();
        assert!(newest(runs.path()).is_err());
        for (name, begun) in [("b", "2026-01-01T00:00:00Z"), ("a", "2026-01-02T00:00:00Z")] {
            let dir = runs.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("manifest.json"), format!("{{\"created_at\": \"{begun}\"}}")).unwrap();
        }
        fs::create_dir(runs.path().join("z-not-a-bundle")).unwrap();
        assert_eq!(newest(runs.path()).unwrap(), runs.path().join("a"));
    }
}
