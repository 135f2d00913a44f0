//! What a launch took of the processor.

use serde::{Deserialize, Serialize};

/// Processor time, threads and affinity of a framework's processes. Empty where the system does not tell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUse {}
