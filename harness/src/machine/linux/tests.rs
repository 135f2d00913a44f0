//! Recorded text. x86: a two-core virtual machine, shortened to the lines that are read. arm64: representative, after
//! the layout of a Neoverse V1's /proc/cpuinfo.

use super::*;

const X86_CPUINFO: &str = "\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 2600.000
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu sse4_2 avx f16c hypervisor fma avx2 bmi2 avx512f avx_vnni avx512_vnni amx_int8

processor\t: 1
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 2600.000
physical id\t: 0
core id\t\t: 1
flags\t\t: fpu
";

const ARM_CPUINFO: &str = "\
processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp sve asimdfhm i8mm bf16
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1

processor\t: 1
BogoMIPS\t: 2100.00
Features\t: fp asimd
CPU implementer\t: 0x41
CPU part\t: 0xd40
";

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn x86() -> Texts {
    let cache = |l: &str, k: &str, s: &str| (l.to_owned(), k.to_owned(), s.to_owned());
    Texts {
        cpuinfo: X86_CPUINFO.to_owned(),
        meminfo: "MemTotal:       24684084 kB\nMemFree:        18263464 kB\n".to_owned(),
        loadavg: "15.41 6.09 4.17 12/153 27425".to_owned(),
        self_status: "Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\n".to_owned(),
        os_release: "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n".to_owned(),
        transparent_hugepage: "always [madvise] never".to_owned(),
        numa_online: "0".to_owned(),
        caches: vec![
            cache("1", "Data", "48K"),
            cache("1", "Instruction", "64K"),
            cache("2", "Unified", "2048K"),
        ],
        ..Texts::default()
    }
}

#[test]
fn a_virtual_x86_machine() {
    let m = describe(&x86());
    assert_eq!(m.cpu, "Intel(R) Xeon(R) Processor");
    assert_eq!(m.cpu_numbers.as_deref(), Some("family 6, model 143"));
    let isa =
        ["sse4.2", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8"];
    assert_eq!(m.isa, strings(&isa));
    assert_eq!((m.cores, m.logical, m.memory_bytes), (2, 2, 24_684_084 * 1024));
    assert_eq!((m.nominal_ghz, m.load_average, m.numa_nodes), (Some(2.6), Some(15.41), Some(1)));
    assert_eq!(m.governor, None);
    assert_eq!(m.transparent_huge_pages.as_deref(), Some("madvise"));
    assert_eq!(m.hypervisor.as_deref(), Some("present, unnamed"));
    assert_eq!(m.os, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(m.caches, [("L1d".into(), 48 << 10), ("L1i".into(), 64 << 10), ("L2".into(), 2 << 20)]);
}

#[test]
fn an_arm_machine() {
    let topology = (0..2).map(|core| ("0".to_owned(), core.to_string())).collect();
    let texts = Texts {
        cpuinfo: ARM_CPUINFO.to_owned(),
        max_frequency: "2600000".to_owned(),
        dmi: ["Amazon EC2".to_owned(), "c7g.large".to_owned()],
        topology,
        ..Texts::default()
    };
    let m = describe(&texts);
    assert_eq!(m.cpu, "Neoverse-V1");
    assert_eq!(m.cpu_numbers.as_deref(), Some("implementer 0x41, part 0xd40"));
    assert_eq!(m.isa, strings(&["neon", "fp16", "dotprod", "i8mm", "bf16", "sve"]));
    assert_eq!((m.cores, m.logical, m.nominal_ghz), (2, 2, Some(2.6)));
    assert_eq!(m.hypervisor.as_deref(), Some("Amazon EC2 c7g.large"));
}

#[test]
fn a_part_without_a_name_is_given_by_number() {
    let cpuinfo = ARM_CPUINFO.replace("0xd40", "0xfff");
    assert_eq!(describe(&Texts { cpuinfo, ..Texts::default() }).cpu, "Arm 0x41:0xfff");
}

#[test]
fn hyper_threads_are_not_cores_and_an_affinity_mask_counts() {
    let pair = |package: &str, core: &str| (package.to_owned(), core.to_owned());
    let topology = vec![pair("0", "0"), pair("0", "1"), pair("0", "0"), pair("0", "1"), pair("1", "0")];
    let self_status = "Cpus_allowed_list:\t0-1,4\n".to_owned();
    let m = describe(&Texts { topology, self_status, ..x86() });
    assert_eq!((m.cores, m.logical), (3, 3));
}

#[test]
fn the_clock_comes_from_the_best_source() {
    let name = "model name\t: Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz\ncpu MHz\t\t: 800.1\n";
    let ghz = |base: &str, cpuinfo: &str, max: &str| {
        let (base_frequency, max_frequency) = (base.to_owned(), max.to_owned());
        nominal_ghz(&Texts { base_frequency, max_frequency, cpuinfo: cpuinfo.to_owned(), ..Texts::default() })
    };
    assert_eq!(ghz("3500000", name, "5000000"), Some(3.5));
    assert_eq!(ghz("", name, "5000000"), Some(3.6));
    assert_eq!(ghz("", "cpu MHz\t\t: 800.0\n", ""), Some(0.8));
    assert_eq!(ghz("", "", ""), None);
}

#[test]
fn nothing_and_nonsense_describe_nothing() {
    let m = describe(&Texts::default());
    assert_eq!(m, Machine::default());
    for text in
        [":::\n::", "processor", "flags:\u{fffd}", "MemTotal: 99999999999999999999 kB", "7-3", "0-4294967295"]
    {
        let t = text.to_owned();
        let texts = Texts {
            cpuinfo: t.clone(),
            meminfo: t.clone(),
            self_status: format!("Cpus_allowed_list: {t}"),
            numa_online: t.clone(),
            base_frequency: t.clone(),
            caches: vec![(t.clone(), t.clone(), t.clone())],
            ..Texts::default()
        };
        describe(&texts);
    }
}

#[test]
fn a_server_with_two_sockets_and_a_part_of_its_caches_each() {
    let pair = |package: &str, core: &str| (package.to_owned(), core.to_owned());
    let last = |list: &str| ("32768K".to_owned(), list.to_owned());
    let affected = "Mitigation; PTE Inversion".to_owned();
    let texts = Texts {
        cpuinfo: "microcode\t: 0xa0011d1\n".to_owned(),
        meminfo:
            "SwapTotal: 2048 kB\nSwapFree: 1536 kB\nHugePages_Total:      16\nHugepagesize:    2048 kB\n"
                .to_owned(),
        max_frequency: "3500000".to_owned(),
        frequency_driver: "acpi-cpufreq".to_owned(),
        boost: "1".to_owned(),
        topology: vec![pair("0", "0"), pair("1", "0"), pair("0", "0"), pair("1", "0")],
        last_caches: vec![last("0,2"), last("1,3"), last("0,2"), last("1,3")],
        vulnerabilities: vec![
            ("l1tf".to_owned(), affected.clone()),
            ("mds".to_owned(), "Not affected".to_owned()),
        ],
        ..Texts::default()
    };
    let m = describe(&texts);
    assert_eq!((m.sockets, m.threads_per_core, m.cores), (Some(2), Some(2), 2));
    assert_eq!(
        (m.max_ghz, m.turbo, m.frequency_driver.as_deref()),
        (Some(3.5), Some(true), Some("acpi-cpufreq"))
    );
    assert_eq!((m.last_cache_bytes, m.last_cache_bytes_total), (Some(32 << 20), Some(64 << 20)));
    assert_eq!((m.swap_bytes, m.swap_used_bytes), (Some(2 << 20), Some(512 << 10)));
    assert_eq!(m.huge_pages, Some(crate::machine::HugePages { reserved: 16, page_bytes: 2 << 20 }));
    assert_eq!(
        (m.microcode.as_deref(), m.mitigations),
        (Some("0xa0011d1"), vec![("l1tf".to_owned(), affected)])
    );
}

#[test]
fn turbo_is_told_by_one_of_two_switches_or_not_at_all() {
    let turbo = |no_turbo: &str, boost: &str| {
        let (no_turbo, boost) = (no_turbo.to_owned(), boost.to_owned());
        describe(&Texts { no_turbo, boost, ..Texts::default() }).turbo
    };
    assert_eq!([turbo("0", ""), turbo("1", "1"), turbo("", "1")], [Some(true), Some(false), Some(true)]);
    assert_eq!([turbo("", "0"), turbo("", ""), turbo("?", "?")], [Some(false), None, None]);
}
