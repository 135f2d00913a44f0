//! The caps on what a header may announce. Honest files stay far below each of them.

/// Bytes from the start of the file to the end of the last tensor record.
pub const MAX_HEADER_BYTES: u64 = 256 << 20;
/// Metadata pairs.
pub const MAX_METADATA: u64 = 1 << 16;
/// Tensor records.
pub const MAX_TENSORS: u64 = 1 << 16;
/// Bytes of a metadata key (the format's own limit).
pub const MAX_KEY_BYTES: u64 = (1 << 16) - 1;
/// Bytes of a tensor name (the format's own limit).
pub const MAX_NAME_BYTES: u64 = 64;
/// Bytes of a string value, alone or in an array.
pub const MAX_STRING_BYTES: u64 = 64 << 20;
/// Elements of an array value.
pub const MAX_ARRAY_LEN: u64 = 1 << 24;
/// Tokens of a vocabulary: of its list, and of the embedding table.
pub const MAX_VOCAB: u64 = 1 << 22;
/// Dimensions of a tensor.
pub const MAX_DIMS: u32 = 4;
/// The alignment of tensor data, in bytes.
pub const MAX_ALIGNMENT: u64 = 1 << 20;
/// The alignment, in bytes, of a file that names none.
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// Bytes of the shortest metadata pair: key length, one byte of key, type, one byte of value.
pub(super) const MIN_PAIR_BYTES: u64 = 8 + 1 + 4 + 1;
/// Bytes of the shortest tensor record: name length, one byte of name, dimension count, one dimension, type, offset.
pub(super) const MIN_RECORD_BYTES: u64 = 8 + 1 + 4 + 8 + 4 + 8;
