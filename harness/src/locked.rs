//! A file that is locked for as long as it is held.

use std::fs::File;

/// Locked by whoever made it; unlocked when dropped, or by the system when this process ends in whatever way.
///
/// Closing alone is not enough: a child that another thread is just starting has the file open too, until it has become its own program.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// Of a file that has just been locked.
    pub(crate) fn holding(file: File) -> Self {
        Self(file)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Where that fails the file is closed all the same.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_inherited_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("lock")).unwrap();
        let file = open();
        file.try_lock().unwrap();
        // A child has the same open file, as a duplicate has.
        let inherited = file.try_clone().unwrap();
        let held = Locked::holding(file);
        open().try_lock().unwrap_err();
        drop(held);
        open().try_lock().unwrap();
        drop(inherited);
    }
}
