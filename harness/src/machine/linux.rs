//! Linux: what procfs and sysfs tell, as a pure function over their text.

mod extras;
mod texts;

pub use texts::Texts;

use super::Machine;
use std::collections::BTreeSet;

/// The machine that the texts describe, as far as they do.
pub fn describe(t: &Texts) -> Machine {
    let n_processors = values(&t.cpuinfo, "processor").filter(|v| v.parse::<u32>().is_ok()).count() as u32;
    Machine {
        cpu: cpu_model(t),
        cpu_numbers: cpu_numbers(&t.cpuinfo),
        isa: isa(&t.cpuinfo),
        cores: cores(t).unwrap_or(n_processors),
        logical: allowed(&t.self_status).unwrap_or(n_processors),
        nominal_ghz: nominal_ghz(t),
        governor: non_empty(&t.governor),
        caches: t.caches.iter().filter_map(cache).collect(),
        memory_bytes: kib(&t.meminfo, "MemTotal").unwrap_or(0),
        numa_nodes: count_list(&t.numa_online),
        transparent_huge_pages: bracketed(&t.transparent_hugepage),
        os: os_name(&t.os_release).unwrap_or_default(),
        hypervisor: hypervisor(t),
        container_limits: t.limits.describe(),
        load_average: t.loadavg.split(' ').next().and_then(|v| v.parse().ok()),
        sockets: extras::sockets(t),
        threads_per_core: extras::threads_per_core(t),
        max_ghz: khz_to_ghz(&t.max_frequency),
        turbo: extras::turbo(t),
        frequency_driver: non_empty(&t.frequency_driver),
        last_cache_bytes: extras::last_cache_bytes(t),
        last_cache_bytes_total: extras::last_cache_bytes_total(t),
        memory_modules: super::dmi::modules(&t.smbios),
        swap_bytes: kib(&t.meminfo, "SwapTotal"),
        swap_used_bytes: extras::swap_used_bytes(&t.meminfo),
        huge_pages: extras::huge_pages(&t.meminfo),
        microcode: values(&t.cpuinfo, "microcode").next().and_then(non_empty),
        mitigations: extras::mitigations(&t.vulnerabilities),
        ..Machine::default()
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Values of `key` in lines like `key : value`.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = text.lines().filter_map(|l| l.split_once(':'));
    pairs.filter(move |(k, _)| k.trim() == key).map(|(_, v)| v.trim())
}

fn cpu_model(t: &Texts) -> String {
    let named = ["model name", "cpu model", "Hardware"].iter().find_map(|k| values(&t.cpuinfo, k).next());
    named.map(str::to_owned).or_else(|| arm_model(&t.cpuinfo)).unwrap_or_default()
}

/// Names of Arm's parts by (implementer, part), for /proc/cpuinfo has numbers only; from the processors' manuals.
const ARM_PARTS: &[(&str, &str, &str)] = &[
    ("0x41", "0xd03", "Cortex-A53"),
    ("0x41", "0xd08", "Cortex-A72"),
    ("0x41", "0xd0b", "Cortex-A76"),
    ("0x41", "0xd0c", "Neoverse-N1"),
    ("0x41", "0xd40", "Neoverse-V1"),
    ("0x41", "0xd49", "Neoverse-N2"),
    ("0x41", "0xd4f", "Neoverse-V2"),
    ("0xc0", "0xac3", "Ampere-1"),
    ("0xc0", "0xac4", "Ampere-1a"),
];

fn arm_model(cpuinfo: &str) -> Option<String> {
    let implementer = values(cpuinfo, "CPU implementer").next()?;
    let part = values(cpuinfo, "CPU part").next()?;
    let known = ARM_PARTS.iter().find(|(i, p, _)| (*i, *p) == (implementer, part));
    Some(known.map_or_else(|| format!("Arm {implementer}:{part}"), |(_, _, name)| (*name).to_owned()))
}

/// Family and model of x86, implementer and part of Arm.
fn cpu_numbers(cpuinfo: &str) -> Option<String> {
    let both = |(first, one): (&str, &str), (second, other): (&str, &str)| {
        let (a, b) = (values(cpuinfo, first).next()?, values(cpuinfo, second).next()?);
        Some(format!("{one} {a}, {other} {b}"))
    };
    both(("cpu family", "family"), ("model", "model"))
        .or_else(|| both(("CPU implementer", "implementer"), ("CPU part", "part")))
}

/// Flags of /proc/cpuinfo that matter for inference, and how they are commonly called.
const ISA: &[(&str, &str)] = &[
    ("sse4_2", "sse4.2"),
    ("avx", "avx"),
    ("avx2", "avx2"),
    ("fma", "fma"),
    ("f16c", "f16c"),
    ("bmi2", "bmi2"),
    ("avx_vnni", "avx_vnni"),
    ("avx512f", "avx512f"),
    ("avx512bw", "avx512bw"),
    ("avx512vl", "avx512vl"),
    ("avx512vbmi", "avx512_vbmi"),
    ("avx512_vnni", "avx512_vnni"),
    ("avx512_bf16", "avx512_bf16"),
    ("avx512_fp16", "avx512_fp16"),
    ("amx_int8", "amx_int8"),
    ("amx_bf16", "amx_bf16"),
    ("asimd", "neon"),
    ("asimdhp", "fp16"),
    ("asimddp", "dotprod"),
    ("i8mm", "i8mm"),
    ("bf16", "bf16"),
    ("sve", "sve"),
    ("sve2", "sve2"),
];

fn isa(cpuinfo: &str) -> Vec<String> {
    let line = values(cpuinfo, "flags").next().or_else(|| values(cpuinfo, "Features").next());
    let flags: BTreeSet<&str> = line.unwrap_or_default().split_whitespace().collect();
    ISA.iter().filter(|(flag, _)| flags.contains(flag)).map(|(_, name)| (*name).to_owned()).collect()
}

/// Physical cores: distinct (package, core) pairs.
fn cores(t: &Texts) -> Option<u32> {
    let told = t.topology.iter().filter(|(package, core)| !package.is_empty() && !core.is_empty());
    let pairs: BTreeSet<_> = told.collect();
    if !pairs.is_empty() {
        return Some(pairs.len() as u32);
    }
    let ids = values(&t.cpuinfo, "physical id").zip(values(&t.cpuinfo, "core id"));
    let pairs: BTreeSet<_> = ids.collect();
    (!pairs.is_empty()).then_some(pairs.len() as u32)
}

/// Processors in this process's affinity mask.
fn allowed(self_status: &str) -> Option<u32> {
    count_list(values(self_status, "Cpus_allowed_list").next()?)
}

/// How many numbers `0-3,8` names.
fn count_list(list: &str) -> Option<u32> {
    let count = |range: &str| {
        let (first, last) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
        last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
    };
    list.trim().split(',').map(count).try_fold(0u32, |sum, n| sum.checked_add(n?)).filter(|&n| n > 0)
}

/// The base clock where the system tells it, else that in the CPU's name, else the clock of now, else the highest.
fn nominal_ghz(t: &Texts) -> Option<f64> {
    let model = values(&t.cpuinfo, "model name").next().unwrap_or_default();
    let named = model.rsplit_once("@ ").and_then(|(_, v)| v.trim().strip_suffix("GHz")?.parse().ok());
    let now = values(&t.cpuinfo, "cpu MHz").next().and_then(|v| v.parse::<f64>().ok()).map(|mhz| mhz / 1e3);
    let told = khz_to_ghz(&t.base_frequency).or(named).or(now).or_else(|| khz_to_ghz(&t.max_frequency));
    told.filter(|ghz| ghz.is_finite() && *ghz > 0.0)
}

fn khz_to_ghz(text: &str) -> Option<f64> {
    let ghz = text.trim().parse::<f64>().ok()? / 1e6;
    (ghz.is_finite() && ghz > 0.0).then_some(ghz)
}

fn cache((level, kind, size): &(String, String, String)) -> Option<(String, u64)> {
    let kind = match kind.as_str() {
        "Data" => "d",
        "Instruction" => "i",
        _ => "",
    };
    let bytes = size_bytes(size)?;
    (!level.is_empty()).then(|| (format!("L{level}{kind}"), bytes))
}

/// `48K`
fn size_bytes(size: &str) -> Option<u64> {
    let (number, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len()));
    let unit = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The bytes of a line `key: 1234 kB` of /proc/meminfo.
pub(crate) fn kib(meminfo: &str, key: &str) -> Option<u64> {
    values(meminfo, key).next()?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `madvise` of `always [madvise] never`.
fn bracketed(text: &str) -> Option<String> {
    non_empty(text.split_once('[')?.1.split_once(']')?.0)
}

fn os_name(os_release: &str) -> Option<String> {
    let of = |key| os_release.lines().find_map(|l| l.strip_prefix(key)).map(|v| v.trim().trim_matches('"'));
    non_empty(of("PRETTY_NAME=").or_else(|| of("NAME="))?)
}

/// A hypervisor's name where one is told, or that there is one.
fn hypervisor(t: &Texts) -> Option<String> {
    if let Some(kind) = non_empty(&t.hypervisor_type) {
        return Some(kind);
    }
    const MARKS: [&str; 12] = [
        "KVM",
        "QEMU",
        "VMware",
        "VirtualBox",
        "Xen",
        "Hyper-V",
        "Virtual Machine",
        "Amazon EC2",
        "Google Compute",
        "OpenStack",
        "Parallels",
        "Firecracker",
    ];
    let dmi = t.dmi.join(" ");
    if MARKS.iter().any(|mark| dmi.contains(mark)) {
        return non_empty(&dmi);
    }
    let flags = values(&t.cpuinfo, "flags").next().unwrap_or_default();
    flags.split_whitespace().any(|f| f == "hypervisor").then(|| "present, unnamed".to_owned())
}

#[cfg(test)]
mod tests;
