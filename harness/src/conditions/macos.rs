//! What `vm_stat` and `pmset -g therm` tell, as pure functions over their output. Both are commands: each costs a process.

/// The number in a line like `Swapins:    123.` of `vm_stat`.
pub(super) fn vm_counter(vm_stat: &str, key: &str) -> Option<u64> {
    let mut pairs = vm_stat.lines().filter_map(|l| l.split_once(':'));
    let value = pairs.find(|(k, _)| k.trim() == key)?.1;
    value.trim().trim_end_matches('.').parse().ok()
}

/// The percentage in the line `CPU_Speed_Limit = 100` of `pmset -g therm`; Macs with Apple silicon have none.
pub(super) fn speed_limit_percent(therm: &str) -> Option<u32> {
    let mut pairs = therm.lines().filter_map(|l| l.split_once('='));
    pairs.find(|(k, _)| k.trim() == "CPU_Speed_Limit")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written after the layout of the command, not recorded.
    const VM_STAT: &str = "\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               12345.
Pageins:                                 987654.
Swapins:                                     12.
Swapouts:                                     0.
";
    /// Likewise.
    const INTEL: &str = "\
2026-11-24 10:00:00 +0100 CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 8
\tCPU_Speed_Limit \t= 85
";
    const APPLE: &str = "Note: No thermal warning level has been recorded\n";

    #[test]
    fn swap_and_the_speed_limit() {
        assert_eq!(vm_counter(VM_STAT, "Swapins"), Some(12));
        assert_eq!(vm_counter(VM_STAT, "Swapouts"), Some(0));
        assert_eq!(vm_counter("", "Swapins"), None);
        assert_eq!(speed_limit_percent(INTEL), Some(85));
        assert_eq!(speed_limit_percent(APPLE), None);
    }
}
