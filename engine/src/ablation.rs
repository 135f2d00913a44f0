//! Parts of the engine that can be left out, to measure what each of them gives. All but one leave every bit of the results as
//! it is. What is left out is chosen once, when a model is opened; a kernel knows nothing of it, or has one branch before its loops.

use crate::error::{Error, ErrorKind, Result};

/// The environment variable that leaves parts out: names of [`Part`]s joined by `+`, or `none`.
pub const WITHOUT_VARIABLE: &str = "ENGINE_WITHOUT";

/// A part of the engine that it can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Decode walks two streams of panels at once.
    Streams,
    /// Lines of weights are asked for ahead of their use.
    Prefetch,
    /// Prompts pass in tiles of tokens that share each weight read.
    Tiles,
    /// The query heads of a group share each load of keys and values.
    Group,
    /// Keys and values are kept as f16. The one part without which the results have other bits.
    HalfCache,
    /// The workers enter the pool once for a pass.
    Entry,
    /// Chunks of work are taken from a counter that the workers share.
    Counter,
    /// Weights lie on huge pages, where the system has them.
    HugePages,
    /// Attention asks for lines of the matrix after it.
    Lookahead,
}

/// Every part with its name, and what the engine does without it.
const PARTS: &[(Part, &str, &str)] = &[
    (Part::Streams, "streams", "decode walks one stream of weights per thread, not two"),
    (Part::Prefetch, "prefetch", "no line of weights is asked for ahead of its use"),
    (Part::Tiles, "tiles", "prompts pass token by token, not in tiles that share a read of the weights"),
    (Part::Group, "group", "each query head reads keys and values for itself, not once for its group"),
    (Part::HalfCache, "half-cache", "keys and values in f32, not f16 (other bits in the results)"),
    (Part::Entry, "entry", "the thread pool is entered once for each operation, not once for a pass"),
    (Part::Counter, "counter", "each thread has its even part of the work, not chunks from a shared counter"),
    (Part::HugePages, "huge-pages", "weights lie on small pages, not on huge ones"),
    (Part::Lookahead, "lookahead", "attention asks for no line of the matrix after it"),
];

impl Part {
    /// Every part.
    pub fn all() -> impl Iterator<Item = Part> {
        PARTS.iter().map(|&(part, ..)| part)
    }

    /// The part of this name.
    pub fn by_name(name: &str) -> Option<Part> {
        PARTS.iter().find(|(_, known, _)| *known == name).map(|&(part, ..)| part)
    }

    /// `streams`, `prefetch`, `tiles`, `group`, `half-cache`, `entry`, `counter`, `huge-pages` or `lookahead`.
    pub fn name(self) -> &'static str {
        self.line().1
    }

    /// What the engine does without it: the end of a sentence.
    pub fn without_it(self) -> &'static str {
        self.line().2
    }

    fn line(self) -> &'static (Part, &'static str, &'static str) {
        PARTS.iter().find(|(part, ..)| *part == self).expect("every part is in the list")
    }

    /// Whether the results without it have the same bits.
    pub fn keeps_bits(self) -> bool {
        self != Part::HalfCache
    }
}

/// The parts that are left out: none by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Without(u32);

impl Without {
    /// Names joined by `+`, or `none`.
    ///
    /// # Errors
    /// If a name is none of a [`Part`]'s.
    pub fn parse(text: &str) -> Result<Without> {
        let names = text.split('+').filter(|_| text != "none");
        names.map(part).try_fold(Without::default(), |without, part| Ok(without.and(part?)))
    }

    /// What [`WITHOUT_VARIABLE`] says; nothing where it is not set.
    ///
    /// # Errors
    /// As [`Without::parse`], with the name of the variable.
    pub fn from_environment() -> Result<Without> {
        let text = std::env::var(WITHOUT_VARIABLE).unwrap_or_else(|_| "none".into());
        Without::parse(&text).map_err(|error| error.at_key(WITHOUT_VARIABLE))
    }

    /// These and `part`.
    #[must_use]
    pub fn and(self, part: Part) -> Without {
        Without(self.0 | 1 << part as u32)
    }

    /// Whether `part` is left out.
    pub fn leaves_out(self, part: Part) -> bool {
        self.0 & 1 << part as u32 != 0
    }
}

impl std::fmt::Display for Without {
    /// As [`Without::parse`] reads it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = Part::all().filter(|&part| self.leaves_out(part)).map(Part::name).collect();
        f.write_str(if names.is_empty() { "none".to_owned() } else { names.join("+") }.as_str())
    }
}

fn part(name: &str) -> Result<Part> {
    Part::by_name(name).ok_or_else(|| {
        let known: Vec<_> = Part::all().map(Part::name).collect();
        let message = format!(
            "no part `{name}` to leave out; write `none` or some of {}, joined by `+`",
            known.join(", ")
        );
        Error::new(ErrorKind::Request, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_read_as_it_is_written() {
        for text in ["none", "streams", "streams+prefetch", "half-cache+counter+huge-pages"] {
            assert_eq!(Without::parse(text).unwrap().to_string(), text);
        }
        let without = Without::parse("counter+group").unwrap();
        assert_eq!(without, Without::default().and(Part::Group).and(Part::Counter));
        assert!(without.leaves_out(Part::Group) && !without.leaves_out(Part::Tiles));
        for part in Part::all() {
            assert_eq!(Part::by_name(part.name()), Some(part));
        }
    }

    #[test]
    fn an_unknown_part_is_refused_with_those_that_there_are() {
        for (text, name) in [("stream", "stream"), ("", ""), ("group+", ""), ("none+group", "none")] {
            let error = Without::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Request);
            let wanted = format!("no part `{name}` to leave out; write `none` or some of streams, ");
            assert!(error.to_string().contains(&wanted), "{error}");
        }
    }
}
