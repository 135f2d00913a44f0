//! Activations and quants as the integer dot products read them.

use super::Simd;

/// Columns in a group; activations have one scale for each.
pub(crate) const GROUP: usize = 32;

/// 32 activations of a token: x = d · q, with q in −127…127. A cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Group {
    pub q: [i8; GROUP],
    pub d: f32,
    /// d · Σ q
    pub d_sum: f32,
    /// −8 Σ q over columns 4j and 4j + 1, and over 4j + 2 and 4j + 3; of columns 0–15, of 16–31 and of all. What a lane of
    /// i16 starts with, so that quants need no sign (an offset of 8; others are shifted).
    pub pairs: [[i16; 2]; 3],
    /// −8 Σ q of columns 0–15 and of 16–31: the same for lanes of i32.
    pub halves: [i32; 2],
    /// −8 Σ q of all.
    pub total: i32,
}

impl Group {
    /// The activations of `columns`, four by four.
    #[inline(always)]
    pub(crate) fn fours(&self, columns: Columns) -> &[[i8; 4]] {
        &self.q.as_chunks().0[columns.fours()]
    }

    pub(crate) const ZERO: Group =
        Group { q: [0; GROUP], d: 0.0, d_sum: 0.0, pairs: [[0; 2]; 3], halves: [0; 2], total: 0 };

    /// With the sums that belong to `q`, of which `pairs` are those of columns 4j and 4j + 1 and of 4j + 2 and 4j + 3, in either half.
    #[inline(always)]
    pub(crate) fn new(q: [i8; GROUP], d: f32, pairs: [[i16; 2]; 2]) -> Group {
        let [first, last] = pairs.map(|pair| pair.map(|sum| -8 * sum));
        let pairs = [first, last, [first[0] + last[0], first[1] + last[1]]];
        let [first, last, total] = pairs.map(|[a, b]| i32::from(a) + i32::from(b));
        Group { q, d, d_sum: d * (total / -8) as f32, pairs, halves: [first, last], total }
    }
}

/// See [`super::Simd::pair_sums`].
#[inline(always)]
pub(super) fn pair_sums(q: &[i8; GROUP]) -> [[i16; 2]; 2] {
    let mut sums = [[0; 2]; 2];
    for (half, sums) in q.as_chunks::<16>().0.iter().zip(&mut sums) {
        for &[a, b, c, d] in half.as_chunks::<4>().0 {
            sums[0] += i16::from(a) + i16::from(b);
            sums[1] += i16::from(c) + i16::from(d);
        }
    }
    sums
}

/// Which columns of a group a dot product is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    All,
    /// Columns 0–15.
    First,
    /// Columns 16–31.
    Last,
}

impl Columns {
    /// Which fours of columns they are.
    #[inline(always)]
    pub(crate) fn fours(self) -> std::ops::Range<usize> {
        match self {
            Columns::All => 0..8,
            Columns::First => 0..4,
            Columns::Last => 4..8,
        }
    }
}

/// What the quants of a format are: q − offset with q in 0…max; signed bytes where max is 0.
#[derive(Clone, Copy)]
pub(crate) struct Quants {
    pub max: i32,
    /// 0, or a power of two from 4 to 128.
    pub offset: i32,
}

/// The eight vectors of quants of a group, unpacked one by one as a level needs them.
pub(crate) trait Vectors: Copy {
    /// Vector `j`: its byte 4l + i is column 4j + i of lane l.
    fn vector<S: Simd>(self, s: S, j: usize) -> S::B;
}

/// All eight vectors of a group.
#[inline(always)]
pub(crate) fn unpack<S: Simd, V: Vectors>(s: S, v: V) -> [S::B; 8] {
    [
        v.vector(s, 0),
        v.vector(s, 1),
        v.vector(s, 2),
        v.vector(s, 3),
        v.vector(s, 4),
        v.vector(s, 5),
        v.vector(s, 6),
        v.vector(s, 7),
    ]
}

/// See [`Simd::dots_of`].
#[inline(always)]
pub(super) fn dots_of<S: Simd, V: Vectors, const P: usize, const T: usize>(
    s: S,
    q: [V; P],
    a: &[Group; T],
    quants: Quants,
) -> [[S::I; T]; P] {
    let mut out = [s.dots(&unpack(s, q[0]), Columns::All, a, quants); P];
    for (out, q) in out.iter_mut().zip(q).skip(1) {
        *out = s.dots(&unpack(s, q), Columns::All, a, quants);
    }
    out
}
