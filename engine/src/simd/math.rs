//! Functions over vectors with one fixed polynomial, so that every level gives the same bits.

use super::Simd;

/// Below this, e^x is 0 here (the true value is under 1.2e-38, the smallest normal f32).
const EXP_LOWEST: f32 = -87.336;
const EXP_HIGHEST: f32 = 88.37;

/// e^x within 2 ulp for x in −87.3…88.3, 0 below, e^88.37 above, NaN of a NaN.
///
/// Range reduction by Cody and Waite (x = n·ln 2 + r), then the Taylor polynomial of degree 7 on |r| ≤ ln 2 / 2.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    // `max` returns its second operand where one is NaN: so a NaN stays one.
    let clamped = s.max(s.splat(EXP_LOWEST), x);
    // min(a, b) = −max(−a, −b)
    let zero = s.splat(0.0);
    let clamped = s.sub(zero, s.max(s.splat(-EXP_HIGHEST), s.sub(zero, clamped)));
    // Adding 1.5 · 2^23 rounds to the nearest integer, ties to even.
    let magic = s.splat(12_582_912.0);
    let n = s.sub(s.mul_add(clamped, s.splat(std::f32::consts::LOG2_E), magic), magic);
    let r = s.mul_add(n, s.splat(-0.693_359_4), clamped);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = s.mul_add(p, r, s.splat(c));
    }
    s.zero_below(x, EXP_LOWEST, s.mul(p, s.exp2i(n)))
}

/// x · sigmoid(x), the gate of SwiGLU (Shazeer 2020).
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    s.div(x, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, MAX_LANES, Op, Uses};

    struct Exp([f32; 8]);
    impl Op for Exp {
        const USES: Uses = Uses::Vectors;
        type Output = [f32; 8];
        #[inline(always)]
        fn eval<S: Simd>(self, s: S) -> [f32; 8] {
            let mut x = [0.0; MAX_LANES];
            x[..8].copy_from_slice(&self.0);
            *s.lanes(exp(s, s.load(&x))).first_chunk().expect("eight lanes")
        }
    }

    #[test]
    fn exp_is_near_the_true_value_and_the_same_on_every_level() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let want = f64::from(x).exp();
            let bits: Vec<u32> =
                Level::available().iter().map(|l| l.dispatch(Exp([x; 8]))[3].to_bits()).collect();
            let got = f64::from(f32::from_bits(bits[0]));
            assert!(((got - want) / want).abs() < 3e-7, "exp({x}) = {got}, not {want}");
            assert!(bits.iter().all(|&b| b == bits[0]), "levels differ at {x}");
        }
    }

    #[test]
    fn exp_at_the_ends() {
        for level in Level::available() {
            let got =
                level.dispatch(Exp([f32::NEG_INFINITY, -1e30, -88.0, 0.0, 200.0, f32::INFINITY, -0.0, 1.0]));
            assert_eq!(&got[..4], &[0.0, 0.0, 0.0, 1.0]);
            assert!(got[4].is_finite() && got[5].is_finite());
            assert_eq!(got[6], 1.0);
        }
    }

    #[test]
    fn a_nan_stays_one_and_disturbs_no_other_lane() {
        for level in Level::available() {
            for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)] {
                let got = level.dispatch(Exp([nan, 1.0, nan, 0.0, -100.0, nan, 1.0, nan]));
                let want = level.dispatch(Exp([0.0, 1.0, 0.0, 0.0, -100.0, 0.0, 1.0, 0.0]));
                for (i, (got, want)) in got.iter().zip(want).enumerate() {
                    let is_nan = matches!(i, 0 | 2 | 5 | 7);
                    let right = if is_nan { got.is_nan() } else { got.to_bits() == want.to_bits() };
                    assert!(right, "{}: lane {i} is {got}", level.name());
                }
            }
        }
    }
}
