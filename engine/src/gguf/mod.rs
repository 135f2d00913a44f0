//! GGUF files: a reader that believes nothing, and a streaming writer.
//!
//! ```no_run
//! # fn main() -> engine::Result<()> {
//! let gguf = engine::gguf::Gguf::open("model.gguf".as_ref())?;
//! let n_layers = gguf.require_u32("llama.block_count")?;
//! let embedding = gguf.require_tensor("token_embd.weight")?;
//! # Ok(()) }
//! ```

pub mod caps;
mod get;
mod layout;
mod map;
mod parse;
mod source;
mod value;
pub mod write;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use map::Mapping;
pub use value::{Array, Strings, Value, ValueType};
pub use write::{GgufBuilder, GgufWriter};

use crate::quant::Format;
use crate::{Error, ErrorKind, Result};
use source::Source;

/// An open GGUF file of version 2 or 3: its metadata and the places of its tensors, all verified.
///
/// The file must not be written to while it is open; being cut short is noticed and refused.
#[derive(Debug)]
pub struct Gguf {
    file: Arc<File>,
    path: PathBuf,
    file_bytes: u64,
    version: u32,
    alignment: u64,
    metadata: Vec<(String, Value)>,
    value_offsets: Vec<u64>,
    /// Indices of `metadata` in the order of the keys.
    by_key: Vec<u32>,
    tensors: Vec<Tensor>,
    /// Indices of `tensors` in the order of the names.
    by_name: Vec<u32>,
}

/// A tensor: its shape, its format, and where its data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The name, unique in the file.
    pub name: String,
    /// 1 to 4 dimensions, none zero, in GGUF's order: `dims[0]` is the length of a row.
    pub dims: Vec<u64>,
    /// The format of the data.
    pub format: &'static Format,
    /// Where the data begins, in bytes from the start of the file.
    pub offset: u64,
    /// Bytes of data.
    pub bytes: u64,
}

impl Tensor {
    /// Elements in a row.
    pub fn cols(&self) -> u64 {
        self.dims[0]
    }

    /// Rows: the product of all dimensions but the first.
    pub fn rows(&self) -> u64 {
        self.dims[1..].iter().product()
    }

    /// Elements in all.
    pub fn elements(&self) -> u64 {
        self.cols() * self.rows()
    }
}

impl Gguf {
    /// Opens a file, reads its header and checks all that it announces. No tensor data is read.
    ///
    /// # Errors
    /// Names the file, and the key and byte offset of what is refused.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path).map_err(|e| e.in_file(path))
    }

    fn read(path: &Path) -> Result<Self> {
        let cannot_open = |e| Error::io("cannot open the file", e);
        if !std::fs::metadata(path).map_err(cannot_open)?.is_file() {
            return Err(Error::new(ErrorKind::NotGguf, "not a regular file"));
        }
        let file = File::open(path).map_err(cannot_open)?;
        let file_bytes = file.metadata().map_err(cannot_open)?.len();
        let mut source = Source::new(BufReader::with_capacity(1 << 16, &file), file_bytes);
        let header = parse::header(&mut source)?;

        let keys: Vec<&str> = header.metadata.iter().map(|(key, _)| key.as_str()).collect();
        let by_key = layout::index(&keys, "metadata key", |idx| header.value_offsets[idx])?;
        let names: Vec<&str> = header.records.iter().map(|r| r.name.as_str()).collect();
        let by_name = layout::index(&names, "tensor name", |idx| header.records[idx].at)?;
        let asked = header.metadata.iter().position(|(key, _)| key == parse::ALIGNMENT_KEY);
        let alignment = parse::alignment(asked.map(|idx| &header.metadata[idx].1))
            .map_err(|e| e.at_offset(header.value_offsets[asked.unwrap_or(0)]))?;
        let tensors = layout::place(header.records, header.end, alignment, file_bytes)?;
        let parse::Header { version, metadata, value_offsets, .. } = header;
        let (file, path) = (Arc::new(file), path.to_path_buf());
        Ok(Self {
            file,
            path,
            file_bytes,
            version,
            alignment,
            metadata,
            value_offsets,
            by_key,
            tensors,
            by_name,
        })
    }

    /// The version of the format: 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file when it was opened.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The alignment of tensor data, in bytes.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// All metadata, in the order of the file.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.pair_idx(key).map(|idx| &self.metadata[idx].1)
    }

    /// All tensors, in the order of the file's records.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        let found = self.by_name.binary_search_by_key(&name, |&idx| &self.tensors[idx as usize].name);
        found.ok().map(|at| &self.tensors[self.by_name[at] as usize])
    }

    /// The tensor of this name, which must be there.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`].
    pub fn require_tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensor(name).ok_or_else(|| {
            Error::new(ErrorKind::Missing, "this tensor is missing").at_key(name).in_file(&self.path)
        })
    }

    /// Fills `buf` from the tensor's data, beginning at byte `offset_in_tensor` of it. Several threads may read at once.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] beyond the tensor's end; [`ErrorKind::Truncated`] if the file has been cut short.
    pub fn read_exact_at(&self, tensor: &Tensor, offset_in_tensor: u64, buf: &mut [u8]) -> Result<()> {
        let fail = |e: Error| e.at_key(tensor.name.as_str()).in_file(&self.path);
        if offset_in_tensor.checked_add(buf.len() as u64).is_none_or(|end| end > tensor.bytes) {
            let why = format!("{} bytes at {offset_in_tensor} of a tensor of {}", buf.len(), tensor.bytes);
            return Err(fail(Error::new(ErrorKind::Request, why)));
        }
        let at = tensor.offset + offset_in_tensor;
        read_exact_at(&self.file, at, buf).map_err(|e| {
            fail(match e.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    Error::new(ErrorKind::Truncated, "the file has been cut short since it was opened")
                }
                _ => Error::io("cannot read tensor data", e),
            })
            .at_offset(at)
        })
    }

    /// Maps the tensor's data.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if the file has been cut short, [`ErrorKind::Io`] if the system refuses.
    pub fn map(&self, tensor: &Tensor) -> Result<Mapping> {
        Mapping::new(self, tensor)
    }

    fn pair_idx(&self, key: &str) -> Option<usize> {
        let found = self.by_key.binary_search_by_key(&key, |&idx| &self.metadata[idx as usize].0);
        found.ok().map(|at| self.by_key[at] as usize)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, at: u64, buf: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut at: u64, mut buf: &mut [u8]) -> std::io::Result<()> {
    while !buf.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buf, at) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                at += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
