//! What this runner was built from and for.

/// The version of candle that Cargo.toml pins.
pub(crate) const CANDLE_VERSION: &str = "0.11.1";

/// Lists those of the named target features that the compiler was told to use.
macro_rules! compiled_in {
    ($($name:tt),*) => {
        [$(($name, cfg!(target_feature = $name))),*].into_iter().filter(|f| f.1).map(|f| f.0)
    };
}

/// Target features that candle's kernels, and the compiler in its loops, make use of.
fn target_features() -> Vec<&'static str> {
    compiled_in!(
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avxvnni",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512vnni",
        "neon",
        "dotprod",
        "i8mm",
        "fp16",
        "sve"
    )
    .collect()
}

/// Build flags, as far as they matter for speed: profile and target features.
pub(crate) fn build() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let features = target_features();
    let features = if features.is_empty() { "baseline".to_owned() } else { features.join(" ") };
    format!("{profile}, {}: {features}", std::env::consts::ARCH)
}

/// What a reader of the report should know about how candle does the work.
pub(crate) fn features() -> Vec<String> {
    let mut features: Vec<String> = target_features().into_iter().map(str::to_owned).collect();
    features.extend(["KV cache in f32".to_owned(), "prompt in one batch".to_owned()]);
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_one_that_is_pinned() {
        let manifest = include_str!("../Cargo.toml");
        for name in ["candle-core", "candle-transformers"] {
            let line = format!("{name} = \"={CANDLE_VERSION}\"");
            assert!(manifest.lines().any(|l| l.starts_with(&line)), "Cargo.toml lacks `{line}`");
        }
    }
}
