//! Against plain attention in f64, and the same bits on every level.

use super::*;

fn noise(i: usize) -> f32 {
    ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
}

struct Case {
    keys: Vec<u16>,
    values: Vec<u16>,
    queries: Vec<f32>,
}

const WIDTH: usize = 48;
const GROUP: usize = 3;

fn case(positions: usize, tokens: usize) -> Case {
    let padded = positions.next_multiple_of(BLOCK);
    let (mut keys, mut values) = (vec![0; padded * WIDTH], vec![0; padded * WIDTH]);
    for p in 0..positions {
        let k: Vec<f32> = (0..WIDTH).map(|i| noise(p * WIDTH + i)).collect();
        let v: Vec<f32> = (0..WIDTH).map(|i| noise(p * WIDTH + i + 77)).collect();
        write(&mut keys, &mut values, WIDTH, p, &k, &v);
    }
    let queries = (0..tokens * GROUP * WIDTH).map(|i| noise(i * 3)).collect();
    Case { keys, values, queries }
}

fn run(level: Level, case: &Case, first: usize, tokens: std::ops::Range<usize>) -> Vec<f32> {
    run_and_ask(level, case, first, tokens, &[])
}

fn run_and_ask(
    level: Level,
    case: &Case,
    first: usize,
    tokens: std::ops::Range<usize>,
    next: &[u8],
) -> Vec<f32> {
    let size = GROUP * WIDTH;
    let mut rows = case.queries[tokens.start * size..tokens.end * size].to_vec();
    let mut queries =
        Queries { rows: &mut rows, group: GROUP, width: WIDTH, first: first + tokens.start, next };
    let cache = Cache { keys: &case.keys, values: &case.values };
    attend(level, cache, &mut queries, &mut Scratch::default());
    rows
}

fn naive(case: &Case, row: usize, seen: usize) -> Vec<f64> {
    let value = |bits: u16| f64::from(f16::from_bits(bits).to_f32());
    let key = |p: usize, i: usize| value(case.keys[p / BLOCK * BLOCK * WIDTH + i * BLOCK + p % BLOCK]);
    let query = &case.queries[row * WIDTH..][..WIDTH];
    let score = |p| (0..WIDTH).map(|i| f64::from(query[i]) * key(p, i)).sum::<f64>();
    let weights: Vec<f64> = (0..seen).map(|p| score(p).exp()).collect();
    let total: f64 = weights.iter().sum();
    let sum = |i| (0..seen).map(|p| weights[p] * value(case.values[p * WIDTH + i])).sum::<f64>() / total;
    (0..WIDTH).map(sum).collect()
}

#[test]
fn agrees_with_plain_softmax_causally() {
    for (first, tokens) in [(0, 1), (0, 5), (31, 1), (32, 1), (30, 40), (100, 3)] {
        let case = case(first + tokens, tokens);
        let got = run(Level::Scalar, &case, first, 0..tokens);
        for row in 0..tokens * GROUP {
            let want = naive(&case, row, first + row / GROUP + 1);
            for i in 0..WIDTH {
                let got = f64::from(got[row * WIDTH + i]);
                assert!((got - want[i]).abs() < 1e-5, "{first}+{tokens}, row {row}: {got} {}", want[i]);
            }
        }
    }
}

#[test]
fn a_nan_in_a_query_or_a_key_shows_in_what_sees_it_and_nowhere_else() {
    let (positions, row) = (300, GROUP * WIDTH);
    for level in Level::available() {
        let whole = run(level, &case(positions, 2), positions - 2, 0..2);
        let mut damaged = case(positions, 2);
        damaged.queries[WIDTH + 5] = f32::NAN;
        let got = run(level, &damaged, positions - 2, 0..2);
        let (before, after) = (&got[..WIDTH], &got[2 * WIDTH..]);
        assert!(got[WIDTH..2 * WIDTH].iter().all(|x| x.is_nan()), "{}", level.name());
        assert_eq!((before, after), (&whole[..WIDTH], &whole[2 * WIDTH..]), "{}", level.name());
        // In the first span, in a middle one, and in the last position, which only the last token sees.
        for at in [0, 131, positions - 1] {
            let mut damaged = case(positions, 2);
            write(&mut damaged.keys, &mut damaged.values, WIDTH, at, &[f32::NAN; WIDTH], &[0.0; WIDTH]);
            let got = run(level, &damaged, positions - 2, 0..2);
            assert!(got[row..].iter().all(|x| x.is_nan()), "{}, position {at}", level.name());
            let first_sees = at < positions - 1;
            assert!(got[..row].iter().all(|x| x.is_nan() == first_sees), "{}, position {at}", level.name());
        }
    }
}

#[test]
fn the_same_bits_on_every_level_and_in_any_chunking() {
    let case = case(100, 70);
    let whole = run(Level::Scalar, &case, 30, 0..70);
    for level in Level::available() {
        let mut pieces = Vec::new();
        for tokens in [0..1, 1..20, 20..70] {
            pieces.extend(run(level, &case, 30, tokens));
        }
        for next in [&[1][..], &[1; 5000]] {
            let asking = run_and_ask(level, &case, 30, 0..1, next);
            assert_eq!(asking, pieces[..asking.len()], "{}", level.name());
        }
        assert!(pieces.iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", level.name());
    }
}
