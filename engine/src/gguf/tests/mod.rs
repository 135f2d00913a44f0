//! Tests of the reader and the writer: round trips, typed access, hostile files, random damage.

mod damage;
mod hostile;

use std::path::PathBuf;

use super::{Array, Gguf, GgufBuilder, Mapping, Value};
use crate::quant::Format;
use crate::{ErrorKind, Result};

/// A directory that lives as long as the test, and a file in it with these bytes.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn open(bytes: &[u8]) -> Result<Gguf> {
    let (_dir, path) = file(bytes);
    Gguf::open(&path)
}

fn q4_0() -> &'static Format {
    Format::by_name("Q4_0").unwrap()
}

/// A value of every type and an array of every type.
fn every_value() -> Vec<(&'static str, Value)> {
    vec![
        ("a.u8", Value::U8(255)),
        ("a.i8", Value::I8(-1)),
        ("a.u16", Value::U16(65535)),
        ("a.i16", Value::I16(-2)),
        ("a.u32", Value::U32(7)),
        ("a.i32", Value::I32(-7)),
        ("a.f32", Value::F32(0.5)),
        ("a.bool", Value::Bool(true)),
        ("a.string", Value::from("héllo")),
        ("a.bytes", Value::String(b"\xff\x00".as_slice().into())),
        ("a.u64", Value::U64(u64::MAX)),
        ("a.i64", Value::I64(i64::MIN)),
        ("a.f64", Value::F64(-0.25)),
        ("b.u8", Array::U8(vec![1, 2]).into()),
        ("b.i8", Array::I8(vec![-1]).into()),
        ("b.u16", Array::U16(vec![3]).into()),
        ("b.i16", Array::I16(vec![-3]).into()),
        ("b.u32", Array::U32(vec![4, 5, 6]).into()),
        ("b.i32", Array::I32(vec![-4, 4]).into()),
        ("b.f32", Array::F32(vec![1.5, -2.5]).into()),
        ("b.bool", Array::Bool(vec![true, false]).into()),
        ("b.string", Array::String([&b"<unk>"[..], b"", b"\xe2\x96"].into_iter().collect()).into()),
        ("b.u64", Array::U64(vec![]).into()),
        ("b.i64", Array::I64(vec![-9]).into()),
        ("b.f64", Array::F64(vec![2.0]).into()),
    ]
}

/// A sound file: every type of value, two tensors whose bytes count upwards.
fn sound(version: u32, alignment: u32) -> Vec<u8> {
    let mut builder = GgufBuilder::new();
    builder.version(version).metadata("general.alignment", alignment);
    for (key, value) in every_value() {
        builder.metadata(key, value);
    }
    builder.tensor("first", &[32, 3], q4_0()).unwrap().tensor("second", &[64, 2, 2], q4_0()).unwrap();
    let mut writer = builder.start(Vec::new()).unwrap();
    let data: Vec<u8> = (0..54 + 144).collect();
    writer.write(&data[..20]).unwrap();
    writer.write(&data[20..54]).unwrap();
    writer.write(&data[54..]).unwrap();
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_in_both_versions_and_any_alignment() {
    for (version, alignment) in [(2, 32), (3, 1), (3, 32), (3, 4096), (2, 1 << 20)] {
        let bytes = sound(version, alignment);
        let gguf = open(&bytes).unwrap();
        assert_eq!((gguf.version(), gguf.alignment()), (version, u64::from(alignment)));
        assert_eq!(gguf.file_bytes(), bytes.len() as u64);
        let pairs = gguf.metadata()[1..].iter().map(|(key, value)| (key.as_str(), value.clone()));
        assert_eq!(pairs.collect::<Vec<_>>(), every_value());
        let second = gguf.require_tensor("second").unwrap();
        assert_eq!((second.cols(), second.rows(), second.elements(), second.bytes), (64, 4, 256, 144));
        assert!(second.offset.is_multiple_of(u64::from(alignment)));
        assert_eq!(gguf.tensors().iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    }
}

#[test]
fn a_file_of_vocabulary_only_and_an_empty_one_are_sound() {
    let mut builder = GgufBuilder::new();
    builder.metadata("k", 1_u32);
    let gguf = open(&builder.start(Vec::new()).unwrap().finish().unwrap()).unwrap();
    assert_eq!((gguf.tensors().len(), gguf.u32("k").unwrap()), (0, Some(1)));
    // Not even padded to the alignment.
    let bare = [&b"GGUF"[..], &3_u32.to_le_bytes(), &[0; 16]].concat();
    assert!(open(&bare).unwrap().metadata().is_empty());
}

#[test]
fn tensor_data_is_read_and_mapped() {
    let (_dir, path) = file(&sound(3, 32));
    let gguf = Gguf::open(&path).unwrap();
    let second = gguf.require_tensor("second").unwrap();
    let mut row = [0; 36];
    gguf.read_exact_at(second, 36, &mut row).unwrap();
    assert_eq!(row[0], 54 + 36);
    let mapping = gguf.map(second).unwrap();
    assert_eq!((mapping.row(1).unwrap(), mapping.row_bytes()), (&row[..], 36));
    assert_eq!(mapping.bytes(0..144).unwrap().len(), 144);
    for beyond in [4, u64::MAX, u64::MAX / 36] {
        assert_eq!(mapping.row(beyond).unwrap_err().kind(), ErrorKind::Request);
    }
    assert_eq!(mapping.bytes(100..145).unwrap_err().kind(), ErrorKind::Request);
    for offset in [109, u64::MAX] {
        assert_eq!(gguf.read_exact_at(second, offset, &mut row).unwrap_err().kind(), ErrorKind::Request);
    }
}

#[test]
fn a_file_cut_short_while_open_is_an_error_not_a_signal() {
    let (_dir, path) = file(&sound(3, 32));
    let gguf = Gguf::open(&path).unwrap();
    let second = gguf.require_tensor("second").unwrap();
    let mapping = gguf.map(second).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(second.offset + 40).unwrap();
    assert_eq!(mapping.row(0).unwrap()[0], 54);
    let errors = [
        mapping.row(1).map(drop),
        mapping.bytes(0..144).map(drop),
        gguf.map(second).map(drop),
        gguf.read_exact_at(second, 8, &mut [0; 36]),
    ];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!((error.kind(), error.key()), (ErrorKind::Truncated, Some("second")), "{error}");
        assert!(error.file() == Some(&path) && error.offset().is_some(), "{error}");
    }
}

#[test]
fn threads_read_at_once() {
    fn shared<T: Send + Sync>() {}
    shared::<(Gguf, Mapping)>();
    let (_dir, path) = file(&sound(3, 32));
    let gguf = Gguf::open(&path).unwrap();
    std::thread::scope(|scope| {
        for start in 0..4 {
            let gguf = &gguf;
            scope.spawn(move || {
                let tensor = gguf.require_tensor("second").unwrap();
                for at in (0..1000).map(|i| (start + i) % 144) {
                    let mut byte = [0];
                    gguf.read_exact_at(tensor, at, &mut byte).unwrap();
                    assert_eq!(u64::from(byte[0]), 54 + at);
                }
            });
        }
    });
}

#[test]
fn typed_access_converts_what_fits() {
    let gguf = open(&sound(3, 32)).unwrap();
    assert_eq!(gguf.u32("a.u8").unwrap(), Some(255));
    assert_eq!(gguf.u32("absent").unwrap(), None);
    assert_eq!(gguf.u64("a.u64").unwrap(), Some(u64::MAX));
    assert_eq!(gguf.f32("a.f64").unwrap(), Some(-0.25));
    assert_eq!(gguf.f32("a.i32").unwrap(), Some(-7.0));
    assert!(gguf.require_bool("a.bool").unwrap());
    assert_eq!(gguf.require_str("a.string").unwrap(), "héllo");
    assert_eq!(gguf.require_strings("b.string").unwrap().get(0), Some(&b"<unk>"[..]));
    assert_eq!(gguf.require_f32s("b.f32").unwrap(), [1.5, -2.5]);
    assert_eq!(gguf.require_i32s("b.i32").unwrap(), [-4, 4]);
    assert_eq!(gguf.u64s("b.u32").unwrap(), Some(vec![4, 5, 6]));
}

#[test]
fn typed_access_refuses_the_rest_and_says_where() {
    let (_dir, path) = file(&sound(3, 32));
    let gguf = Gguf::open(&path).unwrap();
    let refused = [
        (ErrorKind::Value, "a.u64", gguf.u32("a.u64").map(drop)),
        (ErrorKind::Value, "a.i64", gguf.u64("a.i64").map(drop)),
        (ErrorKind::Type, "a.f32", gguf.u32("a.f32").map(drop)),
        (ErrorKind::Type, "a.string", gguf.f32("a.string").map(drop)),
        (ErrorKind::Type, "a.u8", gguf.bool("a.u8").map(drop)),
        (ErrorKind::Type, "a.u32", gguf.str("a.u32").map(drop)),
        (ErrorKind::Utf8, "a.bytes", gguf.str("a.bytes").map(drop)),
        (ErrorKind::Type, "b.f32", gguf.strings("b.f32").map(drop)),
        (ErrorKind::Type, "b.f64", gguf.f32s("b.f64").map(drop)),
        (ErrorKind::Type, "b.u32", gguf.i32s("b.u32").map(drop)),
        (ErrorKind::Type, "b.i64", gguf.u64s("b.i64").map(drop)),
        (ErrorKind::Missing, "absent", gguf.require_u32("absent").map(drop)),
        (ErrorKind::Missing, "absent", gguf.require_tensor("absent").map(drop)),
    ];
    for (kind, key, result) in refused {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.key(), error.file()), (kind, Some(key), Some(&*path)), "{error}");
        assert_eq!(error.offset().is_some(), kind != ErrorKind::Missing, "{error}");
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let start = |declare: &dyn Fn(&mut GgufBuilder)| {
        let mut builder = GgufBuilder::new();
        declare(&mut builder);
        builder.start(Vec::new()).map(drop).unwrap_err().kind()
    };
    let mut builder = GgufBuilder::new();
    for dims in [&[][..], &[32, 0], &[32; 5], &[33], &[1 << 40, 1 << 40]] {
        assert_eq!(builder.tensor("t", dims, q4_0()).map(drop).unwrap_err().kind(), ErrorKind::Bounds);
    }
    assert_eq!(
        start(&|b| {
            b.version(1);
        }),
        ErrorKind::Unsupported
    );
    assert_eq!(
        start(&|b| {
            b.metadata("k", 1_u32).metadata("k", 2_u32);
        }),
        ErrorKind::Duplicate
    );
    assert_eq!(
        start(&|b| {
            b.metadata("", 1_u32);
        }),
        ErrorKind::Bounds
    );
    assert_eq!(
        start(&|b| {
            b.metadata("general.alignment", 3_u32);
        }),
        ErrorKind::Value
    );
    assert_eq!(start(&|b| drop(b.tensor(&"n".repeat(65), &[32], q4_0()))), ErrorKind::Bounds);
    let twice = |b: &mut GgufBuilder| drop(b.tensor("t", &[32], q4_0()).unwrap().tensor("t", &[32], q4_0()));
    assert_eq!(start(&twice), ErrorKind::Duplicate);
}

#[test]
fn the_writer_takes_exactly_the_data_declared() {
    let mut builder = GgufBuilder::new();
    builder.tensor("t", &[32, 2], q4_0()).unwrap();
    let mut writer = builder.start(Vec::new()).unwrap();
    assert_eq!(writer.write(&[0; 37]).unwrap_err().kind(), ErrorKind::Request);
    writer.write(&[0; 35]).unwrap();
    let short = writer.write(&[0; 2]).unwrap_err();
    assert_eq!((short.kind(), short.key()), (ErrorKind::Request, Some("t")));
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Missing);
}
