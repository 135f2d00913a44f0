//! Files built to mislead: each must be refused with this kind, at this key and offset.

use super::super::caps;
use super::super::value::ValueType;
use super::open;
use crate::ErrorKind::{self, Bounds, Duplicate, Layout, NotGguf, Truncated, Type, Unsupported, Utf8, Value};

/// A file under construction; `mark` is the offset that the error must name.
#[derive(Default)]
struct Bytes {
    bytes: Vec<u8>,
    mark: u64,
}

impl Bytes {
    fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self
    }

    fn u32(self, v: u32) -> Self {
        self.raw(v.to_le_bytes())
    }

    fn u64(self, v: u64) -> Self {
        self.raw(v.to_le_bytes())
    }

    fn string(self, bytes: impl AsRef<[u8]>) -> Self {
        self.u64(bytes.as_ref().len() as u64).raw(bytes)
    }

    fn ty(self, ty: ValueType) -> Self {
        self.u32(ty.id())
    }

    fn mark(mut self) -> Self {
        self.mark = self.bytes.len() as u64;
        self
    }

    /// A tensor record up to its format, in Q4_0.
    fn tensor(self, name: &str, dims: &[u64]) -> Self {
        let with_dims = dims.iter().fold(self.string(name).u32(dims.len() as u32), |b, &dim| b.u64(dim));
        with_dims.u32(2)
    }

    /// Pads to 32 and adds `n` bytes of data.
    fn data(mut self, n: usize) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(32) + n, 0);
        self
    }
}

fn header(n_tensors: u64, n_pairs: u64) -> Bytes {
    Bytes::default().raw("GGUF").u32(3).u64(n_tensors).u64(n_pairs)
}

/// One metadata pair, up to the value.
fn pair(key: &str, ty: ValueType) -> Bytes {
    header(0, 1).string(key).ty(ty)
}

/// One array, up to its elements; the error is expected at its count.
fn array(ty: ValueType, len: u64) -> Bytes {
    pair("k", ValueType::Array).ty(ty).mark().u64(len)
}

#[track_caller]
fn check(name: &str, hostile: Bytes, kind: ErrorKind, key: Option<&str>) {
    let error = open(&hostile.bytes).map(drop).expect_err(name);
    assert_eq!(
        (error.kind(), error.key(), error.offset()),
        (kind, key, Some(hostile.mark)),
        "{name}: {error}"
    );
    assert!(error.file().is_some_and(|file| file.ends_with("m.gguf")), "{name}: {error}");
}

#[test]
fn beginnings() {
    let start = |magic: &[u8], version: u32| Bytes::default().raw(magic).mark().u32(version).u64(0).u64(0);
    check("empty", Bytes::default(), NotGguf, None);
    check("three bytes", Bytes::default().raw("GGU"), NotGguf, None);
    check("other magic", Bytes::default().raw("PK\x03\x04").u64(0), NotGguf, None);
    check("magic reversed", Bytes::default().raw("FUGG").u64(0), NotGguf, None);
    check("LFS pointer", Bytes::default().raw("version https://git-lfs.github.com/spec/v1"), NotGguf, None);
    check("before GGUF", Bytes::default().raw("tjgg").u64(0), NotGguf, None);
    check("version 0", start(b"GGUF", 0), NotGguf, None);
    check("version 1", start(b"GGUF", 1), NotGguf, None);
    check("version 4", start(b"GGUF", 4), NotGguf, None);
    check("big-endian 3", start(b"GGUF", 3_u32.swap_bytes()), NotGguf, None);
    check("no version", Bytes::default().raw("GGUF").mark(), Truncated, None);
    check("no counts", Bytes::default().raw("GGUF").u32(3).mark().u32(0), Truncated, None);
}

#[test]
fn version_messages_say_what_it_is() {
    let message = |version: u32| {
        open(&Bytes::default().raw("GGUF").u32(version).u64(0).u64(0).bytes).unwrap_err().to_string()
    };
    assert!(message(1).contains("version 1, which is obsolete"), "{}", message(1));
    assert!(message(3_u32.swap_bytes()).contains("big-endian GGUF file (version 3)"));
}

#[test]
fn counts() {
    let counts = |n_tensors: u64| Bytes::default().raw("GGUF").u32(2).mark().u64(n_tensors);
    check("tensors beyond the cap", counts(caps::MAX_TENSORS + 1).u64(0), Bounds, None);
    check("tensors u64::MAX", counts(u64::MAX).u64(0), Bounds, None);
    check("tensors beyond the file", counts(1).u64(0).raw([0; 20]), Bounds, None);
    check("pairs beyond the cap", counts(0).mark().u64(caps::MAX_METADATA + 1), Bounds, None);
    check("pairs u64::MAX", counts(0).mark().u64(u64::MAX), Bounds, None);
    check("pairs beyond the file", counts(0).mark().u64(2).raw([0; 27]), Bounds, None);
}

#[test]
fn keys() {
    let key = |len: u64| header(0, 1).mark().u64(len);
    check("empty key", key(0).raw([0; 40]), Value, Some(""));
    check("key beyond the cap", key(caps::MAX_KEY_BYTES + 1).raw(vec![b'k'; 70_000]), Bounds, None);
    check("key beyond the file", key(1000).raw([b'k'; 100]), Bounds, None);
    check("key u64::MAX", key(u64::MAX).raw([b'k'; 100]), Bounds, None);
    check("key not UTF-8", key(3).raw(b"k\xff\xfe").raw([0; 20]), Utf8, Some("k\u{fffd}\u{fffd}"));
    check("key with an escape", key(3).raw("k\x1b[").raw([0; 20]), Value, Some("k\\u{1b}["));
    let twice = header(0, 2).string("k").ty(ValueType::U8).raw([1]).string("k").ty(ValueType::Bool);
    check("key twice", twice.mark().raw([1]), Duplicate, Some("k"));
}

#[test]
fn values() {
    let unknown = |id| header(0, 1).string("k").mark().u32(id).u64(0);
    check("type 13", unknown(13), Type, Some("k"));
    check("type u32::MAX", unknown(u32::MAX), Type, Some("k"));
    check("bool 2", pair("k", ValueType::Bool).mark().raw([2]), Value, Some("k"));
    for (ty, bytes) in [(ValueType::U16, 1), (ValueType::F32, 3), (ValueType::U64, 7), (ValueType::Array, 3)]
    {
        check("ends in a value", pair("k", ty).mark().raw(vec![0; bytes]), Truncated, Some("k"));
    }
    let string = |len: u64| pair("k", ValueType::String).mark().u64(len);
    check("string beyond the file", string(9).raw([0; 8]), Bounds, Some("k"));
    check("string beyond the cap", string(caps::MAX_STRING_BYTES + 1), Bounds, Some("k"));
    check("string u64::MAX", string(u64::MAX), Bounds, Some("k"));
}

#[test]
fn arrays() {
    use ValueType as T;
    let nested = pair("k", T::Array).mark().ty(T::Array).u64(1).ty(T::U8).u64(0);
    check("nested", nested, Unsupported, Some("k"));
    let unknown = pair("k", T::Array).mark().u32(99).u64(0);
    check("unknown element type", unknown, Type, Some("k"));
    check("beyond the cap", array(T::U8, caps::MAX_ARRAY_LEN + 1), Bounds, Some("k"));
    check("u64::MAX", array(T::U8, u64::MAX), Bounds, Some("k"));
    check("bytes overflow u64", array(T::F64, 1 << 61), Bounds, Some("k"));
    check("u8 beyond the file", array(T::U8, 9).raw([0; 8]), Bounds, Some("k"));
    check("f32 beyond the file", array(T::F32, 3).raw([0; 11]), Bounds, Some("k"));
    check("strings beyond the file", array(T::String, 3).raw([0; 23]), Bounds, Some("k"));
    let long = array(T::String, 2).string("a").mark().u64(1 << 40).raw([0; 9]);
    check("string in it beyond the file", long, Bounds, Some("k"));
    check("bool 7 in it", array(T::Bool, 2).raw([1]).mark().raw([7]), Value, Some("k"));
}

#[test]
fn alignments() {
    let aligned = |v: u32| pair("general.alignment", ValueType::U32).mark().u32(v);
    for alignment in [0, 3, 48, (1 << 20) + 1, 1 << 21, u32::MAX] {
        check("bad alignment", aligned(alignment), Value, Some("general.alignment"));
    }
    let text = pair("general.alignment", ValueType::String).mark().string("32");
    check("alignment of another type", text, Type, Some("general.alignment"));
    let negative = pair("general.alignment", ValueType::I32).mark().raw((-32_i32).to_le_bytes());
    check("negative alignment", negative, Value, Some("general.alignment"));
}

#[test]
fn names() {
    let name = |len: u64| header(1, 0).mark().u64(len);
    check("empty name", name(0).raw([0; 60]), Value, Some(""));
    check("name beyond the cap", name(caps::MAX_NAME_BYTES + 1).raw([b'n'; 200]), Bounds, None);
    check("name not UTF-8", name(1).raw([0xc3]).raw([0; 60]), Utf8, Some("\u{fffd}"));
    let one = |b: Bytes| b.tensor("t", &[32]).u64(0);
    let twice = one(one(header(2, 0)).mark()).data(64);
    check("name twice", twice, Duplicate, Some("t"));
}

#[test]
fn shapes() {
    let dims = |n: u32| header(1, 0).string("t").mark().u32(n);
    check("no dimensions", dims(0).raw([0; 60]), Bounds, Some("t"));
    check("five dimensions", dims(5).raw([1; 80]), Bounds, Some("t"));
    check("u32::MAX dimensions", dims(u32::MAX).raw([1; 80]), Bounds, Some("t"));
    check("zero dimension", dims(2).u64(32).mark().u64(0).u32(2).u64(0), Bounds, Some("t"));
    let shape =
        |dims: &[u64]| header(1, 0).string("t").mark().u32(dims.len() as u32).raw(le(dims)).u32(2).u64(0);
    check("not whole blocks", shape(&[33]), Bounds, Some("t"));
    check("elements overflow", shape(&[1 << 32, 1 << 32]), Bounds, Some("t"));
    check("rows overflow", shape(&[32, 1 << 32, 1 << 32, 1 << 32]), Bounds, Some("t"));
    check("elements overflow i64", shape(&[32, 1 << 58]), Bounds, Some("t"));
    check("largest dimensions", shape(&[u64::MAX; 4]), Bounds, Some("t"));
    let cut = header(1, 0).string("t").u32(2).u64(32).u64(1).u32(2).mark().raw([0; 7]);
    check("ends in a record", cut, Truncated, Some("t"));
}

#[test]
fn formats() {
    for id in [4, 9999, u32::MAX] {
        let hostile = header(1, 0).string("t").u32(1).u64(32).mark().u32(id).u64(0).data(64);
        let message = open(&hostile.bytes).unwrap_err().to_string();
        assert!(message.contains(&format!("t: tensor format {id} is not supported")), "{message}");
        check("unknown format", hostile, Unsupported, Some("t"));
    }
}

#[test]
fn layouts() {
    let at = |offset: u64| header(1, 0).tensor("t", &[32]).mark().u64(offset);
    check("misaligned", at(16).data(64), Layout, Some("t"));
    check("one byte beyond the file", at(0).data(17), Layout, Some("t"));
    check("all beyond the file", at(64).data(64), Layout, Some("t"));
    check("offset overflows", at(u64::MAX - 31).data(64), Layout, Some("t"));
    check("end overflows", at((1 << 63) - 32).data(64), Layout, Some("t"));
    let no_data = at(0);
    check("no data at all", no_data, Layout, Some("t"));
    let huge = header(1, 0).tensor("t", &[32, 1 << 40]).mark().u64(0).data(64);
    check("larger than the file", huge, Layout, Some("t"));
    let same = header(2, 0).tensor("a", &[32]).u64(0).tensor("b", &[32]).mark().u64(0).data(64);
    check("same place", same, Layout, Some("b"));
    let partly = header(2, 0).tensor("b", &[32]).mark().u64(32).tensor("a", &[32, 2]).u64(0).data(64);
    check("overlap, in the other order", partly, Layout, Some("b"));
    let inside = header(3, 0).tensor("a", &[32, 8]).u64(0).tensor("b", &[32]).mark().u64(32);
    check("one inside another", inside.tensor("c", &[32]).u64(160).data(256), Layout, Some("b"));
}

/// A sparse file makes any count plausible for its length; the caps bound what is read even so.
#[test]
fn a_sparse_terabyte_buys_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let hostile = [
        pair("k", ValueType::String).mark().u64(1 << 39),
        array(ValueType::U8, 1 << 39),
        array(ValueType::String, 1).mark().u64(1 << 39),
        Bytes::default().raw("GGUF").u32(3).mark().u64(1 << 30).u64(0),
    ];
    for hostile in hostile {
        std::fs::write(&path, hostile.bytes).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        if file.set_len(1 << 40).is_err() {
            return; // This file system has no sparse files of this length.
        }
        let error = super::Gguf::open(&path).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (Bounds, Some(hostile.mark)), "{error}");
    }
}

#[test]
fn what_is_not_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(super::Gguf::open(dir.path()).unwrap_err().kind(), NotGguf);
    assert_eq!(super::Gguf::open(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::Io);
}

fn le(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
