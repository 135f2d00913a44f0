//! `harness runner`: the runners that this program contains, for the launcher to start.

use crate::protocol::{Job, JobModel, PROTOCOL_VERSION};
use crate::runner::engine::EngineBackend;
use crate::runner::fake::{Script, play};
use crate::runner::{http, serve, yardsticks};
use anyhow::Result;
use std::io::{Write, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

/// Which runner.
#[derive(Debug, clap::Subcommand)]
pub enum Runner {
    /// The engine of this repository
    Engine,
    /// The same behind HTTP on 127.0.0.1, in llama-server's dialect
    EngineHttp(EngineHttp),
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

/// What a server has to know before the first request.
#[derive(Debug, clap::Args)]
pub struct EngineHttp {
    /// The model file
    #[arg(long)]
    model: String,
    /// Port on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// KV positions
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    context: u32,
    /// Compute threads
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Prompt tokens per batch
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// KV cache element type
    #[arg(long)]
    kv_type: String,
}

impl EngineHttp {
    /// The job whose requests are yet to come.
    fn job(&self) -> Job {
        Job {
            protocol: PROTOCOL_VERSION,
            model: JobModel { path: self.model.clone(), sha256: String::new() },
            prompts: vec![],
            cold_generate: 0,
            n_generate: 0,
            context: self.context,
            threads: self.threads,
            kv_type: self.kv_type.clone(),
            batch: self.batch,
            verify: None,
        }
    }
}

/// Speaks the runner protocol on stdin and stdout, or HTTP until it is killed, or measures the machine.
pub fn run(runner: &Runner) -> Result<ExitCode> {
    match runner {
        Runner::Engine => {
            serve(&mut EngineBackend::new(), stdin().lock(), stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Runner::EngineHttp(server) => {
            let never = http::serve(&mut EngineBackend::new(), &server.job(), server.port)?;
            match never {}
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
