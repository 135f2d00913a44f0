//! Small synthetic models for the tests.

use engine::gguf::{Gguf, GgufBuilder, Tensor, Value};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A model file in a directory that goes with it.
pub(crate) struct Tiny {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

/// The tiny shape with matrices of `format`.
pub(crate) fn tiny(format: &str) -> Tiny {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tiny.gguf");
    engine::synth::synth(&format!("tiny:{format}"), &path, 1, &mut |_, _| ()).unwrap();
    Tiny { _dir: dir, path }
}

/// A copy of a model file with its metadata and tensor shapes passed through `change`.
pub(crate) fn rewritten(from: &Path, change: impl FnOnce(&mut Parts)) -> Tiny {
    let gguf = Gguf::open(from).unwrap();
    let tensors = gguf.tensors().iter().map(|tensor| {
        let mut bytes = vec![0; tensor.bytes as usize];
        gguf.read_exact_at(tensor, 0, &mut bytes).unwrap();
        (tensor.clone(), bytes)
    });
    let mut parts = Parts { metadata: gguf.metadata().to_vec(), tensors: tensors.collect() };
    change(&mut parts);
    let mut builder = GgufBuilder::new();
    for (key, value) in parts.metadata {
        builder.metadata(&key, value);
    }
    for (tensor, _) in &parts.tensors {
        builder.tensor(&tensor.name, &tensor.dims, tensor.format).unwrap();
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("rewritten.gguf");
    let mut writer = builder.start(std::fs::File::create(&path).unwrap()).unwrap();
    for (_, bytes) in &parts.tensors {
        writer.write(bytes).unwrap();
    }
    writer.finish().unwrap();
    Tiny { _dir: dir, path }
}

/// What a model file consists of.
pub(crate) struct Parts {
    pub(crate) metadata: Vec<(String, Value)>,
    pub(crate) tensors: Vec<(Tensor, Vec<u8>)>,
}

impl Parts {
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(k, _)| k != key);
        self.metadata.push((key.into(), value));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.metadata.retain(|(k, _)| k != key);
    }

    pub(crate) fn remove_tensor(&mut self, name: &str) {
        self.tensors.retain(|(t, _)| t.name != name);
    }

    /// Adds a vector of f32.
    pub(crate) fn add_vector(&mut self, name: &str, values: &[f32]) {
        let norm = self.tensors.iter().find(|(t, _)| t.name == "output_norm.weight").unwrap().0.clone();
        let tensor = Tensor { name: name.into(), dims: vec![values.len() as u64], ..norm };
        self.tensors.push((tensor, values.iter().flat_map(|v| v.to_le_bytes()).collect()));
    }
}

/// Token ids of the tiny vocabulary.
pub(crate) fn ids(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| 3 + i * 37 % 500).collect()
}
