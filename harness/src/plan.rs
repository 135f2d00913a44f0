//! The plan: every launch of a run, in order. Pure: the same scenario and seed give the same plan.

use serde::{Deserialize, Serialize};

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
    pub role: crate::sample::Role,
    /// What it measures.
    pub cell: Cell,
}

/// Every launch, in the order in which they are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The launches.
    pub launches: Vec<PlannedLaunch>,
}
