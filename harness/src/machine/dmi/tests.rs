//! Tables written from the specification.

use super::*;

/// A structure of type 17 in the layout of version 3.3 (92 bytes).
fn device(size: u16, kind: u8, speeds: [u16; 2], slot: [&str; 2]) -> Vec<u8> {
    let mut s = vec![0u8; 92];
    (s[0], s[1]) = (DEVICE, 92);
    s[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
    (s[0x10], s[0x11], s[0x12]) = (1, 2, kind);
    s[0x15..0x17].copy_from_slice(&speeds[0].to_le_bytes());
    s[0x1c..0x20].copy_from_slice(&65_536u32.to_le_bytes());
    s[0x20..0x22].copy_from_slice(&speeds[1].to_le_bytes());
    s[0x54..0x58].copy_from_slice(&70_000u32.to_le_bytes());
    s[0x58..0x5c].copy_from_slice(&68_000u32.to_le_bytes());
    s.extend(slot.join("\0").bytes());
    s.extend([0, 0]);
    s
}

/// Another kind of structure, without strings.
const PROCESSOR: [u8; 8] = [4, 6, 1, 0, 9, 9, 0, 0];
const END_OF_TABLE: [u8; 6] = [END, 4, 0, 0, 0, 0];

fn table(devices: &[Vec<u8>]) -> Vec<u8> {
    [PROCESSOR.to_vec(), devices.concat(), PROCESSOR.to_vec(), END_OF_TABLE.to_vec()].concat()
}

#[test]
fn two_channels_with_two_empty_slots() {
    let full = |slot| device(16_384, 0x1a, [3200, 2933], [slot, "BANK 0"]);
    let empty = |slot| device(0, 0x02, [0, 0], [slot, "BANK 1"]);
    let devices =
        [full("ChannelA-DIMM0"), empty("ChannelA-DIMM1"), full("ChannelB-DIMM0"), empty("ChannelB-DIMM1")];
    let found = modules(&table(&devices)).unwrap();
    assert_eq!((found.n, found.bytes), (2, Some(32 << 30)));
    assert_eq!((found.configured_mt_s, found.rated_mt_s), (Some(2933), Some(3200)));
    assert_eq!((found.kind.as_deref(), found.channels), (Some("DDR4"), Some(2)));
}

#[test]
fn two_modules_of_one_channel_are_one_channel() {
    let full = |slot, bank| device(8192, 0x22, [4800, 4800], [slot, bank]);
    let devices =
        [full("DIMM 0", "P0 CHANNEL A"), full("DIMM 1", "P0 CHANNEL A"), full("DIMM 0", "P1 CHANNEL A")];
    assert_eq!(modules(&table(&devices)).unwrap().channels, Some(2));
}

#[test]
fn large_sizes_and_speeds_stand_in_longer_fields_and_unknown_is_none() {
    let large = device(0x7fff, 0x22, [0xffff, 0xffff], ["A1", "?"]);
    let found = modules(&table(&[large])).unwrap();
    assert_eq!(found.bytes, Some(64 << 30));
    assert_eq!((found.rated_mt_s, found.configured_mt_s, found.channels), (Some(70_000), Some(68_000), None));

    let unknown = device(0xffff, 0x02, [0, 0], ["?", "?"]);
    let small = device(0x8000 | 512, 0x18, [0, 800], ["x", "y"]);
    let found = modules(&table(&[unknown.clone(), small.clone()])).unwrap();
    assert_eq!((found.n, found.bytes, found.kind), (2, None, None));
    assert_eq!((found.rated_mt_s, found.configured_mt_s), (None, Some(800)));
    assert_eq!(modules(&small).unwrap().bytes, Some(512 << 10));
}

#[test]
fn an_older_and_shorter_structure_is_read_as_far_as_it_goes() {
    // Version 2.1 ends before the speeds.
    let mut short = device(1024, 0x13, [0, 0], ["?", "?"]);
    short.drain(0x15..92);
    short[1] = 0x15;
    let found = modules(&short).unwrap();
    assert_eq!((found.bytes, found.kind.as_deref()), (Some(1 << 30), Some("DDR2")));
    assert_eq!((found.rated_mt_s, found.configured_mt_s), (None, None));
}

#[test]
fn a_torn_or_foreign_table_is_no_reason_to_fail() {
    let whole = table(&[device(8192, 0x1a, [2666, 2666], ["Channel", "channel "])]);
    for end in 0..whole.len() {
        modules(&whole[..end]);
    }
    assert_eq!(modules(&whole).unwrap().channels, None);
    assert_eq!(modules(&[]), None);
    assert_eq!(modules(&[17, 0, 0, 0]), None);
    assert_eq!(modules(&[255; 64]), None);
}
