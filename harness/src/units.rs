//! Quantities as people read them. Values are stored whole; only here are they rounded.

/// Bytes in a megabyte, as memory and files are reported: 10^6, never 2^20.
pub const BYTES_PER_MB: f64 = 1e6;

/// Nanoseconds to milliseconds.
pub fn ns_to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Nanoseconds to seconds.
pub fn ns_to_s(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Bytes to megabytes (10^6).
pub fn bytes_to_mb(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_MB
}
