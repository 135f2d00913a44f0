//! `harness runner`: the runners that this program contains, for the launcher to start.

use crate::runner::engine::EngineBackend;
use crate::runner::fake::{Script, play};
use crate::runner::{serve, yardsticks};
use anyhow::Result;
use std::io::{Write, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

/// Which runner.
#[derive(Debug, clap::Subcommand)]
pub enum Runner {
    /// The engine of this repository
    Engine,
    /// Scripted times, for tests
    Fake {
        /// The script
        #[arg(long)]
        script: PathBuf,
        /// Id of the launch, from which its jitter is drawn
        #[arg(long)]
        launch: String,
    },
    /// Measure read bandwidth and arithmetic, and print them as JSON
    Yardsticks {
        /// Numbers of threads
        #[arg(long, value_delimiter = ',', required = true)]
        threads: Vec<usize>,
        /// Bytes of memory to read: several times the last cache
        #[arg(long)]
        bytes: usize,
    },
}

/// Speaks the runner protocol on stdin and stdout, or measures the machine.
pub fn run(runner: &Runner) -> Result<ExitCode> {
    match runner {
        Runner::Engine => {
            serve(&mut EngineBackend::new(), stdin().lock(), stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Runner::Fake { script, launch } => {
            let script = Script::load(script)?;
            let code = play(&script, launch, stdin().lock(), stdout())?;
            Ok(code.map_or(ExitCode::SUCCESS, |code| ExitCode::from(code as u8)))
        }
        Runner::Yardsticks { threads, bytes } => {
            let measured = yardsticks::measure(threads, *bytes)?;
            writeln!(stdout(), "{}", serde_json::to_string(&measured)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
