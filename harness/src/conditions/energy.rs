//! Energy of processor packages by the power-capping counters of Linux (RAPL): the files of one domain are `name`,
//! `energy_uj` and `max_energy_range_uj` in `/sys/class/powercap/intel-rapl:<n>`, on AMD's processors too. They need root.

use crate::machine::files::{names, number, text};

/// One package's counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// The name of its directory.
    pub name: String,
    /// Where it stands, µJ.
    pub energy_uj: u64,
    /// After this it starts again from 0.
    pub range_uj: u64,
}

const ROOT: &str = "/sys/class/powercap";

/// The packages' counters; empty without them, or without the right to read them.
pub(crate) fn read() -> Vec<Domain> {
    let domain = |name: String| {
        let of = |file: &str| format!("{ROOT}/{name}/{file}");
        let is_package = is_top_level(&name) && is_package(&text(&of("name")));
        is_package.then(|| {
            let (energy_uj, range_uj) = (number(&of("energy_uj"))?, number(&of("max_energy_range_uj"))?);
            Some(Domain { name: name.clone(), energy_uj, range_uj })
        })
    };
    let packages: Vec<Option<Domain>> = names(ROOT).into_iter().filter_map(domain).collect();
    // One that cannot be read would be missing in the sum.
    packages.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// `intel-rapl:0`; not `intel-rapl:0:1`, which is a part of it, nor `intel-rapl-mmio:0`, which counts the same.
fn is_top_level(dir: &str) -> bool {
    dir.strip_prefix("intel-rapl:").is_some_and(|n| n.parse::<u32>().is_ok())
}

/// `package-0`; `psys` is the whole system and contains it.
fn is_package(name: &str) -> bool {
    name.starts_with("package-")
}

/// What all packages used; `None` without counters, or if they are not the same ones.
pub(crate) fn joules_between(before: &[Domain], after: &[Domain]) -> Option<f64> {
    if before.is_empty() || before.len() != after.len() {
        return None;
    }
    let used_uj = |(b, a): (&Domain, &Domain)| {
        let same = b.name == a.name && b.range_uj == a.range_uj;
        let wrapped = || a.energy_uj.checked_add(b.range_uj.checked_sub(b.energy_uj)?);
        same.then(|| a.energy_uj.checked_sub(b.energy_uj).or_else(wrapped))?
    };
    let each: Option<Vec<u64>> = before.iter().zip(after).map(used_uj).collect();
    Some(each?.into_iter().map(|uj| uj as f64 / 1e6).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str, energy_uj: u64) -> Domain {
        Domain { name: name.into(), energy_uj, range_uj: 262_143_328_850 }
    }

    #[test]
    fn packages_add_up_and_counters_go_round() {
        let before = [domain("intel-rapl:0", 1_000_000), domain("intel-rapl:1", 262_143_000_000)];
        let after = [domain("intel-rapl:0", 3_500_000), domain("intel-rapl:1", 671_150)];
        assert_eq!(joules_between(&before, &after), Some(2.5 + 1.0));
        assert_eq!(joules_between(&before, &before), Some(0.0));
    }

    #[test]
    fn other_counters_are_no_figure() {
        let one = [domain("intel-rapl:0", 5)];
        assert_eq!(joules_between(&[], &[]), None);
        assert_eq!(joules_between(&one, &[]), None);
        assert_eq!(joules_between(&one, &[domain("intel-rapl:1", 9)]), None);
        let beyond = [Domain { energy_uj: 100, range_uj: 10, ..domain("intel-rapl:0", 0) }];
        let back = [Domain { energy_uj: 1, ..beyond[0].clone() }];
        assert_eq!(joules_between(&beyond, &back), None);
    }

    #[test]
    fn only_whole_packages_count() {
        let top =
            ["intel-rapl:0", "intel-rapl:12", "intel-rapl:0:0", "intel-rapl-mmio:0", "intel-rapl", "dtpm"];
        assert_eq!(top.map(is_top_level), [true, true, false, false, false, false]);
        assert_eq!(["package-0", "psys", "core", ""].map(is_package), [true, false, false, false]);
    }
}
