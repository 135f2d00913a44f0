//! One test for all formats: packed kernels against the decoder, and every level against the scalar one, bit for bit.

use super::pack::{GROUP, PANEL_ROWS};
use super::{FORMATS, Format};
use crate::kernels::act::{Group, quantize};
use crate::kernels::matmul::Input;
use crate::simd::Level;

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

struct Case {
    format: &'static Format,
    cols: usize,
    tokens: usize,
    /// \[panels · 8, cols\], decoded
    weights: Vec<f32>,
    panels: Vec<u8>,
    floats: Vec<f32>,
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
        let row_bytes = cols / format.block_len * format.block_bytes;
        let mut rows = vec![0; n_panels * PANEL_ROWS * row_bytes];
        (format.encode)(w, &mut rows);
        let mut weights = vec![0.0; n_panels * PANEL_ROWS * cols];
        (format.decode)(&rows, &mut weights);
        let panel_bytes = format.packing.panel_bytes(cols);
        let mut panels = vec![0; n_panels * panel_bytes];
        for (p, out) in panels.chunks_exact_mut(panel_bytes).enumerate() {
            let row = |l| &rows[(p * PANEL_ROWS + l) * row_bytes..][..row_bytes];
            format.packing.pack(std::array::from_fn(row), out);
        }
        let mut groups = vec![Group::ZERO; if format.packing.is_integer() { x.len() / GROUP } else { 0 }];
        quantize(Level::Scalar, &x[..groups.len() * GROUP], &mut groups);
        Case { format, cols, tokens, weights, panels, floats: x, groups }
    }

    fn run(&self, level: Level) -> Vec<f32> {
        let n_panels = self.panels.len() / self.format.packing.panel_bytes(self.cols);
        let mut out = vec![f32::NAN; n_panels * self.tokens * 8];
        let input =
            Input { floats: &self.floats, groups: &self.groups, cols: self.cols, tokens: self.tokens };
        self.format.packing.matmul(level, &self.panels, input, &mut out);
        out
    }

    /// The product in f64 from decoded weights and the activations as quantized; and Σ |w x| as its scale.
    fn expected(&self, row: usize, token: usize) -> (f64, f64) {
        (0..self.cols).fold((0.0, 0.0), |(sum, scale), c| {
            let i = token * self.cols + c;
            let x = if self.groups.is_empty() {
                f64::from(self.floats[i])
            } else {
                let g = &self.groups[i / GROUP];
                f64::from(g.d) * f64::from(g.q[i % GROUP])
            };
            let product = f64::from(self.weights[row * self.cols + c]) * x;
            (sum + product, scale + product.abs())
        })
    }

    fn check(&self) {
        let name = format!("{:?}, {} columns, {} tokens", self.format, self.cols, self.tokens);
        let scalar = self.run(Level::Scalar);
        for (i, &got) in scalar.iter().enumerate() {
            let (panel, token, lane) = (i / 8 / self.tokens, i / 8 % self.tokens, i % 8);
            let (want, scale) = self.expected(panel * 8 + lane, token);
            let tolerance = 2e-6 * scale + 1e-30;
            assert!((f64::from(got) - want).abs() <= tolerance, "{name}: output {i} is {got}, not {want}");
        }
        for level in Level::available() {
            let same = self.run(level).iter().zip(&scalar).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}: {} differs from scalar", level.name());
        }
    }
}

#[test]
fn kernels_agree_with_the_decoder_and_with_each_other() {
    for format in FORMATS {
        let blocks: &[usize] = if format.block_len == 1 { &[1, 7, 32, 257] } else { &[1, 2, 3] };
        for (i, blocks) in blocks.iter().enumerate() {
            for tokens in [1, 2, 3, 4, 5, 9] {
                let (cols, n_panels) = (blocks * format.block_len, 1 + tokens % 6);
                let w = values(i as u64, n_panels * 8 * cols);
                Case::new(format, cols, tokens, n_panels, values(99, tokens * cols), &w).check();
            }
        }
    }
}

#[test]
fn extremes_of_the_integer_path_do_not_saturate() {
    for format in FORMATS.iter().filter(|f| f.packing.is_integer()) {
        let cols = 2 * format.block_len;
        for (w_sign, x_sign) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
            // All columns at the largest magnitude but one, so that formats with a minimum keep a range.
            let mut w = vec![w_sign; 8 * cols];
            w.iter_mut().step_by(16).for_each(|w| *w = -*w);
            Case::new(format, cols, 1, 1, vec![x_sign; cols], &w).check();
        }
    }
}

#[test]
fn every_block_of_bits_is_decoded_and_packed_alike() {
    // Random bytes are blocks that no encoder makes; scales may be huge, so only finite ones are compared.
    for format in FORMATS.iter().filter(|f| f.packing.is_integer()) {
        let cols = format.block_len;
        let mut rows: Vec<u8> =
            values(7, 8 * format.block_bytes).iter().map(|v| (v * 128.0) as i32 as u8).collect();
        let mut decoded = vec![0.0; 8 * cols];
        (format.decode)(&rows, &mut decoded);
        if !decoded.iter().all(|v| v.is_finite()) {
            rows.iter_mut().for_each(|b| *b &= 0x3b); // exponents below all ones
            (format.decode)(&rows, &mut decoded);
        }
        let mut case = Case::new(format, cols, 1, 1, values(3, cols), &vec![0.0; 8 * cols]);
        let row = |l| &rows[l * format.block_bytes..][..format.block_bytes];
        format.packing.pack(std::array::from_fn(row), &mut case.panels);
        case.weights = decoded;
        case.check();
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
