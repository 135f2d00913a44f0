//! Typed access to metadata. A missing key is `None`; a value of another type is an error that names file, key, offset.
//! The `require_` forms make a missing key an error too.

use super::{Array, Gguf, Strings, Value};
use crate::{Error, ErrorKind, Result};

impl Gguf {
    /// An integer of any width that fits in u32.
    pub fn u32(&self, key: &str) -> Result<Option<u32>> {
        self.integer(key, "an integer within u32")
    }

    /// An integer of any width that is not negative.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.integer(key, "an integer within u64")
    }

    /// A number of any type, rounded to f32.
    pub fn f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a number", |value| value.as_number().map(|v| v as f32))
    }

    /// A bool.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a bool", |value| match value {
            Value::Bool(v) => Some(*v),
            _ => None,
        })
    }

    /// A string that is UTF-8.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        let bytes = self.typed(key, "a string", |value| match value {
            Value::String(bytes) => Some(&**bytes),
            _ => None,
        })?;
        bytes
            .map(std::str::from_utf8)
            .transpose()
            .map_err(|_| self.value_error(key, ErrorKind::Utf8, "the string is not UTF-8"))
    }

    /// An array of strings, as bytes.
    pub fn strings(&self, key: &str) -> Result<Option<&Strings>> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(Array::String(v)) => Some(v),
            _ => None,
        })
    }

    /// An array of f32.
    pub fn f32s(&self, key: &str) -> Result<Option<&[f32]>> {
        self.typed(key, "an array of f32", |value| match value {
            Value::Array(Array::F32(v)) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// An array of i32.
    pub fn i32s(&self, key: &str) -> Result<Option<&[i32]>> {
        self.typed(key, "an array of i32", |value| match value {
            Value::Array(Array::I32(v)) => Some(v.as_slice()),
            _ => None,
        })
    }

    /// An array of integers of any width, each within u64, copied (per-layer hyperparameters come in several types).
    pub fn u64s(&self, key: &str) -> Result<Option<Vec<u64>>> {
        self.typed(key, "an array of integers within u64", |value| match value {
            Value::Array(array) => (0..array.len())
                .map(|idx| array.get(idx)?.as_integer().and_then(|v| u64::try_from(v).ok()))
                .collect(),
            _ => None,
        })
    }

    /// As [`Gguf::u32`], and the key must be there.
    pub fn require_u32(&self, key: &str) -> Result<u32> {
        self.required(key, self.u32(key)?)
    }

    /// As [`Gguf::u64`], and the key must be there.
    pub fn require_u64(&self, key: &str) -> Result<u64> {
        self.required(key, self.u64(key)?)
    }

    /// As [`Gguf::f32`], and the key must be there.
    pub fn require_f32(&self, key: &str) -> Result<f32> {
        self.required(key, self.f32(key)?)
    }

    /// As [`Gguf::bool`], and the key must be there.
    pub fn require_bool(&self, key: &str) -> Result<bool> {
        self.required(key, self.bool(key)?)
    }

    /// As [`Gguf::str`], and the key must be there.
    pub fn require_str(&self, key: &str) -> Result<&str> {
        self.required(key, self.str(key)?)
    }

    /// As [`Gguf::strings`], and the key must be there.
    pub fn require_strings(&self, key: &str) -> Result<&Strings> {
        self.required(key, self.strings(key)?)
    }

    /// As [`Gguf::f32s`], and the key must be there.
    pub fn require_f32s(&self, key: &str) -> Result<&[f32]> {
        self.required(key, self.f32s(key)?)
    }

    /// As [`Gguf::i32s`], and the key must be there.
    pub fn require_i32s(&self, key: &str) -> Result<&[i32]> {
        self.required(key, self.i32s(key)?)
    }

    /// An error about the value of `key`, with the file and the value's offset if the key is there.
    /// For those who judge values further: the model, the tokenizer.
    pub fn value_error(&self, key: &str, kind: ErrorKind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, message).at_key(key).in_file(self.path());
        match self.pair_idx(key) {
            Some(idx) => error.at_offset(self.value_offsets[idx]),
            None => error,
        }
    }

    fn integer<T: TryFrom<i128>>(&self, key: &str, what: &str) -> Result<Option<T>> {
        let Some(v) = self.typed(key, what, Value::as_integer)? else { return Ok(None) };
        let fit = T::try_from(v).map(Some);
        fit.map_err(|_| self.value_error(key, ErrorKind::Value, format!("must be {what} (got {v})")))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        what: &str,
        view: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        view(value).map(Some).ok_or_else(|| {
            let found = match value {
                Value::Array(array) => format!("an array of {}", array.element_type()),
                other => other.value_type().to_string(),
            };
            self.value_error(key, ErrorKind::Type, format!("must be {what} (it is {found})"))
        })
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.value_error(key, ErrorKind::Missing, "this metadata key is missing"))
    }
}
