//! The KV cache of a session, in f16.

use crate::error::{Error, ErrorKind, Result};
use crate::kernels::attention::BLOCK;

/// Keys and values of every layer and KV head.
pub(crate) struct KvCache {
    /// \[layers, kv_heads, positions · width\]; see [`crate::kernels::attention::Cache`] for the order inside a head.
    pub keys: Vec<u16>,
    pub values: Vec<u16>,
    /// Positions allocated.
    context: usize,
    /// Elements of a head: positions · width, rounded up to whole blocks.
    head_len: usize,
    n_kv_heads: usize,
}

impl KvCache {
    /// For `context` positions; `width` is the head's, padded to whole vectors.
    ///
    /// # Errors
    /// If it cannot be allocated.
    pub(crate) fn new(n_layers: usize, n_kv_heads: usize, width: usize, context: usize) -> Result<Self> {
        let too_large = || {
            let message = format!("a context of {context} positions needs more memory than there is");
            Error::new(ErrorKind::Request, message)
        };
        let head_len = context.next_multiple_of(BLOCK).checked_mul(width).ok_or_else(too_large)?;
        let len = head_len.checked_mul(n_kv_heads).and_then(|n| n.checked_mul(n_layers));
        let len = len.filter(|&n| n <= isize::MAX as usize / 4).ok_or_else(too_large)?;
        let mut probe: Vec<u16> = Vec::new();
        probe.try_reserve_exact(2 * len).map_err(|_| too_large())?;
        drop(probe);
        Ok(Self { keys: vec![0; len], values: vec![0; len], context, head_len, n_kv_heads })
    }

    pub(crate) fn context(&self) -> usize {
        self.context
    }

    pub(crate) fn head_len(&self) -> usize {
        self.head_len
    }

    /// Elements of a layer, keys or values.
    pub(crate) fn layer_len(&self) -> usize {
        self.head_len * self.n_kv_heads
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        2 * 2 * self.keys.len()
    }
}
