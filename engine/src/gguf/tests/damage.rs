//! Random damage to a sound file: an error or a file that still holds together, never a panic, never much memory.

use proptest::prelude::*;

use super::super::parse;
use super::super::source::Source;
use super::{open, sound};

/// Opens damaged bytes; if they pass for a file, everything in it must be reachable.
fn survives(bytes: &[u8]) {
    let Ok(gguf) = open(bytes) else { return };
    for (key, value) in gguf.metadata() {
        assert_eq!(gguf.get(key).map(|v| v.value_type()), Some(value.value_type()));
        let _ = (gguf.u32(key), gguf.f32(key), gguf.str(key), gguf.strings(key), gguf.u64s(key));
    }
    for tensor in gguf.tensors() {
        assert!(tensor.offset + tensor.bytes <= bytes.len() as u64);
        assert_eq!(gguf.tensor(&tensor.name), Some(tensor));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bytes(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = sound(3, 32);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        survives(&bytes);
    }

    #[test]
    fn truncated(version in 2_u32..=3, at in any::<prop::sample::Index>()) {
        let bytes = sound(version, 32);
        let cut = at.index(bytes.len());
        // The last tensor's padding may go; nothing else.
        prop_assert_eq!(open(&bytes[..cut]).is_ok(), bytes.len() - cut <= 16);
    }

    #[test]
    fn numbers_replaced(at in any::<prop::sample::Index>(), value in prop_oneof![
        Just(0), Just(u64::MAX), Just(1 << 63), Just(1 << 32), Just(u64::from(u32::MAX)), any::<u64>(), 0..300_u64,
    ]) {
        let mut bytes = sound(3, 32);
        let at = at.index(bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        survives(&bytes);
    }

    #[test]
    fn noise_after_the_magic(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        survives(&[&b"GGUF\x03\0\0\0"[..], &noise].concat());
    }

    /// What a header makes us hold is a small multiple of the bytes it really has, whatever length is claimed.
    #[test]
    fn a_claimed_length_buys_nothing(flips in prop::collection::vec((8..1000_usize, any::<u8>()), 1..8)) {
        let mut bytes = sound(3, 32);
        for (at, value) in flips {
            bytes[at % 1000] = value;
        }
        if let Ok(header) = parse::header(&mut Source::new(&bytes[..], 1 << 40)) {
            prop_assert!(header.end <= bytes.len() as u64);
        }
    }
}
