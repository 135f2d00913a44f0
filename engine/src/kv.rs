//! The KV cache of a session, in f16 or f32.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::attention::{BLOCK, Element};

/// Element type of a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KvType {
    /// Half precision: half the memory to read, and results rounded to it.
    #[default]
    F16,
    /// Single precision.
    F32,
}

impl KvType {
    /// `f16` or `f32`.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F16 => "f16",
            KvType::F32 => "f32",
        }
    }
}

/// Keys and values of every layer and KV head.
pub(crate) enum KvCache {
    F16(Cells<u16>),
    F32(Cells<f32>),
}

/// What a cache is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub n_layers: usize,
    pub n_kv_heads: usize,
    /// The head's, padded to whole vectors.
    pub width: usize,
    /// Positions.
    pub context: usize,
}

/// A cache of elements `E`.
pub(crate) struct Cells<E> {
    /// \[layers, kv_heads, positions · width\]; see [`crate::kernels::attention::Cache`] for the order inside a head.
    pub keys: Vec<E>,
    pub values: Vec<E>,
    /// Elements of a head: positions · width, rounded up to whole blocks.
    pub head_len: usize,
    /// Elements of a layer, keys or values.
    pub layer_len: usize,
}

impl KvCache {
    /// For `shape.context` positions.
    ///
    /// # Errors
    /// If it cannot be allocated.
    pub(crate) fn new(kind: KvType, shape: Shape) -> Result<Self> {
        Ok(match kind {
            KvType::F16 => KvCache::F16(Cells::new(shape)?),
            KvType::F32 => KvCache::F32(Cells::new(shape)?),
        })
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            KvCache::F16(cells) => 2 * size_of_val(&cells.keys[..]),
            KvCache::F32(cells) => 2 * size_of_val(&cells.keys[..]),
        }
    }

    pub(crate) fn kind(&self) -> KvType {
        match self {
            KvCache::F16(_) => KvType::F16,
            KvCache::F32(_) => KvType::F32,
        }
    }
}

impl<E: Element> Cells<E> {
    fn new(shape: Shape) -> Result<Self> {
        let Shape { n_layers, n_kv_heads, width, context } = shape;
        let too_large = || {
            let message = format!("a context of {context} positions needs more memory than there is");
            Error::new(ErrorKind::Request, message)
        };
        let head_len = context.next_multiple_of(BLOCK).checked_mul(width).ok_or_else(too_large)?;
        let len = head_len.checked_mul(n_kv_heads).and_then(|n| n.checked_mul(n_layers));
        let len = len.filter(|&n| n <= isize::MAX as usize / (2 * size_of::<E>())).ok_or_else(too_large)?;
        let mut probe: Vec<E> = Vec::new();
        probe.try_reserve_exact(2 * len).map_err(|_| too_large())?;
        drop(probe);
        let zeros = || vec![E::default(); len];
        Ok(Self { keys: zeros(), values: zeros(), head_len, layer_len: head_len * n_kv_heads })
    }
}
