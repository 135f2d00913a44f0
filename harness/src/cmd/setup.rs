//! `harness setup`: provides the frameworks that are missing, lists and removes what it provided.

use super::more::MoreFrameworks;
use crate::cache::Cache;
use crate::escape::printable;
use crate::framework::Registry;
use crate::framework::registry::Entry;
use crate::preflight::MachineLock;
use crate::setup;
use crate::units::bytes_to_mb;
use anyhow::Result;
use std::process::ExitCode;

/// Something could not be provided, and is named.
const EXIT_FAILED: u8 = 1;
/// An unknown framework.
const EXIT_USAGE: u8 = 2;

/// Which frameworks, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Frameworks to set up; all that can be installed where none is named
    #[arg(value_name = "FRAMEWORK")]
    frameworks: Vec<String>,
    #[command(flatten)]
    more: MoreFrameworks,
    /// Install anew, even what is there
    #[arg(long)]
    force: bool,
    /// Remove from the cache what was set up, every version of it; of all frameworks where none is named
    #[arg(long, conflicts_with_all = ["force", "list"])]
    remove: bool,
    /// List what was set up, with its size
    #[arg(long, conflicts_with = "force")]
    list: bool,
}

/// Sets them up, one after the other; what fails does not keep the others from it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let registry = match args.more.registry() {
        Ok(registry) => registry,
        Err(error) => {
            eprintln!("error: {}", printable(&error.to_string()));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let wanted = match choose(&registry, &args.frameworks) {
        Ok(wanted) => wanted,
        Err(message) => {
            eprintln!("error: {message}");
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let cache = Cache::from_env()?;
    if args.list {
        show(&setup::pieces(&cache, &args.frameworks), "set up");
        return Ok(ExitCode::SUCCESS);
    }
    if args.remove {
        return remove(&cache, args, &wanted);
    }
    // What installs keeps the machine busy: not beside a run that measures.
    let _lock = match MachineLock::acquire(cache.root()) {
        Ok(lock) => lock,
        Err(error) => {
            eprintln!("error: nothing was installed: {}", printable(&error.finding().to_string()));
            return Ok(ExitCode::from(EXIT_FAILED));
        }
    };
    let mut has_failed = false;
    for (id, outcome) in setup::ensure(&wanted, args.force, &cache) {
        match outcome {
            Ok(found) => {
                let version = found.version.map(|v| format!(" {v}")).unwrap_or_default();
                println!(
                    "{}",
                    printable(&format!("{id}{version}: {} ({})", found.program.display(), found.how))
                );
                for note in found.notes {
                    println!("{id}: {note}");
                }
            }
            Err(error) => {
                has_failed = true;
                eprintln!("error: {}", printable(&format!("{id}: {error:#}")));
            }
        }
    }
    Ok(if has_failed { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS })
}

/// Removes what is named and says what that freed.
fn remove(cache: &Cache, args: &Args, wanted: &[&Entry]) -> Result<ExitCode> {
    if !cache.root().exists() {
        show(&[], "removed");
        return Ok(ExitCode::SUCCESS);
    }
    match remove_unused(cache, &args.frameworks) {
        Ok(removed) => {
            show(&removed, "removed");
            if removed.is_empty() && !args.frameworks.is_empty() {
                for entry in wanted {
                    setup::removed_by_hand(entry).iter().for_each(|why| println!("{}: {why}", entry.id));
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("error: nothing more was removed: {error:#}");
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
}

/// A run that measures keeps its programs.
fn remove_unused(cache: &Cache, ids: &[String]) -> Result<Vec<setup::Piece>> {
    let _lock = MachineLock::acquire(cache.root())?;
    setup::remove(cache, ids)
}

/// One line for each piece, and the sum.
fn show(pieces: &[setup::Piece], word: &str) {
    for piece in pieces {
        let mb = bytes_to_mb(piece.bytes);
        println!("{}: {}, {mb:.1} MB: {}", piece.id, piece.what, piece.path.display());
    }
    let bytes = pieces.iter().map(|piece| piece.bytes).sum();
    println!("{word}: {:.1} MB", bytes_to_mb(bytes));
}

fn choose<'a>(registry: &'a Registry, ids: &[String]) -> Result<Vec<&'a Entry>, String> {
    if ids.is_empty() {
        return Ok(setup::installable_ids().filter_map(|id| registry.get(id)).collect());
    }
    ids.iter().map(|id| registry.get(id).ok_or_else(|| unknown(registry, id))).collect()
}

fn unknown(registry: &Registry, id: &str) -> String {
    let nearest = registry.ids().into_iter().max_by(|a, b| {
        let likeness = |known: &str| strsim::jaro_winkler(known, id);
        likeness(a).total_cmp(&likeness(b))
    });
    let hint = nearest.filter(|known| strsim::jaro_winkler(known, id) > 0.7);
    let hint = hint.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
    format!("no framework `{id}` is known{hint} (known: {})", registry.ids().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_while_a_run_measures() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let installed = cache.framework_dir("candle", "1");
        std::fs::create_dir_all(&installed).unwrap();
        let lock = MachineLock::acquire(cache.root()).unwrap();
        let refused = remove_unused(&cache, &[]).unwrap_err().to_string();
        assert!(refused.contains("another harness is measuring") && installed.exists(), "{refused}");
        drop(lock);
        assert_eq!(remove_unused(&cache, &[]).unwrap().len(), 1);
        assert!(!installed.exists());
    }

    #[test]
    fn frameworks_are_chosen_by_id() {
        let registry = Registry::embedded().unwrap();
        let ids = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
            choose(&registry, &names).map(|entries| entries.iter().map(|e| e.id.clone()).collect::<Vec<_>>())
        };
        assert_eq!(
            ids(&[]).unwrap(),
            ["llama.cpp", "candle", "onnxruntime", "transformers", "mistral.rs", "openvino-genai"]
        );
        assert_eq!(ids(&["candle", "ollama"]).unwrap(), ["candle", "ollama"]);
        let message = ids(&["lama.cpp"]).unwrap_err();
        assert!(
            message.starts_with("no framework `lama.cpp` is known; did you mean `llama.cpp`?"),
            "{message}"
        );
        assert!(!ids(&["zzz"]).unwrap_err().contains("did you mean"));
    }
}
