//! A program that runs to its end and prints figures of its own.

use super::child::{ChildProcess, describe_exit};
use super::sampler::Sampler;
use super::{Limits, Stop};
use crate::framework::{BatchAnswer, Failure};
use crate::protocol::WeightsClass;
use crate::sample::{FailureKind, Measured};

/// What a batch program may print.
const STDOUT_BYTES_MAX: usize = 8 << 20;

pub(super) fn talk(
    parse: fn(&str) -> Result<BatchAnswer, Failure>,
    weights_class: WeightsClass,
    child: &mut ChildProcess,
    limits: &Limits,
) -> Result<Measured, Stop> {
    let sampler = Sampler::start(child.pid());
    let mut stdout = String::new();
    while let Some(line) = child.next_line(limits, "its figures")? {
        stdout += &line.text;
        stdout.push('\n');
        if stdout.len() > STDOUT_BYTES_MAX {
            return Err(Failure::garbage(format!("printed more than {STDOUT_BYTES_MAX} bytes")).into());
        }
    }
    let status = child.wait(limits)?;
    let usage = sampler.finish();
    if !status.success() {
        return Err(Failure::new(FailureKind::Crashed, describe_exit(status)).into());
    }
    let answer = parse(&stdout)?;
    Ok(Measured {
        version: answer.version,
        build: answer.build,
        weights_class,
        features: vec![],
        threads_used: answer.threads_used,
        settings: None,
        load_ns: None,
        cold: None,
        requests: vec![],
        memory: usage.memory,
        gates: vec![],
        reported: answer.reported,
        verify_token_ids: None,
        cpu: usage.cpu,
        forced: None,
    })
}
