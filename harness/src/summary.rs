//! The typed summary of a run.
