//! The one allocator: zeroed pages from the system, touched first by whoever writes them.
#![expect(unsafe_code, reason = "buffers are parts of one mapping that do not overlap")]

use crate::error::{Error, ErrorKind, Result};
use memmap2::{MmapOptions, MmapRaw};
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where buffers begin: a line of the caches.
const ALIGNMENT: usize = 64;
/// A huge page of x86-64, and of Arm with pages of 4 KiB.
const HUGE: usize = 2 << 20;
/// Of so many huge pages one is timed; after one that was slow to come the next one is.
const TIMED: usize = 8;
/// Within this a system that has a huge page at hand has given it, zeroed.
const AT_HAND: Duration = Duration::from_millis(1);
/// How long an arena waits for those that are not, until it takes small ones: some four of 4 ms, as a virtual machine takes
/// whose host has to bring them.
const PATIENCE: Duration = Duration::from_millis(16);

/// A fixed number of bytes on the boundary of a line.
pub(crate) struct Buffer {
    /// `None` where there are no bytes, which cannot be mapped.
    map: Option<Arc<MmapRaw>>,
    /// Its bytes of the mapping, which no other buffer has.
    range: Range<usize>,
}

/// Room for many buffers, one behind the other: huge pages lie across their borders, where a mapping for each buffer
/// would end in small ones. Where huge pages are wanted but do not come at once, what is left gets small ones, so that
/// nobody waits for them; when all buffers are given out, the system may make huge ones of those in its own time.
pub(crate) struct Arena {
    /// `None` where the system has no such room in one piece.
    map: Option<Arc<MmapRaw>>,
    /// What is left of it.
    free: Range<usize>,
    pages: Pages,
    /// How long it still waits for huge pages.
    patience: Duration,
    /// Where the next huge page to be timed begins.
    next_timed: usize,
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
        Self { map: map.map(Arc::new), free, pages, patience: PATIENCE, next_timed: first }
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
        self.time_huge_pages(range.end);
        Ok(Buffer { map: self.map.clone(), range })
    }

    /// Touches some of the huge pages that begin before `end`, and asks for small ones from there on once that has taken too long.
    fn time_huge_pages(&mut self, end: usize) {
        let Some(map) = self.map.clone().filter(|_| self.pages == Pages::Huge) else { return };
        while self.next_timed < end && !self.patience.is_zero() {
            let at = self.next_timed;
            let started = Instant::now();
            // SAFETY: the byte lies in the mapping, and in no buffer that anybody has yet. It is zero already.
            unsafe { map.as_mut_ptr().add(at).write_volatile(0) };
            self.waited(started.elapsed(), at + HUGE);
        }
    }

    /// Takes small pages from `rest` on if waiting so long for the huge one before has ended the patience.
    fn waited(&mut self, waited: Duration, rest: usize) {
        let slow = waited > AT_HAND;
        self.next_timed = if slow { rest } else { rest + (TIMED - 1) * HUGE };
        self.patience = self.patience.saturating_sub(if slow { waited } else { Duration::ZERO });
        if let Some(map) = self.map.as_deref().filter(|map| self.patience.is_zero() && rest < map.len()) {
            tracing::debug!(rest, of = map.len(), "huge pages do not come at once: small ones for the rest");
            advise(map, Pages::Small, rest..map.len());
        }
    }
}

impl Drop for Arena {
    /// What it gave out on small pages for want of patience can become huge now: the system does that in the background.
    fn drop(&mut self) {
        if let Some(map) = self.map.as_deref().filter(|_| self.patience.is_zero()) {
            advise(map, Pages::Huge, 0..map.len());
        }
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
    let map = MmapRaw::from(map);
    advise(&map, pages, 0..len);
    Ok(map)
}

/// Says which pages a part of the mapping should have. It begins at a page's border.
fn advise(map: &MmapRaw, pages: Pages, range: Range<usize>) {
    #[cfg(target_os = "linux")]
    {
        use memmap2::Advice;
        let advice = match pages {
            Pages::System => return,
            Pages::Small => Advice::NoHugePage,
            Pages::Huge => Advice::HugePage,
        };
        // A kernel without huge pages refuses; its own pages do too.
        let _ = map.advise_range(advice, range.start, range.len());
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (map, pages, range);
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
    fn only_huge_pages_that_are_slow_to_come_cost_patience() {
        let (slow, at_hand) = (Duration::from_millis(4), Duration::from_micros(300));
        let mut arena = Arena::new(HUGE, Pages::Huge);
        for i in 1..1000 {
            arena.waited(at_hand, i * TIMED * HUGE);
            assert_eq!((arena.patience, arena.next_timed), (PATIENCE, (i * TIMED + TIMED - 1) * HUGE));
        }
        // After a slow one the next one is timed.
        let left = [1, 2, 3, 4].map(|i| {
            arena.waited(slow, i * HUGE);
            assert_eq!(arena.next_timed, i * HUGE);
            arena.patience.as_millis()
        });
        assert_eq!(left, [12, 8, 4, 0]);
        let mut arena = Arena::new(HUGE, Pages::Huge);
        arena.waited(Duration::from_secs(1), HUGE);
        assert!(arena.patience.is_zero());
    }

    #[test]
    fn huge_pages_are_timed_as_far_as_buffers_reach_and_not_without_patience() {
        let mut arena = Arena::new(40 * HUGE, Pages::Huge);
        let first = arena.free.start;
        for end in [100, 20 * HUGE] {
            let _buffer = arena.zeroed(end).unwrap();
            assert!(arena.next_timed >= arena.free.start || arena.patience.is_zero());
        }
        (arena.patience, arena.next_timed) = (Duration::ZERO, first);
        let rest = arena.zeroed(10 * HUGE).unwrap();
        assert_eq!(arena.next_timed, first);
        drop(arena);
        assert!(rest.iter().all(|&x| x == 0));
        // Who wants no huge ones times none.
        let mut arena = Arena::new(HUGE, Pages::Small);
        let first = arena.free.start;
        let _buffer = arena.zeroed(100).unwrap();
        assert_eq!(arena.next_timed, first);
    }

    /// What Linux says of the mapping that `at` lies in, if it tells of huge pages at all.
    #[cfg(target_os = "linux")]
    fn flags(at: *const u8) -> Option<Vec<String>> {
        let (smaps, mut inside) = (std::fs::read_to_string("/proc/self/smaps").ok()?, false);
        for line in smaps.lines() {
            let first = line.split(' ').next()?;
            if let Some((start, end)) = first.split_once('-') {
                let bound = |text| usize::from_str_radix(text, 16);
                if let (Ok(start), Ok(end)) = (bound(start), bound(end)) {
                    inside = (start..end).contains(&(at as usize));
                }
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
                return Some(flags.split_whitespace().map(str::to_owned).collect());
            }
        }
        None
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn small_pages_for_want_of_patience_can_become_huge_when_all_is_given_out() {
        let mut arena = Arena::new(40 * HUGE, Pages::Huge);
        let first = arena.zeroed(HUGE).unwrap();
        let has = |at: *const u8, flag: &str| flags(at).is_some_and(|flags| flags.iter().any(|f| f == flag));
        if !has(first.as_ptr(), "hg") {
            eprintln!("this system tells nothing of huge pages: not tested");
            return;
        }
        arena.waited(PATIENCE, arena.free.start);
        let rest = arena.zeroed(20 * HUGE).unwrap();
        assert!(has(first.as_ptr(), "hg") && has(rest.as_ptr(), "nh"));
        drop(arena);
        assert!(has(first.as_ptr(), "hg") && has(rest.as_ptr(), "hg"));
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
