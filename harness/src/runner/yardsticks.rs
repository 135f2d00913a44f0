//! `harness runner yardsticks`: what memory and arithmetic of this machine can do, by the engine's kernels.

use crate::machine::{Peak, ReadBandwidth, Yardsticks};
use engine::bandwidth::{self, Bandwidth, Sweep};
use engine::peak;

/// Of each way of reading.
const READS: usize = 3;
/// Of each peak: 20 ms each.
const PEAKS: usize = 10;

/// Measures at each number of threads, reading `bytes` of memory: a few seconds.
///
/// # Errors
/// If the memory cannot be had, or threads cannot be started.
pub fn measure(threads: &[usize], bytes: usize) -> engine::Result<Yardsticks> {
    // Arithmetic first: the memory is given back before, not while, something is timed.
    let peaks = peak::measure(threads, PEAKS)?;
    let patterns = bandwidth::measure(&Sweep::SHORT, bytes, threads, READS, |_| ())?;
    Ok(Yardsticks {
        read_bandwidth: threads.iter().filter_map(|&t| read_bandwidth(t, &patterns)).collect(),
        peak: peaks.into_iter().map(of_engine).collect(),
    })
}

fn of_engine(peak: peak::Peak) -> Peak {
    Peak {
        threads: to_u32(peak.threads),
        level: peak.level.to_owned(),
        f32_gflop_s: peak.f32_gflop_s,
        int8_gop_s: peak.int8_gop_s,
        clock_ghz: Some(peak.clock_ghz),
    }
}

/// The fastest of the patterns at `threads`.
fn read_bandwidth(threads: usize, patterns: &[Bandwidth]) -> Option<ReadBandwidth> {
    let of_these = patterns.iter().filter(|b| b.pattern.threads == threads);
    let fastest = of_these.clone().max_by(|a, b| a.median_gb_s.total_cmp(&b.median_gb_s))?;
    Some(ReadBandwidth {
        threads: to_u32(threads),
        best_gb_s: of_these.map(|b| b.best_gb_s).fold(0.0, f64::max),
        median_gb_s: fastest.median_gb_s,
        streams: to_u32(fastest.pattern.streams),
    })
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Pages;
    use engine::bandwidth::Pattern;

    #[test]
    fn the_fastest_way_is_told_and_the_best_of_all() {
        let pattern = |threads, streams, best_gb_s, median_gb_s| Bandwidth {
            pattern: Pattern { threads, pages: Pages::Small, streams, prefetch_bytes: 0 },
            samples_gb_s: vec![],
            best_gb_s,
            median_gb_s,
        };
        let patterns = [pattern(1, 1, 19.0, 8.0), pattern(1, 4, 12.0, 11.0), pattern(2, 8, 30.0, 29.0)];
        let found = read_bandwidth(1, &patterns).unwrap();
        assert_eq!(found, ReadBandwidth { threads: 1, best_gb_s: 19.0, median_gb_s: 11.0, streams: 4 });
        assert_eq!(read_bandwidth(3, &patterns), None);
    }

    #[test]
    fn every_number_of_threads_is_measured_and_reads_back() {
        let found = measure(&[1, 2], 1 << 20).unwrap();
        assert_eq!(found.read_bandwidth.iter().map(|b| b.threads).collect::<Vec<_>>(), [1, 2]);
        assert!(found.read_bandwidth.iter().all(|b| b.best_gb_s >= b.median_gb_s && b.median_gb_s > 0.0));
        assert_eq!(found.peak.len(), 2);
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Yardsticks>(&text).unwrap(), found);
    }
}
