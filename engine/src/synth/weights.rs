//! Random weights from a counter-based generator: every row depends on the seed, the tensor's name and its own
//! index alone, so that the bytes are the same on every machine and with any number of threads.
//!
//! The generator is splitmix64: element i of a row is `mix(state + (i + 1) · GAMMA)`, where `state` is derived in
//! the same way from seed, name and row. The four 16-bit quarters of an element are summed: a bell curve without
//! transcendental functions, whose last bits differ between machines.

use super::plan::Planned;

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
/// The mean of the sum of four uniform 16-bit numbers.
const SUM_MEAN: i32 = 2 * 65_535;
/// Its standard deviation: √(4 · (2³² − 1) / 12).
const SUM_STD: f32 = 37_837.227;
/// The standard deviation of the scales of a norm about 1.
const NORM_STD: f32 = 0.05;

/// The weights of one tensor.
pub(super) struct Weights {
    key: u64,
    mean: f32,
    std: f32,
}

impl Weights {
    /// Matrices have mean 0 and standard deviation 1/√cols, which keeps activations near 1; norms lie about 1.
    pub(super) fn new(seed: u64, tensor: &Planned) -> Self {
        let key = mix(mix(seed.wrapping_add(GAMMA)) ^ fnv1a(tensor.name.as_bytes()));
        let (mean, std) =
            if tensor.is_norm { (1.0, NORM_STD) } else { (0.0, 1.0 / (tensor.dims[0] as f32).sqrt()) };
        Self { key, mean, std: std / SUM_STD }
    }

    /// Fills row `row_idx`.
    pub(super) fn fill(&self, row_idx: u64, row: &mut [f32]) {
        let mut state = nth(self.key, row_idx);
        for weight in row {
            state = state.wrapping_add(GAMMA);
            *weight = self.mean + bell(mix(state)) as f32 * self.std;
        }
    }
}

/// Number `idx` of the stream that starts at `state`.
pub(super) fn nth(state: u64, idx: u64) -> u64 {
    mix(state.wrapping_add(idx.wrapping_add(1).wrapping_mul(GAMMA)))
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The sum of the four quarters about its mean; below 2¹⁸ in magnitude, hence exact in f32.
fn bell(bits: u64) -> i32 {
    let pairs = (bits & 0x0000_ffff_0000_ffff) + ((bits >> 16) & 0x0000_ffff_0000_ffff);
    ((pairs & 0xffff_ffff) + (pairs >> 32)) as i32 - SUM_MEAN
}

/// The 64-bit FNV-1a hash.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::FORMATS;

    fn row(seed: u64, name: &str, row_idx: u64) -> Vec<f32> {
        let tensor = Planned { name: name.into(), dims: vec![4096, 9], format: FORMATS[0], is_norm: false };
        let mut row = vec![0.0; 4096];
        Weights::new(seed, &tensor).fill(row_idx, &mut row);
        row
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs of the published generator from state 0.
        assert_eq!([nth(0, 0), nth(0, 1)], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn rows_have_the_mean_and_deviation_meant() {
        let row = row(1, "a", 0);
        let mean = row.iter().sum::<f32>() / 4096.0;
        let std = (row.iter().map(|w| w * w).sum::<f32>() / 4096.0).sqrt();
        assert!(mean.abs() < 0.001 && (std * 64.0 - 1.0).abs() < 0.05, "{mean} {std}");
    }

    #[test]
    fn seed_name_and_row_all_matter() {
        let base = row(1, "a", 0);
        assert_eq!(base, row(1, "a", 0));
        assert!([row(2, "a", 0), row(1, "b", 0), row(1, "a", 1)].iter().all(|other| *other != base));
    }

    /// The same on every machine: a change here changes every file made from a seed.
    #[test]
    fn weights_are_these_bits() {
        let bytes: Vec<u8> = row(1, "a", 0).iter().flat_map(|w| w.to_bits().to_le_bytes()).collect();
        assert_eq!(fnv1a(&bytes), 0x756f_117d_d309_7ec0);
    }
}
