//! The standard normal distribution, as the BCa interval needs it.

use std::f64::consts::PI;

/// Beyond this the distribution function is 0 or 1 for every use here.
const TAIL: f64 = 8.0;

/// The distribution function Φ, by the series φ(x)·(x + x³/3 + x⁵/(3·5) + …) around ½.
pub(crate) fn cdf(x: f64) -> f64 {
    if x <= -TAIL {
        return 0.0;
    }
    if x >= TAIL {
        return 1.0;
    }
    let (mut term, mut sum, mut odd) = (x, x, 3.0);
    while term.abs() > f64::EPSILON * sum.abs() {
        term *= x * x / odd;
        sum += term;
        odd += 2.0;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The inverse of Φ, by bisection; infinite at 0 and 1.
pub(crate) fn quantile(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let (mut lo, mut hi) = (-TAIL, TAIL);
    while hi - lo > 1e-13 {
        let mid = 0.5 * (lo + hi);
        if cdf(mid) < p { lo = mid } else { hi = mid }
    }
    0.5 * (lo + hi)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Goldens: scipy.stats.norm.cdf and .ppf.
    #[test]
    fn agrees_with_scipy() {
        for (x, p) in [
            (-2.5, 0.006209665325776132),
            (-1.0, 0.15865525393145707),
            (0.0, 0.5),
            (0.3, 0.6179114221889526),
            (1.959963984540054, 0.975),
            (4.0, 0.9999683287581669),
        ] {
            assert!((cdf(x) - p).abs() < 1e-14, "cdf({x})");
            assert!((quantile(p) - x).abs() < 1e-10, "quantile({p})");
        }
    }

    #[test]
    fn the_ends_are_infinite() {
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(quantile(1.0), f64::INFINITY);
        assert_eq!((cdf(-9.0), cdf(9.0)), (0.0, 1.0));
    }
}
