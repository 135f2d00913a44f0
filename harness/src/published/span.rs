//! A figure as it was published: one value, or a range.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;

/// One value, or a range whose ends are both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Smallest.
    pub low: f64,
    /// Largest; the same for one value.
    pub high: f64,
    /// Decimals as written.
    decimals: usize,
}

impl Span {
    /// Reads `85-95` or `59.67`: numbers that are not negative.
    pub fn parse(text: &str) -> Option<Span> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0);
        let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let (low_value, high_value) = (number(low)?, number(high)?);
        let decimals = decimals(low).max(decimals(high));
        (low_value <= high_value).then_some(Span { low: low_value, high: high_value, decimals })
    }

    /// Half-way between its ends.
    pub fn midpoint(&self) -> f64 {
        f64::midpoint(self.low, self.high)
    }

    /// Whether it is more than one value.
    pub fn is_range(&self) -> bool {
        self.low < self.high
    }

    /// Whether `value` lies within.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each end has the decimals that it needs: `2.45-3.5`, but `3.6-5.0`.
        let end = |value: f64| {
            let short = value.to_string();
            let has = short.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            format!("{value:.*}", has.max(self.decimals.min(1)))
        };
        match self.is_range() {
            true => write!(f, "{}-{}", end(self.low), end(self.high)),
            false => write!(f, "{:.*}", self.decimals, self.low),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number such as 59.67, or a range such as 85-95")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        Span::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Span, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Span, E> {
        self.visit_str(&value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_they_were_published() {
        for text in ["85-95", "59.67", "3.5", "3.6-5.0", "2.45-3.5", "850", "0-1"] {
            assert_eq!(Span::parse(text).map(|span| span.to_string()).as_deref(), Some(text));
        }
        for text in ["", "-", "5-", "-5", "95-85", "a", "1-2-3", "inf", "NaN", "1 - 2"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
        let span = Span::parse("85-95").expect("a range");
        assert_eq!((span.midpoint(), span.is_range()), (90.0, true));
        assert!(span.holds(85.0) && span.holds(95.0) && !span.holds(95.1));
    }

    #[test]
    fn yaml_numbers_and_strings_are_figures() {
        let read = |text: &str| serde_yaml::from_str::<Span>(text).map(|span| span.to_string());
        assert_eq!(read("850").ok().as_deref(), Some("850"));
        assert_eq!(read("51.8").ok().as_deref(), Some("51.8"));
        assert_eq!(read("35-40").ok().as_deref(), Some("35-40"));
        let error = read("fast").expect_err("no figure").to_string();
        assert!(error.contains("expected a number such as 59.67, or a range such as 85-95"), "{error}");
    }
}
