//! What a forward pass is made of, written once over [`crate::simd::Simd`].

pub(crate) mod act;
pub(crate) mod attention;
pub(crate) mod matmul;
pub(crate) mod norm;
pub(crate) mod rope;
pub(crate) mod swiglu;
