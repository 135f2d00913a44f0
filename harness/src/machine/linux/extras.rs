//! Less usual parts of the description: sockets, turbo, last caches, swap, huge pages, mitigations.

use super::{Texts, kib, size_bytes, values};
use crate::machine::HugePages;
use std::collections::{BTreeMap, BTreeSet};

/// Distinct packages.
pub(super) fn sockets(t: &Texts) -> Option<u32> {
    let told: BTreeSet<&str> =
        t.topology.iter().map(|(package, _)| package.as_str()).filter(|p| !p.is_empty()).collect();
    let told = if told.is_empty() { values(&t.cpuinfo, "physical id").collect() } else { told };
    (!told.is_empty()).then_some(told.len() as u32)
}

/// The most processors that share a core.
pub(super) fn threads_per_core(t: &Texts) -> Option<u32> {
    let mut threads = BTreeMap::new();
    for core in t.topology.iter().filter(|(package, core)| !package.is_empty() && !core.is_empty()) {
        *threads.entry(core).or_insert(0u32) += 1;
    }
    threads.into_values().max()
}

/// What the driver of Intel's processors says, else the generic switch.
pub(super) fn turbo(t: &Texts) -> Option<bool> {
    match (t.no_turbo.trim(), t.boost.trim()) {
        ("0", _) => Some(true),
        ("1", _) => Some(false),
        (_, "1") => Some(true),
        (_, "0") => Some(false),
        _ => None,
    }
}

/// The last cache of the first processor.
pub(super) fn last_cache_bytes(t: &Texts) -> Option<u64> {
    size_bytes(&t.last_caches.first()?.0)
}

/// Every last cache once: processors that share one name the same list.
pub(super) fn last_cache_bytes_total(t: &Texts) -> Option<u64> {
    let distinct: BTreeMap<&str, &str> =
        t.last_caches.iter().map(|(size, cpus)| (&**cpus, &**size)).collect();
    let sizes: Option<Vec<u64>> = distinct.into_values().map(size_bytes).collect();
    sizes.filter(|s| !s.is_empty()).and_then(|s| s.into_iter().try_fold(0u64, u64::checked_add))
}

pub(super) fn swap_used_bytes(meminfo: &str) -> Option<u64> {
    kib(meminfo, "SwapTotal")?.checked_sub(kib(meminfo, "SwapFree")?)
}

pub(super) fn huge_pages(meminfo: &str) -> Option<HugePages> {
    let reserved = values(meminfo, "HugePages_Total").next()?.parse().ok()?;
    Some(HugePages { reserved, page_bytes: kib(meminfo, "Hugepagesize")? })
}

/// Those that the processor has, with what the kernel says.
pub(super) fn mitigations(told: &[(String, String)]) -> Vec<(String, String)> {
    let is_affected = |text: &str| !text.is_empty() && text != "Not affected";
    told.iter().filter(|(_, text)| is_affected(text)).cloned().collect()
}
