//! A tensor's bytes mapped into memory: the one place of the reader with `unsafe`.
#![expect(unsafe_code, reason = "mapping a file is unsafe: another process may change it")]

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};

use super::{Gguf, Tensor};
use crate::{Error, ErrorKind, Result};

/// A read-only mapping of one tensor's data.
///
/// Each access first asks the system for the file's length and refuses with [`ErrorKind::Truncated`] if the
/// data is no longer there. What remains is the instant between that question and the use of the slice: use
/// slices at once, do not keep them. Where even that is too much, [`Gguf::read_exact_at`] has no such gap.
#[derive(Debug)]
pub struct Mapping {
    map: Mmap,
    file: Arc<File>,
    path: PathBuf,
    tensor: Tensor,
    row_bytes: u64,
}

impl Mapping {
    pub(super) fn new(gguf: &Gguf, tensor: &Tensor) -> Result<Self> {
        let fail = |e: Error| e.at_key(tensor.name.as_str()).at_offset(tensor.offset).in_file(gguf.path());
        let len = usize::try_from(tensor.bytes)
            .map_err(|_| fail(Error::new(ErrorKind::Bounds, "too large for this machine's memory")))?;
        still_there(&gguf.file, tensor.offset + tensor.bytes).map_err(fail)?;
        // SAFETY: the mapping is read-only and lives as long as this value. Its bytes are only ever
        // read as plain u8, for which every content is valid, and never before `still_there` has found the file
        // long enough. Nobody may write to a model file while it is in use; that is documented on `Gguf`.
        let map = unsafe { MmapOptions::new().offset(tensor.offset).len(len).map(gguf.file.as_ref()) }
            .map_err(|e| fail(Error::io("cannot map the tensor", e)))?;
        let row_bytes = tensor.bytes / tensor.rows();
        Ok(Self { map, file: gguf.file.clone(), path: gguf.path().into(), tensor: tensor.clone(), row_bytes })
    }

    /// The tensor that is mapped.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// The bytes of row `row_idx`.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if there is no such row; [`ErrorKind::Truncated`] if the file has been cut short.
    pub fn row(&self, row_idx: u64) -> Result<&[u8]> {
        match row_idx
            .checked_mul(self.row_bytes)
            .and_then(|start| Some(start..start.checked_add(self.row_bytes)?))
        {
            Some(range) => self.bytes(range),
            None => Err(self.fail(Error::new(ErrorKind::Request, format!("there is no row {row_idx}")))),
        }
    }

    /// The bytes of the tensor's data in `range`.
    ///
    /// # Errors
    /// As [`Mapping::row`].
    pub fn bytes(&self, range: Range<u64>) -> Result<&[u8]> {
        if range.start > range.end || range.end > self.tensor.bytes {
            let why = format!("bytes {range:?} of a tensor of {}", self.tensor.bytes);
            return Err(self.fail(Error::new(ErrorKind::Request, why)));
        }
        still_there(&self.file, self.tensor.offset + range.end).map_err(|e| self.fail(e))?;
        Ok(&self.map[range.start as usize..range.end as usize])
    }

    fn fail(&self, e: Error) -> Error {
        e.at_key(self.tensor.name.as_str()).at_offset(self.tensor.offset).in_file(&self.path)
    }
}

/// Refuses if the file is now shorter than `end` bytes.
fn still_there(file: &File, end: u64) -> Result<()> {
    let now = file.metadata().map_err(|e| Error::io("cannot ask for the file's length", e))?.len();
    if now >= end {
        return Ok(());
    }
    let why = format!("the file has been cut to {now} bytes since it was opened; {end} are needed");
    Err(Error::new(ErrorKind::Truncated, why))
}
