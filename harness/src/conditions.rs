//! How the machine was before and while a launch ran: the canary and the sensors.

use serde::{Deserialize, Serialize};

/// What was seen of the machine around one launch. What a system does not tell is `None`: "unavailable", never "fine".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {}
