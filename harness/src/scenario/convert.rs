//! From what was written to what is meant. All rules are checked, so that a person sees every problem at once.

use super::explain::suggestion;
use super::locate::KeyPath;
use super::wire::{
    KV_TYPES, PINS, Wire, WireLimits, WireModel, WirePlatform, WireSource, WireWorkload, bounds,
};
use super::{
    CROSS_CHECK_FRAMEWORK, CROSS_CHECK_LABEL, FULL_SESSION_BLOCKS, Known, Limits, ModelSource, ModelSpec,
    Pin, PlatformSpec, Scenario, Workload,
};
use std::collections::BTreeMap;
use std::fmt::Display;

/// A scenario that has the right form, and what it is checked against.
pub(super) struct Raw<'a> {
    /// Name of the scenario.
    pub(super) name: String,
    /// What was written.
    pub(super) wire: Wire,
    /// The frameworks that there are.
    pub(super) known: &'a [Known<'a>],
}

/// A broken rule and where.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) path: KeyPath,
    pub(super) message: String,
}

impl TryFrom<Raw<'_>> for Scenario {
    type Error = Vec<Finding>;

    fn try_from(Raw { name, wire, known }: Raw<'_>) -> Result<Self, Vec<Finding>> {
        let mut c = Checker::default();
        c.line_of_text(&root("title"), &wire.title);
        c.numbers(&wire);
        let model = c.model(wire.model);
        let platform = wire.platform.map(|p| c.platform(p));
        let frameworks = c.frameworks(wire.frameworks, known);
        let labels: Vec<&str> = frameworks.iter().map(|f| f.label.as_str()).collect();
        c.one_of_rows("baseline", &wire.baseline, &frameworks);
        c.one_of_rows("subject", &wire.subject, &frameworks);
        let workloads = c.workloads(wire.workloads, wire.cold_generate, wire.verify_tokens);
        c.distinct_launches(&labels, &workloads);
        let has_llama = frameworks.iter().any(|f| f.id == CROSS_CHECK_FRAMEWORK);
        if wire.cross_check == Some(true) && !has_llama {
            c.found(
                root("cross_check"),
                format!("needs {CROSS_CHECK_FRAMEWORK} among the frameworks; add it or say false"),
            );
        }
        let blocks_max = c.blocks_max(&wire.target_ci, wire.blocks, wire.blocks_max);
        let pin = c.pin(&wire.pin);
        let limits = c.limits(&wire.limits);
        let scenario = Scenario {
            name,
            title: wire.title,
            description: wire.description,
            model: model.unwrap_or_else(placeholder_model),
            platform,
            frameworks,
            baseline: wire.baseline,
            subject: wire.subject,
            workloads,
            threads: wire.threads,
            blocks: wire.blocks,
            repetitions: wire.repetitions,
            cold_generate: wire.cold_generate,
            seed: wire.seed,
            kv_type: wire.kv_type,
            batch: wire.batch,
            launch_timeout_s: wire.launch_timeout_s,
            equivalence_margin: wire.equivalence_margin,
            verify_tokens: wire.verify_tokens,
            cross_check: wire.cross_check.unwrap_or(has_llama),
            control: wire.control.unwrap_or(wire.blocks >= FULL_SESSION_BLOCKS),
            target_ci: wire.target_ci,
            blocks_max,
            pin,
            limits,
        };
        if c.findings.is_empty() { Ok(scenario) } else { Err(c.findings) }
    }
}

/// Most blocks where the scenario asks for a width and names no cap.
const BLOCKS_MAX: u32 = 40;

/// Never leaves this module: a finding stands for it.
fn placeholder_model() -> ModelSpec {
    let source = ModelSource::Path(String::new());
    ModelSpec {
        name: String::new(),
        quantization: String::new(),
        source,
        sha256: None,
        bytes: None,
        stand_in: None,
    }
}

pub(super) fn root(key: &str) -> KeyPath {
    KeyPath::default().key(key)
}

#[derive(Default)]
pub(super) struct Checker {
    findings: Vec<Finding>,
}

impl Checker {
    pub(super) fn found(&mut self, path: KeyPath, message: impl Into<String>) {
        self.findings.push(Finding { path, message: message.into() });
    }

    fn range<T: PartialOrd + Display>(&mut self, path: KeyPath, value: T, (min, max): (T, T)) {
        if value > max {
            self.found(path, format!("must be at most {max} (got {value})"));
        } else if !matches!(value.partial_cmp(&min), Some(order) if order.is_ge()) {
            self.found(path, format!("must be at least {min} (got {value})"));
        }
    }

    /// Between `min` and `max` elements, called `what`.
    pub(super) fn count(&mut self, path: KeyPath, n: usize, (min, max): (usize, usize), what: &str) {
        if n < min {
            self.found(path, format!("is empty; name at least {min} {what}"));
        } else if n > max {
            self.found(path, format!("must have at most {max} elements (got {n})"));
        }
    }

    fn line_of_text(&mut self, path: &KeyPath, text: &str) {
        if text.trim().is_empty() {
            self.found(path.clone(), "is empty; write a few words");
        } else if text.contains(['\n', '\r']) {
            self.found(path.clone(), "must be one line of text");
        }
    }

    /// A name that is part of launch ids and file names.
    pub(super) fn slug(&mut self, path: &KeyPath, name: &str) {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(fits) {
            let rule = "must begin with a letter or digit and have only letters, digits and `._+-`";
            self.found(path.clone(), format!("{rule} (got {name:?})"));
        }
        if name.chars().count() > bounds::LABEL_CHARS.1 {
            self.found(path.clone(), format!("must have at most {} characters", bounds::LABEL_CHARS.1));
        }
    }

    pub(super) fn unique<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        path: impl Fn(usize) -> KeyPath,
        remedy: &str,
    ) {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, name) in names.enumerate() {
            if let Some(before) = first.get(name) {
                self.found(path(i), format!("`{name}` is already taken by {}; {remedy}", path(*before)));
            } else {
                first.insert(name, i);
            }
        }
    }

    fn numbers(&mut self, w: &Wire) {
        self.count(root("threads"), w.threads.len(), bounds::N_THREADS, "thread count");
        for (i, &t) in w.threads.iter().enumerate() {
            let path = root("threads").index(i);
            match i.checked_sub(1).map(|before| w.threads[before]) {
                Some(before) if t <= before && t > 0 => {
                    self.found(path, format!("must be greater than the one before it, {before} (got {t})"));
                }
                _ => self.range(path, t, bounds::THREADS),
            }
        }
        self.range(root("blocks"), w.blocks, bounds::BLOCKS);
        self.range(root("repetitions"), w.repetitions, bounds::REPETITIONS);
        self.range(root("cold_generate"), w.cold_generate, bounds::COLD_GENERATE);
        self.range(root("batch"), w.batch, bounds::BATCH);
        self.range(root("launch_timeout_s"), w.launch_timeout_s, bounds::LAUNCH_TIMEOUT_S);
        self.range(root("equivalence_margin"), w.equivalence_margin, bounds::MARGIN);
        self.range(root("verify_tokens"), w.verify_tokens, bounds::VERIFY_TOKENS);
        if !KV_TYPES.contains(&w.kv_type.as_str()) {
            self.found(
                root("kv_type"),
                format!("unknown type `{}`{}", w.kv_type, suggestion(&w.kv_type, &KV_TYPES)),
            );
        }
    }

    fn blocks_max(&mut self, target_ci: &Option<f64>, blocks: u32, most: Option<u32>) -> u32 {
        if let Some(target) = *target_ci {
            self.range(root("target_ci"), target, bounds::TARGET_CI);
        }
        match (target_ci, most) {
            (None, Some(_)) => {
                self.found(root("blocks_max"), "means nothing without target_ci; add that or leave this out");
                blocks
            }
            (None, None) => blocks,
            (Some(_), None) => blocks.max(BLOCKS_MAX),
            (Some(_), Some(most)) => {
                self.range(root("blocks_max"), most, (blocks, bounds::BLOCKS.1));
                most
            }
        }
    }

    fn pin(&mut self, pin: &str) -> Pin {
        match pin {
            "on" => Pin::On,
            "off" => Pin::Off,
            "auto" => Pin::Auto,
            other => {
                self.found(root("pin"), format!("unknown value `{other}`{}", suggestion(other, &PINS)));
                Pin::Auto
            }
        }
    }

    fn limits(&mut self, l: &WireLimits) -> Limits {
        let mut one = |key: &str, value: Option<f64>, bounds, default: f64| {
            let value = value.unwrap_or(default);
            self.range(root("limits").key(key), value, bounds);
            value
        };
        let Limits { canary_drift, steal, other_cpu, involuntary_switches_per_s, major_faults } =
            Limits::default();
        Limits {
            canary_drift: one("canary_drift", l.canary_drift, bounds::SHARE, canary_drift),
            steal: one("steal", l.steal, bounds::SHARE, steal),
            other_cpu: one("other_cpu", l.other_cpu, bounds::OTHER_CPU, other_cpu),
            involuntary_switches_per_s: one(
                "involuntary_switches_per_s",
                l.involuntary_switches_per_s,
                bounds::SWITCHES,
                involuntary_switches_per_s,
            ),
            major_faults: l.major_faults.unwrap_or(major_faults),
        }
    }

    fn platform(&mut self, p: WirePlatform) -> PlatformSpec {
        self.line_of_text(&root("platform").key("name"), &p.name);
        if let Some(ghz) = p.nominal_ghz {
            self.range(root("platform").key("nominal_ghz"), ghz, bounds::NOMINAL_GHZ);
        }
        PlatformSpec { name: p.name, nominal_ghz: p.nominal_ghz, processors: p.processors }
    }

    fn model(&mut self, m: WireModel) -> Option<ModelSpec> {
        let at = |key: &str| root("model").key(key);
        self.line_of_text(&at("name"), &m.name);
        self.line_of_text(&at("quantization"), &m.quantization);
        if let Some(shape) = &m.stand_in {
            self.shape(at("stand_in"), shape);
        }
        if let Some(bytes) = m.bytes {
            self.range(at("bytes"), bytes, bounds::MODEL_BYTES);
        }
        match &m.sha256 {
            Some(hash) if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                self.found(
                    at("sha256"),
                    format!("must be 64 hexadecimal digits (got {} characters)", hash.chars().count()),
                );
            }
            None if m.source.url.is_some() || m.source.wheel.is_some() => {
                self.found(
                    at("sha256"),
                    "missing key; a file from elsewhere needs its sha256 (`sha256sum FILE` tells it)",
                );
            }
            _ => {}
        }
        let source = self.source(m.source)?;
        Some(ModelSpec {
            name: m.name,
            quantization: m.quantization,
            source,
            sha256: m.sha256.map(|h| h.to_ascii_lowercase()),
            bytes: m.bytes,
            stand_in: m.stand_in,
        })
    }

    fn shape(&mut self, path: KeyPath, shape: &str) {
        let names: Vec<&str> = engine::synth::shapes().iter().map(|s| s.name).collect();
        let is_named = |name: &&str| {
            shape.strip_prefix(*name).is_some_and(|r| r.is_empty() || r.starts_with(['-', ':']))
        };
        if !names.iter().any(is_named) {
            self.found(path, format!("unknown shape `{shape}`{}", suggestion(shape, &names)));
        }
    }

    fn source(&mut self, s: WireSource) -> Option<ModelSource> {
        let at = |key: &str| root("model").key("source").key(key);
        let wheel = s.wheel.map(|w| {
            let path = at("wheel");
            self.slug(&path.key("package"), &w.package);
            self.slug(&path.key("version"), &w.version);
            let parts: Vec<&str> = w.member.split('/').collect();
            if parts.iter().any(|p| ["", ".", ".."].contains(p)) || w.member.contains(['\\', '\0']) {
                self.found(
                    path.key("member"),
                    "must be the path of a file inside the wheel, like `package/model.gguf`",
                );
            }
            ModelSource::Wheel { package: w.package, version: w.version, member: w.member }
        });
        let synthetic = s.synthetic.map(|s| {
            self.shape(at("synthetic").key("shape"), &s.shape);
            ModelSource::Synthetic { shape: s.shape, seed: s.seed }
        });
        if let Some(url) = s.url.as_ref().filter(|u| !u.starts_with("https://") && !u.starts_with("http://"))
        {
            self.found(
                at("url"),
                format!("must begin with https:// or http:// (got {url:?}); a local file is `path`"),
            );
        }
        if s.path.as_ref().is_some_and(|p| p.trim().is_empty()) {
            self.found(at("path"), "is empty; name a file, relative to the scenario");
        }
        let given = [s.path.map(ModelSource::Path), s.url.map(ModelSource::Url), wheel, synthetic];
        let mut given: Vec<ModelSource> = given.into_iter().flatten().collect();
        if given.len() != 1 {
            let message =
                format!("must have exactly one of path, url, wheel, synthetic (got {})", given.len());
            self.found(root("model").key("source"), message);
        }
        given.pop()
    }

    fn workloads(&mut self, workloads: Vec<WireWorkload>, cold: u32, verify: u32) -> Vec<Workload> {
        let at = |i: usize| root("workloads").index(i);
        self.count(root("workloads"), workloads.len(), bounds::N_WORKLOADS, "workload");
        for (i, w) in workloads.iter().enumerate() {
            self.slug(&at(i).key("name"), &w.name);
            self.range(at(i).key("prompt_tokens"), w.prompt_tokens, bounds::PROMPT_TOKENS);
            self.range(at(i).key("generate_tokens"), w.generate_tokens, bounds::GENERATE_TOKENS);
            self.range(at(i).key("context"), w.context, bounds::CONTEXT);
            let needs = [
                ("prompt_tokens + generate_tokens", w.prompt_tokens, w.generate_tokens),
                ("prompt_tokens + cold_generate", w.prompt_tokens, cold),
                ("1 + verify_tokens", 1, verify),
            ];
            let need = |&(_, prompt, generate): &(&str, u32, u32)| u64::from(prompt) + u64::from(generate);
            let short = needs.iter().find(|n| need(n) > u64::from(w.context));
            if let Some(n) = short {
                let message = format!("must hold {} = {} positions (got {})", n.0, need(n), w.context);
                self.found(at(i).key("context"), message);
            }
        }
        self.unique(workloads.iter().map(|w| w.name.as_str()), |i| at(i).key("name"), "choose another name");
        let convert = |w: WireWorkload| Workload {
            name: w.name,
            prompt_tokens: w.prompt_tokens,
            generate_tokens: w.generate_tokens,
            context: w.context,
        };
        workloads.into_iter().map(convert).collect()
    }

    /// `a-b` with `c` and `a` with `b-c` would give two launches one id.
    fn distinct_launches(&mut self, labels: &[&str], workloads: &[Workload]) {
        let mut seen: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for label in labels.iter().copied().chain([CROSS_CHECK_LABEL]) {
            for (i, w) in workloads.iter().enumerate() {
                let this = (label, w.name.as_str());
                let before = *seen.entry(format!("{label}-{}", w.name)).or_insert(this);
                if before != this {
                    let message = format!(
                        "`{}` with framework `{label}` reads like `{}` with `{}`; rename one",
                        w.name, before.1, before.0
                    );
                    self.found(root("workloads").index(i).key("name"), message);
                }
            }
        }
    }
}
