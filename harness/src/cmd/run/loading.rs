//! What a run works with: the scenario, the machine, the model file and the frameworks.

use super::frameworks::{Row, find};
use super::{Args, Usage};
use crate::bundle::{self, Bundle};
use crate::cache::Cache;
use crate::cmd::models::Meter;
use crate::framework::Registry;
use crate::machine::Machine;
use crate::model::{self, ModelFile, Tools};
use crate::redact::Redactor;
use crate::scenario::Scenario;
use anyhow::{Context, Result};
use engine::gguf::Gguf;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Everything that is there before anything is planned.
pub(super) struct Loaded {
    /// With the command line's changes.
    pub(super) scenario: Scenario,
    pub(super) scenario_text: String,
    pub(super) scenario_sha256: String,
    pub(super) seed: u64,
    pub(super) registry: Registry,
    pub(super) machine: Machine,
    pub(super) model: ModelFile,
    /// Tokens of the model's vocabulary, of which prompts are drawn.
    pub(super) vocab_size: u32,
    /// One for each row of the scenario.
    pub(super) rows: Vec<Row>,
    pub(super) redactor: Redactor,
    /// The bundle to go on with.
    pub(super) resumed: Option<Bundle>,
}

pub(super) fn load(args: &Args) -> Result<Loaded> {
    let registry = Registry::embedded()?;
    let (mut scenario, scenario_text) =
        Scenario::load(&args.scenario, &registry.ids()).map_err(|e| Usage(e.to_string()))?;
    let mut seed = args.seed.unwrap_or(scenario.seed);
    let resumed = args.resume.as_deref().map(bundle::read).transpose().map_err(|e| Usage(e.to_string()))?;
    match &resumed {
        Some(bundle) => {
            scenario = bundle.manifest.scenario.clone();
            seed = bundle.manifest.seed;
        }
        None => change(&mut scenario, args)?,
    }
    let cache = Cache::from_env()?;
    let base_dir = scenario_dir(&args.scenario)?;
    let rows = find(&scenario, &registry, &cache, &base_dir, args.setup)?;
    let mut meter = Meter::new();
    let model = model::ensure(&scenario.model, &base_dir, &cache, &Tools::default(), &mut |p| meter.show(p))
        .with_context(|| format!("the model of {}", args.scenario.display()))?;
    meter.end();
    if let Some(reason) = &model.stand_in_reason {
        eprintln!("{}: {reason}", model.name);
    }
    Ok(Loaded {
        vocab_size: vocab_size(&model)?,
        scenario_sha256: format!("{:x}", Sha256::digest(&scenario_text)),
        redactor: redactor(&args.scenario),
        machine: Machine::detect(),
        scenario,
        scenario_text,
        seed,
        registry,
        model,
        rows,
        resumed,
    })
}

/// Applies the command line to the scenario.
fn change(scenario: &mut Scenario, args: &Args) -> Result<(), Usage> {
    let is_meant = |name: &String, label: &str, id: &str| name == label || name == id;
    for name in args.only.iter().chain(&args.skip) {
        if !scenario.frameworks.iter().any(|f| is_meant(name, &f.label, &f.id)) {
            let labels: Vec<&str> = scenario.frameworks.iter().map(|f| f.label.as_str()).collect();
            return Err(Usage(format!("no row `{name}` in the scenario; it has: {}", labels.join(", "))));
        }
    }
    scenario.frameworks.retain(|f| {
        let named = |list: &[String]| list.iter().any(|name| is_meant(name, &f.label, &f.id));
        (args.only.is_empty() || named(&args.only)) && !named(&args.skip)
    });
    let Some(first) = scenario.frameworks.first().map(|f| f.label.clone()) else {
        return Err(Usage("no row is left to be measured".into()));
    };
    for (what, label) in [("baseline", &mut scenario.baseline), ("subject", &mut scenario.subject)] {
        if !scenario.frameworks.iter().any(|f| f.label == *label) {
            eprintln!("the {what} {label} is left out: {first} takes its place");
            *label = first.clone();
        }
    }
    scenario.blocks = args.blocks.unwrap_or(scenario.blocks);
    Ok(())
}

/// Absolute, because children may be told paths below it.
fn scenario_dir(scenario: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(scenario).with_context(|| scenario.display().to_string())?;
    Ok(path.parent().unwrap_or(Path::new("/")).to_owned())
}

fn vocab_size(model: &ModelFile) -> Result<u32> {
    let gguf = Gguf::open(&model.path)?;
    let tokens = gguf.require_strings("tokenizer.ggml.tokens")?;
    u32::try_from(tokens.len()).context("the vocabulary is too large")
}

/// Hides the home directory and the path to the repository in which the scenario, or the bundle, lies.
fn redactor(scenario: &Path) -> Redactor {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let absolute = std::path::absolute(scenario).ok();
    let root = absolute.as_deref().and_then(|p| p.ancestors().find(|dir| dir.join(".git").exists()));
    Redactor::new(home.as_deref(), root)
}
