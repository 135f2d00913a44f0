//! A streaming writer: declare everything, then write tensor data in the order declared.

use std::io::Write;

use super::parse::{ALIGNMENT_KEY, alignment, data_bytes};
use super::value::{Array, Value};
use super::{Tensor, caps, layout};
use crate::quant::Format;
use crate::{Error, ErrorKind, Result};

/// What a file will hold: metadata and tensor records.
#[derive(Debug)]
pub struct GgufBuilder {
    version: u32,
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

impl Default for GgufBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl GgufBuilder {
    /// An empty file of version 3.
    pub fn new() -> Self {
        Self { version: 3, metadata: Vec::new(), tensors: Vec::new() }
    }

    /// Sets the version: 2 or 3 (they differ in nothing that is written here).
    pub fn version(&mut self, version: u32) -> &mut Self {
        self.version = version;
        self
    }

    /// Adds a metadata pair. `general.alignment` sets the alignment.
    pub fn metadata(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    /// Adds a tensor; `dims[0]` is the length of a row. Data follows in the order of these calls.
    ///
    /// # Errors
    /// Refuses what the reader would: no or too many dimensions, zeros, rows that are not whole blocks.
    pub fn tensor(&mut self, name: &str, dims: &[u64], format: &'static Format) -> Result<&mut Self> {
        let fail = |e: Error| e.at_key(name);
        if dims.is_empty() || dims.len() > caps::MAX_DIMS as usize || dims.contains(&0) {
            let why = format!("dimensions {dims:?}; a tensor has 1 to {}, none zero", caps::MAX_DIMS);
            return Err(fail(Error::new(ErrorKind::Bounds, why)));
        }
        let bytes = data_bytes(dims, format).map_err(fail)?;
        self.tensors.push(Tensor { name: name.into(), dims: dims.into(), format, offset: 0, bytes });
        Ok(self)
    }

    /// The tensors declared so far; their offsets are not yet set.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Writes the header to `sink` and returns the writer for the data.
    ///
    /// # Errors
    /// Refuses a version other than 2 or 3, keys or names that are empty, too long or double, too many of either,
    /// and a bad alignment; or the sink fails.
    pub fn start<W: Write>(self, mut sink: W) -> Result<GgufWriter<W>> {
        let Self { version, metadata, mut tensors } = self;
        if version != 2 && version != 3 {
            let why = format!("version {version} cannot be written, only 2 and 3");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        check_names(&metadata, &tensors)?;
        let asked = metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY);
        let alignment = alignment(asked.map(|(_, value)| value))?;
        let mut header = Vec::from(*b"GGUF");
        header.extend(version.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in &metadata {
            put_string(&mut header, key.as_bytes());
            header.extend(value.value_type().id().to_le_bytes());
            put_value(&mut header, value);
        }
        let mut relative = 0_u64;
        for tensor in &mut tensors {
            put_record(&mut header, tensor, relative);
            tensor.offset = relative;
            relative =
                padded(relative, tensor.bytes, alignment).map_err(|e| e.at_key(tensor.name.as_str()))?;
        }
        let data_start = (header.len() as u64).next_multiple_of(alignment);
        header.resize(data_start as usize, 0);
        tensors.iter_mut().for_each(|tensor| tensor.offset += data_start);
        sink.write_all(&header).map_err(|e| Error::io("cannot write the header", e))?;
        Ok(GgufWriter { sink, alignment, tensors, tensor_idx: 0, written: 0 })
    }
}

/// A file whose header is written and whose tensor data is due.
#[derive(Debug)]
pub struct GgufWriter<W> {
    sink: W,
    alignment: u64,
    tensors: Vec<Tensor>,
    /// The tensor whose data is due.
    tensor_idx: usize,
    /// Bytes of its data already written.
    written: u64,
}

impl<W: Write> GgufWriter<W> {
    /// The tensors, with their offsets in the file.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Appends data of the tensor that is due; when it is complete, pads, and the next is due.
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if `data` is more than that tensor lacks; or the sink fails.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Request, why));
        let Some(tensor) = self.tensors.get(self.tensor_idx) else {
            return refuse(format!("{} bytes of data after the last tensor", data.len()));
        };
        let left = tensor.bytes - self.written;
        if data.len() as u64 > left {
            return refuse(format!("{} bytes of data where {left} are due", data.len()))
                .map_err(|e| e.at_key(tensor.name.as_str()));
        }
        let failed = |e| Error::io("cannot write tensor data", e).at_key(tensor.name.as_str());
        self.sink.write_all(data).map_err(failed)?;
        self.written += data.len() as u64;
        if self.written == tensor.bytes {
            let padding = tensor.bytes.next_multiple_of(self.alignment) - tensor.bytes;
            self.sink.write_all(&vec![0; padding as usize]).map_err(failed)?;
            (self.tensor_idx, self.written) = (self.tensor_idx + 1, 0);
        }
        Ok(())
    }

    /// Flushes and returns the sink.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] if data is still due; or the sink fails.
    pub fn finish(mut self) -> Result<W> {
        if let Some(tensor) = self.tensors.get(self.tensor_idx) {
            let why =
                format!("{} of {} bytes of data are missing", tensor.bytes - self.written, tensor.bytes);
            return Err(Error::new(ErrorKind::Missing, why).at_key(tensor.name.as_str()));
        }
        self.sink.flush().map_err(|e| Error::io("cannot write the file", e))?;
        Ok(self.sink)
    }
}

fn check_names(metadata: &[(String, Value)], tensors: &[Tensor]) -> Result<()> {
    let keys: Vec<&str> = metadata.iter().map(|(key, _)| key.as_str()).collect();
    let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let sorts = [
        ("metadata key", keys, caps::MAX_METADATA, caps::MAX_KEY_BYTES),
        ("tensor name", names, caps::MAX_TENSORS, caps::MAX_NAME_BYTES),
    ];
    for (what, names, max, max_bytes) in sorts {
        if names.len() as u64 > max {
            return Err(Error::new(ErrorKind::Bounds, format!("more than {max} of {what}")));
        }
        if let Some(bad) = names.iter().find(|n| n.is_empty() || n.len() as u64 > max_bytes) {
            let why = format!("a {what} has 1 to {max_bytes} bytes");
            return Err(Error::new(ErrorKind::Bounds, why).at_key(*bad));
        }
        layout::index(&names, what, |_| 0)?;
    }
    Ok(())
}

fn padded(start: u64, bytes: u64, alignment: u64) -> Result<u64> {
    start
        .checked_add(bytes)
        .and_then(|end| end.checked_next_multiple_of(alignment))
        .ok_or_else(|| Error::new(ErrorKind::Bounds, "the file's size overflows"))
}

fn put_record(out: &mut Vec<u8>, tensor: &Tensor, relative: u64) {
    put_string(out, tensor.name.as_bytes());
    out.extend((tensor.dims.len() as u32).to_le_bytes());
    tensor.dims.iter().for_each(|dim| out.extend(dim.to_le_bytes()));
    out.extend(tensor.format.gguf_id.to_le_bytes());
    out.extend(relative.to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(bytes) => put_string(out, bytes),
        Value::Array(array) => put_array(out, array),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    out.extend(array.element_type().id().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::String(strings) => strings.iter().for_each(|string| put_string(out, string)),
        Array::U8(v) => out.extend(v),
        Array::I8(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::Bool(v) => out.extend(v.iter().map(|v| u8::from(*v))),
        Array::U64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
    }
}
