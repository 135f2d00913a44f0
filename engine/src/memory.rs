//! The one allocator: zeroed pages from the system, touched first by whoever writes them.
#![expect(unsafe_code, reason = "buffers are parts of one mapping that do not overlap")]

use crate::error::{Error, ErrorKind, Result};
use memmap2::{MmapOptions, MmapRaw};
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// Where buffers begin: a line of the caches.
const ALIGNMENT: usize = 64;
/// A huge page of x86-64, and of Arm with pages of 4 KiB.
const HUGE: usize = 2 << 20;

/// A fixed number of bytes on the boundary of a line.
pub(crate) struct Buffer {
    /// `None` where there are no bytes, which cannot be mapped.
    map: Option<Arc<MmapRaw>>,
    /// Its bytes of the mapping, which no other buffer has.
    range: Range<usize>,
}

/// Room for many buffers, one behind the other: huge pages lie across their borders, where a mapping for each buffer
/// would end in small ones.
pub(crate) struct Arena {
    /// `None` where the system has no such room in one piece.
    map: Option<Arc<MmapRaw>>,
    /// What is left of it.
    free: Range<usize>,
    pages: Pages,
}

/// How large the pages are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// As the system gives them.
    System,
    /// Small ones, even where the system would give huge ones.
    Small,
    /// Huge ones where the system can (`madvise`).
    Huge,
}

impl Pages {
    /// The name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Pages::System => "system",
            Pages::Small => "small",
            Pages::Huge => "huge",
        }
    }
}

impl Arena {
    /// Room for `len` bytes; the pages come from the system untouched.
    pub(crate) fn new(len: usize, pages: Pages) -> Self {
        let map = map(len.saturating_add(HUGE), pages).ok();
        let first = map.as_ref().map_or(0, |map| map.as_ptr().align_offset(HUGE).min(HUGE));
        let free = map.as_ref().map_or(0..0, |map| first..map.len());
        Self { map: map.map(Arc::new), free, pages }
    }

    /// `len` zero bytes: of the arena, or of their own where it has not as many left.
    ///
    /// # Errors
    /// If the system has no such room.
    pub(crate) fn zeroed(&mut self, len: usize) -> Result<Buffer> {
        let whole = len.checked_next_multiple_of(ALIGNMENT).filter(|&whole| whole <= self.free.len());
        let Some(whole) = whole else { return Buffer::zeroed(len, self.pages) };
        let range = self.free.start..self.free.start + len;
        self.free.start += whole;
        Ok(Buffer { map: self.map.clone(), range })
    }
}

impl Buffer {
    /// `len` zero bytes; the pages come from the system untouched.
    ///
    /// # Errors
    /// If the system has no such room.
    pub(crate) fn zeroed(len: usize, pages: Pages) -> Result<Self> {
        let map = if len == 0 { None } else { Some(Arc::new(map(len, pages)?)) };
        Ok(Self { map, range: 0..len })
    }
}

fn map(len: usize, pages: Pages) -> Result<MmapRaw> {
    let map = MmapOptions::new().len(len).map_anon().map_err(|e| {
        let message = format!("no memory for {len} bytes: {e}");
        Error::new(ErrorKind::Bounds, message)
    })?;
    #[cfg(target_os = "linux")]
    {
        use memmap2::Advice;
        // A kernel without huge pages refuses; its own pages do too.
        let _ = match pages {
            Pages::System => Ok(()),
            Pages::Small => map.advise(Advice::NoHugePage),
            Pages::Huge => map.advise(Advice::HugePage),
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = pages;
    Ok(map.into())
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let Some(map) = &self.map else { return &[] };
        debug_assert!(self.range.end <= map.len());
        // SAFETY: the range lies in the mapping, which lives as long as `self`; its bytes are initialized (zero from the
        // system), and no other buffer has any of them.
        unsafe { std::slice::from_raw_parts(map.as_ptr().add(self.range.start), self.range.len()) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let Some(map) = &self.map else { return &mut [] };
        debug_assert!(self.range.end <= map.len());
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().add(self.range.start), self.range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_gives_parts_that_do_not_overlap_and_goes_on_when_it_is_used_up() {
        for pages in [Pages::System, Pages::Small, Pages::Huge] {
            let mut arena = Arena::new(5000, pages);
            let room = arena.free.len();
            let mut parts: Vec<_> =
                [100, 0, 4096, 2 * HUGE].iter().map(|&len| arena.zeroed(len).unwrap()).collect();
            assert_eq!(room - arena.free.len(), 128 + 4096);
            assert_eq!(parts[0].as_ptr() as usize % HUGE, 0);
            for (i, part) in parts.iter_mut().enumerate() {
                assert!(part.iter().all(|&x| x == 0) && (part.as_ptr() as usize).is_multiple_of(ALIGNMENT));
                part.fill(i as u8 + 1);
            }
            drop(arena);
            for (i, part) in parts.iter().enumerate() {
                assert!(part.iter().all(|&x| x == i as u8 + 1));
            }
        }
        // No such room in one piece: each for itself.
        let mut arena = Arena::new(usize::MAX, Pages::System);
        assert_eq!(arena.zeroed(100).unwrap().len(), 100);
    }

    #[test]
    fn zeroed_aligned_writable_and_empty() {
        for pages in [Pages::System, Pages::Small, Pages::Huge] {
            let mut b = Buffer::zeroed(100, pages).unwrap();
            assert!(b.iter().all(|&x| x == 0) && (b.as_ptr() as usize).is_multiple_of(64));
            b[99] = 7;
            assert_eq!((b.len(), b[99]), (100, 7));
            assert!(Buffer::zeroed(0, pages).unwrap().is_empty());
        }
        assert_eq!(
            Buffer::zeroed(isize::MAX as usize / 2, Pages::System).err().unwrap().kind(),
            ErrorKind::Bounds
        );
    }
}
