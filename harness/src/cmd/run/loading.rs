//! What a run works with: the scenario, the machine, the model file and the frameworks.

use super::frameworks::{Row, Search, find};
use super::preparing::prepare_rows;
use super::{Args, Usage, looking, missing};
use crate::bundle::{self, Bundle, ReadPerToken};
use crate::cache::Cache;
use crate::cmd::models::Meter;
use crate::framework::server_url::Secret;
use crate::framework::text::Words;
use crate::framework::{ModelRef, Registry, takes_text};
use crate::machine::Machine;
use crate::model::{self, ModelFile, Tools};
use crate::preflight::{Finding, MachineLock};
use crate::prompts::ordinary_ids;
use crate::redact::{BUILD_NAME, CACHE_NAME, OUT_NAME, Redactor, TMP_NAME};
use crate::scenario::{FULL_SESSION_BLOCKS, Scenario};
use anyhow::{Context, Result};
use engine::Tokenizer;
use engine::gguf::Gguf;
use engine::tokenizer::EncodeOptions;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that is there before anything is planned.
pub(super) struct Loaded {
    /// With the command line's changes.
    pub(super) scenario: Scenario,
    pub(super) scenario_text: String,
    pub(super) scenario_sha256: String,
    pub(super) seed: u64,
    pub(super) registry: Registry,
    pub(super) machine: Machine,
    /// What spoke against measuring on it.
    pub(super) findings: Vec<Finding>,
    /// No other run measures meanwhile.
    pub(super) _lock: Option<MachineLock>,
    pub(super) model: ModelFile,
    /// Tokens of the model's vocabulary, of which prompts are drawn.
    pub(super) vocab_size: u32,
    pub(super) read_per_token: Option<ReadPerToken>,
    /// [`VERIFY_TEXT`] and [`FORCED_TEXT`] in this vocabulary; `None` where it has no such words.
    pub(super) verify_text: Option<VerifyText>,
    /// Of the model, where it is of a kind that the engine knows.
    pub(super) tokenizer: Option<Arc<Tokenizer>>,
    /// What prompts are made of where a row takes only text, if the vocabulary has it.
    pub(super) words: Option<Words>,
    /// The keys of servers, by the variable that holds them.
    pub(super) keys: BTreeMap<String, Secret>,
    pub(super) cache: Cache,
    /// One for each row of the scenario.
    pub(super) rows: Vec<Row>,
    pub(super) redactor: Redactor,
    /// The bundle to go on with.
    pub(super) resumed: Option<Bundle>,
}

/// A text for the verification, as token ids.
pub(super) struct VerifyText {
    /// To be continued greedily.
    pub(super) prompt: Vec<u32>,
    /// What is given as its continuation.
    pub(super) forced: Vec<u32>,
}

pub(super) fn load(args: &Args) -> Result<Loaded> {
    let registry = args.more.registry().map_err(|e| Usage(e.to_string()))?;
    let resumed = args.resume.as_deref().map(bundle::read).transpose().map_err(|e| Usage(e.to_string()))?;
    if let (Some(file), None) =
        (resumed.as_ref().and_then(|bundle| bundle.manifest.frameworks_file.as_ref()), args.more.file())
    {
        let message = format!("the run was begun with --frameworks {}: give it again", file.path);
        return Err(Usage(message).into());
    }
    if let (Some(bundle), Some(dir)) = (&resumed, &args.resume) {
        looking::check_same_machine(&bundle.manifest.machine, &Machine::detect())
            .map_err(|why| Usage(format!("{}: cannot be resumed: {why}", dir.display())))?;
    }
    let (mut scenario, scenario_text) =
        Scenario::load(&args.scenario, &registry.known()).map_err(|e| Usage(e.to_string()))?;
    let mut seed = args.seed.unwrap_or(scenario.seed);
    match &resumed {
        Some(bundle) => {
            // In the bundle the path of the model is redacted; the text is the same, or resuming is refused.
            let model = std::mem::replace(&mut scenario, bundle.manifest.scenario.clone()).model;
            scenario.model = model;
            seed = bundle.manifest.seed;
        }
        None => change(&mut scenario, args)?,
    }
    let cache = Cache::from_env()?;
    // Before anything is installed, hashed or made: that would disturb a run that measures.
    let lock = (!args.dry_run || args.setup).then(|| looking::lock(&cache)).transpose()?;
    let base_dir = scenario_dir(&args.scenario)?;
    let search = Search {
        registry: &registry,
        cache: &cache,
        base_dir: &base_dir,
        install: args.setup,
        given: &args.programs,
        allow_remote: args.allow_remote,
    };
    let mut rows = find(&scenario, &search)?;
    // The plan that a dry run shows tells them too.
    if !args.dry_run {
        missing::announce(&rows);
    }
    let is_new = resumed.is_none() && !args.dry_run;
    if is_new {
        missing::check_baseline(args, &scenario, &rows)?;
    }
    let mut meter = Meter::new();
    let model = model::ensure(&scenario.model, &base_dir, &cache, &Tools::default(), &mut |p| meter.show(p))
        .with_context(|| format!("the model of {}", args.scenario.display()))?;
    meter.end();
    if let Some(reason) = &model.stand_in_reason {
        eprintln!("{}: {reason}", model.name);
    }
    let (machine, findings) = match &resumed {
        Some(bundle) => (bundle.manifest.machine.clone(), bundle.manifest.preflight.clone()),
        None if args.dry_run => (Machine::detect(), Vec::new()),
        None => {
            let machine = looking::machine(&scenario)?;
            let findings = looking::findings(args, &scenario, &machine, model.bytes)?;
            (machine, findings)
        }
    };
    if !args.dry_run {
        let file = ModelRef { path: &model.path, sha256: &model.sha256 };
        prepare_rows(&mut rows, &registry, file, &cache)?;
    }
    if is_new {
        missing::check_baseline(args, &scenario, &rows)?;
    }
    let gguf = Gguf::open(&model.path)?;
    let tokenizer = Tokenizer::from_gguf(&gguf).ok().map(Arc::new);
    let (vocab_size, verify_text) = vocabulary(&gguf, tokenizer.as_deref())?;
    let words = tokenizer
        .as_deref()
        .filter(|_| needs_text(&scenario, &registry))
        .and_then(|tokenizer| Words::of(tokenizer, ordinary_ids(vocab_size)));
    let keys = keys(&scenario, &registry);
    let redactor =
        keys.values().fold(redactor(args, &cache), |redactor, key| redactor.with_secret(key.reveal()));
    let read_per_token = model::read_per_token(&gguf)
        .map(|(weights_bytes, kv_bytes_per_position)| ReadPerToken { weights_bytes, kv_bytes_per_position });
    Ok(Loaded {
        vocab_size,
        verify_text,
        read_per_token,
        scenario_sha256: format!("{:x}", Sha256::digest(&scenario_text)),
        redactor,
        tokenizer,
        words,
        keys,
        cache,
        machine,
        findings,
        _lock: lock,
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
    for name in args.only.iter().chain(&args.skip) {
        if !scenario.frameworks.iter().any(|f| f.is_meant_by(name)) {
            let labels: Vec<&str> = scenario.frameworks.iter().map(|f| f.label.as_str()).collect();
            return Err(Usage(format!("no row `{name}` in the scenario; it has: {}", labels.join(", "))));
        }
    }
    scenario.frameworks.retain(|f| {
        let named = |list: &[String]| list.iter().any(|name| f.is_meant_by(name));
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
    if let Some(blocks) = args.blocks {
        scenario.control &= blocks >= FULL_SESSION_BLOCKS;
        (scenario.blocks, scenario.blocks_max, scenario.target_ci) = (blocks, blocks, None);
    }
    Ok(())
}

/// Absolute, because children may be told paths below it.
fn scenario_dir(scenario: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(scenario).with_context(|| scenario.display().to_string())?;
    Ok(path.parent().unwrap_or(Path::new("/")).to_owned())
}

/// What the verification continues. Its repetition leaves no doubt about how it goes on: after random ids the
/// likeliest tokens are nearly equal, and two right computations part at the second or third one.
const VERIFY_TEXT: &str = "The quick brown fox jumps over the lazy dog. The quick brown fox jumps over the lazy dog. \
                           The quick brown fox jumps over the";

/// What the verification gives as the continuation of [`VERIFY_TEXT`]. Plain words and a list that everybody knows:
/// with SmolLM2 the likeliest token leads at each of the first 32 positions by 0.4 nats or more, so that rounding
/// does not decide which one it is.
const FORCED_TEXT: &str = " lazy dog. The dog is asleep in the sun and does not see the fox. The days of the week are \
                           Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.";

/// Whether a row takes only text, so that the prompts of all are made of words.
fn needs_text(scenario: &Scenario, registry: &Registry) -> bool {
    scenario.frameworks.iter().filter_map(|f| registry.get(&f.id)).any(takes_text)
}

/// The keys of the rows' servers, by the variables that their entries name.
fn keys(scenario: &Scenario, registry: &Registry) -> BTreeMap<String, Secret> {
    let entries = scenario.frameworks.iter().filter_map(|f| registry.get(&f.id));
    let variables = entries.filter_map(|entry| entry.key_variable.clone());
    let keys =
        variables.filter_map(|name| Some((std::env::var(&name).ok().filter(|key| !key.is_empty())?, name)));
    keys.map(|(key, name)| (name, Secret::new(key))).collect()
}

/// Size of the vocabulary, and the verification's text.
fn vocabulary(gguf: &Gguf, tokenizer: Option<&Tokenizer>) -> Result<(u32, Option<VerifyText>)> {
    let tokens = gguf.require_strings("tokenizer.ggml.tokens")?;
    let size = u32::try_from(tokens.len()).context("the vocabulary is too large")?;
    let options = EncodeOptions { add_special: true, parse_special: false };
    let text = tokenizer.and_then(|tokenizer| {
        let prompt = tokenizer.encode(VERIFY_TEXT.as_bytes(), options);
        let mut all = tokenizer.encode(format!("{VERIFY_TEXT}{FORCED_TEXT}").as_bytes(), options);
        let forced = all.split_off(prompt.len().min(all.len()));
        (!prompt.is_empty()).then_some(VerifyText { prompt, forced })
    });
    Ok((size, text))
}

/// Hides the home directory, the path to the repository in which the scenario lies (else to the scenario), and the
/// directories of the harness itself.
fn redactor(args: &Args, cache: &Cache) -> Redactor {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let absolute = std::path::absolute(&args.scenario).ok();
    let root = absolute.as_deref().and_then(|p| p.ancestors().find(|dir| dir.join(".git").exists()));
    let root = root.or_else(|| absolute.as_deref().and_then(Path::parent));
    let out = args.resume.as_deref().and_then(Path::parent).unwrap_or(&args.out);
    let others = [
        (Some(cache.root().to_owned()), CACHE_NAME),
        (build_dir(), BUILD_NAME),
        (std::path::absolute(out).ok(), OUT_NAME),
        (Some(std::env::temp_dir()), TMP_NAME),
    ];
    let is_below_root = |path: &Path| root.is_some_and(|root| path.starts_with(root));
    others.into_iter().fold(Redactor::new(home.as_deref(), root), |redactor, (path, name)| match path {
        Some(path) if !is_below_root(&path) => redactor.with(&path, name),
        _ => redactor,
    })
}

/// Cargo's target directory, which it marks so, or else the directory of this program.
fn build_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let target = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.or(program.parent()).map(Path::to_owned)
}
