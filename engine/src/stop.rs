//! Stop strings, found across token boundaries in the bytes of the answer.

use crate::{Error, ErrorKind, Result};

/// What is known after some more bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopEvent {
    /// No stop string yet: these bytes cannot be part of one. They may end inside a character;
    /// [`Utf8Stream`](crate::tokenizer::Utf8Stream) turns them into text.
    Continue(Vec<u8>),
    /// A stop string is complete.
    Stopped {
        /// What came before it and was not handed out yet.
        text: Vec<u8>,
        /// Its place in the list.
        stop: usize,
    },
}

/// Watches a stream of bytes for several stop strings at once.
///
/// The first to be complete counts, and of those complete at the same byte the longest: the result
/// does not depend on how the bytes are cut into tokens. Each byte costs amortized constant time
/// per stop string.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<Stop>,
    held: Vec<u8>,
    stopped: bool,
}

/// One stop string and how much of it the stream ends with (Knuth, Morris and Pratt).
#[derive(Debug, Clone)]
struct Stop {
    bytes: Vec<u8>,
    /// For each prefix, the length of its longest proper suffix that is a prefix too.
    borders: Vec<usize>,
    matched: usize,
}

impl StopStrings {
    /// # Errors
    /// `Request` if a stop string is empty.
    pub fn new<S: AsRef<[u8]>>(stops: impl IntoIterator<Item = S>) -> Result<Self> {
        let stops = stops.into_iter().map(|stop| Stop::new(stop.as_ref())).collect::<Result<_>>()?;
        Ok(Self { stops, ..Self::default() })
    }

    /// Adds `bytes`. After a stop everything is swallowed.
    pub fn push(&mut self, bytes: &[u8]) -> StopEvent {
        if self.stopped {
            return StopEvent::Continue(Vec::new());
        }
        for &byte in bytes {
            self.held.push(byte);
            self.stops.iter_mut().for_each(|stop| stop.advance(byte));
            let complete = self.stops.iter().enumerate().filter(|(_, stop)| stop.is_complete());
            if let Some((idx, stop)) = complete.max_by_key(|(_, stop)| stop.bytes.len()) {
                self.held.truncate(self.held.len() - stop.bytes.len());
                self.stopped = true;
                return StopEvent::Stopped { text: std::mem::take(&mut self.held), stop: idx };
            }
        }
        let kept = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - kept);
        StopEvent::Continue(std::mem::replace(&mut self.held, rest))
    }

    /// Ends the stream: what was held back is text after all.
    pub fn finish(&mut self) -> Vec<u8> {
        self.stops.iter_mut().for_each(|stop| stop.matched = 0);
        std::mem::take(&mut self.held)
    }
}

impl Stop {
    fn new(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::new(ErrorKind::Request, "a stop string must not be empty"));
        }
        let mut stop = Self { bytes: bytes.to_vec(), borders: vec![0], matched: 0 };
        for &byte in &bytes[1..] {
            stop.advance(byte);
            stop.borders.push(stop.matched);
        }
        stop.matched = 0;
        Ok(stop)
    }

    fn advance(&mut self, byte: u8) {
        while self.matched > 0 && self.bytes.get(self.matched) != Some(&byte) {
            self.matched = self.borders[self.matched - 1];
        }
        if self.bytes[self.matched] == byte {
            self.matched += 1;
        }
    }

    fn is_complete(&self) -> bool {
        self.matched == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the parts; returns the text and the stop, if one was found.
    fn run(stops: &[&str], parts: &[&[u8]]) -> (Vec<u8>, Option<usize>) {
        let mut watch = StopStrings::new(stops).unwrap();
        let mut text = Vec::new();
        for part in parts {
            match watch.push(part) {
                StopEvent::Continue(more) => text.extend(more),
                StopEvent::Stopped { text: more, stop } => {
                    text.extend(more);
                    assert_eq!(watch.push(b"more"), StopEvent::Continue(vec![]));
                    assert_eq!(watch.finish(), b"");
                    return (text, Some(stop));
                }
            }
        }
        text.extend(watch.finish());
        (text, None)
    }

    fn check(stops: &[&str], parts: &[&str], text: &str, stop: Option<usize>) {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        assert_eq!(run(stops, &parts), (text.as_bytes().to_vec(), stop), "{stops:?} {parts:?}");
    }

    #[test]
    fn stops_across_boundaries() {
        check(&["END"], &["one E", "N", "D two"], "one ", Some(0));
        check(&["END"], &["one E", "N", "X"], "one ENX", None);
        check(&["END"], &["EN", "EN", "D"], "EN", Some(0));
        check(&[], &["abc"], "abc", None);
    }

    #[test]
    fn overlapping_prefixes() {
        check(&["aab"], &["aaab"], "a", Some(0));
        check(&["aab"], &["a", "a", "a", "b"], "a", Some(0));
        check(&["abab"], &["ab", "aa", "bab"], "aba", Some(0));
        check(&["\n\n"], &["x\n", "y\n", "\nz"], "x\ny", Some(0));
    }

    #[test]
    fn several_stops() {
        check(&["xyz", "yz"], &["axyz"], "a", Some(0));
        check(&["xyzw", "y"], &["axyzw"], "ax", Some(1));
        check(&["b", "abc"], &["abc"], "a", Some(0));
    }

    #[test]
    fn characters_split_over_tokens() {
        let emoji = "😀".as_bytes();
        assert_eq!(run(&["😀"], &[b"a", &emoji[..1], &emoji[1..3], &emoji[3..]]), (b"a".to_vec(), Some(0)));
        let mut watch = StopStrings::new(["😀"]).unwrap();
        assert_eq!(watch.push(b"a\xF0\x9F"), StopEvent::Continue(b"a".to_vec()));
        assert_eq!(watch.push(b"\x98\x81"), StopEvent::Continue("😁".as_bytes().to_vec()));
    }

    #[test]
    fn holds_back_no_more_than_needed() {
        let mut watch = StopStrings::new(["stop", "toy"]).unwrap();
        assert_eq!(watch.push(b"a sto"), StopEvent::Continue(b"a ".to_vec()));
        assert_eq!(watch.push(b"y"), StopEvent::Stopped { text: b"s".to_vec(), stop: 1 });
    }

    #[test]
    fn empty_stop_strings_are_refused() {
        assert_eq!(StopStrings::new(["a", ""]).unwrap_err().kind(), ErrorKind::Request);
    }

    proptest! {
        #[test]
        fn cutting_makes_no_difference(text in "[abc]{0,24}", stops in prop::collection::vec("[abc]{1,4}", 0..3),
                                       size in 1usize..6) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let bytes = text.as_bytes();
            let (whole, stop) = run(&stops, &[bytes]);
            prop_assert_eq!(&(whole.clone(), stop), &run(&stops, &bytes.chunks(size).collect::<Vec<_>>()));
            let first_end = (0..=bytes.len()).find_map(|end| {
                let ends = stops.iter().filter(|stop| bytes[..end].ends_with(stop.as_bytes()));
                Some(end - ends.map(|stop| stop.len()).max()?)
            });
            prop_assert_eq!(whole.len(), first_end.unwrap_or(bytes.len()));
            prop_assert_eq!(stop.is_some(), first_end.is_some());
        }
    }
}
