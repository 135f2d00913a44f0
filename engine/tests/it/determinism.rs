//! The same logits, bit for bit, whatever the threads, the chunking and the instructions.

use crate::support::{ids, tiny};
use engine::simd::Level;
use engine::{KvType, Model, ModelOptions, Part, SessionOptions, Without};

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

fn last_logits(model: &Model, batch: usize, chunks: &[usize]) -> Vec<u32> {
    let options = SessionOptions { context: Some(128), batch: Some(batch), ..Default::default() };
    let mut session = model.session(options).unwrap();
    let ids = ids(chunks.iter().sum());
    let (mut at, mut last) = (0, Vec::new());
    for n in chunks {
        last = bits(session.prefill(&ids[at..at + n]).unwrap());
        at += n;
    }
    last
}

#[test]
fn threads_chunking_and_levels_do_not_change_a_bit() {
    for format in ["Q4_0", "Q4_1", "Q8_0", "Q6_K", "F16"] {
        let file = tiny(format);
        let mut all = Vec::new();
        for level in Level::available() {
            for threads in [1, 2, 5] {
                let options =
                    ModelOptions { threads: Some(threads), level: Some(level), ..Default::default() };
                let model = Model::open_with(&file.path, options).unwrap();
                for (batch, chunks) in [(128, &[67][..]), (16, &[67]), (128, &[1, 30, 35, 1]), (1, &[67])] {
                    let name = format!("{format} {} {threads} threads, {batch}, {chunks:?}", level.name());
                    all.push((name, last_logits(&model, batch, chunks)));
                }
            }
        }
        for (name, logits) in &all {
            assert!(logits == &all[0].1, "{name} differs from {}", all[0].0);
        }
        assert!(all[0].1.iter().all(|&b| f32::from_bits(b).is_finite()));
    }
}

/// What every processor must compute, as `engine generate --logits-hash` takes it (FNV-1a of 64 bits), at its best level.
const LOGITS: [(&str, u64); 5] = [
    ("Q4_0", 0x8195_2025_719d_ff8e),
    ("Q4_1", 0x39aa_c70e_29fe_13c1),
    ("Q8_0", 0x3d53_f136_05f5_9964),
    ("Q6_K", 0x71c6_382e_6b76_dd33),
    ("F16", 0x6c99_d3d7_029e_7a73),
];

#[test]
fn every_processor_computes_the_same_logits() {
    for (format, expected) in LOGITS {
        let model = Model::open(&tiny(format).path).unwrap();
        let bytes = last_logits(&model, 128, &[67]).into_iter().flat_map(u32::to_le_bytes);
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, expected, "{format}: {hash:#018x}");
    }
}

/// The logits after a prompt of 67 in passes of up to 64 tokens, and after each of 40 tokens that follow.
fn course(file: &std::path::Path, threads: usize, without: Without, kv_type: KvType) -> Vec<Vec<u32>> {
    let options = ModelOptions { threads: Some(threads), without: Some(without), ..Default::default() };
    let model = Model::open_with(file, options).unwrap();
    let options = SessionOptions { context: Some(128), batch: Some(64), kv_type, ..Default::default() };
    let mut session = model.session(options).unwrap();
    let mut all = vec![bits(session.prefill(&ids(67)).unwrap())];
    all.extend(ids(40).into_iter().map(|id| bits(session.decode(id).unwrap())));
    all
}

#[test]
fn what_is_left_out_changes_the_time_and_no_bit_but_for_the_cache() {
    for format in ["Q4_0", "Q6_K", "F16"] {
        let file = tiny(format);
        let whole = course(&file.path, 1, Without::default(), KvType::F16);
        let wide = course(&file.path, 1, Without::default(), KvType::F32);
        assert_ne!(whole, wide, "{format}: a cache of f32 is not rounded");
        let everything = Part::all().filter(|part| part.keeps_bits()).fold(Without::default(), Without::and);
        let alone = Part::all().map(|part| Without::default().and(part));
        for without in alone.chain([everything]) {
            let expected = if without.leaves_out(Part::HalfCache) { &wide } else { &whole };
            for threads in [1, 3] {
                let got = course(&file.path, threads, without, KvType::F16);
                assert!(&got == expected, "{format}, {threads} threads, without {without}");
            }
        }
    }
}

#[test]
fn a_cache_of_f32_is_twice_as_large_and_near_the_other() {
    let file = tiny("Q8_0");
    let model = Model::open(&file.path).unwrap();
    let session = |kv_type| {
        let options = SessionOptions { context: Some(64), kv_type, ..Default::default() };
        let mut session = model.session(options).unwrap();
        let logits = session.prefill(&ids(50)).unwrap().to_vec();
        (session.kv_bytes(), logits)
    };
    let ((half_bytes, half), (bytes, full)) = (session(KvType::F16), session(KvType::F32));
    assert_eq!(bytes, 2 * half_bytes);
    let scale = full.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let furthest = half.iter().zip(&full).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(furthest < 0.05 * scale, "{furthest} of {scale}");
}

#[test]
fn teacher_forcing_gives_the_logits_of_decoding() {
    let file = tiny("Q4_0");
    let model = Model::open(&file.path).unwrap();
    let options = SessionOptions { context: Some(80), ..Default::default() };
    let (mut forced, mut decoded) = (model.session(options).unwrap(), model.session(options).unwrap());
    let mut n = 0;
    forced
        .prefill_each(&ids(70), |t, logits| {
            assert_eq!(bits(logits), bits(decoded.decode(ids(70)[t]).unwrap()), "token {t}");
            n += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!((n, forced.len()), (70, 70));
}
