//! Synthetic models: the shape of a real one, random weights, a made-up vocabulary. For measuring speed and for tests,
//! where no weights may be shipped. The same shape and seed give the same bytes on every machine.

mod plan;
mod shape;
mod vocabulary;
mod weights;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use plan::{Plan, Planned};
pub use shape::Shape;

use crate::gguf::GgufWriter;
use crate::{Error, ErrorKind, Result};
use weights::Weights;

/// Bytes of tensor data made between two writes.
const BATCH_BYTES: u64 = 8 << 20;

/// Every shape that can be made.
pub fn shapes() -> &'static [Shape] {
    shape::SHAPES
}

/// Decides what [`synth`] would write for `shape`; its notes say where a format had to give way.
///
/// # Errors
/// [`ErrorKind::Request`] if there is no such shape or format.
pub fn plan(shape: &str) -> Result<Plan> {
    Plan::new(Shape::parse(shape)?)
}

/// Writes a synthetic model of `shape` (`NAME`, `NAME-FORMAT` or `NAME:FORMAT`) to `out`, under a temporary name
/// until it is complete. `progress` hears of bytes of tensor data done and in all.
///
/// # Errors
/// [`ErrorKind::Request`] if there is no such shape or format; [`ErrorKind::Io`] if the file cannot be written.
pub fn synth(shape: &str, out: &Path, seed: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let plan = plan(shape)?;
    let partial = Partial::beside(out)?;
    let file =
        File::create(&partial.path).map_err(|e| Error::io("cannot create the file", e).in_file(out))?;
    write(&plan, file, seed, progress).map_err(|e| e.in_file(out))?;
    std::fs::rename(&partial.path, out).map_err(|e| Error::io("cannot rename the file", e).in_file(out))
}

fn write(plan: &Plan, file: File, seed: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let mut writer = plan.declare(seed)?.start(BufWriter::new(file))?;
    let total: u64 = writer.tensors().iter().map(|tensor| tensor.bytes).sum();
    let mut done = 0;
    for tensor in &plan.tensors {
        write_tensor(&mut writer, tensor, seed, &mut |bytes| {
            done += bytes;
            progress(done, total);
        })?;
    }
    writer.finish().map(drop)
}

/// Makes the rows of a tensor in parallel, a batch at a time.
fn write_tensor(
    writer: &mut GgufWriter<BufWriter<File>>,
    tensor: &Planned,
    seed: u64,
    wrote: &mut dyn FnMut(u64),
) -> Result<()> {
    let (cols, rows) = (tensor.dims[0], tensor.dims[1..].iter().product::<u64>());
    let row_bytes = tensor.format.row_bytes(cols).expect("the plan's formats divide its rows");
    let weights = Weights::new(seed, tensor);
    let batch_rows = (BATCH_BYTES / row_bytes).clamp(1, rows);
    let mut batch = vec![0; (batch_rows * row_bytes) as usize];
    for first in (0..rows).step_by(batch_rows as usize) {
        let bytes = batch_rows.min(rows - first) * row_bytes;
        let batch = &mut batch[..bytes as usize];
        batch.par_chunks_mut(row_bytes as usize).enumerate().for_each_init(
            || vec![0.0; cols as usize],
            |row, (idx, out)| {
                weights.fill(first + idx as u64, row);
                (tensor.format.encode)(row, out);
            },
        );
        writer.write(batch)?;
        wrote(bytes);
    }
    Ok(())
}

/// A file that is removed unless it has been renamed.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn beside(out: &Path) -> Result<Self> {
        let Some(name) = out.file_name() else {
            return Err(Error::new(ErrorKind::Request, "the output is not the name of a file").in_file(out));
        };
        let mut name = name.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        Ok(Self { path: out.with_file_name(name) })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing to remove, and a file that cannot be removed is left.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Gguf;

    fn tiny(shape: &str, seed: u64) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        synth(shape, &path, seed, &mut |_, _| {}).unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let many = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
        let bytes = one.install(|| tiny("tiny", 7));
        assert!(bytes == many.install(|| tiny("tiny", 7)));
        assert!(bytes != tiny("tiny", 8));
        assert!(bytes.len() < 2 << 20, "{}", bytes.len());
    }

    #[test]
    fn a_file_is_readable_and_its_weights_are_sane() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        let mut last = (0, 0);
        synth("tiny", &path, 1, &mut |done, total| last = (done, total)).unwrap();
        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(last, (last.1, gguf.tensors().iter().map(|t| t.bytes).sum()));
        assert_eq!(gguf.require_str("general.architecture").unwrap(), "llama");
        assert_eq!(gguf.require_strings("tokenizer.ggml.tokens").unwrap().len(), 512);
        for tensor in gguf.tensors() {
            let mut bytes = vec![0; tensor.bytes as usize];
            gguf.read_exact_at(tensor, 0, &mut bytes).unwrap();
            let mut values = vec![0.0; tensor.elements() as usize];
            (tensor.format.decode)(&bytes, &mut values);
            let rms = (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt();
            let meant = if tensor.dims.len() == 1 { 1.0 } else { 1.0 / (tensor.cols() as f32).sqrt() };
            assert!((rms / meant - 1.0).abs() < 0.05, "{}: {rms}, not {meant}", tensor.name);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a partial file is left");
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("taken");
        std::fs::create_dir(&out).unwrap();
        let error = synth("tiny", &out, 1, &mut |_, _| {}).unwrap_err();
        assert_eq!((error.kind(), error.file()), (ErrorKind::Io, Some(&*out)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(synth("tiny", Path::new("/"), 1, &mut |_, _| {}).unwrap_err().kind(), ErrorKind::Request);
    }
}
