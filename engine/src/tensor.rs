//! Weights in memory: packed matrices, plain vectors, and rows that stay in the file.

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Gguf, Tensor};
use crate::kernels::act::Form;
use crate::kernels::matmul::{Input, Panels, Walk};
use crate::memory::{Arena, Buffer};
use crate::pool::Pool;
use crate::quant::Format;
use crate::quant::pack::PANEL_ROWS;
use crate::simd::Level;
use std::ops::Range;
use std::sync::Mutex;

/// Panels that a worker reads at once when loading.
const LOAD_PANELS: usize = 8;

/// How matrices are multiplied on a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub level: Level,
    pub walk: Walk,
}

/// A packed matrix of \[rows, cols\]; the last panel is padded with rows of zero bytes.
pub(crate) struct Matrix {
    format: &'static Format,
    rows: usize,
    cols: usize,
    data: Buffer,
    /// Added to every product, \[rows\] padded to whole panels; most matrices have none.
    bias: Option<Vec<f32>>,
}

impl Matrix {
    /// Bytes of a tensor once packed; `None` where no memory is as large.
    pub(crate) fn packed_bytes(tensor: &Tensor) -> Option<usize> {
        let panel_bytes = tensor.format.packing.panel_bytes(tensor.cols() as usize);
        let n_panels = (tensor.rows() as usize).div_ceil(PANEL_ROWS);
        n_panels.checked_mul(panel_bytes).filter(|&b| b <= isize::MAX as usize / 2)
    }

    /// Reads and packs a tensor, in parallel, into one copy.
    pub(crate) fn load(gguf: &Gguf, tensor: &Tensor, pool: &Pool, arena: &mut Arena) -> Result<Self> {
        let (rows, cols) = (tensor.rows() as usize, tensor.cols() as usize);
        let format = tensor.format;
        let panel_bytes = format.packing.panel_bytes(cols);
        let too_large = || Error::new(ErrorKind::Bounds, "larger than memory").at_key(&tensor.name);
        let mut data = arena.zeroed(Self::packed_bytes(tensor).ok_or_else(too_large)?)?;
        let row_bytes = tensor.bytes as usize / rows;
        let parts: Vec<_> = data.chunks_mut(LOAD_PANELS * panel_bytes).map(Mutex::new).collect();
        // Rows beyond the last are zero bytes: scale 0 in every format.
        let zeros = vec![0; row_bytes];
        let own = || vec![0; LOAD_PANELS * PANEL_ROWS * row_bytes];
        pool.for_each(parts.len(), own, |file, i| {
            let first = i * LOAD_PANELS * PANEL_ROWS;
            let n = (LOAD_PANELS * PANEL_ROWS).min(rows - first);
            let file = &mut file[..n * row_bytes];
            gguf.read_exact_at(tensor, (first * row_bytes) as u64, file)?;
            let mut part = parts[i].lock().expect("each part has one worker");
            let row = |l| if l < n { &file[l * row_bytes..][..row_bytes] } else { &zeros[..] };
            for (p, out) in part.chunks_exact_mut(panel_bytes).enumerate() {
                format.packing.pack(std::array::from_fn(|l| row(p * PANEL_ROWS + l)), out);
            }
            Ok(())
        })?;
        drop(parts);
        Ok(Self { format, rows, cols, data, bias: None })
    }

    /// The same with a bias of \[rows\], if there is one.
    pub(crate) fn with_bias(mut self, bias: Option<Vec<f32>>) -> Self {
        let padded = self.n_panels() * PANEL_ROWS;
        self.bias = bias.map(|mut bias| {
            bias.resize(padded, 0.0);
            bias
        });
        self
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn n_panels(&self) -> usize {
        self.rows.div_ceil(PANEL_ROWS)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Its panels, one behind the other.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// What it reads activations as.
    pub(crate) fn reads(&self) -> Form {
        self.format.packing.reads()
    }

    /// Multiplies the panels of `range` and adds their bias; `out` is \[panels of the range, tokens, rows of a panel\].
    pub(crate) fn matmul(&self, how: How, range: Range<usize>, input: Input<'_>, out: &mut [f32]) {
        debug_assert_eq!(input.cols, self.cols);
        let panel_bytes = self.format.packing.panel_bytes(self.cols);
        let data = &self.data[range.start * panel_bytes..range.end * panel_bytes];
        let panels = Panels { data, walk: how.walk };
        let tokens = input.tokens;
        self.format.packing.matmul(how.level, panels, input, out);
        if let Some(bias) = &self.bias {
            add_bias(&bias[range.start * PANEL_ROWS..range.end * PANEL_ROWS], tokens, out);
        }
    }
}

/// Adds the bias of each panel to the products of all tokens, \[panels, tokens, rows of a panel\].
fn add_bias(bias: &[f32], tokens: usize, out: &mut [f32]) {
    let panels = out.chunks_exact_mut(tokens * PANEL_ROWS);
    for (out, bias) in panels.zip(bias.as_chunks::<PANEL_ROWS>().0) {
        for out in out.as_chunks_mut::<PANEL_ROWS>().0 {
            out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
        }
    }
}

/// Matrices that read the same activations, one below the other; each begins at a new panel.
pub(crate) struct Stack(Vec<Matrix>);

impl Stack {
    pub(crate) fn new(matrices: Vec<Matrix>) -> Self {
        Self(matrices)
    }

    pub(crate) fn n_panels(&self) -> usize {
        self.0.iter().map(Matrix::n_panels).sum()
    }

    /// What each reads activations as.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Form> + Clone {
        self.0.iter().map(Matrix::reads)
    }

    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        self.0.iter()
    }

    /// As [`Matrix::matmul`], over the panels of all.
    pub(crate) fn matmul(&self, how: How, range: Range<usize>, input: Input<'_>, out: &mut [f32]) {
        let mut first = 0;
        for matrix in &self.0 {
            let here = range.start.max(first)..range.end.min(first + matrix.n_panels());
            if here.start < here.end {
                let at = |p: usize| (p - range.start) * input.tokens * PANEL_ROWS;
                let out = &mut out[at(here.start)..at(here.end)];
                matrix.matmul(how, here.start - first..here.end - first, input, out);
            }
            first += matrix.n_panels();
        }
    }
}

/// The embedding table, \[vocabulary, width\]: it stays in the file, one row is read for each token. By a positioned read, not
/// a mapping: that would bring fifteen neighbours of each page touched into the resident set, soon all of the table.
pub(crate) struct Embedding {
    tensor: Tensor,
}

impl Embedding {
    pub(crate) fn new(tensor: &Tensor) -> Self {
        Self { tensor: tensor.clone() }
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        (self.tensor.bytes / self.tensor.rows()) as usize
    }

    /// Decodes the row of token `id` into `out`; `bytes` is space for a row.
    ///
    /// # Errors
    /// If the file was truncated since it was opened.
    pub(crate) fn row(&self, gguf: &Gguf, id: u32, bytes: &mut [u8], out: &mut [f32]) -> Result<()> {
        gguf.read_exact_at(&self.tensor, u64::from(id) * bytes.len() as u64, bytes)?;
        (self.tensor.format.decode)(bytes, out);
        Ok(())
    }
}
