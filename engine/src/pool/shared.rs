//! A slice that workers write in disjoint parts.
#![expect(unsafe_code, reason = "disjoint writes of one slice from several threads")]

use super::Share;
use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice lent to all workers. Its parts are written by whoever holds the [`Share`] that they belong to,
/// and read only after a barrier.
pub(crate) struct Shared<'a, T> {
    ptr: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: access is by `claim` and `get`, whose rules make it a partition among threads.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { ptr: slice.as_mut_ptr(), len: slice.len(), lent: PhantomData }
    }

    /// The part that belongs to `share`: the caller computes a range that no other share of this operation maps to.
    #[expect(clippy::mut_from_ref, reason = "the share is the exclusive licence")]
    pub(crate) fn claim(&self, _share: &Share, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part of the slice");
        // SAFETY: in bounds. Shares between two barriers are disjoint (Worker::chunks, Worker::split), their ranges
        // too by this method's rule, and nobody reads them before the next barrier.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(range.start), range.len()) }
    }

    /// A part that nobody writes before the next barrier.
    pub(crate) fn get(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part of the slice");
        // SAFETY: in bounds, and not being written by this method's rule.
        unsafe { std::slice::from_raw_parts(self.ptr.add(range.start), range.len()) }
    }
}
