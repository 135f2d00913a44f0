//! Which logical processors share a core, and which a memory node.

use super::files::{names, numbered, text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A logical processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Processor {
    /// Its number, as the system counts.
    pub cpu: u32,
    /// The lowest number among the processors of its core, which stands for the core.
    pub core: u32,
    /// Its NUMA node; 0 where there is but one.
    pub node: u32,
}

/// The processors of a machine; empty where the system does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// In order of their numbers.
    pub processors: Vec<Processor>,
}

impl Topology {
    /// What sysfs tells; empty on other systems.
    pub fn read() -> Self {
        let siblings = |dir: String| {
            let cpu = dir.rsplit_once("cpu")?.1.parse().ok()?;
            let of = |name: &str| text(&format!("{dir}/topology/{name}"));
            // The first is what newer kernels call it.
            let list = [of("core_cpus_list"), of("thread_siblings_list")].into_iter().find(|l| !l.is_empty());
            Some((cpu, list?))
        };
        let nodes = "/sys/devices/system/node";
        let node = |name: String| {
            let number = name.strip_prefix("node")?.parse().ok()?;
            Some((number, text(&format!("{nodes}/{name}/cpulist"))))
        };
        let siblings: Vec<(u32, String)> =
            numbered("/sys/devices/system/cpu", "cpu").filter_map(siblings).collect();
        Self::of(&siblings, &names(nodes).into_iter().filter_map(node).collect::<Vec<_>>())
    }

    /// From the list of siblings of each processor, and the list of processors of each node.
    pub fn of(siblings: &[(u32, String)], nodes: &[(u32, String)]) -> Self {
        let node_of: BTreeMap<u32, u32> = nodes
            .iter()
            .flat_map(|(node, list)| {
                parse_cpu_list(list).unwrap_or_default().into_iter().map(|cpu| (cpu, *node))
            })
            .collect();
        let mut processors: Vec<Processor> = siblings
            .iter()
            .map(|(cpu, list)| Processor {
                cpu: *cpu,
                core: parse_cpu_list(list).and_then(|cpus| cpus.first().copied()).unwrap_or(*cpu),
                node: node_of.get(cpu).copied().unwrap_or(0),
            })
            .collect();
        processors.sort();
        Self { processors }
    }

    /// What is known of `cpu`; of one that is not told: a core of its own, in node 0.
    pub fn processor(&self, cpu: u32) -> Processor {
        let known = self.processors.iter().find(|p| p.cpu == cpu);
        known.copied().unwrap_or(Processor { cpu, core: cpu, node: 0 })
    }
}

/// Reads a list of processors as the kernel writes it, `0-3,8`. `None` if it is none.
pub fn parse_cpu_list(text: &str) -> Option<BTreeSet<u32>> {
    /// More processors than any machine has: a list like `0-4294967295` is refused.
    const CPUS_MAX: u32 = 1 << 16;
    let mut cpus = BTreeSet::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Writes a list of processors as the kernel does.
pub fn cpu_list(cpus: &BTreeSet<u32>) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let text = |&(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(list: &[(u32, &str)]) -> Vec<(u32, String)> {
        list.iter().map(|(n, text)| (*n, (*text).to_owned())).collect()
    }

    #[test]
    fn processor_lists_are_read_and_written() {
        let check = |text: &str, cpus: &[u32], written: &str| {
            let seen = parse_cpu_list(text).expect(text);
            assert_eq!(seen, cpus.iter().copied().collect(), "{text}");
            assert_eq!(cpu_list(&seen), written);
        };
        check("0", &[0], "0");
        check("0-3,8\n", &[0, 1, 2, 3, 8], "0-3,8");
        check("5,1,2", &[1, 2, 5], "1-2,5");
        for wrong in ["", "a", "3-1", "1,", "0-", "x,1", "0-4294967295", "-1"] {
            assert_eq!(parse_cpu_list(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cores_are_named_by_their_first_processor_and_nodes_by_theirs() {
        let topology = Topology::of(
            &owned(&[(2, "0,2"), (0, "0,2"), (1, "1,3"), (3, "1,3")]),
            &owned(&[(0, "0,2"), (1, "1,3")]),
        );
        let found: Vec<_> = topology.processors.iter().map(|p| (p.cpu, p.core, p.node)).collect();
        assert_eq!(found, [(0, 0, 0), (1, 1, 1), (2, 0, 0), (3, 1, 1)]);
        assert_eq!(topology.processor(3), Processor { cpu: 3, core: 1, node: 1 });
        assert_eq!(topology.processor(9), Processor { cpu: 9, core: 9, node: 0 });
    }
}
