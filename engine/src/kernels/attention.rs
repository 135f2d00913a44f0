//! Grouped-query attention over a cache in f16 or f32, with online softmax (Milakov and Gimelshein 2018, Dao et al. 2022).
//!
//! The query heads of a group and the tokens of a task are rows that share each load of the cache. A span of positions is scored,
//! weighed and summed before the next; spans begin at multiples of [`SPAN`], so that chunking and threads do not change the bits.

use crate::simd::math::exp;
use crate::simd::{Level, MAX_LANES, Op, Simd, Uses};
use half::f16;

/// Positions in a block of the cache, within which keys lie transposed.
pub(crate) const BLOCK: usize = 32;
/// Positions that a row weighs at once: its maximum is found, and its sums are rescaled, once for all of them.
const SPAN: usize = 4 * BLOCK;

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
    /// What is read from memory after attention: one token's queries ask for its lines while they compute. Empty for nothing.
    pub next: &'a [u8],
}

/// Multiply-adds for which a byte of [`Queries::next`] is asked for: on AVX-512, two lines for each of keys or values.
const PER_BYTE: usize = 2;

/// How far [`Queries::next`] has been asked for.
struct Asked<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Asked<'_> {
    /// Asks for as many lines as so many multiply-adds leave time for.
    #[inline(always)]
    fn more<S: Simd>(&mut self, s: S, multiply_adds: usize) {
        let len = multiply_adds / PER_BYTE;
        for line in (0..len).step_by(64) {
            s.prefetch(self.bytes, self.at + line);
        }
        self.at = (self.at + len).min(self.bytes.len() - 1);
    }
}

/// Space for a task, kept between calls.
#[derive(Default)]
pub(crate) struct Scratch {
    rows: Rows,
}

/// What rows have gathered so far.
#[derive(Default)]
struct Rows {
    /// \[rows, width\]
    sums: Vec<f32>,
    softmax: Vec<Softmax>,
}

/// The running maximum of a row's scores, and the sum of its weights relative to it: lane l has those of positions l mod 16.
#[derive(Clone, Copy)]
struct Softmax {
    maximum: f32,
    weights: [f32; MAX_LANES],
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
    const USES: Uses = Uses::Vectors;
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        // One token's cache comes from memory, many tokens' from a cache.
        let is_one = self.queries.rows.len() == self.queries.group * self.queries.width;
        match (is_one, self.queries.next.is_empty()) {
            (false, _) => self.spans::<S, false, false>(s),
            (true, true) => self.spans::<S, true, false>(s),
            (true, false) => self.spans::<S, true, true>(s),
        }
    }
}

impl<E: Element> Attend<'_, '_, E> {
    /// `A`: lines of the cache are asked for ahead of their use; `N`: lines of what is next as well.
    #[inline(always)]
    fn spans<S: Simd, const A: bool, const N: bool>(self, s: S) {
        let Self { cache, queries, scratch } = self;
        let Queries { width, first, group, next, .. } = *queries;
        let mut asked = Asked { bytes: next, at: 0 };
        let n_rows = queries.rows.len() / width;
        let last = first + n_rows / group;
        scratch.clear(n_rows, width);
        let rows = &mut scratch.rows;
        for start in (0..last).step_by(SPAN) {
            let len = (last - start).min(SPAN).next_multiple_of(BLOCK);
            let all = start * width..(start + len) * width;
            let (keys, values) = (&cache.keys[all.clone()], &cache.values[all]);
            Span { keys, values, start, len }.attend::<S, A, N>(s, queries, rows, &mut asked);
        }
        let out = queries.rows.chunks_exact_mut(width).zip(rows.sums.chunks_exact(width));
        for ((out, sums), softmax) in out.zip(&rows.softmax) {
            // A level of sixteen lanes leaves the second vector out.
            let weights = [s.load(&softmax.weights), s.load(&softmax.weights[S::LANES % MAX_LANES..])];
            let scale = s.splat(1.0 / s.sum(weights));
            for (out, sums) in out.chunks_exact_mut(S::LANES).zip(sums.chunks_exact(S::LANES)) {
                s.store(s.mul(s.load(sums), scale), out);
            }
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
        self.rows.sums.clear();
        self.rows.sums.resize(n_rows * width, 0.0);
        self.rows.softmax.clear();
        let nothing = Softmax { maximum: f32::NEG_INFINITY, weights: [0.0; MAX_LANES] };
        self.rows.softmax.resize(n_rows, nothing);
    }
}

/// Asks for the lines of `len` elements from `at` on, which may lie beyond the slice.
#[inline(always)]
fn prefetch<S: Simd, E>(s: S, of: &[E], at: usize, len: usize) {
    let line = 64 / size_of::<E>();
    for i in 0..len.div_ceil(line) {
        s.prefetch(of, at + i * line);
    }
}

/// Vectors of positions or columns that a row accumulates at once.
const VECTORS: usize = 2;

/// Consecutive positions of a cache.
#[derive(Clone, Copy)]
struct Span<'a, E> {
    /// Blocks of \[width, 32\].
    keys: &'a [E],
    /// \[len, width\]
    values: &'a [E],
    start: usize,
    /// At most [`SPAN`], whole blocks.
    len: usize,
}

impl<E: Element> Span<'_, E> {
    /// All rows attend to it.
    #[inline(always)]
    fn attend<S: Simd, const A: bool, const N: bool>(
        self,
        s: S,
        queries: &Queries<'_>,
        rows: &mut Rows,
        asked: &mut Asked<'_>,
    ) {
        let Queries { width, first, group, .. } = *queries;
        let n_rows = queries.rows.len() / width;
        let wide = S::LANES == MAX_LANES;
        let mut row = 0;
        while row < n_rows {
            let seen = |row: usize| (first + row / group + 1).saturating_sub(self.start).min(self.len);
            let blocks = |row: usize| seen(row).div_ceil(BLOCK);
            // Rows that see the same blocks share the loads of keys and values.
            let alike = |n: usize| row + n <= n_rows && blocks(row) == blocks(row + n - 1);
            row += match blocks(row) {
                0 => 1,
                _ if wide && alike(8) => self.rows::<S, 8, A, N>(s, queries, row, rows, asked),
                _ if alike(4) => self.rows::<S, 4, A, N>(s, queries, row, rows, asked),
                _ if alike(3) => self.rows::<S, 3, A, N>(s, queries, row, rows, asked),
                _ if alike(2) => self.rows::<S, 2, A, N>(s, queries, row, rows, asked),
                _ => self.rows::<S, 1, A, N>(s, queries, row, rows, asked),
            };
        }
    }

    /// `R` rows from `row` on attend to it; returns `R`.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const A: bool, const N: bool>(
        self,
        s: S,
        queries: &Queries<'_>,
        row: usize,
        rows: &mut Rows,
        asked: &mut Asked<'_>,
    ) -> usize {
        let Queries { width, first, group, .. } = *queries;
        let mut seen = [0; R];
        for (r, seen) in seen.iter_mut().enumerate() {
            *seen = (first + (row + r) / group + 1).saturating_sub(self.start).min(self.len);
        }
        let len = seen[R - 1].next_multiple_of(BLOCK);
        let mut weights = [[0.0; SPAN]; R];
        let queries = &queries.rows[row * width..][..R * width];
        self.score::<S, R, A, N>(s, queries, len, &mut weights, asked);
        let sums = &mut rows.sums[row * width..][..R * width];
        for (r, sums) in sums.chunks_exact_mut(width).enumerate() {
            weigh(s, &mut weights[r][..len], seen[r], &mut rows.softmax[row + r], sums);
        }
        let mut at = 0;
        while at < width {
            at += if width - at >= VECTORS * S::LANES {
                self.sum::<S, R, VECTORS, A, N>(s, &weights, &seen, at, sums, asked)
            } else {
                self.sum::<S, R, 1, A, N>(s, &weights, &seen, at, sums, asked)
            };
        }
        R
    }

    /// scores = queries · keys, for the first `len` positions; if `A`, their values are asked for meanwhile.
    #[inline(always)]
    fn score<S: Simd, const R: usize, const A: bool, const N: bool>(
        self,
        s: S,
        queries: &[f32],
        len: usize,
        scores: &mut [[f32; SPAN]; R],
        asked: &mut Asked<'_>,
    ) {
        let width = queries.len() / R;
        let mut rows = [queries; R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &queries[r * width..][..width];
        }
        let queries = rows;
        for block in 0..len / BLOCK {
            let keys = &self.keys[block * BLOCK * width..][..BLOCK * width];
            for part in (0..BLOCK).step_by(VECTORS * S::LANES) {
                let mut acc = [[s.splat(0.0); VECTORS]; R];
                for i in 0..width {
                    let keys = &keys[i * BLOCK + part..][..VECTORS * S::LANES];
                    if A {
                        prefetch(s, self.values, (block * width + i) * BLOCK + part, VECTORS * S::LANES);
                    }
                    if N {
                        asked.more(s, R * VECTORS * S::LANES);
                    }
                    for v in 0..VECTORS {
                        let keys = E::load(s, &keys[v * S::LANES..]);
                        for r in 0..R {
                            acc[r][v] = s.mul_add(s.splat(queries[r][i]), keys, acc[r][v]);
                        }
                    }
                }
                for (scores, acc) in scores.iter_mut().zip(acc) {
                    for (v, acc) in acc.into_iter().enumerate() {
                        s.store(acc, &mut scores[block * BLOCK + part + v * S::LANES..]);
                    }
                }
            }
        }
    }

    /// sums += Σ weight · value over what each row has seen, for `C` vectors of columns from `at` on; returns how many columns they are.
    /// If `A`, the keys of the next span are asked for meanwhile.
    #[inline(always)]
    fn sum<S: Simd, const R: usize, const C: usize, const A: bool, const N: bool>(
        self,
        s: S,
        weights: &[[f32; SPAN]; R],
        seen: &[usize; R],
        at: usize,
        sums: &mut [f32],
        asked: &mut Asked<'_>,
    ) -> usize {
        let width = sums.len() / R;
        let mut acc = [[s.splat(0.0); C]; R];
        for r in 0..R {
            for c in 0..C {
                acc[r][c] = s.load(&sums[r * width + at + c * S::LANES..]);
            }
        }
        // The first row sees least, being the first token's.
        for (position, values) in self.values.chunks_exact(width).take(seen[0]).enumerate() {
            if A {
                prefetch(s, self.keys, self.keys.len() + position * width + at, C * S::LANES);
            }
            if N {
                asked.more(s, R * C * S::LANES);
            }
            for c in 0..C {
                let values = E::load(s, &values[at + c * S::LANES..]);
                for r in 0..R {
                    acc[r][c] = s.mul_add(s.splat(weights[r][position]), values, acc[r][c]);
                }
            }
        }
        for (r, acc) in acc.iter_mut().enumerate() {
            let left = self.values.chunks_exact(width).zip(&weights[r]);
            for (values, weight) in left.take(seen[r]).skip(seen[0]) {
                for (c, acc) in acc.iter_mut().enumerate() {
                    let values = E::load(s, &values[at + c * S::LANES..]);
                    *acc = s.mul_add(s.splat(*weight), values, *acc);
                }
            }
            for (c, acc) in acc.iter().enumerate() {
                s.store(*acc, &mut sums[r * width + at + c * S::LANES..]);
            }
        }
        C * S::LANES
    }
}

/// Turns the scores of a row into softmax weights relative to its running maximum, which is updated; `sums` is rescaled to it.
#[inline(always)]
fn weigh<S: Simd>(s: S, row: &mut [f32], seen: usize, softmax: &mut Softmax, sums: &mut [f32]) {
    row[seen..].fill(f32::NEG_INFINITY);
    // Of those that are no NaN: a NaN comes through `exp` into the sums.
    let mut largest = s.splat(f32::NEG_INFINITY);
    for scores in row.chunks_exact(S::LANES) {
        largest = s.max(s.load(scores), largest);
    }
    let largest = s.max_lane(largest);
    let maximum = if largest > softmax.maximum { largest } else { softmax.maximum };
    let mut total = [s.splat(0.0); 2];
    for row in row.chunks_exact_mut(MAX_LANES) {
        for (row, total) in row.chunks_exact_mut(S::LANES).zip(&mut total) {
            let weights = exp(s, s.sub(s.load(row), s.splat(maximum)));
            s.store(weights, row);
            *total = s.add(*total, weights);
        }
    }
    if maximum != softmax.maximum {
        let shrink = exp(s, s.splat(softmax.maximum - maximum));
        for sums in sums.chunks_exact_mut(S::LANES) {
            s.store(s.mul(s.load(sums), shrink), sums);
        }
        for weights in softmax.weights.chunks_exact_mut(S::LANES) {
            s.store(s.mul(s.load(weights), shrink), weights);
        }
        softmax.maximum = maximum;
    }
    for (weights, total) in softmax.weights.chunks_exact_mut(S::LANES).zip(total) {
        s.store(s.add(s.load(weights), total), weights);
    }
}

#[cfg(test)]
mod tests;
