//! What reading alone can do: the limit of decode, which reads every weight once for every token.
//!
//! Reads as the matrix product does: each worker walks several streams at once, a block of each in turn.

use crate::error::{Error, ErrorKind, Result};
use crate::memory::{Buffer, Pages};
use crate::pool::Pool;
use crate::simd::{Level, Op, Simd, Uses};
use std::hint::black_box;
use std::time::Instant;

/// Bytes of a stream that are read before the next one has its turn: about a packed block of a four-bit format.
const STEP: usize = 256;

/// A way of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Pattern {
    /// Threads.
    pub threads: usize,
    /// The pages that the memory consists of.
    pub pages: Pages,
    /// Streams of each thread.
    pub streams: usize,
    /// How far ahead of the reads lines are asked for, in bytes; 0 leaves it to the processor.
    pub prefetch_bytes: usize,
}

/// How fast it was.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Bandwidth {
    /// The way of reading.
    pub pattern: Pattern,
    /// 10⁹ bytes per second of each repetition.
    pub samples_gb_s: Vec<f64>,
    /// The best of them: what the machine can do when nothing disturbs it.
    pub best_gb_s: f64,
    /// Their median.
    pub median_gb_s: f64,
}

/// Which patterns are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep<'a> {
    /// Pages.
    pub pages: &'a [Pages],
    /// Streams of each thread; at least 1.
    pub streams: &'a [usize],
    /// Prefetch distances, in bytes.
    pub prefetch_bytes: &'a [usize],
}

impl Sweep<'static> {
    /// Everything: half a minute and more.
    pub const FULL: Self = Self {
        pages: &[Pages::Small, Pages::Huge],
        streams: &[1, 2, 4, 8],
        prefetch_bytes: &[0, 256, 512, 1024, 4096],
    };
    /// What finds the limit to a few percent in seconds: small pages, with and without prefetches.
    pub const SHORT: Self =
        Self { pages: &[Pages::Small], streams: &[1, 2, 4, 8], prefetch_bytes: &[0, 512] };
}

/// Every pattern of `sweep` at each number of threads, over `bytes` of memory, which should be several times the last
/// cache. `progress` hears each result.
///
/// # Errors
/// If the memory cannot be had, or threads cannot be started.
pub fn measure(
    sweep: &Sweep<'_>,
    bytes: usize,
    threads: &[usize],
    repetitions: usize,
    mut progress: impl FnMut(&Bandwidth),
) -> Result<Vec<Bandwidth>> {
    let has_zero = threads.contains(&0) || sweep.streams.contains(&0);
    if bytes < 1 << 20 || repetitions == 0 || has_zero || threads.is_empty() {
        let message = "bandwidth needs at least 1 MiB, one repetition, one thread and one stream";
        return Err(Error::new(ErrorKind::Request, message));
    }
    let level = Level::detect()?;
    let pool = Pool::new(threads.iter().copied().max().unwrap_or(1))?;
    let mut all = Vec::new();
    for &pages in sweep.pages {
        let mut memory = Buffer::zeroed(bytes, pages)?;
        // Untouched pages are all the same one.
        memory.iter_mut().step_by(64).enumerate().for_each(|(i, byte)| *byte = i as u8);
        for &threads in threads {
            for &streams in sweep.streams {
                for &prefetch_bytes in sweep.prefetch_bytes {
                    let pattern = Pattern { threads, pages, streams, prefetch_bytes };
                    let found = read(&pool, level, &memory, pattern, repetitions)?;
                    progress(&found);
                    all.push(found);
                }
            }
        }
    }
    Ok(all)
}

fn read(pool: &Pool, level: Level, memory: &[u8], pattern: Pattern, repetitions: usize) -> Result<Bandwidth> {
    let part = memory.len() / pattern.threads / pattern.streams / STEP * STEP;
    let mut samples_gb_s = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        let started = Instant::now();
        pool.run(pattern.threads, |worker| {
            let own = &memory[worker.idx() * part * pattern.streams..][..part * pattern.streams];
            level.dispatch(Read { memory: own, part, prefetch_bytes: pattern.prefetch_bytes });
        })?;
        let bytes = (part * pattern.streams * pattern.threads) as f64;
        samples_gb_s.push(bytes / started.elapsed().as_secs_f64() / 1e9);
    }
    let mut sorted = samples_gb_s.clone();
    sorted.sort_by(f64::total_cmp);
    let median_gb_s = (sorted[(repetitions - 1) / 2] + sorted[repetitions / 2]) / 2.0;
    Ok(Bandwidth { pattern, samples_gb_s, best_gb_s: sorted[repetitions - 1], median_gb_s })
}

struct Read<'a> {
    memory: &'a [u8],
    part: usize,
    prefetch_bytes: usize,
}

impl Op for Read<'_> {
    const USES: Uses = Uses::Vectors;
    type Output = ();
    #[inline(always)]
    fn eval<S: Simd>(self, s: S) {
        let mut acc = s.load_bytes(self.memory);
        for at in (0..self.part).step_by(STEP) {
            for stream in self.memory.chunks_exact(self.part) {
                if self.prefetch_bytes > 0 {
                    for line in (0..STEP).step_by(64) {
                        s.prefetch(stream, at + line + self.prefetch_bytes);
                    }
                }
                for vector in stream[at..at + STEP].chunks_exact(4 * S::LANES) {
                    acc = s.or(acc, s.load_bytes(vector));
                }
            }
        }
        black_box(acc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_has_a_figure() {
        let mut heard = 0;
        let all = measure(&Sweep::FULL, 1 << 20, &[1, 2], 2, |_| heard += 1).unwrap();
        assert_eq!((all.len(), heard), (2 * 2 * 4 * 5, 80));
        assert_eq!(measure(&Sweep::SHORT, 1 << 20, &[1], 1, |_| ()).unwrap().len(), 4 * 2);
        assert!(all.iter().all(|b| b.median_gb_s > 0.0 && b.best_gb_s >= b.median_gb_s));
        for (bytes, threads, repetitions) in [(1 << 10, &[1][..], 1), (1 << 20, &[], 1), (1 << 20, &[1], 0)] {
            assert_eq!(
                measure(&Sweep::SHORT, bytes, threads, repetitions, |_| ()).unwrap_err().kind(),
                ErrorKind::Request
            );
        }
    }
}
