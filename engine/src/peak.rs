//! What the arithmetic alone can do: the limit of prefill, which computes with each weight many times.
//!
//! Everything lies in the first cache. f32: independent multiply-adds, as many as hide their latency. int8: the products
//! of four-bit weights with 8-bit activations, with the accumulation that the matrix product has, by its own kernel.
//!
//! And the clock, which many systems do not tell: steps that take one cycle each, as every one needs the one before (Staelin and
//! McVoy, "mhz: Anatomy of a micro-benchmark", 1998).

use crate::error::{Error, ErrorKind, Result};
use crate::pool::Pool;
use crate::simd::{GROUP, Group, Level, MAX_LANES, Op, Quants, Scalar, Simd, Uses, Vectors};
use std::hint::black_box;
use std::time::Instant;

/// Independent multiply-adds in flight: two a cycle of up to five cycles each fit, and so do the registers of AVX2.
const CHAINS: usize = 12;
/// Multiply-adds of each chain in one round.
const CHAIN_LEN: usize = 512;
/// Times that the two steps of the clock's chain are taken in one round.
const CLOCK_STEPS: u64 = 4096;
/// Groups of quants and of each token's activations: 8 KiB each at most.
const BLOCKS: usize = 16;
/// What one timed sample takes on one thread.
const SAMPLE_S: f64 = 0.02;
/// The quants of a four-bit format.
const FOUR_BITS: Quants = Quants { max: 15, offset: 8 };

/// How fast it was.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Peak {
    /// Threads.
    pub threads: usize,
    /// The level of instructions, by [`Level::name`].
    pub level: &'static str,
    /// 10⁹ f32 operations per second, a multiply-add counting as two: the best repetition.
    pub f32_gflop_s: f64,
    /// The same of 8-bit integer products and sums.
    pub int8_gop_s: f64,
    /// The clock under a chain of additions on all of these threads, mean over them, 10⁹ Hz: the best repetition.
    pub clock_ghz: f64,
}

/// The best of `repetitions` at each number of threads.
///
/// # Errors
/// If threads cannot be started, or there are none.
pub fn measure(threads: &[usize], repetitions: usize) -> Result<Vec<Peak>> {
    if repetitions == 0 || threads.contains(&0) || threads.is_empty() {
        return Err(Error::new(ErrorKind::Request, "a peak needs at least one repetition and one thread"));
    }
    let level = Level::detect()?;
    let pool = Pool::new(threads.iter().copied().max().unwrap_or(1))?;
    let float = || level.dispatch(MultiplyAdds);
    let integer = Products::new();
    let integer = || level.dispatch(&integer);
    let peak = |&threads: &usize| {
        let f32_gflop_s = best(&pool, threads, repetitions, &float)?;
        let int8_gop_s = best(&pool, threads, repetitions, &integer)?;
        let clock_ghz = best(&pool, threads, repetitions, &cycles)? / threads as f64;
        Ok(Peak { threads, level: level.name(), f32_gflop_s, int8_gop_s, clock_ghz })
    };
    threads.iter().map(peak).collect()
}

/// 10⁹ operations per second of `round`, which returns how many it did, on each of `threads`.
fn best(pool: &Pool, threads: usize, repetitions: usize, round: &(impl Fn() -> u64 + Sync)) -> Result<f64> {
    let started = Instant::now();
    let n_warm_up = 100;
    let n_operations = (0..n_warm_up).map(|_| round()).last().unwrap_or(0);
    let round_s = started.elapsed().as_secs_f64() / f64::from(n_warm_up);
    let n_rounds = (SAMPLE_S / round_s.max(1e-9)).ceil().max(1.0) as u64;
    let mut best = 0f64;
    for _ in 0..repetitions {
        let started = Instant::now();
        pool.run(threads, |_| {
            for _ in 0..n_rounds {
                round();
            }
        })?;
        let all = (n_operations * n_rounds * threads as u64) as f64;
        best = best.max(all / started.elapsed().as_secs_f64() / 1e9);
    }
    Ok(best)
}

/// A chain whose every step takes one cycle on the processors that the levels are for; returns how many cycles it took.
///
/// Sums of two registers, and exclusive ors that keep a compiler from doing many at once: what adds a constant, or copies, may
/// take none.
fn cycles() -> u64 {
    let (mut chain, a, b) =
        black_box((0x9e37_79b9_7f4a_7c15_u64, 0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb_u64));
    for _ in 0..CLOCK_STEPS {
        chain = chain.wrapping_add(a) ^ b;
    }
    black_box(chain);
    2 * CLOCK_STEPS
}

struct MultiplyAdds;

impl Op for MultiplyAdds {
    const USES: Uses = Uses::Vectors;
    type Output = u64;
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> u64 {
        // Towards 1, far from what is slow to compute with.
        let (a, b) = black_box((s.splat(0.5), s.splat(0.5)));
        let mut chains = [s.splat(1.5); CHAINS];
        for _ in 0..CHAIN_LEN {
            for chain in &mut chains {
                *chain = s.mul_add(*chain, a, b);
            }
        }
        black_box(chains);
        (2 * S::LANES * CHAINS * CHAIN_LEN) as u64
    }
}

/// Quants and activations.
struct Products {
    quants: Vec<u8>,
    activations: Vec<Group>,
}

impl Products {
    fn new() -> Self {
        let quants = (0..BLOCKS * 2 * 8 * 4 * MAX_LANES).map(|i| (i * 7 % 16) as u8).collect();
        let value = |i: usize, j: usize| ((i * 31 + j * 17) % 255) as i32 - 127;
        let group = |i: usize| {
            let q = std::array::from_fn(|j| value(i, j) as i8);
            Group::new(q, 0.01, Scalar.pair_sums(&q))
        };
        Self { quants, activations: (0..BLOCKS * 8).map(group).collect() }
    }

    /// `P` panels at once, `T` tokens.
    #[inline(always)]
    fn multiply<S: Simd, const P: usize, const T: usize>(&self, s: S) -> u64 {
        let (quants, activations) = black_box((&self.quants, &self.activations));
        let mut sums = [[s.splat(0.0); T]; P];
        let scale = s.splat(0.01);
        let bytes = 8 * 4 * S::LANES;
        for (q, a) in quants.chunks_exact(P * bytes).take(BLOCKS).zip(activations.as_chunks::<T>().0) {
            let mut panels = [Unpacked(q); P];
            for (panel, q) in panels.iter_mut().zip(q.chunks_exact(bytes)) {
                *panel = Unpacked(q);
            }
            let dots = s.dots_of(panels, a, FOUR_BITS);
            for (sums, dots) in sums.iter_mut().zip(&dots) {
                for (sum, dot) in sums.iter_mut().zip(dots) {
                    *sum = s.mul_add(s.to_f(*dot), scale, *sum);
                }
            }
        }
        black_box(sums);
        (2 * GROUP * S::LANES * P * T * BLOCKS) as u64
    }
}

/// Eight vectors as they are.
#[derive(Clone, Copy)]
struct Unpacked<'a>(&'a [u8]);

impl Vectors for Unpacked<'_> {
    #[inline(always)]
    fn vector<S: Simd>(self, s: S, j: usize) -> S::B {
        s.load_bytes(&self.0[j * 4 * S::LANES..])
    }
}

impl Op for &Products {
    const USES: Uses = Uses::Dots;
    type Output = u64;
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) -> u64 {
        match (S::PAIR_TOKENS, S::TOKENS) {
            (5, _) => self.multiply::<S, 2, 5>(s),
            (0, 8) => self.multiply::<S, 1, 8>(s),
            _ => self.multiply::<S, 1, 4>(s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_threads_has_a_figure() {
        let peaks = measure(&[1, 2], 1).unwrap();
        assert_eq!(peaks.iter().map(|p| p.threads).collect::<Vec<_>>(), [1, 2]);
        assert!(peaks.iter().all(|p| p.f32_gflop_s > 0.0 && p.int8_gop_s > 0.0), "{peaks:?}");
        // Without optimisation a step takes several cycles.
        assert!(peaks.iter().all(|p| (0.01..10.0).contains(&p.clock_ghz)), "{peaks:?}");
        assert_eq!(measure(&[0], 1).unwrap_err().kind(), ErrorKind::Request);
        assert_eq!(measure(&[1], 0).unwrap_err().kind(), ErrorKind::Request);
    }

    struct PanelsTimesTokens;
    impl Op for PanelsTimesTokens {
        const USES: Uses = Uses::Dots;
        type Output = usize;
        #[inline(always)]
        fn eval<S: Simd>(self, _: S) -> usize {
            if S::PAIR_TOKENS > 0 { 2 * S::PAIR_TOKENS } else { S::TOKENS }
        }
    }

    #[test]
    fn operations_are_counted_as_the_level_does_them() {
        for level in Level::available() {
            let float = level.dispatch(MultiplyAdds);
            assert_eq!(float % (2 * CHAINS * CHAIN_LEN) as u64, 0);
            let lanes = float / (2 * CHAINS * CHAIN_LEN) as u64;
            let integer = level.dispatch(&Products::new());
            assert_eq!(
                integer,
                2 * 32 * lanes * level.dispatch(PanelsTimesTokens) as u64 * BLOCKS as u64,
                "{}",
                level.name()
            );
        }
    }
}
