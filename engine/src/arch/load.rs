//! Reading hyperparameters and tensors, with every count bounded and every shape checked.

use crate::error::{Error, ErrorKind, Result};
use crate::gguf::{Gguf, Tensor};
use crate::memory::{Arena, Pages};
use crate::pool::Pool;
use crate::tensor::{Embedding, Matrix};
use foldhash::HashSet;
use std::cell::{Cell, RefCell};

/// Reads a model file for an architecture.
pub(crate) struct Loader<'a> {
    pub gguf: &'a Gguf,
    pool: &'a Pool,
    arena: RefCell<Arena>,
    progress: &'a dyn Fn(u64, u64),
    done: Cell<u64>,
    total: u64,
    /// Names of the tensors that somebody has asked for.
    asked: RefCell<HashSet<&'a str>>,
}

/// Tensors that a model runs without, by the end of their name: a table of the angles that the hyperparameters give.
const HARMLESS: [&str; 1] = [".attn_rot_embd.weight"];

impl<'a> Loader<'a> {
    /// `progress` hears bytes done and in all.
    pub(crate) fn new(gguf: &'a Gguf, pool: &'a Pool, pages: Pages, progress: &'a dyn Fn(u64, u64)) -> Self {
        let total = gguf.tensors().iter().map(|t| t.bytes).sum();
        // More than will be asked for, as some tensors are no matrices: of room that is never written, only addresses are taken.
        let room = gguf.tensors().iter().filter_map(Matrix::packed_bytes).fold(0, usize::saturating_add);
        let arena = RefCell::new(Arena::new(room, pages));
        Self { gguf, pool, arena, progress, done: Cell::new(0), total, asked: RefCell::default() }
    }

    /// The integer at `key`, which must be in `1..=limit`; `default` where the key is missing.
    pub(crate) fn count(&self, key: &str, limit: u64, default: Option<usize>) -> Result<usize> {
        let value = match (self.gguf.u64(key)?, default) {
            (Some(value), _) => value,
            (None, Some(default)) => return Ok(default),
            (None, None) => self.gguf.require_u64(key)?,
        };
        if value == 0 || value > limit {
            let message = format!("must be between 1 and {limit} (is {value})");
            return Err(self.gguf.value_error(key, ErrorKind::Value, message));
        }
        Ok(value as usize)
    }

    /// The number at `key`, which must be finite and positive.
    pub(crate) fn positive(&self, key: &str, default: Option<f32>) -> Result<f32> {
        let value = match (self.gguf.f32(key)?, default) {
            (Some(value), _) => value,
            (None, Some(default)) => return Ok(default),
            (None, None) => self.gguf.require_f32(key)?,
        };
        if !(value.is_finite() && value > 0.0) {
            let message = format!("must be a positive number (is {value})");
            return Err(self.gguf.value_error(key, ErrorKind::Value, message));
        }
        Ok(value)
    }

    /// Whether a tensor of this name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.gguf.tensor(name).is_some()
    }

    fn tensor(&self, name: &str, dims: &[usize]) -> Result<&'a Tensor> {
        let tensor = self.gguf.require_tensor(name)?;
        if !tensor.dims.iter().copied().eq(dims.iter().map(|&d| d as u64)) {
            let message = format!(
                "shape {:?}, but the hyperparameters make it {dims:?} (row length first)",
                tensor.dims
            );
            return Err(self.at(tensor, Error::new(ErrorKind::Shape, message)));
        }
        self.asked.borrow_mut().insert(&tensor.name);
        Ok(tensor)
    }

    /// Once an architecture has loaded what it knows: a tensor left over means another network than the one that would run.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] with the name of the first.
    pub(crate) fn finish(&self) -> Result<()> {
        let asked = self.asked.borrow();
        let harmless = |name: &str| HARMLESS.iter().any(|end| name.ends_with(end));
        let left = |tensor: &&Tensor| !asked.contains(tensor.name.as_str()) && !harmless(&tensor.name);
        self.gguf.tensors().iter().find(left).map_or(Ok(()), |tensor| {
            let message = "this tensor has no place in the network that this engine runs";
            Err(self.at(tensor, Error::new(ErrorKind::Unsupported, message)))
        })
    }

    fn at(&self, tensor: &Tensor, error: Error) -> Error {
        error.at_key(&tensor.name).at_offset(tensor.offset).in_file(self.gguf.path())
    }

    fn read(&self, tensor: &Tensor) {
        self.done.set(self.done.get() + tensor.bytes);
        (self.progress)(self.done.get(), self.total);
    }

    /// A packed matrix of \[rows, cols\].
    pub(crate) fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let tensor = self.tensor(name, &[cols, rows])?;
        let matrix = Matrix::load(self.gguf, tensor, self.pool, &mut self.arena.borrow_mut());
        let matrix = matrix.map_err(|e| self.at(tensor, e))?;
        self.read(tensor);
        Ok(matrix)
    }

    /// The packed matrix `{part}.weight` of \[rows, cols\], with `{part}.bias` if there is one.
    pub(crate) fn affine(&self, part: &str, rows: usize, cols: usize) -> Result<Matrix> {
        let bias = self.optional_vector(&format!("{part}.bias"), rows)?;
        Ok(self.matrix(&format!("{part}.weight"), rows, cols)?.with_bias(bias))
    }

    /// A vector of `len`, decoded.
    pub(crate) fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        let tensor = self.tensor(name, &[len])?;
        let mut bytes = vec![0; tensor.bytes as usize];
        self.gguf.read_exact_at(tensor, 0, &mut bytes)?;
        let mut out = vec![0.0; len];
        (tensor.format.decode)(&bytes, &mut out);
        self.read(tensor);
        Ok(out)
    }

    /// A vector that need not be there.
    pub(crate) fn optional_vector(&self, name: &str, len: usize) -> Result<Option<Vec<f32>>> {
        self.has(name).then(|| self.vector(name, len)).transpose()
    }

    /// An embedding table of \[n_vocab, width\], left in the file.
    pub(crate) fn embedding(&self, name: &str, n_vocab: usize, width: usize) -> Result<Embedding> {
        Ok(Embedding::new(self.tensor(name, &[width, n_vocab])?))
    }
}
