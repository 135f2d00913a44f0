//! xoshiro256++ (Blackman and Vigna, 2019), seeded by splitmix64: the same numbers everywhere.

/// The generator.
#[derive(Debug, Clone)]
pub(super) struct Rng([u64; 4]);

impl Rng {
    pub(super) fn new(mut seed: u64) -> Self {
        Self(std::array::from_fn(|_| splitmix64(&mut seed)))
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Uniform in [0, 1), with 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference values of the authors' C code.
    #[test]
    fn known_answers() {
        let mut rng = Rng([1, 2, 3, 4]);
        let numbers: [u64; 5] = std::array::from_fn(|_| rng.next());
        let want = [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205];
        assert_eq!(numbers, want);
        let mut state = 1477776061723855037;
        assert_eq!(splitmix64(&mut state), 1985237415132408290);
        assert_eq!(splitmix64(&mut state), 2979275885539914483);
    }

    #[test]
    fn unit_is_within_zero_and_one() {
        let mut rng = Rng::new(7);
        let mean = (0..10_000).map(|_| rng.unit()).inspect(|u| assert!((0.0..1.0).contains(u))).sum::<f64>();
        assert!((mean / 10_000.0 - 0.5).abs() < 0.01);
    }
}
