//! Activations in the forms that matrices read, made once per token and shared by all that read them: quantized to int8 in groups of
//! 32, rounded to bf16, or as they are.

use crate::simd::{GROUP, Group, Level, Op, Simd, Uses};

/// Quantizes 32 values: d = max |x| / 127, q to nearest, ties to even. Adds 0 · x to `fault`, which a NaN or an infinity makes NaN.
#[inline(always)]
fn quantize_group<S: Simd>(s: S, x: &[f32; GROUP], fault: &mut S::F) -> Group {
    // As a level of eight lanes has it; one of sixteen leaves the second of each pair out.
    let at = S::LANES % 16;
    let mut v = [[s.load(&x[..]), s.load(&x[at..])], [s.load(&x[16..]), s.load(&x[16 + at..])]];
    let zero = s.splat(0.0);
    let mut largest = zero;
    for half in &v {
        for &v in half.iter().take(16 / S::LANES) {
            largest = s.max(s.max(v, s.sub(zero, v)), largest);
            *fault = s.mul_add(v, zero, *fault);
        }
    }
    let largest = s.max_lane(largest);
    if largest < SMALLEST {
        return Group::ZERO;
    }
    let inverse = s.splat(127.0 / largest);
    let magic = s.splat(12_582_912.0); // 1.5 · 2^23: adding it rounds to the nearest integer
    for v in v.as_flattened_mut() {
        *v = s.sub(s.mul_add(*v, inverse, magic), magic);
    }
    let [first, last] = v;
    let q = if S::LANES == 16 {
        s.to_bytes(&[first[0], last[0]])
    } else {
        s.to_bytes(&[first[0], first[1], last[0], last[1]])
    };
    Group::new(q, largest / 127.0, s.pair_sums(&q))
}

/// Below this, 127 / max |x| would overflow; such activations are as good as zero.
const SMALLEST: f32 = 1e-35;

/// Where a token's activations go in a tile; see [`super::matmul::Input`].
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Tokens of the tile.
    pub of: usize,
    /// Which of them.
    pub token: usize,
}

/// Quantizes a row, whose length is a multiple of 32, into its place in a tile.
///
/// A group with a NaN or an infinity has no finite scale: it becomes NaN as a whole, so that the fault shows in the result
/// instead of vanishing in a cast.
pub(crate) fn quantize(level: Level, row: &[f32], tile: &mut [Group], place: Place) {
    struct Quantize<'a>(&'a [f32], &'a mut [Group], Place);
    impl Op for Quantize<'_> {
        const USES: Uses = Uses::Vectors;
        type Output = ();
        #[inline(always)]
        fn eval<S: Simd>(self, s: S) {
            let Self(row, tile, Place { of, token }) = self;
            let row = row.as_chunks::<GROUP>().0;
            let mut fault = s.splat(0.0);
            for (x, out) in row.iter().zip(tile.chunks_exact_mut(of)) {
                out[token] = quantize_group(s, x, &mut fault);
            }
            if s.lanes(fault).iter().all(|fault| *fault == 0.0) {
                return;
            }
            for (x, out) in row.iter().zip(tile.chunks_exact_mut(of)) {
                if !x.iter().all(|x| x.is_finite()) {
                    out[token] = Group { d: f32::NAN, d_sum: f32::NAN, ..Group::ZERO };
                }
            }
        }
    }
    level.dispatch(Quantize(row, tile, place));
}

/// What a matrix reads activations as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// f32, as they are.
    Floats,
    /// bf16 in words, as a level multiplies them.
    Bf16s,
    /// [`Group`]s.
    Groups,
    /// [`Group`]s in tiles for two panels at once.
    PairedGroups,
}

/// Factors of at least this size, which bf16 has as multiples of 2⁻⁶², have products and sums that are multiples of 2⁻¹²⁴: never subnormal, which
/// an instruction for bf16 would take for zero and others would not. Smaller ones are as good as zero.
const SMALLEST_BF16: f32 = f32::from_bits((127 - 55) << 23);

/// A weight of these bits, or zero.
pub(crate) fn bf16_or_zero(bits: u16) -> u16 {
    if f32::from_bits(u32::from(bits) << 16).abs() < SMALLEST_BF16 { 0 } else { bits }
}

/// To the nearest bf16, ties to even; the bits of an f32. Too small ones become 0, and a NaN remains one.
#[inline(always)]
fn to_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let kept = if x.is_nan() { bits | 0x40_0000 } else { nearest };
    if x.abs() < SMALLEST_BF16 { 0 } else { kept & 0xffff_0000 }
}

/// Puts a row, rounded, into its place in a tile of words.
pub(crate) fn round(level: Level, row: &[f32], tile: &mut [u32], place: Place) {
    struct Round<'a>(&'a [f32], &'a mut [u32], Place);
    impl Op for Round<'_> {
        const USES: Uses = Uses::Bf16s;
        type Output = ();
        #[inline(always)]
        fn eval<S: Simd>(self, _: S) {
            let Self(row, tile, Place { of, token }) = self;
            let tile = tile.chunks_exact_mut(of);
            if S::BF16S == 1 {
                let pad = row.len() % 2;
                let row = row.iter().chain([0.0].iter().take(pad));
                row.zip(tile).for_each(|(x, out)| out[token] = to_bf16(*x));
                return;
            }
            for (pair, out) in row.chunks(2).zip(tile) {
                out[token] = to_bf16(pair[0]) >> 16 | pair.get(1).map_or(0, |x| to_bf16(*x));
            }
        }
    }
    level.dispatch(Round(row, tile, place));
}

/// Puts a row into its place in a tile as it is.
pub(crate) fn copy(row: &[f32], tile: &mut [f32], place: Place) {
    for (x, out) in row.iter().zip(tile.chunks_exact_mut(place.of)) {
        out[place.token] = *x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_every_level(x: &[f32]) -> Group {
        let run = |level| {
            let mut out = [Group::ZERO];
            quantize(level, x, &mut out, Place { of: 1, token: 0 });
            out[0]
        };
        let scalar = run(Level::Scalar);
        for level in Level::available() {
            let got = run(level);
            assert!(got == scalar || (got.d.is_nan() && scalar.d.is_nan()), "{}: {got:?}", level.name());
        }
        scalar
    }

    #[test]
    fn values_come_back_within_half_a_step() {
        let x: Vec<f32> = (0..32).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3).collect();
        let g = on_every_level(&x);
        for (x, q) in x.iter().zip(g.q) {
            assert!((x - g.d * f32::from(q)).abs() <= g.d * 0.5001);
        }
        let sum = |columns: std::ops::Range<usize>| g.q[columns].iter().map(|&q| i32::from(q)).sum::<i32>();
        assert_eq!((g.halves, g.total), ([-8 * sum(0..16), -8 * sum(16..32)], -8 * sum(0..32)));
        assert_eq!(g.pairs.map(|[a, b]| i32::from(a) + i32::from(b)), [g.halves[0], g.halves[1], g.total]);
        assert_eq!(g.d_sum, g.d * sum(0..32) as f32);
    }

    #[test]
    fn bf16_is_the_nearest_and_never_tiny() {
        // Half way between two, of which the lower is even, and the upper.
        let [down, up] = [0x3f80_8000, 0x3f81_8000].map(f32::from_bits);
        let row = [1.0, -2.5, down, up, f32::INFINITY, f32::MAX, 2e-17, 3e-17, -1e-30, 0.7];
        let mut expected: Vec<u32> =
            row.iter().map(|x| half::bf16::from_f32(*x).to_f32().to_bits()).collect();
        (expected[6], expected[8]) = (0, 0);
        assert_eq!((expected[2], expected[3]), (0x3f80_0000, 0x3f82_0000));
        let bits = |level: Level, row: &[f32]| {
            let mut words = vec![9; level.words(row.len())];
            round(level, row, &mut words, Place { of: 1, token: 0 });
            let halves = |word: u32| [word << 16, word & 0xffff_0000];
            match row.len().next_multiple_of(2) / words.len() {
                1 => words,
                _ => words.into_iter().flat_map(halves).collect(),
            }
        };
        for level in Level::available() {
            assert_eq!(bits(level, &row), expected, "{}", level.name());
            assert_eq!(bits(level, &row[..1]), [0x3f80_0000, 0], "{}", level.name());
            assert!(f32::from_bits(bits(level, &[f32::from_bits(0x7f80_0001); 2])[1]).is_nan());
        }
    }

    #[test]
    fn extremes() {
        assert_eq!(on_every_level(&[0.0; 32]), Group::ZERO);
        assert_eq!(on_every_level(&[1e-40; 32]), Group::ZERO);
        let mut x = [-1.0; 32];
        assert_eq!(on_every_level(&x).q, [-127; 32]);
        x[7] = 3e30;
        assert_eq!(on_every_level(&x).q[7], 127);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            x[7] = bad;
            assert!(on_every_level(&x).d.is_nan());
        }
    }
}
