//! The plan: every launch of a run, in order. Pure: the same scenario and seed give the same plan.

use crate::prompts::{below, rng};
use crate::sample::Role;
use crate::scenario::{CROSS_CHECK_FRAMEWORK, CROSS_CHECK_LABEL, Scenario, Workload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What one launch measures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Row label.
    pub framework: String,
    /// Workload name.
    pub workload: String,
    /// Threads.
    pub threads: u32,
}

/// One launch to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLaunch {
    /// Unique in the run; see [`crate::sample::LaunchRecord::launch_id`].
    pub launch_id: String,
    /// Position in the whole plan, from 0.
    pub position: u32,
    /// Block, from 0.
    pub block: u32,
    /// What it is for.
    pub role: Role,
    /// What it measures.
    pub cell: Cell,
}

/// Every launch, in the order in which they are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The launches.
    pub launches: Vec<PlannedLaunch>,
}

impl Plan {
    /// Every launch of `scenario` for those of its rows that `available_labels` names.
    ///
    /// Blocks go up to the scenario's cap; a run with a `target_ci` may end before. The control pair's second half takes part
    /// in the order like a framework of its own. A block runs every (framework, workload, threads) cell once: for each workload and thread count in turn, all
    /// frameworks in the order of one row of a Williams square. Which workload and thread count comes first moves on by
    /// one from block to block.
    pub fn build(scenario: &Scenario, available_labels: &[&str], seed: u64) -> Self {
        let mut labels: Vec<&str> = scenario.frameworks.iter().map(|f| f.label.as_str()).collect();
        labels.retain(|l| available_labels.contains(l));
        let control = scenario.control_label();
        if scenario.control && labels.contains(&scenario.baseline.as_str()) {
            labels.push(&control);
        }
        shuffle(&mut labels, seed);
        let square = williams_square(labels.len());
        let tasks: Vec<(&Workload, u32)> =
            scenario.workloads.iter().flat_map(|w| scenario.threads.iter().map(move |&t| (w, t))).collect();
        let cross_check_blocks = cross_check_blocks(scenario, &labels);
        let mut plan = Plan { launches: Vec::new() };
        for block in 0..scenario.blocks.max(scenario.blocks_max) {
            for turn in 0..tasks.len() {
                let task_idx = (turn + block as usize) % tasks.len();
                let (workload, threads) = tasks[task_idx];
                let order = square.get((block as usize + task_idx) % square.len().max(1));
                for &label_idx in order.into_iter().flatten() {
                    let label = labels[label_idx];
                    let role = if label == control { Role::Control } else { Role::Measure };
                    plan.push(block, role, label, workload, threads);
                }
            }
            if cross_check_blocks.contains(&block) {
                for &(workload, threads) in &tasks {
                    plan.push(block, Role::CrossCheck, CROSS_CHECK_LABEL, workload, threads);
                }
            }
        }
        plan
    }

    /// The launches that are not among `finished`, in order: what a resumed run still has to make.
    pub fn remaining(&self, finished: &BTreeSet<String>) -> Vec<&PlannedLaunch> {
        self.launches.iter().filter(|l| !finished.contains(&l.launch_id)).collect()
    }

    /// How many blocks give every row each place and each predecessor equally often: 0 for a plan of no launch.
    pub fn blocks_of_a_square(&self) -> usize {
        let in_square = self.launches.iter().filter(|l| l.role != Role::CrossCheck);
        let labels: BTreeSet<&str> = in_square.map(|l| l.cell.framework.as_str()).collect();
        williams_square(labels.len()).len()
    }

    fn push(&mut self, block: u32, role: Role, label: &str, workload: &Workload, threads: u32) {
        let cell = Cell { framework: label.to_owned(), workload: workload.name.clone(), threads };
        let launch_id = launch_id(block, role, &cell);
        self.launches.push(PlannedLaunch {
            launch_id,
            position: self.launches.len() as u32,
            block,
            role,
            cell,
        });
    }
}

/// `b03-llama.cpp-chat-t2`; a cross-check's begins with `x`.
fn launch_id(block: u32, role: Role, cell: &Cell) -> String {
    let prefix = match role {
        Role::Measure | Role::Control => 'b',
        Role::CrossCheck => 'x',
    };
    format!("{prefix}{block:02}-{}-{}-t{}", cell.framework, cell.workload, cell.threads)
}

/// First, middle and last block, if llama.cpp is among the rows that can be measured.
fn cross_check_blocks(scenario: &Scenario, labels: &[&str]) -> BTreeSet<u32> {
    let mut rows = labels.iter().filter_map(|l| scenario.framework(l));
    if !scenario.cross_check || !rows.any(|f| f.id == CROSS_CHECK_FRAMEWORK) || scenario.blocks == 0 {
        return BTreeSet::new();
    }
    BTreeSet::from([0, (scenario.blocks - 1) / 2, scenario.blocks - 1])
}

/// Orders of `n` treatments such that each stands in each place equally often, and each follows each other equally
/// often: n rows for even n, 2n for odd n (Williams 1949).
fn williams_square(n: usize) -> Vec<Vec<usize>> {
    // 0, 1, n-1, 2, n-2, …: every difference between neighbours occurs once.
    let zigzag: Vec<usize> =
        (0..n).map(|i| if i % 2 == 1 { i.div_ceil(2) } else { (n - i / 2) % n }).collect();
    let rows = |order: Vec<usize>| (0..n).map(move |shift| order.iter().map(|x| (x + shift) % n).collect());
    let mut square: Vec<Vec<usize>> = rows(zigzag.clone()).collect();
    if n % 2 == 1 && n > 1 {
        square.extend(rows(zigzag.into_iter().rev().collect()));
    }
    square
}

/// Fisher and Yates, by the seed: which label is which treatment of the square.
fn shuffle(labels: &mut [&str], seed: u64) {
    let mut rng = rng(seed, "order");
    for i in (1..labels.len()).rev() {
        labels.swap(i, below(&mut rng, i as u32 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{FrameworkSpec, ModelSource, ModelSpec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn scenario(n_frameworks: usize, n_workloads: usize, threads: &[u32], blocks: u32) -> Scenario {
        let framework = |i: usize| match i {
            0 => FrameworkSpec {
                id: "llama.cpp".into(),
                label: "llama.cpp".into(),
                options: BTreeMap::new(),
                variant: None,
            },
            i => FrameworkSpec {
                id: "fake".into(),
                label: format!("f{i}"),
                options: BTreeMap::new(),
                variant: None,
            },
        };
        let workload =
            |i| Workload { name: format!("w{i}"), prompt_tokens: 8, generate_tokens: 8, context: 16 };
        Scenario {
            name: "s".into(),
            title: "S".into(),
            description: String::new(),
            model: ModelSpec {
                name: "m".into(),
                quantization: "Q4_0".into(),
                source: ModelSource::Path("m.gguf".into()),
                sha256: None,
                bytes: None,
                stand_in: None,
            },
            platform: None,
            frameworks: (0..n_frameworks).map(framework).collect(),
            baseline: "llama.cpp".into(),
            subject: "llama.cpp".into(),
            workloads: (0..n_workloads).map(workload).collect(),
            threads: threads.to_vec(),
            blocks,
            repetitions: 1,
            cold_generate: 0,
            seed: 1,
            kv_type: "f16".into(),
            batch: 512,
            launch_timeout_s: 10,
            equivalence_margin: 0.02,
            verify_tokens: 0,
            cross_check: true,
            control: false,
            target_ci: None,
            blocks_max: blocks,
            pin: Default::default(),
            limits: Default::default(),
        }
    }

    fn build(s: &Scenario, seed: u64) -> Plan {
        let labels: Vec<&str> = s.frameworks.iter().map(|f| f.label.as_str()).collect();
        Plan::build(s, &labels, seed)
    }

    /// The orders of frameworks that one (workload, threads) pair sees, block by block.
    fn orders(plan: &Plan, workload: &str, threads: u32, blocks: u32) -> Vec<Vec<String>> {
        let of = |block| {
            let measured = plan.launches.iter().filter(move |l| l.block == block && l.role == Role::Measure);
            let here = measured.filter(|l| l.cell.workload == workload && l.cell.threads == threads);
            here.map(|l| l.cell.framework.clone()).collect()
        };
        (0..blocks).map(of).collect()
    }

    #[test]
    fn two_frameworks_alternate() {
        let s = scenario(2, 1, &[1], 4);
        let o = orders(&build(&s, 1), "w0", 1, 4);
        assert_eq!(o[0], o[2]);
        assert_eq!(o[1], o[3]);
        assert_eq!(o[0].iter().rev().collect::<Vec<_>>(), o[1].iter().collect::<Vec<_>>());
    }

    #[test]
    fn launch_ids_and_cross_checks() {
        let s = scenario(2, 1, &[1, 2], 7);
        let plan = build(&s, 1);
        let ids: Vec<&str> = plan.launches.iter().map(|l| l.launch_id.as_str()).collect();
        assert!(ids.contains(&"b03-llama.cpp-w0-t2"));
        let cross: Vec<&str> = ids.iter().copied().filter(|id| id.starts_with('x')).collect();
        assert_eq!(
            cross,
            [
                "x00-llama-bench-w0-t1",
                "x00-llama-bench-w0-t2",
                "x03-llama-bench-w0-t1",
                "x03-llama-bench-w0-t2",
                "x06-llama-bench-w0-t1",
                "x06-llama-bench-w0-t2"
            ]
        );
    }

    #[test]
    fn no_cross_check_without_llama_cpp_or_where_it_is_not_wanted() {
        let is_cross = |l: &PlannedLaunch| l.role == Role::CrossCheck;
        let mut s = scenario(3, 1, &[1], 2);
        assert!(!Plan::build(&s, &["f1", "f2"], 1).launches.iter().any(is_cross));
        assert_eq!(build(&s, 1).launches.iter().filter(|l| is_cross(l)).count(), 2);
        s.cross_check = false;
        assert!(!build(&s, 1).launches.iter().any(is_cross));
    }

    #[test]
    fn the_control_pair_is_the_baseline_under_a_second_label() {
        let mut s = scenario(2, 1, &[1, 2], 4);
        s.control = true;
        let plan = build(&s, 1);
        let control: Vec<&PlannedLaunch> = plan.launches.iter().filter(|l| l.role == Role::Control).collect();
        assert_eq!(control.len(), 2 * 4);
        assert!(control.iter().all(|l| l.cell.framework == "llama.cpp+control"));
        assert!(plan.launches.iter().any(|l| l.launch_id == "b01-llama.cpp+control-w0-t2"));
        let without = Plan::build(&s, &["f1"], 1);
        assert!(without.launches.iter().all(|l| l.role == Role::Measure));
    }

    #[test]
    fn blocks_up_to_the_cap_are_planned_and_the_first_ones_are_the_same() {
        let few = build(&scenario(3, 2, &[1, 2], 6), 9);
        let mut s = scenario(3, 2, &[1, 2], 6);
        s.blocks_max = 10;
        let many = build(&s, 9);
        assert_eq!(many.launches.iter().map(|l| l.block).max(), Some(9));
        assert_eq!(many.launches[..few.launches.len()], few.launches);
    }

    #[test]
    fn rows_that_cannot_be_measured_are_left_out_and_strangers_ignored() {
        let s = scenario(3, 1, &[1], 1);
        let plan = Plan::build(&s, &["f2", "stranger"], 1);
        assert_eq!(plan.launches.len(), 1);
        assert_eq!(plan.launches[0].cell.framework, "f2");
        assert!(Plan::build(&s, &[], 1).launches.is_empty());
    }

    #[test]
    fn the_first_workload_of_a_block_moves_on() {
        let s = scenario(1, 2, &[1, 2], 4);
        let first = |block| {
            let l = build(&s, 1).launches.into_iter().find(|l| l.block == block).unwrap();
            (l.cell.workload, l.cell.threads)
        };
        let firsts: BTreeSet<(String, u32)> = (0..4).map(first).collect();
        assert_eq!(firsts.len(), 4);
    }

    proptest! {
        #[test]
        fn each_cell_once_in_each_block(n in 1usize..7, w in 1usize..4, t in 1u32..4, blocks in 1u32..12, seed: u64) {
            let threads: Vec<u32> = (1..=t).collect();
            let s = scenario(n, w, &threads, blocks);
            let plan = build(&s, seed);
            prop_assert_eq!(&plan, &build(&s, seed));
            let mut seen = BTreeMap::new();
            for l in plan.launches.iter().filter(|l| l.role == Role::Measure) {
                *seen.entry((l.block, &l.cell)).or_insert(0) += 1;
            }
            prop_assert_eq!(seen.len(), n * w * threads.len() * blocks as usize);
            prop_assert!(seen.values().all(|&count| count == 1));
            let ids: BTreeSet<&str> = plan.launches.iter().map(|l| l.launch_id.as_str()).collect();
            prop_assert_eq!(ids.len(), plan.launches.len());
            prop_assert!(plan.launches.iter().enumerate().all(|(i, l)| l.position as usize == i));
            prop_assert!(plan.launches.is_sorted_by_key(|l| l.block));
        }

        #[test]
        fn places_and_neighbours_are_balanced_over_a_square(n in 2usize..8, w in 1usize..3, seed: u64) {
            let blocks = if n % 2 == 0 { n } else { 2 * n } as u32;
            let plan = build(&scenario(n, w, &[1, 2], blocks), seed);
            for threads in [1, 2] {
                let orders = orders(&plan, "w0", threads, blocks);
                let (mut places, mut neighbours) = (BTreeMap::new(), BTreeMap::new());
                for order in &orders {
                    for (place, label) in order.iter().enumerate() {
                        *places.entry((label, place)).or_insert(0) += 1;
                    }
                    for pair in order.windows(2) {
                        *neighbours.entry((&pair[0], &pair[1])).or_insert(0) += 1;
                    }
                }
                let each = blocks as usize / n;
                prop_assert_eq!(plan.blocks_of_a_square(), blocks as usize);
                prop_assert_eq!(places.len(), n * n);
                prop_assert!(places.values().all(|&c| c == each));
                prop_assert_eq!(neighbours.len(), n * (n - 1));
                prop_assert!(neighbours.values().all(|&c| c == each));
            }
        }

        #[test]
        fn a_resumed_run_makes_the_rest_in_order(n in 1usize..5, blocks in 1u32..6, seed: u64, mask: u64) {
            let plan = build(&scenario(n, 1, &[1], blocks), seed);
            let is_done = |l: &&PlannedLaunch| mask >> (l.position % 64) & 1 == 1;
            let finished: BTreeSet<String> =
                plan.launches.iter().filter(is_done).map(|l| l.launch_id.clone()).collect();
            let rest = plan.remaining(&finished);
            prop_assert_eq!(rest.len() + finished.len(), plan.launches.len());
            prop_assert!(rest.is_sorted_by_key(|l| l.position));
            prop_assert!(rest.iter().all(|l| !finished.contains(&l.launch_id)));
        }
    }
}
