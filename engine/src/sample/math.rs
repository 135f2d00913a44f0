//! An exponential that is the same on every machine: only IEEE additions and multiplications.

use std::f64::consts::LOG2_E;

/// ln 2 in two parts, of which the first has zeros at its end, so that multiples are exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x for x ≤ 0 within two units in the last place; 0 below −708, and for NaN.
pub(super) fn exp(x: f64) -> f64 {
    if x.is_nan() || x < -708.0 {
        return 0.0;
    }
    let n = (x * LOG2_E).round();
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Taylor's series: |r| ≤ 0.35, so that the 14th term is below 2^-60.
    let series = (1..=13).rev().fold(1.0, |sum, k| 1.0 + r * sum / f64::from(k));
    series * f64::from_bits(((1023 + n as i64) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library() {
        for step in 0..70_000 {
            let x = -f64::from(step) / 100.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-15, "{x}: {} {}", exp(x), x.exp());
        }
        assert_eq!((exp(0.0), exp(-709.0), exp(f64::NEG_INFINITY), exp(f64::NAN)), (1.0, 0.0, 0.0, 0.0));
    }
}
