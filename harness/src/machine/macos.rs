//! macOS: what sysctl and sw_vers tell, as a pure function over their output.

use super::Machine;
use std::process::{Command, Stdio};

/// What the commands print; empty where one fails.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// `sysctl hw machdep.cpu kern.hv_vmm_present vm.loadavg vm.swapusage`
    pub sysctl: String,
    /// `sw_vers -productVersion`
    pub product_version: String,
}

impl Texts {
    /// Runs them all.
    pub fn read() -> Self {
        let names = ["hw", "machdep.cpu", "kern.hv_vmm_present", "vm.loadavg", "vm.swapusage"];
        let each = names.map(|name| output("/usr/sbin/sysctl", &[name]));
        Self { sysctl: each.join("\n"), product_version: output("/usr/bin/sw_vers", &["-productVersion"]) }
    }
}

pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    run.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
}

/// The machine that the texts describe, as far as they do.
pub fn describe(t: &Texts) -> Machine {
    let number = |name: &str| value(&t.sysctl, name).and_then(|v| v.parse::<u64>().ok());
    let count = |name: &str| number(name).and_then(|n| u32::try_from(n).ok());
    Machine {
        cpu: value(&t.sysctl, "machdep.cpu.brand_string").unwrap_or_default().to_owned(),
        cpu_numbers: value(&t.sysctl, "hw.cpufamily").map(|number| format!("family {number}")),
        isa: isa(&t.sysctl),
        cores: count("hw.physicalcpu").unwrap_or(0),
        logical: count("hw.logicalcpu").unwrap_or(0),
        // Apple silicon does not tell its clock; Intel Macs do.
        nominal_ghz: number("hw.cpufrequency").filter(|&hz| hz > 0).map(|hz| hz as f64 / 1e9),
        caches: caches(&t.sysctl),
        memory_bytes: number("hw.memsize").unwrap_or(0),
        os: match t.product_version.trim() {
            "" => String::new(),
            version => format!("macOS {version}"),
        },
        hypervisor: (number("kern.hv_vmm_present") == Some(1)).then(|| "present, unnamed".to_owned()),
        load_average: value(&t.sysctl, "vm.loadavg").and_then(|v| {
            v.trim_start_matches('{').split_whitespace().next()?.replace(',', ".").parse().ok()
        }),
        sockets: count("hw.packages"),
        threads_per_core: count("hw.logicalcpu")
            .zip(count("hw.physicalcpu"))
            .and_then(|(l, p)| l.checked_div(p)),
        max_ghz: number("hw.cpufrequency_max").filter(|&hz| hz > 0).map(|hz| hz as f64 / 1e9),
        // Apple silicon has one more behind it, which the system does not tell.
        last_cache_bytes: caches(&t.sysctl).last().map(|(_, bytes)| *bytes),
        swap_bytes: swap(&t.sysctl, "total"),
        swap_used_bytes: swap(&t.sysctl, "used"),
        ..Machine::default()
    }
}

/// The value in the line `name: value`.
fn value<'a>(sysctl: &'a str, name: &str) -> Option<&'a str> {
    let pairs = sysctl.lines().filter_map(|l| l.split_once(':'));
    pairs.filter(|(n, _)| n.trim() == name).map(|(_, v)| v.trim()).find(|v| !v.is_empty())
}

/// `used = 1024.50M` in the line `vm.swapusage: total = 2048.00M  used = 1024.50M  free = 1023.50M  (encrypted)`.
pub(crate) fn swap(sysctl: &str, which: &str) -> Option<u64> {
    let mut words = value(sysctl, "vm.swapusage")?.split_whitespace().skip_while(|w| *w != which).skip(2);
    let mib: f64 = words.next()?.strip_suffix('M')?.replace(',', ".").parse().ok()?;
    (mib.is_finite() && mib >= 0.0).then_some((mib * f64::from(1 << 20)) as u64)
}

/// Flags that matter for inference: of Arm by `hw.optional`, of Intel by the feature lists.
const ARM_ISA: [(&str, &str); 6] = [
    ("hw.optional.neon", "neon"),
    ("hw.optional.arm.FEAT_FP16", "fp16"),
    ("hw.optional.arm.FEAT_DotProd", "dotprod"),
    ("hw.optional.arm.FEAT_I8MM", "i8mm"),
    ("hw.optional.arm.FEAT_BF16", "bf16"),
    ("hw.optional.arm.FEAT_SME", "sme"),
];
const INTEL_ISA: [(&str, &str); 6] = [
    ("SSE4.2", "sse4.2"),
    ("AVX1.0", "avx"),
    ("AVX2", "avx2"),
    ("FMA", "fma"),
    ("F16C", "f16c"),
    ("AVX512F", "avx512f"),
];

fn isa(sysctl: &str) -> Vec<String> {
    let is_set = |name: &str| value(sysctl, name) == Some("1");
    let arm = ARM_ISA.iter().filter(|(name, _)| is_set(name)).map(|(_, isa)| *isa);
    let lists = ["machdep.cpu.features", "machdep.cpu.leaf7_features"];
    let features: Vec<&str> =
        lists.iter().flat_map(|l| value(sysctl, l).unwrap_or_default().split(' ')).collect();
    let intel = INTEL_ISA.iter().filter(|(name, _)| features.contains(name)).map(|(_, isa)| *isa);
    let mut found: Vec<String> = arm.chain(intel).map(str::to_owned).collect();
    // Older systems name it otherwise.
    if found.is_empty() && is_set("hw.optional.AdvSIMD") {
        found.push("neon".to_owned());
    }
    found
}

/// Of the performance cores where the system tells them apart, else of all.
fn caches(sysctl: &str) -> Vec<(String, u64)> {
    let sizes =
        [("L1i", "l1icachesize"), ("L1d", "l1dcachesize"), ("L2", "l2cachesize"), ("L3", "l3cachesize")];
    let size = |name: &str| {
        let of =
            |prefix: &str| value(sysctl, &format!("{prefix}.{name}"))?.parse::<u64>().ok().filter(|&b| b > 0);
        of("hw.perflevel0").or_else(|| of("hw"))
    };
    sizes.iter().filter_map(|(label, name)| Some(((*label).to_owned(), size(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Representative of an Apple M2 (4 performance and 4 efficiency cores, 16 GB), in the layout that sysctl prints; not a
    /// recording of one machine.
    const M2: &str = "\
hw.ncpu: 8
hw.physicalcpu: 8
hw.logicalcpu: 8
hw.memsize: 17179869184
hw.pagesize: 16384
hw.l1icachesize: 131072
hw.l1dcachesize: 65536
hw.l2cachesize: 4194304
hw.nperflevels: 2
hw.perflevel0.physicalcpu: 4
hw.perflevel0.l1icachesize: 196608
hw.perflevel0.l1dcachesize: 131072
hw.perflevel0.l2cachesize: 16777216
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_FP16: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_SME: 0
hw.optional.neon: 1
machdep.cpu.brand_string: Apple M2
machdep.cpu.core_count: 8
kern.hv_vmm_present: 0
vm.loadavg: { 1.52 2.04 2.11 }
vm.swapusage: total = 2048.00M  used = 1024.50M  free = 1023.50M  (encrypted)
";

    /// Representative of an Intel Mac, likewise.
    const INTEL: &str = "\
hw.physicalcpu: 8
hw.logicalcpu: 16
hw.packages: 1
hw.cpufrequency: 3600000000
hw.cpufrequency_max: 5000000000
hw.memsize: 34359738368
hw.l3cachesize: 16777216
machdep.cpu.brand_string: Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz
machdep.cpu.features: FPU SSE4.2 FMA AVX1.0 F16C
machdep.cpu.leaf7_features: BMI2 AVX2
kern.hv_vmm_present: 1
";

    fn texts(sysctl: &str, version: &str) -> Texts {
        Texts { sysctl: sysctl.to_owned(), product_version: version.to_owned() }
    }

    #[test]
    fn apple_m2() {
        let m = describe(&texts(M2, "14.5"));
        assert_eq!((m.cpu.as_str(), m.os.as_str()), ("Apple M2", "macOS 14.5"));
        assert_eq!((m.cores, m.logical, m.memory_bytes), (8, 8, 16 << 30));
        assert_eq!(m.isa, ["neon", "fp16", "dotprod", "i8mm", "bf16"]);
        assert_eq!((m.swap_bytes, m.swap_used_bytes), (Some(2048 << 20), Some(1_074_266_112)));
        assert_eq!((m.threads_per_core, m.last_cache_bytes), (Some(1), Some(16 << 20)));
        assert_eq!((m.nominal_ghz, m.hypervisor, m.load_average), (None, None, Some(1.52)));
        assert_eq!(m.caches, [("L1i".into(), 192 << 10), ("L1d".into(), 128 << 10), ("L2".into(), 16 << 20)]);
    }

    #[test]
    fn intel_mac() {
        let m = describe(&texts(INTEL, "13.0"));
        assert_eq!((m.cores, m.logical, m.nominal_ghz), (8, 16, Some(3.6)));
        assert_eq!((m.threads_per_core, m.sockets, m.max_ghz), (Some(2), Some(1), Some(5.0)));
        assert_eq!(m.isa, ["sse4.2", "avx", "avx2", "fma", "f16c"]);
        assert_eq!(m.caches, [("L3".into(), 16 << 20)]);
        assert_eq!(m.hypervisor.as_deref(), Some("present, unnamed"));
    }

    #[test]
    fn nothing_describes_nothing() {
        assert_eq!(describe(&Texts::default()), Machine::default());
        assert_eq!(describe(&texts(":\n: :\nhw.memsize: much\nvm.loadavg: {", "")), Machine::default());
    }
}
