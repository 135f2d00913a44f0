//! Grouped-query attention over a cache in f16, with online softmax (Milakov and Gimelshein 2018, Dao et al. 2022).
//!
//! A block of 32 positions is widened to f32 once and used for every query head of the group and every token of the
//! task. Blocks begin at multiples of 32, so that chunking and threads do not change the bits.

use crate::simd::math::exp;
use crate::simd::{LANES, Level, Op, Simd};
use half::f16;

/// Positions in a block.
pub(crate) const BLOCK: usize = 32;

/// The cache of one KV head.
///
/// Keys: blocks of \[width, 32 positions\]. Values: \[positions, width\]. Width is the head's, padded to a multiple of 8 with zeros.
#[derive(Clone, Copy)]
pub(crate) struct Cache<'a> {
    pub keys: &'a [u16],
    pub values: &'a [u16],
}

/// Queries of one KV head's group, for consecutive tokens.
pub(crate) struct Queries<'a> {
    /// \[tokens, group, width\], scaled by 1/√head_dim; replaced by the result.
    pub rows: &'a mut [f32],
    pub group: usize,
    pub width: usize,
    /// Position of the first token; token t sees positions 0 … first + t.
    pub first: usize,
}

/// Space for a task, kept between calls.
#[derive(Default)]
pub(crate) struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    sums: Vec<f32>,
    /// Running (maximum, denominator) of each row.
    state: Vec<(f32, f32)>,
}

/// Writes a token's key and value to the cache of its head.
pub(crate) fn write(
    keys: &mut [u16],
    values: &mut [u16],
    width: usize,
    position: usize,
    k: &[f32],
    v: &[f32],
) {
    let block = &mut keys[position / BLOCK * BLOCK * width..][..BLOCK * width];
    for (i, &k) in k.iter().enumerate() {
        block[i * BLOCK + position % BLOCK] = f16::from_f32(k).to_bits();
    }
    for (out, &v) in values[position * width..][..width].iter_mut().zip(v) {
        *out = f16::from_f32(v).to_bits();
    }
}

/// Attends; the rows of `queries` become the weighted sums of the values.
pub(crate) fn attend(level: Level, cache: Cache<'_>, queries: &mut Queries<'_>, scratch: &mut Scratch) {
    level.dispatch(Attend { cache, queries, scratch });
}

struct Attend<'a, 'q> {
    cache: Cache<'a>,
    queries: &'a mut Queries<'q>,
    scratch: &'a mut Scratch,
}

impl Op for Attend<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { cache, queries, scratch } = self;
        let (width, first) = (queries.width, queries.first);
        let n_rows = queries.rows.len() / width;
        let last = first + n_rows / queries.group;
        scratch.keys.resize(BLOCK * width, 0.0);
        scratch.values.resize(BLOCK * width, 0.0);
        scratch.sums.clear();
        scratch.sums.resize(n_rows * width, 0.0);
        scratch.state.clear();
        scratch.state.resize(n_rows, (f32::NEG_INFINITY, 0.0));
        for start in (0..last).step_by(BLOCK) {
            let at = start * width;
            widen(s, &cache.keys[at..][..BLOCK * width], &mut scratch.keys);
            widen(s, &cache.values[at..][..BLOCK * width], &mut scratch.values);
            for (row, query) in queries.rows.chunks_exact(width).enumerate() {
                let seen = (first + row / queries.group + 1).saturating_sub(start).min(BLOCK);
                if seen > 0 {
                    let sums = &mut scratch.sums[row * width..][..width];
                    let p = weigh(s, query, &scratch.keys, seen, &mut scratch.state[row], sums);
                    accumulate(s, &p[..seen], &scratch.values, sums);
                }
            }
        }
        let rows = queries.rows.chunks_exact_mut(width).zip(scratch.sums.chunks_exact(width));
        for ((out, sums), (_, denominator)) in rows.zip(&scratch.state) {
            let scale = 1.0 / denominator;
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * scale);
        }
    }
}

#[inline(always)]
fn widen<S: Simd>(s: S, from: &[u16], to: &mut [f32]) {
    for (from, to) in from.as_chunks::<8>().0.iter().zip(to.as_chunks_mut::<8>().0) {
        s.store(s.load_half(from), to);
    }
}

/// Softmax weights of a block relative to the running maximum, which is updated; `sums` is rescaled to it.
#[inline(always)]
fn weigh<S: Simd>(
    s: S,
    query: &[f32],
    keys: &[f32],
    seen: usize,
    state: &mut (f32, f32),
    sums: &mut [f32],
) -> [f32; BLOCK] {
    const N: usize = BLOCK / LANES;
    let mut scores = [s.splat(0.0); N];
    for (&q, keys) in query.iter().zip(keys.as_chunks::<BLOCK>().0) {
        let (q, keys) = (s.splat(q), keys.as_chunks::<LANES>().0);
        for i in 0..N {
            scores[i] = s.mul_add(q, s.load(&keys[i]), scores[i]);
        }
    }
    let mut out = [0.0; BLOCK];
    let lanes = out.as_chunks_mut::<LANES>().0;
    (0..N).for_each(|i| s.store(scores[i], &mut lanes[i]));
    out[seen..].fill(f32::NEG_INFINITY);
    let lanes = out.as_chunks_mut::<LANES>().0;
    let scores: [S::F; N] = std::array::from_fn(|i| s.load(&lanes[i]));
    let largest = s.max_lane(s.max(s.max(scores[0], scores[1]), s.max(scores[2], scores[3])));
    let maximum = if largest > state.0 { largest } else { state.0 };
    let weights = scores.map(|x| exp(s, s.sub(x, s.splat(maximum))));
    let sum = s.sum(s.add(s.add(weights[0], weights[1]), s.add(weights[2], weights[3])));
    if maximum != state.0 {
        let shrink = s.lanes(exp(s, s.splat(state.0 - maximum)))[0];
        state.1 *= shrink;
        sums.iter_mut().for_each(|x| *x *= shrink);
    }
    *state = (maximum, state.1 + sum);
    (0..N).for_each(|i| s.store(weights[i], &mut lanes[i]));
    out
}

/// sums += Σ p · value
#[inline(always)]
fn accumulate<S: Simd>(s: S, p: &[f32], values: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    let mut columns = sums.chunks_exact_mut(4 * LANES);
    let mut at = 0;
    for sums in &mut columns {
        accumulate_columns::<S, 4>(s, p, &values[at..], width, sums);
        at += 4 * LANES;
    }
    for sums in columns.into_remainder().chunks_exact_mut(LANES) {
        accumulate_columns::<S, 1>(s, p, &values[at..], width, sums);
        at += LANES;
    }
}

#[inline(always)]
fn accumulate_columns<S: Simd, const N: usize>(
    s: S,
    p: &[f32],
    values: &[f32],
    width: usize,
    sums: &mut [f32],
) {
    let sums = sums.as_chunks_mut::<LANES>().0;
    let mut acc: [S::F; N] = std::array::from_fn(|i| s.load(&sums[i]));
    for (&p, values) in p.iter().zip(values.chunks(width)) {
        let (p, values) = (s.splat(p), values.as_chunks::<LANES>().0);
        for i in 0..N {
            acc[i] = s.mul_add(p, s.load(&values[i]), acc[i]);
        }
    }
    (0..N).for_each(|i| s.store(acc[i], &mut sums[i]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f32 {
        ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
    }

    struct Case {
        keys: Vec<u16>,
        values: Vec<u16>,
        queries: Vec<f32>,
    }

    const WIDTH: usize = 40;
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
        let size = GROUP * WIDTH;
        let mut rows = case.queries[tokens.start * size..tokens.end * size].to_vec();
        let mut queries =
            Queries { rows: &mut rows, group: GROUP, width: WIDTH, first: first + tokens.start };
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
    fn the_same_bits_on_every_level_and_in_any_chunking() {
        let case = case(100, 70);
        let whole = run(Level::Scalar, &case, 30, 0..70);
        for level in Level::available() {
            let mut pieces = Vec::new();
            for tokens in [0..1, 1..20, 20..70] {
                pieces.extend(run(level, &case, 30, tokens));
            }
            assert!(pieces.iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits()), "{}", level.name());
        }
    }
}
