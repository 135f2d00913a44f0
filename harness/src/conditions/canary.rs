//! The canary: a fixed piece of work, timed again and again, that drifts when the machine does. It needs no sensor.

use crate::machine::Machine;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::Instant;

/// How long a fifth of the fixed work took, the fastest one, on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The arithmetic: a chain of integer and one of float operations, bound by the clock.
    pub compute_ns: u64,
    /// The reads, from memory.
    pub read_ns: u64,
}

/// Steps of the arithmetic: 6 ms on a Zen 5 core, 12 ms at 3 GHz where a step takes eight cycles.
const STEPS: u64 = 4_500_000;
/// Bytes read: 4 ms at 32 GB/s, 13 ms at 10 GB/s.
const READ_BYTES: usize = 128 << 20;
/// The buffer: four times what a core sees of the last cache, within these.
const BUFFER_BYTES_MIN: u64 = 128 << 20;
const BUFFER_BYTES_MAX: u64 = 512 << 20;
const WORD_BYTES: usize = size_of::<u64>();
/// How often the work is done, about 10 ms each time.
const PARTS: usize = 5;
/// Sums kept at once, so that the reads and not the additions are timed.
const SUMS: usize = 16;

/// Runs the canary. Its buffer is allocated and touched once, and it has run once, uncounted, when it is new.
#[derive(Debug)]
pub struct CanaryRunner {
    buffer: Vec<u64>,
    steps: u64,
    read_words: usize,
}

impl CanaryRunner {
    /// A canary for this machine, with a buffer of 128 to 512 MiB by its last cache.
    pub fn new() -> Self {
        Self::for_cache(Machine::detect().last_cache_bytes.unwrap_or(0))
    }

    /// A canary for a machine on which one core sees `last_cache_bytes` of last cache.
    pub fn for_cache(last_cache_bytes: u64) -> Self {
        let bytes = last_cache_bytes.saturating_mul(4).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        Self::with(bytes as usize, STEPS, READ_BYTES)
    }

    fn with(buffer_bytes: usize, steps: u64, read_bytes: usize) -> Self {
        // Written, because untouched pages are all the same one.
        let buffer = (0..(buffer_bytes / WORD_BYTES) as u64).collect();
        let canary = Self { buffer, steps, read_words: read_bytes / WORD_BYTES };
        canary.run();
        canary
    }

    /// Does the work five times and says how long the fastest took: a blip of a millisecond is no drift.
    pub fn run(&self) -> Canary {
        let part = || Canary {
            compute_ns: timed(|| compute(self.steps)),
            read_ns: timed(|| read(&self.buffer, self.read_words)),
        };
        (1..PARTS).map(|_| part()).fold(part(), |fastest, next| Canary {
            compute_ns: fastest.compute_ns.min(next.compute_ns),
            read_ns: fastest.read_ns.min(next.read_ns),
        })
    }
}

impl Default for CanaryRunner {
    fn default() -> Self {
        Self::new()
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> u64 {
    let started = Instant::now();
    black_box(work());
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Two chains beside each other, each step of which needs the one before.
fn compute(steps: u64) -> (u64, f64) {
    let (mut integer, mut float) = black_box((0x9e37_79b9_7f4a_7c15_u64, 2.0_f64));
    for _ in 0..steps {
        integer = (integer ^ (integer >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        // Towards 1, never to what is slow to compute with.
        float = float * 0.999_999 + 0.000_001;
    }
    (integer, float)
}

/// The sum of `n_words`, from the beginning again where the buffer ends.
fn read(buffer: &[u64], n_words: usize) -> u64 {
    let mut left = n_words;
    let mut sums = [0u64; SUMS];
    while left >= SUMS {
        let part = &black_box(buffer)[..left.min(buffer.len()) / SUMS * SUMS];
        if part.is_empty() {
            break;
        }
        for words in part.as_chunks::<SUMS>().0 {
            for (sum, word) in sums.iter_mut().zip(words) {
                *sum = sum.wrapping_add(*word);
            }
        }
        left -= part.len();
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_is_the_same_every_time() {
        assert_eq!(compute(1000), compute(1000));
        assert_ne!(compute(1000).0, compute(1001).0);
        let float = compute(100_000).1;
        assert!(float > 1.0 && float < 2.0, "{float}");
    }

    #[test]
    fn as_many_words_are_read_as_asked_for() {
        let buffer: Vec<u64> = (0..64).collect();
        let sum = |n: u64| (0..n).sum::<u64>();
        assert_eq!(read(&buffer, 64), sum(64));
        assert_eq!(read(&buffer, 32), sum(32));
        assert_eq!(read(&buffer, 64 * 3 + 16), 3 * sum(64) + sum(16));
        assert_eq!(read(&buffer, 0), 0);
        assert_eq!(read(&[], 64), 0);
        assert_eq!(read(&buffer[..8], 64), 0, "shorter than a step");
    }

    #[test]
    fn a_run_times_both_parts() {
        let canary = CanaryRunner::with(1 << 16, 10_000, 1 << 18).run();
        assert!(canary.compute_ns > 0 && canary.read_ns > 0, "{canary:?}");
    }
}
