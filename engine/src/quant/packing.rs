//! The kinds of packed format behind one object-safe interface, so that a matrix need not know its format's type.

use super::pack::{PANEL_ROWS, Packed, PackedFloat};
use crate::kernels::act::{Form, bf16_or_zero};
use crate::kernels::matmul::{Bf16s, Floats, Input, Integers, Matmul, PAIR_BYTES, Panels};
use crate::simd::Level;
use std::marker::PhantomData;

/// What a [`crate::tensor::Matrix`] asks of its format.
pub(crate) trait Packing: Send + Sync {
    /// Bytes of a panel of `cols` columns.
    fn panel_bytes(&self, cols: usize) -> usize;
    /// What its kernel reads activations as.
    fn reads(&self) -> Form;
    /// Interleaves whole rows as they lie in the file.
    fn pack(&self, rows: [&[u8]; PANEL_ROWS], out: &mut [u8]);
    /// Multiplies whole panels; `out` is \[panels, tokens, rows\].
    fn matmul(&self, level: Level, panels: Panels<'_>, input: Input<'_>, out: &mut [f32]);
}

/// A quantized format.
pub(crate) struct Integer<F>(PhantomData<F>);
impl<F> Integer<F> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<F: Packed> Packing for Integer<F> {
    fn panel_bytes(&self, cols: usize) -> usize {
        cols / F::BLOCK_LEN * F::PACKED_BYTES
    }
    fn reads(&self) -> Form {
        if F::PAIRS { Form::PairedGroups } else { Form::Groups }
    }
    fn pack(&self, rows: [&[u8]; PANEL_ROWS], out: &mut [u8]) {
        for (l, row) in rows.iter().enumerate() {
            let blocks = row.chunks_exact(F::FILE_BYTES);
            for (block, out) in blocks.zip(out.chunks_exact_mut(F::PACKED_BYTES)) {
                F::pack(block, l, out);
            }
        }
    }
    fn matmul(&self, level: Level, panels: Panels<'_>, input: Input<'_>, out: &mut [f32]) {
        let panel_bytes = self.panel_bytes(input.cols);
        level.dispatch(Matmul::<Integers<F>> { panels, panel_bytes, input, out, kernel: PhantomData });
    }
}

/// A format of floating-point numbers that are widened to f32.
pub(crate) struct Float<F>(PhantomData<F>);
impl<F> Float<F> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<F: PackedFloat> Packing for Float<F> {
    fn panel_bytes(&self, cols: usize) -> usize {
        cols * F::BYTES * PANEL_ROWS
    }
    fn reads(&self) -> Form {
        Form::Floats
    }
    fn pack(&self, rows: [&[u8]; PANEL_ROWS], out: &mut [u8]) {
        for (c, out) in out.chunks_exact_mut(F::BYTES * PANEL_ROWS).enumerate() {
            for (row, out) in rows.iter().zip(out.chunks_exact_mut(F::BYTES)) {
                out.copy_from_slice(&row[c * F::BYTES..][..F::BYTES]);
            }
        }
    }
    fn matmul(&self, level: Level, panels: Panels<'_>, input: Input<'_>, out: &mut [f32]) {
        let panel_bytes = self.panel_bytes(input.cols);
        level.dispatch(Matmul::<Floats<F>> { panels, panel_bytes, input, out, kernel: PhantomData });
    }
}

/// BF16: columns 2i and 2i + 1 of a row side by side, the rows of a panel follow. A last column without a partner has a zero.
pub(crate) struct Bf16;

impl Packing for Bf16 {
    fn panel_bytes(&self, cols: usize) -> usize {
        cols.div_ceil(2) * PAIR_BYTES
    }
    fn reads(&self) -> Form {
        Form::Bf16s
    }
    fn pack(&self, rows: [&[u8]; PANEL_ROWS], out: &mut [u8]) {
        for (l, row) in rows.iter().enumerate() {
            let pairs = out.as_chunks_mut::<PAIR_BYTES>().0;
            for (pair, out) in row.chunks(4).zip(pairs) {
                let out = &mut out.as_chunks_mut::<2>().0[2 * l..][..2];
                out.as_flattened_mut().fill(0);
                for (bytes, out) in pair.as_chunks::<2>().0.iter().zip(out) {
                    *out = bf16_or_zero(u16::from_le_bytes(*bytes)).to_le_bytes();
                }
            }
        }
    }
    fn matmul(&self, level: Level, panels: Panels<'_>, input: Input<'_>, out: &mut [f32]) {
        let panel_bytes = self.panel_bytes(input.cols);
        level.dispatch(Matmul::<Bf16s> { panels, panel_bytes, input, out, kernel: PhantomData });
    }
}
