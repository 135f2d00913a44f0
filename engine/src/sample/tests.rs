use super::*;

/// ln of 8, 4, 2, 1, 1: probabilities 1/2, 1/4, 1/8, 1/16, 1/16.
fn logits() -> Vec<f32> {
    [1.0f32, 8.0, 4.0, 2.0, 1.0].iter().map(|weight| weight.ln()).collect()
}

fn options() -> SamplerOptions {
    SamplerOptions { temperature: 1.0, seed: 42, ..SamplerOptions::default() }
}

/// Draws 40,000 times and compares the frequencies.
fn check(options: SamplerOptions, want: [f64; 5]) {
    let mut sampler = Sampler::new(options).unwrap();
    let mut counts = [0; 5];
    for _ in 0..40_000 {
        counts[sampler.sample(&mut logits()) as usize] += 1;
    }
    for (id, want) in want.into_iter().enumerate() {
        let share = f64::from(counts[id]) / 40_000.0;
        assert!((share - want).abs() < 0.01 && (want > 0.0 || share == 0.0), "{counts:?}");
    }
}

#[test]
fn draws_by_the_softmax() {
    check(options(), [0.0625, 0.5, 0.25, 0.125, 0.0625]);
}

#[test]
fn temperature_comes_last() {
    // Halved temperature squares the weights: 64, 16, 4, 1, 1 of 86.
    let hot = SamplerOptions { temperature: 0.5, ..options() };
    check(hot.clone(), [1.0 / 86.0, 64.0 / 86.0, 16.0 / 86.0, 4.0 / 86.0, 1.0 / 86.0]);
    // After it the best two would hold 0.93; before it they hold 0.75, so that a third is kept.
    check(SamplerOptions { top_p: 0.8, ..hot }, [0.0, 64.0 / 84.0, 16.0 / 84.0, 4.0 / 84.0, 0.0]);
}

#[test]
fn filters_keep_what_they_promise() {
    check(SamplerOptions { top_k: 2, ..options() }, [0.0, 2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
    check(SamplerOptions { top_k: 1, ..options() }, [0.0, 1.0, 0.0, 0.0, 0.0]);
    // Of the two equals the lower id is kept.
    check(SamplerOptions { top_k: 4, ..options() }, [1. / 15., 8. / 15., 4. / 15., 2. / 15., 0.0]);
    check(SamplerOptions { top_p: 0.7, ..options() }, [0.0, 2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0]);
    check(SamplerOptions { top_p: 0.0, ..options() }, [0.0, 1.0, 0.0, 0.0, 0.0]);
    check(SamplerOptions { min_p: 0.2, ..options() }, [0.0, 8. / 14., 4. / 14., 2. / 14., 0.0]);
    check(SamplerOptions { min_p: 1.0, ..options() }, [0.0, 1.0, 0.0, 0.0, 0.0]);
    // top-p sees what top-k left: 2/3 and 1/3.
    check(SamplerOptions { top_k: 2, top_p: 0.6, ..options() }, [0.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn greedy_takes_the_lowest_of_equals_and_never_nan() {
    let mut sampler = Sampler::new(SamplerOptions::default()).unwrap();
    let mut check = |mut logits: Vec<f32>, want| assert_eq!(sampler.sample(&mut logits), want);
    check(vec![0.0, 3.0, 3.0], 1);
    check(vec![f32::NAN, -1.0, f32::NAN, 2.0], 3);
    check(vec![f32::NEG_INFINITY; 3], 0);
    check(vec![f32::NAN, f32::NEG_INFINITY], 1);
    check(vec![f32::NAN; 2], 0);
    check(vec![], 0);
    check(vec![1.0, f32::INFINITY], 1);
}

#[test]
fn nan_and_infinity_do_not_panic_when_drawing() {
    let mut sampler = Sampler::new(SamplerOptions { top_k: 3, top_p: 0.9, min_p: 0.1, ..options() }).unwrap();
    let mut check = |mut logits: Vec<f32>, want| assert_eq!(sampler.sample(&mut logits), want);
    check(vec![f32::NAN, 1.0, f32::NAN], 1);
    check(vec![f32::NAN; 4], 0);
    check(vec![], 0);
    check(vec![0.0, f32::INFINITY, 5.0], 1);
    check(vec![f32::NEG_INFINITY, 0.0], 1);
}

#[test]
fn penalties_touch_recent_tokens_once() {
    let options = SamplerOptions { repeat_penalty: 2.0, repeat_last_n: 2, ..SamplerOptions::default() };
    let mut sampler = Sampler::new(options).unwrap();
    [0, 1, 2, 2, 9].into_iter().for_each(|id| sampler.accept(id));
    let mut logits = [4.0, 4.0, 4.0, -4.0];
    assert_eq!(sampler.sample(&mut logits), 0);
    assert_eq!(logits, [4.0, 4.0, 2.0, -4.0]);
    sampler.accept(3);
    sampler.accept(3);
    let mut logits = [4.0, 4.0, 4.0, -4.0];
    sampler.sample(&mut logits);
    assert_eq!(logits, [4.0, 4.0, 4.0, -8.0]);
}

#[test]
fn a_seed_gives_the_same_tokens() {
    let draw = |seed| {
        let mut sampler = Sampler::new(SamplerOptions { seed, ..options() }).unwrap();
        (0..16).map(|_| sampler.sample(&mut logits())).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn options_out_of_range_are_refused() {
    let check = |change: fn(&mut SamplerOptions), name: &str| {
        let mut options = options();
        change(&mut options);
        let error = Sampler::new(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
        assert!(error.to_string().starts_with(name), "{error}");
    };
    check(|o| o.temperature = -0.1, "temperature");
    check(|o| o.temperature = f32::NAN, "temperature");
    check(|o| o.temperature = f32::INFINITY, "temperature");
    check(|o| o.top_p = 1.1, "top_p");
    check(|o| o.top_p = f32::NAN, "top_p");
    check(|o| o.min_p = -1.0, "min_p");
    check(|o| o.repeat_penalty = 0.0, "repeat_penalty");
    check(|o| o.repeat_penalty = f32::NAN, "repeat_penalty");
}
