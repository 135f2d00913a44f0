//! Which processors a framework is to be pinned to, and which the harness keeps: a plan, nothing is applied here.

use super::topology::{Processor, Topology};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The two sets, in order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinning {
    /// For the framework; one for each thread while there are enough.
    pub framework: Vec<u32>,
    /// For the harness.
    pub harness: Vec<u32>,
    /// Whether the harness has to use cores of the framework: it then disturbs what it measures.
    pub shared: bool,
}

/// Chooses from `allowed` for a framework of `threads` threads.
///
/// A core has one thread before any has a second. The harness keeps the whole first core if one is left. Among nodes, the
/// framework gets one that holds all its threads, the highest of them, rather not the harness's; if none does, nodes are
/// filled one after the other from the highest. Within a node cores with high numbers come first.
///
/// If no core is left, the harness gets the processors that are (second threads of the framework's cores), else all.
///
/// All cores count as equal: on processors with fast and slow ones, `allowed` has to name cores of one kind.
pub fn plan(topology: &Topology, allowed: &[u32], threads: u32) -> Pinning {
    let allowed: BTreeSet<u32> = allowed.iter().copied().collect();
    let cores = cores(allowed.iter().map(|&cpu| topology.processor(cpu)));
    let threads = threads.max(1) as usize;
    let kept = cores.first().filter(|_| threads < cores.len());
    let free: Vec<&Core> = cores.iter().skip(usize::from(kept.is_some())).collect();
    let framework: BTreeSet<u32> = in_order(&free, threads, kept).into_iter().take(threads).collect();
    let harness: Vec<u32> = match kept {
        Some(core) => core.cpus.clone(),
        None => {
            let left: Vec<u32> = allowed.difference(&framework).copied().collect();
            if left.is_empty() { allowed.iter().copied().collect() } else { left }
        }
    };
    Pinning { framework: framework.into_iter().collect(), harness, shared: kept.is_none() }
}

/// A core's allowed processors, in order.
struct Core {
    node: u32,
    cpus: Vec<u32>,
}

/// By their first allowed processor.
fn cores(processors: impl Iterator<Item = Processor>) -> Vec<Core> {
    let mut by_core: BTreeMap<u32, Core> = BTreeMap::new();
    for p in processors {
        by_core.entry(p.core).or_insert(Core { node: p.node, cpus: vec![] }).cpus.push(p.cpu);
    }
    let mut cores: Vec<Core> = by_core.into_values().collect();
    cores.sort_by_key(|core| core.cpus[0]);
    cores
}

/// The processors of `free` in the order in which the framework gets them.
fn in_order(free: &[&Core], threads: usize, kept: Option<&Core>) -> Vec<u32> {
    let mut by_node: BTreeMap<u32, Vec<&Core>> = BTreeMap::new();
    for core in free {
        by_node.entry(core.node).or_default().push(core);
    }
    let mut nodes: Vec<(u32, Vec<&Core>)> = by_node.into_iter().collect();
    nodes.sort_by_key(|(node, cores)| {
        let holds_all = cores.len() >= threads;
        let has_harness = kept.is_some_and(|kept| kept.node == *node);
        (!holds_all, has_harness, std::cmp::Reverse(*node))
    });
    let cores: Vec<&Core> = nodes.iter().flat_map(|(_, cores)| cores.iter().rev().copied()).collect();
    let n_rounds = cores.iter().map(|core| core.cpus.len()).max().unwrap_or(0);
    (0..n_rounds).flat_map(|i| cores.iter().filter_map(move |core| core.cpus.get(i).copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processors as (core, node), numbered from 0.
    fn topology(processors: &[(u32, u32)]) -> Topology {
        let processor = |(cpu, &(core, node)): (u32, &(u32, u32))| Processor { cpu, core, node };
        Topology { processors: (0..).zip(processors).map(processor).collect() }
    }

    #[track_caller]
    fn check(
        topology: &Topology,
        allowed: &[u32],
        threads: u32,
        framework: &[u32],
        harness: &[u32],
        shared: bool,
    ) {
        let wanted = Pinning { framework: framework.to_vec(), harness: harness.to_vec(), shared };
        assert_eq!(plan(topology, allowed, threads), wanted);
    }

    #[test]
    fn one_processor_is_shared() {
        check(&topology(&[(0, 0)]), &[0], 1, &[0], &[0], true);
        check(&topology(&[(0, 0)]), &[0], 3, &[0], &[0], true);
    }

    #[test]
    fn of_two_processors_the_framework_gets_the_second_or_both() {
        let two = topology(&[(0, 0), (1, 0)]);
        check(&two, &[0, 1], 1, &[1], &[0], false);
        check(&two, &[0, 1], 2, &[0, 1], &[0, 1], true);
        check(&two, &[1, 0], 4, &[0, 1], &[0, 1], true);
        // Two threads of one core are one core.
        let one_core = topology(&[(0, 0), (0, 0)]);
        check(&one_core, &[0, 1], 1, &[0], &[1], true);
    }

    #[test]
    fn second_threads_of_cores_come_last() {
        // Four cores, numbered as Linux does: 0–3 and their siblings 4–7.
        let smt = topology(&[(0, 0), (1, 0), (2, 0), (3, 0), (0, 0), (1, 0), (2, 0), (3, 0)]);
        let all: Vec<u32> = (0..8).collect();
        check(&smt, &all, 1, &[3], &[0, 4], false);
        check(&smt, &all, 3, &[1, 2, 3], &[0, 4], false);
        check(&smt, &all, 4, &[0, 1, 2, 3], &[4, 5, 6, 7], true);
        check(&smt, &all, 6, &[0, 1, 2, 3, 6, 7], &[4, 5], true);
        check(&smt, &all, 8, &all, &all, true);
        // Siblings beside each other.
        let beside = topology(&[(0, 0), (0, 0), (2, 0), (2, 0)]);
        check(&beside, &[0, 1, 2, 3], 1, &[2], &[0, 1], false);
        check(&beside, &[0, 1, 2, 3], 2, &[0, 2], &[1, 3], true);
    }

    #[test]
    fn only_allowed_processors_count() {
        let four = topology(&[(0, 0), (1, 0), (2, 0), (3, 0)]);
        check(&four, &[1, 3], 1, &[3], &[1], false);
        check(&four, &[2], 1, &[2], &[2], true);
        // Not told: each its own core.
        check(&Topology::default(), &[4, 5, 6], 2, &[5, 6], &[4], false);
    }

    #[test]
    fn one_node_is_filled_first() {
        let two_nodes = topology(&[(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (5, 1), (6, 1), (7, 1)]);
        let all: Vec<u32> = (0..8).collect();
        check(&two_nodes, &all, 2, &[6, 7], &[0], false);
        check(&two_nodes, &all, 4, &[4, 5, 6, 7], &[0], false);
        check(&two_nodes, &all, 6, &[2, 3, 4, 5, 6, 7], &[0], false);
        // Only the first node can hold them: better beside the harness than across nodes.
        check(&two_nodes, &[0, 1, 2, 3, 7], 3, &[1, 2, 3], &[0], false);
        // Numbered alternately.
        let alternating = topology(&[(0, 0), (1, 1), (2, 0), (3, 1)]);
        check(&alternating, &[0, 1, 2, 3], 2, &[1, 3], &[0], false);
        check(&alternating, &[0, 1, 2, 3], 3, &[1, 2, 3], &[0], false);
    }

    #[test]
    fn nothing_allowed_is_an_empty_plan() {
        check(&Topology::default(), &[], 2, &[], &[], true);
    }
}
