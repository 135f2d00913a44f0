//! One test for all formats: packed kernels against the decoder, and every level against the scalar one, bit for bit.

use super::pack::{GROUP, PANEL_ROWS};
use super::{FORMATS, Format};
use crate::kernels::act::{Form, Place, quantize, round};
use crate::kernels::matmul::{Input, Panels, Tiles, Walk};
use crate::simd::{Group, Level};
use std::num::NonZero;
use std::ops::Range;

/// Blocks in the rows of the tests: one, odd and even numbers, and as many as in a real row.
const BLOCKS: [usize; 6] = [1, 2, 3, 8, 13, 45];
/// The same for formats without blocks.
const COLUMNS: [usize; 5] = [1, 7, 32, 257, 4096];

/// A small generator (SplitMix64, Steele et al. 2014): values in −1…1.
fn values(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    (0..n).map(|_| (next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

fn random_bytes(seed: u64, n: usize) -> Vec<u8> {
    values(seed, n).iter().map(|v| (v * 128.0).floor() as i32 as u8).collect()
}

/// Rows of `tokens` tokens as the matrix product reads them.
fn in_tiles<T: Copy>(level: Level, (tokens, pairs): (usize, bool), rows: &[T]) -> Vec<T> {
    let n = rows.len() / tokens;
    let mut out = Vec::new();
    let tiles = Tiles::new(level, tokens, pairs);
    for tile in (0..tiles.len()).map(|i| tiles.tokens(i)) {
        (0..n).for_each(|i| out.extend(tile.clone().map(|t| rows[t * n + i])));
    }
    out
}

/// A row in bf16, as a level reads it.
fn words(level: Level, row: &[f32]) -> Vec<u32> {
    let mut words = vec![0; level.words(row.len())];
    round(level, row, &mut words, Place { of: 1, token: 0 });
    words
}

fn is_integer(format: &Format) -> bool {
    matches!(format.packing.reads(), Form::Groups | Form::PairedGroups)
}

struct Case {
    format: &'static Format,
    cols: usize,
    tokens: usize,
    /// \[panels · rows, cols\], decoded
    weights: Vec<f32>,
    panels: Vec<u8>,
    /// \[tokens, cols\]
    floats: Vec<f32>,
    /// \[tokens, cols / 32\]; empty for formats that read others.
    groups: Vec<Group>,
}

impl Case {
    fn new(
        format: &'static Format,
        cols: usize,
        tokens: usize,
        n_panels: usize,
        x: Vec<f32>,
        w: &[f32],
    ) -> Self {
        let mut rows = vec![0; n_panels * PANEL_ROWS * cols / format.block_len * format.block_bytes];
        (format.encode)(w, &mut rows);
        let weights = vec![0.0; n_panels * PANEL_ROWS * cols];
        let panels = vec![0; n_panels * format.packing.panel_bytes(cols)];
        let mut groups = vec![Group::ZERO; if is_integer(format) { x.len() / GROUP } else { 0 }];
        quantize(Level::Scalar, &x[..groups.len() * GROUP], &mut groups, Place { of: 1, token: 0 });
        let mut case = Case { format, cols, tokens, weights, panels, floats: x, groups };
        case.set_rows(&rows);
        case
    }

    /// Takes other weights, in the bytes of a file.
    fn set_rows(&mut self, rows: &[u8]) {
        let Self { format, cols, .. } = *self;
        let row_bytes = cols / format.block_len * format.block_bytes;
        (format.decode)(rows, &mut self.weights);
        for (p, out) in self.panels.chunks_exact_mut(format.packing.panel_bytes(cols)).enumerate() {
            let row = |l| &rows[(p * PANEL_ROWS + l) * row_bytes..][..row_bytes];
            format.packing.pack(std::array::from_fn(row), out);
        }
    }

    fn run(&self, level: Level) -> Vec<f32> {
        self.walked(level, Walk { several: true, ahead: NonZero::new(256) })
    }

    fn walked(&self, level: Level, walk: Walk) -> Vec<f32> {
        let n_panels = self.panels.len() / self.format.packing.panel_bytes(self.cols);
        let pairs = self.format.packing.reads() == Form::PairedGroups;
        let mut out = vec![f32::NAN; n_panels * self.tokens * PANEL_ROWS];
        let floats = in_tiles(level, (self.tokens, pairs), &self.floats);
        let groups = in_tiles(level, (self.tokens, pairs), &self.groups);
        let rows = self.floats.chunks_exact(self.cols).flat_map(|row| words(level, row));
        let bf16s = in_tiles(level, (self.tokens, pairs), &rows.collect::<Vec<_>>());
        let Self { cols, tokens, .. } = *self;
        let input = Input { floats: &floats, bf16s: &bf16s, groups: &groups, cols, tokens, pairs };
        let panels = Panels { data: &self.panels, walk };
        self.format.packing.matmul(level, panels, input, &mut out);
        out
    }

    /// The product in f64 from decoded weights and the activations as quantized; and Σ |w x| as its scale.
    fn expected(&self, row: usize, token: usize) -> (f64, f64) {
        (0..self.cols).fold((0.0, 0.0), |(sum, scale), c| {
            let i = token * self.cols + c;
            let x = match self.format.packing.reads() {
                Form::Floats => f64::from(self.floats[i]),
                Form::Bf16s => f64::from(half::bf16::from_f32(self.floats[i])),
                Form::Groups | Form::PairedGroups => {
                    let g = &self.groups[i / GROUP];
                    f64::from(g.d) * f64::from(g.q[i % GROUP])
                }
            };
            let product = f64::from(self.weights[row * self.cols + c]) * x;
            (sum + product, scale + product.abs())
        })
    }

    fn check(&self) {
        let name = format!("{:?}, {} columns, {} tokens", self.format, self.cols, self.tokens);
        let scalar = self.run(Level::Scalar);
        for (i, &got) in scalar.iter().enumerate() {
            let (panel, token, lane) =
                (i / PANEL_ROWS / self.tokens, i / PANEL_ROWS % self.tokens, i % PANEL_ROWS);
            let (want, scale) = self.expected(panel * PANEL_ROWS + lane, token);
            let tolerance = 2e-6 * scale + 1e-30;
            assert!((f64::from(got) - want).abs() <= tolerance, "{name}: output {i} is {got}, not {want}");
        }
        for level in Level::available() {
            let same = self.run(level).iter().zip(&scalar).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}: {} differs from scalar", level.name());
            let walked = self.walked(level, Walk { several: false, ahead: None });
            let same = walked.iter().zip(&scalar).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}: {} differs where it is walked otherwise", level.name());
        }
    }
}

#[test]
fn kernels_agree_with_the_decoder_and_with_each_other() {
    for format in FORMATS {
        for (i, blocks) in lengths(format).iter().enumerate() {
            // One tile of every size, and several; a last panel with and without a partner. Long rows are for the parts they are taken in.
            let long = i + 1 == lengths(format).len();
            let counts: &[usize] =
                if long { &[1, 4, 9, 19] } else { &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 19] };
            for &tokens in counts {
                let (cols, n_panels) = (blocks * format.block_len, 1 + tokens % 6);
                let w = values(i as u64, n_panels * PANEL_ROWS * cols);
                Case::new(format, cols, tokens, n_panels, values(99, tokens * cols), &w).check();
            }
        }
    }
}

fn lengths(format: &Format) -> &'static [usize] {
    if format.block_len == 1 { &COLUMNS } else { &BLOCKS }
}

#[test]
fn rows_of_the_tests_are_as_long_as_real_ones() {
    for format in FORMATS {
        let columns = lengths(format).iter().map(|blocks| blocks * format.block_len);
        assert!(columns.max().is_some_and(|longest| longest >= 1024), "{format:?}");
    }
}

#[test]
fn blocks_of_hostile_bits_do_not_panic() {
    // Scales that are NaN or infinite: the levels need not agree in the payload of a NaN, but in that it is one.
    let check_levels = |format: &'static Format, rows: &[u8], x: fn(usize) -> Vec<f32>| {
        let cols = 2 * format.block_len.max(GROUP);
        let mut case = Case::new(format, cols, 5, 1, x(5 * cols), &vec![0.0; PANEL_ROWS * cols]);
        case.set_rows(rows);
        let scalar = case.run(Level::Scalar);
        for level in Level::available() {
            for (a, b) in case.run(level).iter().zip(&scalar) {
                let same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(same, "{format:?}, {}: {a} is not {b}", level.name());
            }
        }
        let all_finite = |row: &[f32]| row.iter().all(|w| w.is_finite());
        for (l, weights) in case.weights.chunks_exact(cols).enumerate() {
            assert!(all_finite(weights) || !scalar[l].is_finite(), "{format:?}: a fault vanished");
        }
    };
    for format in FORMATS {
        let n = PANEL_ROWS * 2 * format.block_len.max(GROUP) / format.block_len * format.block_bytes;
        for byte in [0xff, 0x7c, 0xfc, 0x80, 0x00] {
            // Also activations of one sign at full magnitude; 0x80 is the lowest signed quant: nothing may saturate.
            for x in [|n| vec![1.0; n], |n| vec![-1.0; n], |n| values(3, n)] {
                check_levels(format, &vec![byte; n], x);
            }
        }
        for seed in 0..20 {
            check_levels(format, &random_bytes(seed, n), |n| values(3, n));
        }
    }
}

#[test]
fn products_of_tiny_numbers_are_the_same_on_every_level() {
    // Where they are not zero, an instruction for bf16 must not take them for subnormal.
    for format in FORMATS.iter().filter(|f| f.packing.reads() == Form::Bf16s) {
        for scale in [1e-15, 3e-17, 1e-17, 1e-25, 1e-40] {
            let tiny = |seed, n| values(seed, n).iter().map(|v| v * scale).collect::<Vec<_>>();
            let case = Case::new(format, 97, 3, 2, tiny(1, 3 * 97), &tiny(2, 2 * PANEL_ROWS * 97));
            let scalar = case.run(Level::Scalar);
            assert_eq!(scalar.iter().any(|y| *y != 0.0), scale > 2e-17, "{scale}");
            for level in Level::available() {
                let same = case.run(level).iter().zip(&scalar).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{format:?}, {scale}: {} differs from scalar", level.name());
            }
        }
    }
}

#[test]
fn encoding_values_that_are_check_levels_does_not_panic() {
    for format in FORMATS {
        for hostile in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -0.0] {
            for every in [1, 7] {
                let mut x = values(1, 2 * format.block_len);
                x.iter_mut().step_by(every).for_each(|x| *x = hostile);
                (format.encode)(&x, &mut vec![0; 2 * format.block_bytes]);
            }
        }
    }
}

#[test]
fn zeros_come_back_as_zeros() {
    for format in FORMATS {
        let (mut bytes, mut back) = (vec![0xff; format.block_bytes], vec![1.0; format.block_len]);
        (format.encode)(&back.iter().map(|_| 0.0).collect::<Vec<_>>(), &mut bytes);
        (format.decode)(&bytes, &mut back);
        assert!(back.iter().all(|&v| v == 0.0), "{format:?}");
    }
}

#[test]
fn formats_are_in_the_order_of_their_ids() {
    assert!(FORMATS.is_sorted_by(|a, b| a.gguf_id < b.gguf_id));
}

#[test]
fn packing_is_hardly_larger_than_the_file() {
    for format in FORMATS {
        let cols = 256;
        let file = PANEL_ROWS * cols / format.block_len * format.block_bytes;
        let packed = format.packing.panel_bytes(cols);
        assert!(packed >= file && packed * 100 <= file * 104, "{format:?}: {packed} bytes for {file}");
    }
}

/// Where blocks keep what is no quant: each f16, and bytes of scales. The lowest quants are bits of 0 and the highest of 1, but for signed bytes.
const LAYOUTS: [(&str, &[usize], Range<usize>); 11] = [
    ("Q4_0", &[0], 0..0),
    ("Q4_1", &[0, 2], 0..0),
    ("Q5_0", &[0], 0..0),
    ("Q5_1", &[0, 2], 0..0),
    ("Q8_0", &[0], 0..0),
    ("Q2_K", &[80, 82], 0..16),
    ("Q3_K", &[108], 96..108),
    ("Q4_K", &[0, 2], 4..16),
    ("Q5_K", &[0, 2], 4..16),
    ("Q6_K", &[208], 192..208),
    ("IQ4_NL", &[0], 0..0),
];

#[test]
fn extremes_of_the_integer_path_do_not_saturate() {
    // Signs of activations of full magnitude: all alike, and changing at every column, every second one, every fourth...
    let sign = |token: usize, column: usize| {
        let flips = [0, column, column >> 1, column >> 2, column >> 3, column >> 4][token / 2] + token;
        if flips.is_multiple_of(2) { 1.0 } else { -1.0 }
    };
    for format in FORMATS.iter().filter(|f| is_integer(f)) {
        let known = LAYOUTS.iter().find(|(name, ..)| *name == format.name);
        let (_, f16s, scales) = known.expect("a layout of every quantized format");
        let (tokens, cols) = (12, 2 * format.block_len);
        let x: Vec<f32> = (0..tokens).flat_map(|t| (0..cols).map(move |c| sign(t, c))).collect();
        let extremes = if format.name == "Q8_0" { [0x80, 0x7f] } else { [0x00, 0xff] };
        for (quants, scale) in extremes.into_iter().flat_map(|quants| [(quants, 0xff), (quants, 0x7f)]) {
            let mut block = vec![quants; format.block_bytes];
            block[scales.clone()].fill(scale);
            f16s.iter().for_each(|&at| block[at..at + 2].copy_from_slice(&half::f16::ONE.to_le_bytes()));
            let rows = block.repeat(2 * PANEL_ROWS);
            let check = |tokens: usize, x: &[f32]| {
                let mut case = Case::new(format, cols, tokens, 1, x.to_vec(), &vec![0.0; PANEL_ROWS * cols]);
                case.set_rows(&rows);
                assert!(case.weights.iter().all(|w| w.abs() >= 1.0), "{format:?}: a fault would show");
                assert!(case.groups.iter().all(|group| group.q.iter().all(|q| q.abs() == 127)));
                case.check();
            };
            check(tokens, &x);
            x.chunks_exact(cols).for_each(|x| check(1, x));
        }
    }
}

#[test]
fn every_block_of_bits_is_decoded_and_packed_alike() {
    // Random bytes are blocks that no encoder makes; scales may be huge, so only finite ones are compared.
    for format in FORMATS.iter().filter(|f| is_integer(f)) {
        let cols = format.block_len;
        let mut case = Case::new(format, cols, 1, 1, values(3, cols), &vec![0.0; PANEL_ROWS * cols]);
        let mut compared = 0;
        for rows in (0..).map(|seed| random_bytes(seed, PANEL_ROWS * format.block_bytes)) {
            case.set_rows(&rows);
            if case.weights.iter().all(|w| w.is_finite()) {
                case.check();
                compared += 1;
            }
            if compared == 10 {
                break;
            }
        }
    }
}

#[test]
fn encoding_keeps_values_within_the_step_of_the_format() {
    for format in FORMATS {
        let x = values(5, 4 * format.block_len.max(8));
        let mut bytes = vec![0; x.len() / format.block_len * format.block_bytes];
        (format.encode)(&x, &mut bytes);
        let mut back = vec![0.0; x.len()];
        (format.decode)(&bytes, &mut back);
        let error: f64 = x.iter().zip(&back).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let power: f64 = x.iter().map(|a| f64::from(*a).powi(2)).sum();
        let bits = 8.0 * format.block_bytes as f64 / format.block_len as f64;
        // Uniform quantization gains 6 dB a bit; two bits go to scales and to the shape of the range.
        let limit = if format.block_len == 1 { 1e-5 } else { 4.0_f64.powf(-(bits - 2.0).max(0.0)) };
        assert!(error / power < limit, "{format:?}: relative error {} over {limit}", error / power);
    }
}
