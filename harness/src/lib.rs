//! A reproducible cross-framework benchmark harness for LLM inference.
//!
//! A scenario becomes a plan; the plan's launches become samples in a bundle; the bundle becomes a report.
//! A module imports only from the modules listed before it here.
#![forbid(unsafe_code)]

pub mod units;
pub mod escape;
pub mod html;
pub mod rating;
pub mod published;
pub mod redact;
pub mod cache;
mod locked;
pub mod machine;
pub mod conditions;
pub mod preflight;
pub mod scenario;
pub mod schema;
pub mod model;
pub mod protocol;
pub mod sample;
mod system;
pub mod agreement;
pub mod framework;
pub mod setup;
pub mod prompts;
pub mod plan;
pub mod launch;
pub mod conformance;
pub mod bundle;
pub mod runner;
pub mod stats;
pub mod verdict;
pub mod withdrawal;
pub mod summary;
pub mod comparison;
pub mod history;
pub mod chart;
pub mod report;
pub mod audit;
pub mod cmd;

#[cfg(test)]
mod testing;
