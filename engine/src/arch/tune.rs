//! How far ahead weights are asked for at decode. No distance is the best everywhere: of two machines measured, one decoded 15% slower with
//! none asked for than with 4 KiB, and the other 17% slower with 4 KiB than with 256 bytes (PERFORMANCE.md). So a model that has been loaded reads some
//! of its weights each way, for each number of threads that it runs on. The distance changes no result.

use super::Network;
use super::pass::{Forms, chunk};
use crate::ablation::{Part, Without};
use crate::error::Result;
use crate::kernels::matmul::{Ahead, Input, Walk};
use crate::pool::Pool;
use crate::quant::pack::{GROUP, PANEL_ROWS};
use crate::simd::Level;
use crate::tensor::{How, Matrix};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The distances tried, in bytes; the first where nothing is tried.
const DISTANCES: [usize; 4] = [256, 1024, 2048, 4096];
/// Rounds in which each is tried once, by their places in [`DISTANCES`]: the best time counts, as others can only be disturbed. The order changes so
/// that none meets the same weights in every round, however many windows lie between equal ones (a test counts).
const ROUNDS: [[usize; DISTANCES.len()]; 3] = [[0, 1, 2, 3], [1, 2, 3, 0], [3, 2, 0, 1]];
/// Bytes of weights read for a time.
const WINDOW: usize = 32 << 20;

/// The ways of reading that decode fastest here, one for each number of threads, found when it is first asked for.
pub(crate) struct Walks(Mutex<Vec<Option<Walk>>>);

impl Walks {
    /// For up to `threads` threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self(Mutex::new(vec![None; threads]))
    }

    /// The one for `threads` threads, at most those of the pool. The first time takes as long as reading some hundred MB of weights.
    ///
    /// # Errors
    /// If a worker panics.
    pub(crate) fn get(
        &self,
        network: &dyn Network,
        pool: &Pool,
        threads: usize,
        level: Level,
        without: Without,
    ) -> Result<Walk> {
        let found = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[threads - 1];
        if let Some(walk) = found {
            return Ok(*walk);
        }
        let walk = walk(&network.matrices(), Crew { pool, threads }, level, without)?;
        tracing::debug!(threads, level = level.name(), ?walk);
        Ok(*found.insert(walk))
    }
}

/// Some of a pool's threads.
#[derive(Clone, Copy)]
struct Crew<'a> {
    pool: &'a Pool,
    threads: usize,
}

/// The way of reading that decodes fastest here.
fn walk(matrices: &[&Matrix], crew: Crew<'_>, level: Level, without: Without) -> Result<Walk> {
    let walk = |ahead: Ahead| Walk { several: !without.leaves_out(Part::Streams), ahead };
    if without.leaves_out(Part::Prefetch) {
        return Ok(walk(None));
    }
    let bytes: usize = matrices.iter().map(|m| m.bytes()).sum();
    // What the caches hold tells nothing of memory.
    let distance = match bytes < 2 * WINDOW {
        true => DISTANCES[0],
        false => {
            fastest(matrices, crew, |distance| How { level, walk: walk(NonZero::new(distance)) }, WINDOW)?
        }
    };
    Ok(walk(NonZero::new(distance)))
}

/// The fastest of [`DISTANCES`]; a time is taken over `window` bytes of the matrices.
fn fastest(matrices: &[&Matrix], crew: Crew<'_>, how: impl Fn(usize) -> How, window: usize) -> Result<usize> {
    let input = Forms::new(1, matrices.iter().map(|m| m.cols()).max().unwrap_or(0));
    let mut best = DISTANCES.map(|_| f64::INFINITY);
    // Each time reads on where the last one stopped, so that nothing is read twice within a cache's memory.
    let mut next = matrices.iter().copied().cycle();
    for i in ROUNDS.into_iter().flatten() {
        let (mut some, mut bytes) = (Vec::new(), 0);
        while bytes < window {
            let matrix = next.next().expect("a network has matrices");
            bytes += matrix.bytes();
            some.push(matrix);
        }
        let seconds = time(&some, crew, how(DISTANCES[i]), &input)?.as_secs_f64();
        best[i] = best[i].min(seconds / bytes as f64);
    }
    tracing::debug!(?DISTANCES, gb_s = ?best.map(|time| 1e-9 / time));
    let fastest = best.iter().zip(DISTANCES).min_by(|a, b| a.0.total_cmp(b.0));
    Ok(fastest.map_or(DISTANCES[0], |(_, distance)| distance))
}

/// Multiplies as a pass of one token does.
fn time(window: &[&Matrix], crew: Crew<'_>, how: How, input: &Forms) -> Result<Duration> {
    let started = Instant::now();
    crew.pool.run(crew.threads, |worker| {
        let mut out = vec![0.0; chunk(1).most * PANEL_ROWS];
        for matrix in window {
            let cols = matrix.cols();
            let Forms { floats, bf16s, groups } = input;
            let input = Input {
                floats: &floats[..cols],
                bf16s: &bf16s[..how.level.words(cols)],
                groups: &groups[..cols / GROUP],
                cols,
                tokens: 1,
                pairs: false,
            };
            for share in worker.chunks(matrix.n_panels(), chunk(1)) {
                matrix.matmul(how, share.range(), input, &mut out[..share.range().len() * PANEL_ROWS]);
            }
            worker.barrier();
        }
    })?;
    Ok(started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::super::{Loader, load};
    use super::*;
    use crate::gguf::Gguf;
    use crate::memory::Pages;

    #[test]
    fn every_format_can_be_timed_and_one_of_the_distances_wins() {
        let (dir, pool) = (tempfile::tempdir().unwrap(), Pool::new(2).unwrap());
        for format in crate::quant::FORMATS {
            let path = dir.path().join(format.name);
            crate::synth::synth(&format!("tiny:{}", format.name), &path, 1, &mut |_, _| ()).unwrap();
            let gguf = Gguf::open(&path).unwrap();
            let network = load(&gguf, &Loader::new(&gguf, &pool, Pages::System, &|_, _| ())).unwrap();
            for level in Level::available() {
                let how =
                    |distance| How { level, walk: Walk { several: true, ahead: NonZero::new(distance) } };
                for threads in [1, 2] {
                    let crew = Crew { pool: &pool, threads };
                    let found = fastest(&network.matrices(), crew, how, 1 << 16).unwrap();
                    assert!(DISTANCES.contains(&found));
                }
            }
            let crew = Crew { pool: &pool, threads: 2 };
            let small = walk(&network.matrices(), crew, Level::Scalar, Without::default()).unwrap();
            assert_eq!(small, Walk { several: true, ahead: NonZero::new(DISTANCES[0]) });
        }
    }

    #[test]
    fn no_distance_meets_the_same_weights_in_every_round() {
        for (i, distance) in DISTANCES.iter().enumerate() {
            // The windows that this distance is timed on, of those read one after the other.
            let windows = ROUNDS.as_flattened().iter().enumerate().filter(|&(_, &at)| at == i);
            let windows: Vec<usize> = windows.map(|(window, _)| window).collect();
            assert_eq!(windows.len(), ROUNDS.len());
            for period in 2..=ROUNDS.as_flattened().len() {
                let kinds: Vec<usize> = windows.iter().map(|window| window % period).collect();
                assert!(
                    kinds.iter().any(|kind| *kind != kinds[0]),
                    "{distance} bytes, period {period}: {kinds:?}"
                );
            }
        }
    }

    #[test]
    fn each_number_of_threads_has_a_walk_of_its_own_that_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.gguf");
        crate::synth::synth("tiny", &path, 1, &mut |_, _| ()).unwrap();
        let (gguf, pool) = (Gguf::open(&path).unwrap(), Pool::new(2).unwrap());
        let network = load(&gguf, &Loader::new(&gguf, &pool, Pages::System, &|_, _| ())).unwrap();
        let walks = Walks::new(2);
        let get = |threads| walks.get(&*network, &pool, threads, Level::Scalar, Without::default()).unwrap();
        let (two, kept) = (get(2), Walk { several: true, ahead: NonZero::new(12345) });
        assert_eq!(*walks.0.lock().unwrap(), [None, Some(two)]);
        walks.0.lock().unwrap()[0] = Some(kept);
        assert_eq!((get(1), get(2)), (kept, two));
    }

    #[test]
    fn a_part_left_out_is_not_tried() {
        let pool = Pool::new(1).unwrap();
        let without = Without::parse("streams+prefetch").unwrap();
        let found = walk(&[], Crew { pool: &pool, threads: 1 }, Level::Scalar, without).unwrap();
        assert_eq!(found, Walk { several: false, ahead: None });
    }
}
