//! `harness setup`: provides the frameworks that are missing.

use crate::cache::Cache;
use crate::framework::Registry;
use crate::framework::registry::Entry;
use crate::setup;
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
    /// Install anew, even what is there
    #[arg(long)]
    force: bool,
}

/// Sets them up, one after the other; what fails does not keep the others from it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let registry = Registry::embedded()?;
    let wanted = match choose(&registry, &args.frameworks) {
        Ok(wanted) => wanted,
        Err(message) => {
            eprintln!("error: {message}");
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let cache = Cache::from_env()?;
    let mut has_failed = false;
    for (id, outcome) in setup::ensure(&wanted, args.force, &cache) {
        match outcome {
            Ok(found) => {
                let version = found.version.map(|v| format!(" {v}")).unwrap_or_default();
                println!("{id}{version}: {} ({})", found.program.display(), found.how);
                for note in found.notes {
                    println!("{id}: {note}");
                }
            }
            Err(error) => {
                has_failed = true;
                eprintln!("error: {id}: {error:#}");
            }
        }
    }
    Ok(if has_failed { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS })
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
    fn frameworks_are_chosen_by_id() {
        let registry = Registry::embedded().unwrap();
        let ids = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
            choose(&registry, &names).map(|entries| entries.iter().map(|e| e.id.clone()).collect::<Vec<_>>())
        };
        assert_eq!(ids(&[]).unwrap(), ["llama.cpp", "candle", "onnxruntime", "transformers"]);
        assert_eq!(ids(&["candle", "ollama"]).unwrap(), ["candle", "ollama"]);
        let message = ids(&["lama.cpp"]).unwrap_err();
        assert!(
            message.starts_with("no framework `lama.cpp` is known; did you mean `llama.cpp`?"),
            "{message}"
        );
        assert!(!ids(&["zzz"]).unwrap_err().contains("did you mean"));
    }
}
