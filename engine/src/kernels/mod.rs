//! What a forward pass is made of, written once over [`crate::simd::Simd`].

pub(crate) mod act;
pub(crate) mod matmul;
