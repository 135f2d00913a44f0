//! The header: magic, version, counts, metadata, tensor records. Nothing is believed before it is checked.

use std::io::BufRead;

use super::caps::{
    DEFAULT_ALIGNMENT, MAX_ALIGNMENT, MAX_ARRAY_LEN, MAX_DIMS, MAX_KEY_BYTES, MAX_METADATA, MAX_NAME_BYTES,
    MAX_STRING_BYTES, MAX_TENSORS, MIN_PAIR_BYTES, MIN_RECORD_BYTES,
};
use super::source::Source;
use super::value::{Array, Strings, Value, ValueType};
use crate::quant::Format;
use crate::{Error, ErrorKind, Result};

/// The key that names the alignment of tensor data.
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";

/// Everything before the tensor data, parsed but not yet placed.
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) metadata: Vec<(String, Value)>,
    /// Where each value begins in the file.
    pub(super) value_offsets: Vec<u64>,
    pub(super) records: Vec<Record>,
    /// One past the last tensor record.
    pub(super) end: u64,
}

/// A tensor record whose shape is sound and whose place is still unchecked.
pub(super) struct Record {
    pub(super) name: String,
    pub(super) dims: Vec<u64>,
    pub(super) format: &'static Format,
    pub(super) bytes: u64,
    /// The offset from the start of the tensor data, as announced.
    pub(super) relative: u64,
    /// Where the record begins in the file.
    pub(super) at: u64,
    /// Where `relative` stands in the file.
    pub(super) relative_at: u64,
}

/// Parses a whole header.
pub(super) fn header<R: BufRead>(src: &mut Source<R>) -> Result<Header> {
    magic(src)?;
    let version = version(src)?;
    let n_tensors = src.count("tensors", MAX_TENSORS, MIN_RECORD_BYTES)?;
    let n_pairs = src.count("metadata pairs", MAX_METADATA, MIN_PAIR_BYTES)?;
    let (mut metadata, mut value_offsets) = (Vec::new(), Vec::new());
    for _ in 0..n_pairs {
        let key = src.text("metadata key", MAX_KEY_BYTES)?;
        let (value, at) = typed_value(src).map_err(|e| e.at_key(key.as_str()))?;
        metadata.push((key, value));
        value_offsets.push(at);
    }
    let mut records = Vec::new();
    for _ in 0..n_tensors {
        records.push(record(src)?);
    }
    Ok(Header { version, metadata, value_offsets, records, end: src.pos() })
}

/// The alignment that a value of [`ALIGNMENT_KEY`] asks for, in bytes.
pub(super) fn alignment(value: Option<&Value>) -> Result<u64> {
    let Some(value) = value else { return Ok(DEFAULT_ALIGNMENT) };
    let Some(asked) = value.as_integer() else {
        let why = format!("the alignment must be an integer (it is {})", value.value_type());
        return Err(Error::new(ErrorKind::Type, why).at_key(ALIGNMENT_KEY));
    };
    match u64::try_from(asked) {
        Ok(alignment) if alignment.is_power_of_two() && alignment <= MAX_ALIGNMENT => Ok(alignment),
        _ => {
            let why = format!("alignment {asked} is not a power of two of at most {MAX_ALIGNMENT}");
            Err(Error::new(ErrorKind::Value, why).at_key(ALIGNMENT_KEY))
        }
    }
}

fn magic<R: BufRead>(src: &mut Source<R>) -> Result<()> {
    let refuse = |why| Err(Error::new(ErrorKind::NotGguf, why).at_offset(0));
    match src.bytes() {
        Ok(magic) if &magic == b"GGUF" => Ok(()),
        Ok(magic) if &magic == b"FUGG" => refuse("a big-endian GGUF file; only little-endian ones are read"),
        Ok(magic) if &magic == b"vers" => refuse("not a GGUF file but perhaps a Git LFS pointer to one"),
        Ok(magic) if [*b"tjgg", *b"lmgg", *b"fmgg"].contains(&magic) => {
            refuse("a GGML file from before GGUF; convert it")
        }
        Err(e) if e.kind() == ErrorKind::Io => Err(e),
        _ => refuse("not a GGUF file: it does not begin with the bytes GGUF"),
    }
}

fn version<R: BufRead>(src: &mut Source<R>) -> Result<u32> {
    let at = src.pos();
    let version = src.u32()?;
    let why = match version {
        2 | 3 => return Ok(version),
        1 => "GGUF version 1, which is obsolete; versions 2 and 3 are read".to_owned(),
        v if v & 0xffff == 0 && v != 0 => {
            format!("a big-endian GGUF file (version {}); only little-endian ones are read", v.swap_bytes())
        }
        v => format!("GGUF version {v}; versions 2 and 3 are read"),
    };
    Err(Error::new(ErrorKind::NotGguf, why).at_offset(at))
}

/// A type id and its value, and where the value begins.
fn typed_value<R: BufRead>(src: &mut Source<R>) -> Result<(Value, u64)> {
    let ty = value_type(src)?;
    let at = src.pos();
    Ok((value(src, ty)?, at))
}

fn value_type<R: BufRead>(src: &mut Source<R>) -> Result<ValueType> {
    let at = src.pos();
    let id = src.u32()?;
    ValueType::from_id(id)
        .ok_or_else(|| Error::new(ErrorKind::Type, format!("unknown value type {id}")).at_offset(at))
}

fn value<R: BufRead>(src: &mut Source<R>, ty: ValueType) -> Result<Value> {
    Ok(match ty {
        ValueType::U8 => Value::U8(u8::from_le_bytes(src.bytes()?)),
        ValueType::I8 => Value::I8(i8::from_le_bytes(src.bytes()?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(src.bytes()?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(src.bytes()?)),
        ValueType::U32 => Value::U32(u32::from_le_bytes(src.bytes()?)),
        ValueType::I32 => Value::I32(i32::from_le_bytes(src.bytes()?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(src.bytes()?)),
        ValueType::U64 => Value::U64(u64::from_le_bytes(src.bytes()?)),
        ValueType::I64 => Value::I64(i64::from_le_bytes(src.bytes()?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(src.bytes()?)),
        ValueType::Bool => Value::Bool(boolean(src)?),
        ValueType::String => {
            let mut bytes = Vec::new();
            src.string_into("bytes of string", MAX_STRING_BYTES, &mut bytes)?;
            Value::String(bytes.into())
        }
        ValueType::Array => Value::Array(array(src)?),
    })
}

fn array<R: BufRead>(src: &mut Source<R>) -> Result<Array> {
    let at = src.pos();
    let ty = value_type(src)?;
    if ty == ValueType::Array {
        return Err(Error::new(ErrorKind::Unsupported, "arrays of arrays are not read").at_offset(at));
    }
    let len = src.count("array elements", MAX_ARRAY_LEN, ty.min_bytes())?;
    Ok(match ty {
        ValueType::U8 => Array::U8(many(src, len, u8::from_le_bytes)?),
        ValueType::I8 => Array::I8(many(src, len, i8::from_le_bytes)?),
        ValueType::U16 => Array::U16(many(src, len, u16::from_le_bytes)?),
        ValueType::I16 => Array::I16(many(src, len, i16::from_le_bytes)?),
        ValueType::U32 => Array::U32(many(src, len, u32::from_le_bytes)?),
        ValueType::I32 => Array::I32(many(src, len, i32::from_le_bytes)?),
        ValueType::F32 => Array::F32(many(src, len, f32::from_le_bytes)?),
        ValueType::U64 => Array::U64(many(src, len, u64::from_le_bytes)?),
        ValueType::I64 => Array::I64(many(src, len, i64::from_le_bytes)?),
        ValueType::F64 => Array::F64(many(src, len, f64::from_le_bytes)?),
        ValueType::Bool => Array::Bool((0..len).map(|_| boolean(src)).collect::<Result<_>>()?),
        ValueType::String => Array::String(strings(src, len)?),
        ValueType::Array => unreachable!("refused above"),
    })
}

/// `len` numbers of `N` bytes; the vector grows with what is read.
fn many<R: BufRead, const N: usize, T>(
    src: &mut Source<R>,
    len: u64,
    number: fn([u8; N]) -> T,
) -> Result<Vec<T>> {
    (0..len).map(|_| src.bytes().map(number)).collect()
}

fn strings<R: BufRead>(src: &mut Source<R>, len: u64) -> Result<Strings> {
    let mut all = Strings::default();
    for _ in 0..len {
        src.string_into("bytes of string", MAX_STRING_BYTES, &mut all.bytes)?;
        all.ends.push(u32::try_from(all.bytes.len()).expect("a header is shorter than 4 GiB"));
    }
    Ok(all)
}

fn boolean<R: BufRead>(src: &mut Source<R>) -> Result<bool> {
    let at = src.pos();
    match src.bytes()? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => {
            let why = format!("a bool must be 0 or 1 (got {other})");
            Err(Error::new(ErrorKind::Value, why).at_offset(at))
        }
    }
}

fn record<R: BufRead>(src: &mut Source<R>) -> Result<Record> {
    let at = src.pos();
    let name = src.text("tensor name", MAX_NAME_BYTES)?;
    shaped(src).map_err(|e| e.at_key(name.as_str())).map(|shape| {
        let Shaped { dims, format, bytes, relative, relative_at } = shape;
        Record { name, dims, format, bytes, relative, at, relative_at }
    })
}

/// A record without its name.
struct Shaped {
    dims: Vec<u64>,
    format: &'static Format,
    bytes: u64,
    relative: u64,
    relative_at: u64,
}

fn shaped<R: BufRead>(src: &mut Source<R>) -> Result<Shaped> {
    let dims_at = src.pos();
    let dims = dims(src)?;
    let format_at = src.pos();
    let id = src.u32()?;
    let format = Format::by_id(id).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, format!("tensor format {id} is not supported"))
            .at_offset(format_at)
    })?;
    let bytes = data_bytes(&dims, format).map_err(|e| e.at_offset(dims_at))?;
    let relative_at = src.pos();
    Ok(Shaped { dims, format, bytes, relative: src.u64()?, relative_at })
}

fn dims<R: BufRead>(src: &mut Source<R>) -> Result<Vec<u64>> {
    let at = src.pos();
    let n_dims = src.u32()?;
    if n_dims == 0 || n_dims > MAX_DIMS {
        let why = format!("{n_dims} dimensions; a tensor has 1 to {MAX_DIMS}");
        return Err(Error::new(ErrorKind::Bounds, why).at_offset(at));
    }
    let mut dims = Vec::new();
    for idx in 0..n_dims {
        let at = src.pos();
        match src.u64()? {
            0 => return Err(Error::new(ErrorKind::Bounds, format!("dimension {idx} is zero")).at_offset(at)),
            dim => dims.push(dim),
        }
    }
    Ok(dims)
}

/// Bytes of a tensor of these dimensions; refuses rows that are not whole blocks and sizes beyond 63 bits.
pub(super) fn data_bytes(dims: &[u64], format: &Format) -> Result<u64> {
    let too_large = || Error::new(ErrorKind::Bounds, format!("the size of {dims:?} overflows"));
    let cols = dims[0];
    let rows = dims[1..].iter().try_fold(1_u64, |rows, &dim| rows.checked_mul(dim)).ok_or_else(too_large)?;
    if !cols.is_multiple_of(format.block_len as u64) {
        let why = format!("rows of {cols} are not whole {} blocks of {}", format.name, format.block_len);
        return Err(Error::new(ErrorKind::Bounds, why));
    }
    let within = |n: &u64| i64::try_from(*n).is_ok();
    cols.checked_mul(rows).filter(within).ok_or_else(too_large)?;
    let row_bytes = format.row_bytes(cols).ok_or_else(too_large)?;
    row_bytes.checked_mul(rows).filter(within).ok_or_else(too_large)
}
