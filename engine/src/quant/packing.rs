//! The two kinds of packed format behind one object-safe interface, so that a matrix need not know its format's type.

use super::pack::{PANEL_ROWS, Packed, PackedFloat};
use crate::kernels::matmul::{Floats, Input, Integers, Matmul, Panels};
use crate::simd::Level;
use std::marker::PhantomData;

/// What a [`crate::tensor::Matrix`] asks of its format.
pub(crate) trait Packing: Send + Sync {
    /// Bytes of a panel of `cols` columns.
    fn panel_bytes(&self, cols: usize) -> usize;
    /// Whether its kernel reads quantized activations.
    fn is_integer(&self) -> bool;
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
    fn is_integer(&self) -> bool {
        true
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

/// A format of floating-point numbers.
pub(crate) struct Float<F>(PhantomData<F>);
impl<F> Float<F> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<F: PackedFloat> Packing for Float<F> {
    fn panel_bytes(&self, cols: usize) -> usize {
        cols * F::BYTES * PANEL_ROWS
    }
    fn is_integer(&self) -> bool {
        false
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
