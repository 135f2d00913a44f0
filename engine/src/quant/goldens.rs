//! Decoders against an independent implementation: random blocks and their values, bit for bit.

use super::{FORMATS, Format};

/// Made by `goldens/make.py`, which tells how.
const GOLDENS: &str = include_str!("goldens/decode.txt");

#[test]
fn decoders_agree_with_gguf_for_python() {
    let mut lines = GOLDENS.lines().filter(|line| !line.starts_with('#'));
    let mut names = Vec::new();
    while let Some((name, hex)) = lines.next().and_then(|line| line.split_once(' ')) {
        let format = Format::by_name(name).expect("a registered format");
        let hex = hex.as_bytes().as_chunks::<2>().0;
        let bytes: Vec<u8> = hex.iter().map(|d| parse(str::from_utf8(d).unwrap()) as u8).collect();
        let mut got = vec![f32::NAN; bytes.len() / format.block_bytes * format.block_len];
        (format.decode)(&bytes, &mut got);
        let want: Vec<u32> =
            lines.by_ref().take(got.len() / 8).flat_map(|l| l.split(' ').map(parse)).collect();
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got.to_bits(), *want, "{name}: value {i} is {got}, not {}", f32::from_bits(*want));
        }
        assert_eq!(got.len(), want.len());
        names.push(format.name);
    }
    assert_eq!(names, FORMATS.iter().map(|f| f.name).collect::<Vec<_>>(), "goldens for every format");
}

fn parse(hex: &str) -> u32 {
    u32::from_str_radix(hex, 16).expect("hexadecimal digits")
}
