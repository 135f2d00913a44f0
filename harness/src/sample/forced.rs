//! What a framework would have said next along a text that it was given: teacher forcing.

use serde::{Deserialize, Serialize};

/// The likeliest next tokens at each position of a given text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forced {}
