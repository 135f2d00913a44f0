//! What a GGUF file holds, for people and for programs: `engine inspect`.

use std::fmt;

use serde::Serialize;
use serde_json::{Number, Value as Json};

use crate::gguf::{Array, Gguf, Value};

/// The form of [`Inspection`]; to be raised when a field changes its meaning or goes.
const SCHEMA: u32 = 1;
/// Elements of an array that are shown.
const SHOWN_ELEMENTS: usize = 6;
/// Characters of a string that are shown to people; JSON has all of them.
const SHOWN_CHARS: usize = 72;

/// Everything about a file but the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The version of this description's own form.
    pub schema: u32,
    /// The path that was opened.
    pub file: String,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// The version of the format.
    pub version: u32,
    /// The alignment of tensor data, in bytes.
    pub alignment: u64,
    /// `general.architecture`, if it is there and text.
    pub architecture: Option<String>,
    /// Elements of all tensors together.
    pub parameters: u64,
    /// Bytes of all tensors together, without padding.
    pub tensor_bytes: u64,
    /// Metadata in the order of the file, arrays abbreviated.
    pub metadata: Vec<Pair>,
    /// Tensors in the order of the file.
    pub tensors: Vec<TensorLine>,
    /// Totals for each format, largest first.
    pub formats: Vec<FormatTotal>,
}

/// A metadata pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// The type: `u32`, `string`, `array of i32`.
    #[serde(rename = "type")]
    pub value_type: String,
    /// How many elements the array has; absent for other values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The value, or the first elements of the array. Bytes that are not UTF-8 are replaced; numbers that JSON
    /// cannot write are strings.
    pub value: Json,
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorLine {
    /// The name.
    pub name: String,
    /// The dimensions; the first is the length of a row.
    pub dims: Vec<u64>,
    /// The name of the format.
    pub format: &'static str,
    /// Where the data begins, in bytes from the start of the file.
    pub offset: u64,
    /// Bytes of data.
    pub bytes: u64,
}

/// The tensors of one format together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormatTotal {
    /// The name of the format.
    pub format: &'static str,
    /// How many tensors.
    pub tensors: u64,
    /// Their elements.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Describes an open file.
pub fn inspect(gguf: &Gguf) -> Inspection {
    let tensors = gguf.tensors();
    Inspection {
        schema: SCHEMA,
        file: gguf.path().display().to_string(),
        file_bytes: gguf.file_bytes(),
        version: gguf.version(),
        alignment: gguf.alignment(),
        architecture: gguf.str("general.architecture").ok().flatten().map(str::to_owned),
        parameters: tensors.iter().map(|t| t.elements()).sum(),
        tensor_bytes: tensors.iter().map(|t| t.bytes).sum(),
        metadata: gguf.metadata().iter().map(|(key, value)| pair(key, value)).collect(),
        tensors: tensors
            .iter()
            .map(|t| TensorLine {
                name: t.name.clone(),
                dims: t.dims.clone(),
                format: t.format.name,
                offset: t.offset,
                bytes: t.bytes,
            })
            .collect(),
        formats: totals(gguf),
    }
}

fn totals(gguf: &Gguf) -> Vec<FormatTotal> {
    let mut totals: Vec<FormatTotal> = Vec::new();
    for tensor in gguf.tensors() {
        let format = tensor.format.name;
        let idx = totals.iter().position(|total| total.format == format).unwrap_or_else(|| {
            totals.push(FormatTotal { format, tensors: 0, parameters: 0, bytes: 0 });
            totals.len() - 1
        });
        totals[idx].tensors += 1;
        totals[idx].parameters += tensor.elements();
        totals[idx].bytes += tensor.bytes;
    }
    totals.sort_by_key(|total| std::cmp::Reverse(total.bytes));
    totals
}

fn pair(key: &str, value: &Value) -> Pair {
    let (value_type, length) = match value {
        Value::Array(array) => (format!("array of {}", array.element_type()), Some(array.len() as u64)),
        other => (other.value_type().to_string(), None),
    };
    Pair { key: key.to_owned(), value_type, length, value: json(value) }
}

fn json(value: &Value) -> Json {
    let real = |v: f64, text: String| Number::from_f64(v).map_or(Json::String(text), Json::Number);
    match value {
        Value::Bool(v) => Json::Bool(*v),
        Value::String(bytes) => Json::String(String::from_utf8_lossy(bytes).into_owned()),
        Value::Array(array) => Json::Array(first(array)),
        // The shortest digits that give this f32, not those of its exact value.
        Value::F32(v) => real(v.to_string().parse().unwrap_or(f64::NAN), v.to_string()),
        Value::F64(v) => real(*v, v.to_string()),
        Value::U64(v) => Json::from(*v),
        integer => Json::from(integer.as_integer().and_then(|v| i64::try_from(v).ok())),
    }
}

fn first(array: &Array) -> Vec<Json> {
    (0..SHOWN_ELEMENTS).map_while(|idx| array.get(idx)).map(|element| json(&element)).collect()
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let architecture = self.architecture.as_deref().map_or_else(|| "none named".into(), shown);
        writeln!(f, "{}", self.file)?;
        writeln!(
            f,
            "GGUF version {}, {} bytes, alignment {}",
            self.version, self.file_bytes, self.alignment
        )?;
        writeln!(
            f,
            "architecture {architecture}, {} parameters in {} tensors",
            self.parameters,
            self.tensors.len()
        )?;
        writeln!(f, "\nMetadata ({})", self.metadata.len())?;
        let width = self.metadata.iter().map(|pair| pair.key.len()).max().unwrap_or(0).min(48);
        for pair in &self.metadata {
            writeln!(f, "  {:width$}  {pair}", pair.key)?;
        }
        writeln!(f, "\nTensors ({})", self.tensors.len())?;
        let width = self.tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
        for tensor in &self.tensors {
            writeln!(f, "  {:width$}  {tensor}", tensor.name)?;
        }
        writeln!(f, "\nFormats")?;
        for total in &self.formats {
            writeln!(f, "  {total}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Json::Array(first) = &self.value else { return f.write_str(&scalar(&self.value)) };
        let length = self.length.unwrap_or(first.len() as u64);
        let elements: Vec<String> = first.iter().map(scalar).collect();
        let more = if length > first.len() as u64 { ", …" } else { "" };
        write!(f, "[{}{more}] ({length}, {})", elements.join(", "), self.value_type)
    }
}

impl fmt::Display for TensorLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(u64::to_string).collect();
        write!(f, "{:>16}  {:6}  {:>11} bytes at {}", dims.join(" × "), self.format, self.bytes, self.offset)
    }
}

impl fmt::Display for FormatTotal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{:6} {:>5} tensors {:>14} parameters {mib:>9.1} MiB",
            self.format, self.tensors, self.parameters
        )
    }
}

fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => format!("\"{}\"", shown(text)),
        other => other.to_string(),
    }
}

/// The beginning of a text, with what could upset a terminal escaped.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).flat_map(escaped).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let plain = (c == '\'').then_some(c);
    plain.into_iter().chain(c.escape_debug().filter(move |_| plain.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{GgufBuilder, Strings};
    use crate::quant::Format;

    fn sample() -> Inspection {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        let q4_0 = Format::by_name("Q4_0").unwrap();
        let pieces: Strings =
            [&b"<s>"[..], b"it's", b"\x1b[", b"\xff", b"e", b"f", b"g"].into_iter().collect();
        let mut builder = GgufBuilder::new();
        builder
            .metadata("general.architecture", "llama")
            .metadata("eps", 1e-5_f32)
            .metadata("nan", f32::NAN)
            .metadata("large", Value::U64(u64::MAX))
            .metadata("small", Value::I8(-3))
            .metadata("tokens", Array::String(pieces))
            .tensor("t", &[64, 2], q4_0)
            .unwrap()
            .tensor("u", &[32], q4_0)
            .unwrap();
        let mut writer = builder.start(std::fs::File::create(&path).unwrap()).unwrap();
        writer.write(&[0; 72]).unwrap();
        writer.write(&[0; 18]).unwrap();
        writer.finish().unwrap();
        inspect(&Gguf::open(&path).unwrap())
    }

    #[test]
    fn json_has_types_lengths_and_totals() {
        let json = serde_json::to_value(sample()).unwrap();
        let value = |idx: usize| json["metadata"][idx]["value"].clone();
        assert_eq!((value(1), value(2)), (Json::from(1e-5), Json::from("NaN")));
        assert_eq!((value(3), value(4)), (Json::from(u64::MAX), Json::from(-3)));
        let tokens = &json["metadata"][5];
        assert_eq!((&tokens["type"], &tokens["length"]), (&Json::from("array of string"), &Json::from(7)));
        assert_eq!(tokens["value"].as_array().unwrap().len(), SHOWN_ELEMENTS);
        assert_eq!((&json["parameters"], &json["tensor_bytes"]), (&Json::from(160), &Json::from(90)));
        assert_eq!(json["formats"][0]["tensors"], 2);
        assert_eq!(json["tensors"][1]["dims"], Json::from(vec![32]));
    }

    #[test]
    fn text_is_complete_and_harmless() {
        let text = sample().to_string();
        for part in [
            "architecture llama, 160 parameters in 2 tensors",
            r#"tokens                ["<s>", "it's", "\u{1b}[", "�", "e", "f", …] (7, array of string)"#,
            "64 × 2  Q4_0             72 bytes at",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }
}
