//! What procfs tells of the machine's state, as pure functions over its text.

/// Processor time of all processors since the machine started, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuTimes {
    /// Used, interrupts included.
    pub busy_s: f64,
    /// Given by the hypervisor to others while there was work here.
    pub steal_s: f64,
    /// All of it, idle time too.
    pub total_s: f64,
}

impl CpuTimes {
    /// What was added since `earlier`; `None` if a counter fell.
    pub fn since(self, earlier: CpuTimes) -> Option<CpuTimes> {
        let times = CpuTimes {
            busy_s: self.busy_s - earlier.busy_s,
            steal_s: self.steal_s - earlier.steal_s,
            total_s: self.total_s - earlier.total_s,
        };
        [times.busy_s, times.steal_s, times.total_s].iter().all(|&s| s >= 0.0).then_some(times)
    }
}

/// The first line of `/proc/stat`, which is in ticks: user, nice, system, idle, iowait, irq, softirq, steal. What follows,
/// time of guests, is within the first two.
pub fn cpu_times(stat: &str, ticks_per_s: f64) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let ticks: Option<Vec<u64>> = line.split_whitespace().map(|v| v.parse().ok()).collect();
    let &[user, nice, system, idle, io_wait, irq, soft_irq, steal] = ticks?.first_chunk()?;
    let seconds = |ticks: &[u64]| ticks.iter().map(|&t| t as f64).sum::<f64>() / ticks_per_s;
    Some(CpuTimes {
        busy_s: seconds(&[user, nice, system, irq, soft_irq]),
        steal_s: seconds(&[steal]),
        total_s: seconds(&[user, nice, system, idle, io_wait, irq, soft_irq, steal]),
    })
}

/// The number behind `key` in lines like `key number`: `/proc/vmstat`, `ctxt` in `/proc/stat`.
pub(super) fn counter(text: &str, key: &str) -> Option<u64> {
    let mut pairs = text.lines().filter_map(|l| l.split_once(' '));
    pairs.find(|(k, _)| *k == key)?.1.trim().parse().ok()
}

/// µs in which some process waited, of `/proc/pressure/*`.
pub(super) fn some_waited_us(pressure: &str) -> Option<u64> {
    let some = pressure.lines().find_map(|l| l.strip_prefix("some "))?;
    some.split_whitespace().find_map(|field| field.strip_prefix("total="))?.parse().ok()
}

/// Processor time of the process whose `/proc/<pid>/stat` this is, in seconds: user's and system's.
pub(super) fn process_cpu_s(stat: &str, ticks_per_s: f64) -> Option<f64> {
    // The name, in brackets, may contain anything. The state follows it, as field 3; the times are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user as f64 + system as f64) / ticks_per_s)
}

/// The mean of the lines `cpu MHz` of `/proc/cpuinfo`. Without the flag `aperfmperf` the kernel cannot measure a clock
/// and prints a constant: then it is not told.
pub(super) fn cpuinfo_mhz(cpuinfo: &str) -> Option<f64> {
    let pairs = || cpuinfo.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.trim(), v.trim()));
    let flags = pairs().find(|(k, _)| *k == "flags")?.1;
    if !flags.split(' ').any(|flag| flag == "aperfmperf") {
        return None;
    }
    mean(pairs().filter(|(k, _)| *k == "cpu MHz").filter_map(|(_, v)| v.parse().ok()))
}

/// `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u32), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded on a two-core virtual machine; the interrupts are left out.
    const STAT: &str = "\
cpu  1167466 0 89972 1136787 2570 0 331 1353 0 0
cpu0 534903 0 41947 620656 609 0 89 678 0 0
cpu1 632563 0 48025 516130 1960 0 241 675 0 0
ctxt 98765432
btime 1795450809
";
    const PRESSURE: &str = "\
some avg10=5.31 avg60=2.15 avg300=2.11 total=865938498
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
";
    const VMSTAT: &str = "nr_free_pages 5000\npswpin 12\npswpout 0\npgmajfault 18828\n";

    #[test]
    fn processor_times_of_all_processors() {
        let times = cpu_times(STAT, 100.0).unwrap();
        assert_eq!(times.busy_s, 12_577.69);
        assert_eq!(times.steal_s, 13.53);
        assert!((times.total_s - 23_984.79).abs() < 1e-9, "{times:?}");
        assert_eq!(cpu_times("cpu0 1 2 3 4 5 6 7 8\n", 100.0), None);
        assert_eq!(cpu_times("cpu  1 2 3\n", 100.0), None);
        assert_eq!(cpu_times("cpu  1 2 3 x 5 6 7 8\n", 100.0), None);
    }

    #[test]
    fn times_since_an_earlier_reading() {
        let earlier = CpuTimes { busy_s: 1.0, steal_s: 0.5, total_s: 10.0 };
        let later = CpuTimes { busy_s: 3.0, steal_s: 0.5, total_s: 14.0 };
        assert_eq!(later.since(earlier), Some(CpuTimes { busy_s: 2.0, steal_s: 0.0, total_s: 4.0 }));
        assert_eq!(earlier.since(later), None);
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        assert_eq!(counter(VMSTAT, "pswpin"), Some(12));
        assert_eq!(counter(VMSTAT, "pgmajfault"), Some(18_828));
        assert_eq!(counter(VMSTAT, "pswp"), None);
        assert_eq!(counter(STAT, "ctxt"), Some(98_765_432));
        assert_eq!(some_waited_us(PRESSURE), Some(865_938_498));
        assert_eq!(some_waited_us("full avg10=0.00 total=3"), None);
        assert_eq!(some_waited_us(""), None);
    }

    #[test]
    fn a_process_with_an_awkward_name() {
        let stat = "4711 (a) b (c)) S 1 2 3 0 -1 4194560 100 0 1 0 250 50 7 8 20 0 4 0 99 1 2";
        assert_eq!(process_cpu_s(stat, 100.0), Some(3.0));
        assert_eq!(process_cpu_s("1 (x) S 1 2", 100.0), None);
        assert_eq!(process_cpu_s("", 100.0), None);
    }

    #[test]
    fn a_clock_is_told_only_where_it_is_measured() {
        let processor =
            |mhz: &str, flags: &str| format!("cpu MHz\t\t: {mhz}\nflags\t\t: fpu {flags} avx\n\n");
        let two = |flags: &str| processor("3000.000", flags) + &processor("2000.500", flags);
        assert_eq!(cpuinfo_mhz(&two("aperfmperf")), Some(2500.25));
        assert_eq!(cpuinfo_mhz(&two("hypervisor")), None);
        assert_eq!(cpuinfo_mhz("flags : aperfmperf\n"), None);
        assert_eq!(cpuinfo_mhz(""), None);
    }
}
