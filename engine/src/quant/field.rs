//! Where the bits of a column lie in a block of a file.

use half::f16;

/// A field of `width` bits for each column (1, 2, 4 or 8): the first `stride` columns lie in the lowest bits of
/// `stride` bytes, the next ones above them, and so on; when these bytes are full, the next `stride` bytes follow.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// The first byte.
    pub(super) at: usize,
    pub(super) width: usize,
    pub(super) stride: usize,
}

impl Field {
    /// The byte and the shift of a column.
    #[inline(always)]
    fn place(self, column: usize) -> (usize, usize) {
        let span = self.stride * 8 / self.width;
        let byte = self.at + column / span * self.stride + column % self.stride;
        (byte, column % span / self.stride * self.width)
    }

    #[inline(always)]
    pub(super) fn get(self, block: &[u8], column: usize) -> u8 {
        let (byte, shift) = self.place(column);
        block[byte] >> shift & (255 >> (8 - self.width))
    }

    /// The fields of four columns, the first a multiple of four, in the bytes of a word, the first in the lowest.
    #[inline(always)]
    pub(super) fn get4(self, block: &[u8], column: usize) -> u32 {
        let (byte, shift) = self.place(column);
        if self.stride >= 4 {
            let word = block[byte..byte + 4].first_chunk().expect("four bytes");
            return u32::from_le_bytes(*word) >> shift & (0x0101_0101 * (255 >> (8 - self.width)));
        }
        // Four bits side by side, each to a byte of its own.
        debug_assert_eq!((self.width, self.stride), (1, 1));
        (u32::from(block[byte] >> shift & 15) * 0x0020_4081) & 0x0101_0101
    }

    /// Sets the lowest `width` bits of `value` in a field that was zero.
    #[inline(always)]
    pub(super) fn put(self, block: &mut [u8], column: usize, value: u8) {
        let (byte, shift) = self.place(column);
        block[byte] |= (value & (255 >> (8 - self.width))) << shift;
    }
}

/// The f16 at `at` as f32.
#[inline(always)]
pub(super) fn get_f16(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Writes the f16 nearest to `value` at `at` and returns it.
pub(super) fn put_f16(block: &mut [u8], at: usize, value: f32) -> f32 {
    let value = f16::from_f32(value);
    block[at..at + 2].copy_from_slice(&value.to_le_bytes());
    value.to_f32()
}

/// Twelve bytes of eight scales and eight mins of six bits each, as Q4_K and Q5_K have them: the first four of both in
/// the lower six bits of bytes 0–7; the last four as nibbles in bytes 8–11, their upper two bits in those of bytes 0–7.
#[inline(always)]
pub(super) fn get_scale_min(bytes: &[u8], i: usize) -> (u8, u8) {
    if i < 4 {
        (bytes[i] & 63, bytes[i + 4] & 63)
    } else {
        let scale = bytes[i + 4] & 15 | bytes[i - 4] >> 6 << 4;
        (scale, bytes[i + 4] >> 4 | bytes[i] >> 6 << 4)
    }
}

/// The inverse of [`get_scale_min`], into bytes that were zero.
pub(super) fn put_scale_min(bytes: &mut [u8], i: usize, scale: u8, min: u8) {
    if i < 4 {
        bytes[i] |= scale;
        bytes[i + 4] |= min;
    } else {
        bytes[i + 4] |= scale & 15 | min << 4;
        bytes[i - 4] |= scale >> 4 << 6;
        bytes[i] |= min >> 4 << 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_bit_scales_come_back() {
        let mut bytes = [0; 12];
        let value = |i: u8| ((37 * u32::from(i) + 11) as u8 & 63, 63 - 5 * i);
        (0..8).for_each(|i| put_scale_min(&mut bytes, i.into(), value(i).0, value(i).1));
        (0..8).for_each(|i| assert_eq!(get_scale_min(&bytes, i.into()), value(i)));
    }

    #[test]
    fn fields_come_back_and_do_not_overlap() {
        for (width, stride) in [(1, 1), (1, 32), (2, 4), (2, 32), (4, 8), (4, 16), (4, 32), (4, 64), (8, 32)]
        {
            let field = Field { at: 3, width, stride };
            let n = 256;
            let mut block = vec![0; 3 + n * width / 8];
            let value = |c: usize| (c * 89 % 251) as u8 & (255 >> (8 - width));
            (0..n).for_each(|c| field.put(&mut block, c, value(c)));
            (0..n).for_each(|c| assert_eq!(field.get(&block, c), value(c), "width {width}, column {c}"));
            for c in (0..n).step_by(4) {
                let four = [value(c), value(c + 1), value(c + 2), value(c + 3)];
                assert_eq!(field.get4(&block, c).to_le_bytes(), four, "width {width}, column {c}");
            }
        }
    }
}
