//! How far ahead weights are asked for at decode. No distance is the best everywhere: of two machines measured, one decoded 15% slower with
//! none asked for than with 4 KiB, and the other 17% slower with 4 KiB than with 256 bytes (PERFORMANCE.md). So a model that has been loaded reads some
//! of its weights each way. The distance changes no result.

use super::pass::{Forms, chunk};
use crate::ablation::{Part, Without};
use crate::error::Result;
use crate::kernels::matmul::{Ahead, Input, Walk};
use crate::pool::Pool;
use crate::quant::pack::{GROUP, PANEL_ROWS};
use crate::simd::Level;
use crate::tensor::{How, Matrix};
use std::num::NonZero;
use std::time::{Duration, Instant};

/// The distances tried, in bytes; the first where nothing is tried.
const DISTANCES: [usize; 4] = [256, 1024, 2048, 4096];
/// How often each is tried, in turns: the best time counts, as others can only be disturbed.
const ROUNDS: usize = 3;
/// Bytes of weights read for a time.
const WINDOW: usize = 32 << 20;

/// The way of reading that decodes fastest here.
///
/// # Errors
/// If a worker panics.
pub(crate) fn walk(matrices: &[&Matrix], pool: &Pool, level: Level, without: Without) -> Result<Walk> {
    let walk = |ahead: Ahead| Walk { several: !without.leaves_out(Part::Streams), ahead };
    if without.leaves_out(Part::Prefetch) {
        return Ok(walk(None));
    }
    let bytes: usize = matrices.iter().map(|m| m.bytes()).sum();
    // What the caches hold tells nothing of memory.
    let distance = match bytes < 2 * WINDOW {
        true => DISTANCES[0],
        false => {
            fastest(matrices, pool, |distance| How { level, walk: walk(NonZero::new(distance)) }, WINDOW)?
        }
    };
    Ok(walk(NonZero::new(distance)))
}

/// The fastest of [`DISTANCES`]; a time is taken over `window` bytes of the matrices.
fn fastest(matrices: &[&Matrix], pool: &Pool, how: impl Fn(usize) -> How, window: usize) -> Result<usize> {
    let input = Forms::new(1, matrices.iter().map(|m| m.cols()).max().unwrap_or(0));
    let mut best = DISTANCES.map(|_| f64::INFINITY);
    // Each time reads on where the last one stopped, so that nothing is read twice within a cache's memory.
    let mut next = matrices.iter().copied().cycle();
    for _ in 0..ROUNDS {
        for (best, distance) in best.iter_mut().zip(DISTANCES) {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while bytes < window {
                let matrix = next.next().expect("a network has matrices");
                bytes += matrix.bytes();
                some.push(matrix);
            }
            *best = best.min(time(&some, pool, how(distance), &input)?.as_secs_f64() / bytes as f64);
        }
    }
    tracing::debug!(?DISTANCES, gb_s = ?best.map(|time| 1e-9 / time));
    let fastest = best.iter().zip(DISTANCES).min_by(|a, b| a.0.total_cmp(b.0));
    Ok(fastest.map_or(DISTANCES[0], |(_, distance)| distance))
}

/// Multiplies as a pass of one token does.
fn time(window: &[&Matrix], pool: &Pool, how: How, input: &Forms) -> Result<Duration> {
    let started = Instant::now();
    pool.run(pool.threads(), |worker| {
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
                let found = fastest(&network.matrices(), &pool, how, 1 << 16).unwrap();
                assert!(DISTANCES.contains(&found));
            }
            let small = walk(&network.matrices(), &pool, Level::Scalar, Without::default()).unwrap();
            assert_eq!(small, Walk { several: true, ahead: NonZero::new(DISTANCES[0]) });
        }
    }

    #[test]
    fn a_part_left_out_is_not_tried() {
        let pool = Pool::new(1).unwrap();
        let without = Without::parse("streams+prefetch").unwrap();
        let found = walk(&[], &pool, Level::Scalar, without).unwrap();
        assert_eq!(found, Walk { several: false, ahead: None });
    }
}
