//! Grouped-query attention over a cache in f16 or f32, with online softmax (Milakov and Gimelshein 2018, Dao et al. 2022).
//!
//! A block of 32 positions is widened to f32 once and used for every query head of the group and every token of the
//! task. Blocks begin at multiples of 32, so that chunking and threads do not change the bits.

use crate::simd::math::exp;
use crate::simd::{Level, Op, Simd};
use half::f16;

/// Positions in a block.
pub(crate) const BLOCK: usize = 32;

/// The cache of one KV head.
///
/// Keys: blocks of \[width, 32 positions\]. Values: \[positions, width\]. Width is the head's, padded to
/// a multiple of [`crate::simd::MAX_LANES`] with zeros.
#[derive(Clone, Copy)]
pub(crate) struct Cache<'a, E> {
    pub keys: &'a [E],
    pub values: &'a [E],
}

/// An element of a cache.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// The nearest one.
    fn nearest(value: f32) -> Self;
    /// A vector of them as f32.
    fn load<S: Simd>(s: S, from: &[Self]) -> S::F;
}

/// An f16 as its bits.
impl Element for u16 {
    fn nearest(value: f32) -> Self {
        f16::from_f32(value).to_bits()
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self]) -> S::F {
        s.load_half(from)
    }
}

impl Element for f32 {
    fn nearest(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, from: &[Self]) -> S::F {
        s.load(from)
    }
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
pub(crate) fn write<E: Element>(
    keys: &mut [E],
    values: &mut [E],
    width: usize,
    position: usize,
    k: &[f32],
    v: &[f32],
) {
    let block = &mut keys[position / BLOCK * BLOCK * width..][..BLOCK * width];
    for (i, &k) in k.iter().enumerate() {
        block[i * BLOCK + position % BLOCK] = E::nearest(k);
    }
    for (out, &v) in values[position * width..][..width].iter_mut().zip(v) {
        *out = E::nearest(v);
    }
}

/// Attends; the rows of `queries` become the weighted sums of the values.
pub(crate) fn attend<E: Element>(
    level: Level,
    cache: Cache<'_, E>,
    queries: &mut Queries<'_>,
    scratch: &mut Scratch,
) {
    level.dispatch(Attend { cache, queries, scratch });
}

struct Attend<'a, 'q, E> {
    cache: Cache<'a, E>,
    queries: &'a mut Queries<'q>,
    scratch: &'a mut Scratch,
}

impl<E: Element> Op for Attend<'_, '_, E> {
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let Self { cache, queries, scratch } = self;
        let (width, first) = (queries.width, queries.first);
        let n_rows = queries.rows.len() / width;
        let last = first + n_rows / queries.group;
        scratch.clear(n_rows, width);
        for start in (0..last).step_by(BLOCK) {
            let at = start * width;
            widen(s, &cache.keys[at..][..BLOCK * width], &mut scratch.keys);
            widen(s, &cache.values[at..][..BLOCK * width], &mut scratch.values);
            let seen = |row: usize| (first + row / queries.group + 1).saturating_sub(start).min(BLOCK);
            let mut block =
                Block { keys: &scratch.keys, values: &scratch.values, width, state: &mut scratch.state };
            let mut row = 0;
            while row < n_rows {
                let rows = &queries.rows[row * width..];
                let sums = &mut scratch.sums[row * width..];
                // Rows that see the same positions share the loads of keys and values.
                let alike = |n: usize| row + n <= n_rows && seen(row) == seen(row + n - 1);
                row += match seen(row) {
                    0 => 1,
                    seen if S::LANES == 16 && alike(4) => block.attend::<S, 4>(s, rows, row, seen, sums),
                    seen if alike(2) => block.attend::<S, 2>(s, rows, row, seen, sums),
                    seen => block.attend::<S, 1>(s, rows, row, seen, sums),
                };
            }
        }
        let rows = queries.rows.chunks_exact_mut(width).zip(scratch.sums.chunks_exact(width));
        for ((out, sums), (_, denominator)) in rows.zip(&scratch.state) {
            let scale = 1.0 / denominator;
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * scale);
        }
    }
}

impl Scratch {
    /// Space for `n_rows` rows of `width`, so that no task of that size allocates.
    pub(crate) fn with_room(n_rows: usize, width: usize) -> Self {
        let mut scratch = Self::default();
        scratch.clear(n_rows, width);
        scratch
    }

    /// For `n_rows` rows that have seen nothing yet.
    fn clear(&mut self, n_rows: usize, width: usize) {
        self.keys.resize(BLOCK * width, 0.0);
        self.values.resize(BLOCK * width, 0.0);
        self.sums.clear();
        self.sums.resize(n_rows * width, 0.0);
        self.state.clear();
        self.state.resize(n_rows, (f32::NEG_INFINITY, 0.0));
    }
}

#[inline(always)]
fn widen<S: Simd, E: Element>(s: S, from: &[E], to: &mut [f32]) {
    for (from, to) in from.chunks_exact(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
        s.store(E::load(s, from), to);
    }
}

/// Vectors in the scores of a row, on a level of eight lanes; half of them on one of sixteen.
const VECTORS: usize = BLOCK / 8;

/// A block of the cache, widened, and what all rows have gathered so far.
struct Block<'a> {
    /// \[width, 32\]
    keys: &'a [f32],
    /// \[32, width\]
    values: &'a [f32],
    width: usize,
    state: &'a mut [(f32, f32)],
}

impl Block<'_> {
    /// Adds the first `seen` positions to the sums of `R` rows from `row` on; returns `R`.
    #[inline(always)]
    fn attend<S: Simd, const R: usize>(
        &mut self,
        s: S,
        queries: &[f32],
        row: usize,
        seen: usize,
        sums: &mut [f32],
    ) -> usize {
        let queries: [&[f32]; R] = std::array::from_fn(|r| &queries[r * self.width..][..self.width]);
        let n = BLOCK / S::LANES;
        let mut scores = [[s.splat(0.0); VECTORS]; R];
        for (i, keys) in self.keys.chunks_exact(BLOCK).take(self.width).enumerate() {
            for v in 0..n {
                let keys = s.load(&keys[v * S::LANES..]);
                for r in 0..R {
                    scores[r][v] = s.mul_add(s.splat(queries[r][i]), keys, scores[r][v]);
                }
            }
        }
        let mut weights = [[0.0; BLOCK]; R];
        for r in 0..R {
            let sums = &mut sums[r * self.width..][..self.width];
            for v in 0..n {
                s.store(scores[r][v], &mut weights[r][v * S::LANES..]);
            }
            weigh(s, &mut weights[r], seen, &mut self.state[row + r], sums);
        }
        // 32 columns at a time for as long as there are that many.
        let wide = if S::LANES == 16 { 2 } else { 4 };
        let mut at = 0;
        while at < self.width {
            let columns = self.width - at;
            at += if columns < wide * S::LANES {
                self.accumulate::<S, R, 1>(s, &weights, seen, at, sums)
            } else if S::LANES == 16 {
                self.accumulate::<S, R, 2>(s, &weights, seen, at, sums)
            } else {
                self.accumulate::<S, R, 4>(s, &weights, seen, at, sums)
            };
        }
        R
    }

    /// sums += Σ weight · value, for `C` vectors of columns from `at` on; returns how many columns they are.
    #[inline(always)]
    fn accumulate<S: Simd, const R: usize, const C: usize>(
        &self,
        s: S,
        weights: &[[f32; BLOCK]; R],
        seen: usize,
        at: usize,
        sums: &mut [f32],
    ) -> usize {
        let column = |r: usize, c: usize| r * self.width + at + c * S::LANES;
        let mut acc = [[s.splat(0.0); C]; R];
        for r in 0..R {
            for c in 0..C {
                acc[r][c] = s.load(&sums[column(r, c)..]);
            }
        }
        for (position, values) in self.values.chunks_exact(self.width).take(seen).enumerate() {
            for c in 0..C {
                let values = s.load(&values[at + c * S::LANES..]);
                for r in 0..R {
                    acc[r][c] = s.mul_add(s.splat(weights[r][position]), values, acc[r][c]);
                }
            }
        }
        for r in 0..R {
            for c in 0..C {
                s.store(acc[r][c], &mut sums[column(r, c)..]);
            }
        }
        C * S::LANES
    }
}

/// Turns the scores of a row into softmax weights relative to its running maximum, which is updated; `sums` is rescaled to it.
#[inline(always)]
fn weigh<S: Simd>(s: S, row: &mut [f32; BLOCK], seen: usize, state: &mut (f32, f32), sums: &mut [f32]) {
    row[seen..].fill(f32::NEG_INFINITY);
    let n = BLOCK / S::LANES;
    let mut scores = [s.splat(f32::NEG_INFINITY); VECTORS];
    for v in 0..n {
        scores[v] = s.load(&row[v * S::LANES..]);
    }
    let largest = s.max_lane(s.max(s.max(scores[0], scores[1]), s.max(scores[2], scores[3])));
    let maximum = if largest > state.0 { largest } else { state.0 };
    for v in 0..n {
        scores[v] = exp(s, s.sub(scores[v], s.splat(maximum)));
        s.store(scores[v], &mut row[v * S::LANES..]);
    }
    // Positions 0–15 and 16–31 are added first, whatever the lanes.
    let sum = if S::LANES == 16 {
        s.sum([s.add(scores[0], scores[1]); 2])
    } else {
        s.sum([s.add(scores[0], scores[2]), s.add(scores[1], scores[3])])
    };
    if maximum != state.0 {
        let shrink = s.lanes(exp(s, s.splat(state.0 - maximum)))[0];
        state.1 *= shrink;
        for sums in sums.chunks_exact_mut(S::LANES) {
            s.store(s.mul(s.load(sums), s.splat(shrink)), sums);
        }
    }
    *state = (maximum, state.1 + sum);
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
