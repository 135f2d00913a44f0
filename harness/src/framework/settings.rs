//! The gates on what a runner tells of its settings and of its model file.

use super::gates::is_context_close;
use crate::protocol::{Job, Settings, WeightsClass};
use crate::sample::{Gate, gate};
use crate::scenario::{Scenario, Workload};

/// What a runner was asked to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// KV positions.
    pub context: u32,
    /// Prompt tokens per batch.
    pub batch: u32,
    /// KV cache element type.
    pub kv_type: &'a str,
    /// Lower-case hexadecimal.
    pub model_sha256: &'a str,
    /// Size of the model file, where it is known.
    pub model_bytes: Option<u64>,
}

impl<'a> Asked<'a> {
    /// By a job, which does not tell the size of the file.
    pub fn of(job: &'a Job) -> Asked<'a> {
        Asked {
            context: job.context,
            batch: job.batch,
            kv_type: &job.kv_type,
            model_sha256: &job.model.sha256,
            model_bytes: None,
        }
    }

    /// By a scenario, of the model with this hash and size.
    pub fn by(scenario: &'a Scenario, workload: &Workload, model: (&'a str, u64)) -> Asked<'a> {
        Asked {
            context: workload.context,
            batch: scenario.batch,
            kv_type: &scenario.kv_type,
            model_sha256: model.0,
            model_bytes: Some(model.1),
        }
    }
}

/// [`gate::WEIGHTS`] and [`gate::SETTINGS`]; none for what the runner does not tell.
///
/// The context must be the one asked for (rounded up by less than 256), and no element of the KV cache may have fewer
/// bits than those asked for: both would be other work. The batch is recorded: a framework that cannot be told one
/// is measured with its own. So are options: a row may ask for what makes it slower.
pub fn settings_gates(asked: &Asked, class: WeightsClass, told: &Settings) -> Vec<Gate> {
    let short = |sha256: &str| sha256.chars().take(12).collect::<String>();
    let bytes = told.model_bytes.zip(asked.model_bytes);
    let sha256 = told.model_sha256.as_deref();
    let weights = [
        bytes.map(|(n, wanted)| (n == wanted, format!("{wanted} bytes"), format!("{n} bytes"))),
        sha256.map(|told| {
            let (wanted, seen) = (short(asked.model_sha256), short(told));
            (told == asked.model_sha256, format!("sha256 {wanted}…"), format!("sha256 {seen}…"))
        }),
    ];
    let kv_type = told.kv_type.as_deref();
    let settings = [
        told.context.map(|n| {
            (is_context_close(asked.context, n), format!("context {}", asked.context), format!("context {n}"))
        }),
        told.batch.map(|n| (true, format!("batch {} (not gated)", asked.batch), format!("batch {n}"))),
        kv_type.map(|told| {
            let wanted = format!("kv_type {} or wider", asked.kv_type);
            (is_as_wide(asked.kv_type, told), wanted, format!("kv_type {told}"))
        }),
    ];
    let option = |(name, value): (&String, &String)| {
        Some((true, format!("{name} (not gated)"), format!("{name} {value}")))
    };
    let settings: Vec<Told> = settings.into_iter().chain(told.options.iter().map(option)).collect();
    let class = format!(", class {class:?}");
    [one(gate::WEIGHTS, &weights, &class), one(gate::SETTINGS, &settings, "")].into_iter().flatten().collect()
}

/// What was told, as (holds, wanted, seen).
type Told = Option<(bool, String, String)>;

/// One gate of all that was told; `None` where nothing was.
fn one(name: &str, told: &[Told], suffix: &str) -> Option<Gate> {
    let told: Vec<_> = told.iter().flatten().collect();
    let list = |of: fn(&(bool, String, String)) -> &str| {
        told.iter().map(|entry| of(entry)).collect::<Vec<_>>().join(", ")
    };
    (!told.is_empty()).then(|| Gate {
        name: name.into(),
        passed: told.iter().all(|entry| entry.0),
        wanted: list(|entry| &entry.1),
        seen: list(|entry| &entry.2) + suffix,
    })
}

/// Whether elements of the type `told` have at least the bits of those of `wanted`. A name that tells no bits is judged
/// by being the same.
fn is_as_wide(wanted: &str, told: &str) -> bool {
    match (bits(wanted), bits(told)) {
        (Some(wanted), Some(told)) => told >= wanted,
        _ => wanted == told,
    }
}

/// The first number in a type's name: 16 of `bf16`, 8 of `q8_0`, 32 of `float32`.
fn bits(kv_type: &str) -> Option<u32> {
    let digits = kv_type.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked = Asked {
        context: 100,
        batch: 512,
        kv_type: "f16",
        model_sha256: "0123456789abcdef",
        model_bytes: Some(7),
    };

    fn check(told: Settings, wanted: &[&str]) {
        let line = |g: Gate| format!("{} {}: {} / {}", g.name, g.passed, g.wanted, g.seen);
        let seen: Vec<String> =
            settings_gates(&ASKED, WeightsClass::B, &told).into_iter().map(line).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn what_a_runner_tells_is_compared_with_what_was_asked() {
        let none = Settings::default;
        check(none(), &[]);
        let told = Settings {
            context: Some(256),
            batch: Some(64),
            kv_type: Some("f32".into()),
            ..Settings::default()
        };
        let wanted = "settings true: context 100, batch 512 (not gated), kv_type f16 or wider \
                      / context 256, batch 64, kv_type f32";
        check(told, &[wanted]);
        let options = [("simd", "avx2"), ("without", "none")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        check(
            Settings { options: options.into(), ..none() },
            &["settings true: simd (not gated), without (not gated) / simd avx2, without none"],
        );
        check(Settings { context: Some(99), ..none() }, &["settings false: context 100 / context 99"]);
        check(
            Settings { model_bytes: Some(7), model_sha256: Some("0123456789abcdef".into()), ..none() },
            &["weights true: 7 bytes, sha256 0123456789ab… / 7 bytes, sha256 0123456789ab…, class B"],
        );
        check(Settings { model_bytes: Some(8), ..none() }, &["weights false: 7 bytes / 8 bytes, class B"]);
        check(
            Settings { model_sha256: Some("f".into()), ..none() },
            &["weights false: sha256 0123456789ab… / sha256 f…, class B"],
        );
        let unknown_size = Asked { model_bytes: None, ..ASKED };
        let told = Settings { model_bytes: Some(8), ..none() };
        assert_eq!(settings_gates(&unknown_size, WeightsClass::A, &told), [], "not known, not judged");
    }

    #[test]
    fn a_cache_of_fewer_bits_is_other_work() {
        for (told, passed) in [
            ("f16", true),
            ("bf16", true),
            ("float32", true),
            ("q8_0", false),
            ("u8", false),
            ("fp8_e4m3", false),
            ("half", false),
        ] {
            assert_eq!(is_as_wide("f16", told), passed, "{told}");
        }
        assert!(is_as_wide("half", "half") && is_as_wide("q8_0", "u8"));
    }
}
