//! Ids of lines, made of what they are about, and names of metrics.

use crate::sample::Metric;
use crate::summary::metric_key;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// The first 64 bits of a sha256 over what a line is about; 16 hexadecimal digits in the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

/// A map by id, which is a hash already.
pub(super) type IdMap<T> = HashMap<Id, T, BuildHasherDefault<AsIs>>;

/// The hash of a number is the number.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Id {
    /// The id of what `parts` name together.
    pub fn of(parts: &[&str]) -> Id {
        let mut hash = Sha256::new();
        for part in parts {
            // The length keeps ["ab", "c"] from being ["a", "bc"].
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        Id(u64::from_be_bytes(std::array::from_fn(|i| digest[i])))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let is_id = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = is_id.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        let wrong = || serde::de::Error::custom(format!("`{text}` is not an id of 16 hexadecimal digits"));
        id.map(Id).ok_or_else(wrong)
    }
}

/// The metric with this name in `summary.csv`.
pub fn metric_named(name: &str) -> Option<Metric> {
    Metric::ALL.into_iter().find(|&metric| metric_key(metric) == name)
}

/// A metric under its name in `summary.csv`.
pub(super) mod metric_names {
    use super::{Cow, Deserialize, Deserializer, Metric, Serializer, metric_key, metric_named};

    pub(crate) fn serialize<S: Serializer>(metric: &Metric, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(metric_key(*metric))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Metric, D::Error> {
        let name = <Cow<'de, str>>::deserialize(deserializer)?;
        metric_named(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is not a metric")))
    }
}
