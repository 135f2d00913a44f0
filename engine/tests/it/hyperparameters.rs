//! Model files whose hyperparameters lie: each is refused with the key that is wrong.

use crate::support::{Parts, rewritten, tiny};
use engine::gguf::Value;
use engine::simd::Level;
use engine::{ErrorKind, Model, ModelOptions};

fn check(name: &str, change: impl FnOnce(&mut Parts), kind: ErrorKind, key: &str) {
    let file = rewritten(&tiny("Q4_0").path, change);
    let error = Model::open(&file.path).expect_err(name);
    assert_eq!(error.kind(), kind, "{name}: {error}");
    assert_eq!(error.key(), Some(key), "{name}: {error}");
    assert_eq!(error.file(), Some(file.path.as_path()), "{name}: {error}");
}

fn set(key: &'static str, value: Value) -> impl FnOnce(&mut Parts) {
    move |parts| parts.set(key, value)
}

#[test]
fn counts_are_bounded() {
    for key in [
        "llama.block_count",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.context_length",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
    ] {
        check("zero", set(key, Value::U32(0)), ErrorKind::Value, key);
        check("enormous", set(key, Value::U32(u32::MAX)), ErrorKind::Value, key);
        check("negative", set(key, Value::I32(-1)), ErrorKind::Value, key);
        check("text", set(key, Value::String((*b"many").into())), ErrorKind::Type, key);
    }
}

#[test]
fn what_is_needed_is_missed_by_name() {
    for key in ["llama.block_count", "llama.embedding_length", "llama.context_length", "general.architecture"]
    {
        check("missing", |p| p.remove(key), ErrorKind::Missing, key);
    }
    for name in ["token_embd.weight", "output_norm.weight", "blk.1.ffn_down.weight", "blk.0.attn_norm.weight"]
    {
        check("missing", |p| p.remove_tensor(name), ErrorKind::Missing, name);
    }
}

#[test]
fn shapes_follow_the_hyperparameters() {
    check("layers", set("llama.block_count", Value::U32(3)), ErrorKind::Missing, "blk.2.attn_norm.weight");
    check(
        "width",
        set("llama.embedding_length", Value::U32(512)),
        ErrorKind::Shape,
        "blk.0.attn_norm.weight",
    );
    check("ffn", set("llama.feed_forward_length", Value::U32(64)), ErrorKind::Shape, "blk.0.ffn_gate.weight");
    let kv = set("llama.attention.head_count_kv", Value::U32(1));
    check("kv heads", kv, ErrorKind::Shape, "blk.0.attn_k.weight");
}

#[test]
fn values_must_mean_something() {
    let kv = "llama.attention.head_count_kv";
    check("uneven groups", set(kv, Value::U32(3)), ErrorKind::Value, kv);
    let eps = "llama.attention.layer_norm_rms_epsilon";
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        check("epsilon", set(eps, Value::F32(value)), ErrorKind::Value, eps);
    }
    let base = "llama.rope.freq_base";
    check("rope base", set(base, Value::F32(0.0)), ErrorKind::Value, base);
    let dims = "llama.rope.dimension_count";
    check("odd rotation", set(dims, Value::U32(3)), ErrorKind::Value, dims);
    check("rotation beyond the head", set(dims, Value::U32(4096)), ErrorKind::Value, dims);
}

#[test]
fn what_is_not_supported_is_named() {
    let unknown = "general.architecture";
    check("architecture", set(unknown, Value::String((*b"mamba").into())), ErrorKind::Unsupported, unknown);
    let kind = "llama.rope.scaling.type";
    check("scaling", set(kind, Value::String((*b"spiral").into())), ErrorKind::Unsupported, kind);
    let experts = "llama.expert_count";
    check("experts", set(experts, Value::U32(8)), ErrorKind::Unsupported, experts);
}

#[test]
fn a_tensor_that_nothing_reads_is_named() {
    let add = |name: &'static str| move |parts: &mut Parts| parts.add_vector(name, &[1.0; 64]);
    for name in [
        "blk.0.attn_q_norm.weight",
        "blk.1.ffn_gate.scale",
        "blk.2.attn_norm.weight",
        "output.bias",
        "rope_factors_long.weight",
    ] {
        check("not read", add(name), ErrorKind::Unsupported, name);
    }
    let harmless = rewritten(&tiny("Q4_0").path, add("blk.0.attn_rot_embd.weight"));
    Model::open(&harmless.path).unwrap();
}

#[test]
fn nan_scales_show_in_the_result() {
    for damaged in ["attn_q.", "attn_k.", "attn_v.", "ffn_up."] {
        let file = rewritten(&tiny("Q4_0").path, |parts| {
            for (tensor, bytes) in &mut parts.tensors {
                if tensor.name.contains(damaged) {
                    bytes.fill(0xff);
                }
            }
        });
        for level in Level::available() {
            let options = ModelOptions { level: Some(level), ..Default::default() };
            let model = Model::open_with(&file.path, options).unwrap();
            let mut session = model.session(Default::default()).unwrap();
            let logits = session.prefill(&[5, 6, 7]).unwrap().to_vec();
            assert!(logits.iter().all(|x| x.is_nan()), "{damaged} {}", level.name());
            assert!(session.decode(8).unwrap().iter().all(|x| x.is_nan()), "{damaged} {}", level.name());
            engine::sample::argmax(&logits);
        }
    }
}
