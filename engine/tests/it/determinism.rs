//! The same logits, bit for bit, whatever the threads, the chunking and the instructions.

use crate::support::{ids, tiny};
use engine::simd::Level;
use engine::{Model, ModelOptions, SessionOptions};

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
