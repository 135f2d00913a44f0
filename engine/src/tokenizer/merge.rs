//! Repeated merging of the best neighbouring pair, which SPM and BPE share: O(n log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// The id of a symbol that is no piece of the vocabulary.
pub(super) const NO_ID: u32 = u32::MAX;

const NONE: u32 = u32::MAX;

/// The longest text that [`Merger`] takes, in bytes.
pub(super) const LEN_MAX: usize = 1 << 31;

/// A stretch of the text, at first one character.
#[derive(Debug, Clone)]
pub(super) struct Symbol {
    start: u32,
    /// In bytes; zero once it is merged into its left neighbour.
    len: u32,
    pub(super) id: u32,
    prev: u32,
    next: u32,
}

impl Symbol {
    /// Where it stands in the text.
    pub(super) fn range(&self) -> Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }

    /// Where it stands together with its right neighbour.
    pub(super) fn range_with(&self, right: &Self) -> Range<usize> {
        self.start as usize..(right.start + right.len) as usize
    }
}

/// What two neighbours would become.
pub(super) struct Merge {
    /// The lowest goes first; among equals the leftmost.
    pub(super) priority: u32,
    pub(super) id: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    priority: u32,
    left: u32,
    right: u32,
    /// Of both together: tells whether either has changed since.
    len: u32,
    id: u32,
}

/// The symbols of one text and the queue of merges; its buffers serve text after text.
#[derive(Debug, Default)]
pub(super) struct Merger {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

impl Merger {
    /// Forgets the text before.
    pub(super) fn clear(&mut self) {
        self.symbols.clear();
        self.queue.clear();
    }

    /// Appends the next character. The text may not be longer than [`LEN_MAX`].
    pub(super) fn push(&mut self, start: usize, len: usize, id: u32) {
        debug_assert!(start + len <= LEN_MAX);
        let at = self.symbols.len() as u32;
        let prev = match self.symbols.last_mut() {
            Some(last) => {
                last.next = at;
                at - 1
            }
            None => NONE,
        };
        self.symbols.push(Symbol { start: start as u32, len: len as u32, id, prev, next: NONE });
    }

    /// Merges until `find` knows no pair, and returns what is left, from left to right.
    pub(super) fn run(
        &mut self,
        find: impl Fn(&Symbol, &Symbol) -> Option<Merge>,
    ) -> impl Iterator<Item = &Symbol> {
        for right in 1..self.symbols.len() as u32 {
            self.consider(right - 1, right, &find);
        }
        while let Some(Reverse(best)) = self.queue.pop() {
            let (left, right) = (self.at(best.left), self.at(best.right));
            if left.len == 0 || right.len == 0 || left.len + right.len != best.len {
                continue;
            }
            let (prev, next) = (left.prev, right.next);
            self.symbols[best.right as usize].len = 0;
            let merged = &mut self.symbols[best.left as usize];
            (merged.len, merged.id, merged.next) = (best.len, best.id, next);
            if next != NONE {
                self.symbols[next as usize].prev = best.left;
                self.consider(best.left, next, &find);
            }
            if prev != NONE {
                self.consider(prev, best.left, &find);
            }
        }
        self.symbols.iter().filter(|symbol| symbol.len > 0)
    }

    fn consider(&mut self, left: u32, right: u32, find: &impl Fn(&Symbol, &Symbol) -> Option<Merge>) {
        let (l, r) = (self.at(left), self.at(right));
        if let Some(Merge { priority, id }) = find(l, r) {
            let len = l.len + r.len;
            self.queue.push(Reverse(Candidate { priority, left, right, len, id }));
        }
    }

    fn at(&self, index: u32) -> &Symbol {
        &self.symbols[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges equal neighbours of length below 4, the shortest first.
    fn lengths(n: usize) -> Vec<u32> {
        let mut merger = Merger::default();
        (0..n).for_each(|at| merger.push(at, 1, 0));
        let find = |l: &Symbol, r: &Symbol| {
            (l.len == r.len && l.len < 4).then_some(Merge { priority: l.len, id: 0 })
        };
        merger.run(find).map(|s| s.len).collect()
    }

    #[test]
    fn leftmost_of_equals_goes_first() {
        assert!(lengths(0).is_empty());
        assert_eq!(lengths(3), [2, 1]);
        assert_eq!(lengths(7), [4, 2, 1]);
        assert_eq!(lengths(9), [4, 4, 1]);
    }
}
