//! `engine synth`

use super::output;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Shape, with another format of its matrices if wanted: tinyllama-1.1b-q4_0, smollm2-135m, tiny:Q8_0
    #[arg(value_parser = known)]
    shape: String,
    /// File to write.
    out: PathBuf,
    /// Seed of the weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn known(shape: &str) -> Result<String, String> {
    let names = || engine::synth::shapes().iter().map(|s| s.name.to_string()).collect::<Vec<_>>().join(", ");
    match engine::synth::plan(shape) {
        Ok(_) => Ok(shape.into()),
        Err(error) => Err(format!("{error}; shapes: {}", names())),
    }
}

pub(super) fn run(args: &Args) -> super::Outcome {
    for note in &engine::synth::plan(&args.shape)?.notes {
        eprintln!("note: {note}");
    }
    let bar = output::bar("writing");
    engine::synth::synth(&args.shape, &args.out, args.seed, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    Ok(())
}
