//! The one allocator: zeroed pages from the system, touched first by whoever writes them.

use crate::error::{Error, ErrorKind, Result};
use memmap2::{MmapMut, MmapOptions};
use std::ops::{Deref, DerefMut};

/// A fixed number of bytes on a page's boundary.
pub(crate) struct Buffer {
    /// `None` where there are no bytes, which cannot be mapped.
    pages: Option<MmapMut>,
}

/// How large the pages are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// As the system gives them.
    System,
    /// Small ones, even where the system would give huge ones.
    Small,
    /// Huge ones where the system can (`madvise`).
    #[default]
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

impl Buffer {
    /// `len` zero bytes; the pages come from the system untouched.
    ///
    /// # Errors
    /// If the system has no such room.
    pub(crate) fn zeroed(len: usize, pages: Pages) -> Result<Self> {
        if len == 0 {
            return Ok(Self { pages: None });
        }
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
        Ok(Self { pages: Some(map) })
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.pages.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.pages.as_deref_mut().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
