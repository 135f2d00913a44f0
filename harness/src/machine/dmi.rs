//! Memory modules, from the firmware's tables: structures of type 17 as the System Management BIOS Reference Specification
//! (DMTF DSP0134, 7.18) lays them out.

use super::files::names;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The modules that are plugged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modules {
    /// How many.
    pub n: u32,
    /// Their sizes together, where each is told.
    pub bytes: Option<u64>,
    /// `DDR4`, `LPDDR5`, …; `None` where they differ.
    pub kind: Option<String>,
    /// The speed that they run at, 10⁶ transfers per second; of the slowest.
    pub configured_mt_s: Option<u32>,
    /// The speed that they are made for; of the slowest.
    pub rated_mt_s: Option<u32>,
    /// Channels in use, where the firmware's names of the slots say `channel`.
    pub channels: Option<u32>,
}

const DEVICE: u8 = 17;
const END: u8 = 127;

/// Structures of type 17, one after the other, as far as this process may read them.
pub(crate) fn read() -> Vec<u8> {
    if let Ok(table) = std::fs::read("/sys/firmware/dmi/tables/DMI") {
        return table;
    }
    let dir = "/sys/firmware/dmi/entries";
    let of_memory = names(dir).into_iter().filter(|name| name.starts_with("17-"));
    of_memory.filter_map(|name| std::fs::read(format!("{dir}/{name}/raw")).ok()).flatten().collect()
}

/// The modules in a table; `None` where it tells of none.
pub fn modules(table: &[u8]) -> Option<Modules> {
    let devices: Vec<Device> = structures(table).filter_map(|s| Device::of(&s)).collect();
    if devices.is_empty() {
        return None;
    }
    let kinds: BTreeSet<Option<&str>> = devices.iter().map(|d| d.kind).collect();
    let channels: Option<BTreeSet<&str>> = devices.iter().map(|d| d.channel.as_deref()).collect();
    let sizes: Option<Vec<u64>> = devices.iter().map(|d| d.bytes).collect();
    Some(Modules {
        n: devices.len() as u32,
        bytes: sizes.map(|sizes| sizes.into_iter().fold(0, u64::saturating_add)),
        kind: kinds.first().copied().flatten().filter(|_| kinds.len() == 1).map(str::to_owned),
        configured_mt_s: devices.iter().filter_map(|d| d.configured_mt_s).min(),
        rated_mt_s: devices.iter().filter_map(|d| d.rated_mt_s).min(),
        channels: channels.map(|c| c.len() as u32),
    })
}

/// One structure: its formatted part with the header, and the strings behind it.
struct Structure<'a> {
    formatted: &'a [u8],
    strings: &'a [u8],
}

/// The structures of a table, up to one that is not whole.
fn structures(mut table: &[u8]) -> impl Iterator<Item = Structure<'_>> {
    std::iter::from_fn(move || {
        let (&kind, &length) = (table.first()?, table.get(1)?);
        // The header alone has four bytes.
        if kind == END || length < 4 {
            return None;
        }
        let (formatted, rest) = table.split_at_checked(usize::from(length))?;
        let end = rest.windows(2).position(|pair| pair == [0, 0])?;
        table = &rest[end + 2..];
        Some(Structure { formatted, strings: &rest[..end] })
    })
}

impl Structure<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.formatted.get(at).copied()
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.formatted.get(at..)?.first_chunk()?))
    }

    fn double_word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.formatted.get(at..)?.first_chunk()?))
    }

    /// The string whose number, from 1, stands at `at`.
    fn string(&self, at: usize) -> Option<String> {
        let number = usize::from(self.byte(at)?).checked_sub(1)?;
        let bytes = self.strings.split(|&b| b == 0).nth(number)?;
        Some(String::from_utf8_lossy(bytes).trim().to_owned())
    }
}

struct Device {
    kind: Option<&'static str>,
    bytes: Option<u64>,
    configured_mt_s: Option<u32>,
    rated_mt_s: Option<u32>,
    channel: Option<String>,
}

impl Device {
    /// `None` for other structures and for empty slots.
    fn of(s: &Structure<'_>) -> Option<Device> {
        let size = s.word(0x0c).filter(|&size| s.byte(0) == Some(DEVICE) && size != 0)?;
        let bytes = match size {
            0xffff => None,
            0x7fff => s.double_word(0x1c).map(|mib| u64::from(mib & 0x7fff_ffff) << 20),
            kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) << 10),
            mib => Some(u64::from(mib) << 20),
        };
        // 0 is unknown; what does not fit stands in a longer field, added later.
        let speed = |at: usize, long_at: usize| match s.word(at)? {
            0 => None,
            0xffff => s.double_word(long_at).map(|v| v & 0x7fff_ffff).filter(|&v| v > 0),
            mt_s => Some(u32::from(mt_s)),
        };
        let slot_names = [s.string(0x10), s.string(0x11)];
        Some(Device {
            kind: s.byte(0x12).and_then(kind_name),
            bytes,
            rated_mt_s: speed(0x15, 0x54),
            configured_mt_s: speed(0x20, 0x58),
            channel: slot_names.iter().flatten().find_map(|name| channel(name)),
        })
    }
}

fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x12 => "DDR",
        0x13 => "DDR2",
        0x18 => "DDR3",
        0x1a => "DDR4",
        0x1b => "LPDDR",
        0x1c => "LPDDR2",
        0x1d => "LPDDR3",
        0x1e => "LPDDR4",
        0x20 => "HBM",
        0x21 => "HBM2",
        0x22 => "DDR5",
        0x23 => "LPDDR5",
        0x24 => "HBM3",
        _ => return None,
    })
}

/// `P0 CHANNEL A` of `P0 CHANNEL A DIMM 1`; `ChannelA` of `ChannelA-DIMM0`.
fn channel(slot: &str) -> Option<String> {
    let after = slot.to_ascii_lowercase().find("channel")? + "channel".len();
    let name = slot[after..].trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let n_name = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    let end = slot.len() - name.len() + n_name;
    (n_name > 0).then(|| slot[..end].to_owned())
}

#[cfg(test)]
mod tests;
