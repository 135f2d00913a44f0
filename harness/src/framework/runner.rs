//! Frameworks that speak the runner protocol: their entry in frameworks.yaml is all there is to say.

use super::registry::Entry;
use super::{Conversation, Failure, LaunchRequest, LaunchSpec, needed, path_arg};
use crate::protocol::{Job, JobModel, PROTOCOL_VERSION};
use crate::sample::FailureKind;
use std::collections::BTreeMap;
use std::path::Path;

/// What the placeholders of an entry's templates stand for.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The framework.
    pub id: &'a str,
    /// This program, `harness`.
    pub harness: &'a Path,
    /// The framework's.
    pub program: Option<&'a Path>,
    /// The model file.
    pub model: &'a Path,
    /// Directory of what is made of it beforehand.
    pub prepared: Option<&'a Path>,
    /// Settings of the row.
    pub options: &'a BTreeMap<String, String>,
    /// Threads and id of the launch, where there is one.
    pub launch: Option<(u32, &'a str)>,
}

impl<'a> Values<'a> {
    fn of(request: &'a LaunchRequest) -> Values<'a> {
        Values {
            id: &request.entry.id,
            harness: request.harness,
            program: request.program,
            model: request.model.path,
            prepared: request.prepared,
            options: &request.options,
            launch: Some((request.threads, request.launch_id)),
        }
    }
}

/// Fills the entry's command template and writes the job.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    let entry = request.entry;
    let argv = fill_all(&entry.command, &Values::of(request))?;
    let self_reported_load = entry.self_reported_load;
    let conversation = Conversation::Runner { job: job(request)?, self_reported_load };
    Ok(LaunchSpec { argv, env: environment(request)?, cpus: None, conversation })
}

/// Program and arguments that make of the model file what the runner loads.
///
/// # Errors
/// If a placeholder has no value.
pub fn preparation(entry: &Entry, values: &Values) -> Result<Vec<String>, Failure> {
    fill_all(&entry.prepare, values)
}

/// The entry's environment, its placeholders filled.
pub(super) fn environment(request: &LaunchRequest) -> Result<BTreeMap<String, String>, Failure> {
    let variables = request.entry.environment.iter();
    variables.map(|(name, value)| Ok((name.clone(), fill(value, &Values::of(request))?))).collect()
}

fn fill_all(parts: &[String], values: &Values) -> Result<Vec<String>, Failure> {
    parts.iter().map(|part| fill(part, values)).collect()
}

fn job(request: &LaunchRequest) -> Result<Job, Failure> {
    Ok(Job {
        protocol: PROTOCOL_VERSION,
        model: JobModel { path: path_arg(request.model.path)?, sha256: request.model.sha256.into() },
        prompts: request.prompts.to_vec(),
        cold_generate: request.cold_generate,
        n_generate: request.workload.generate_tokens,
        context: request.workload.context,
        threads: request.threads,
        kv_type: request.kv_type.into(),
        batch: request.batch,
        verify: request.verify.clone(),
    })
}

/// Replaces the `{placeholders}` of one part of a command.
fn fill(part: &str, values: &Values) -> Result<String, Failure> {
    let mut filled = String::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| unknown(part, values))?;
        filled.push_str(before);
        filled.push_str(&value(name, values)?.ok_or_else(|| unknown(part, values))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn value(name: &str, values: &Values) -> Result<Option<String>, Failure> {
    Ok(match name {
        "harness" => Some(path_arg(values.harness)?),
        "program" => Some(path_arg(needed(values.program, values.id)?)?),
        "model" => Some(path_arg(values.model)?),
        "prepared" => values.prepared.map(path_arg).transpose()?,
        "threads" => values.launch.map(|(threads, _)| threads.to_string()),
        "launch_id" => values.launch.map(|(_, launch_id)| launch_id.into()),
        _ => name.strip_prefix("option.").and_then(|option| values.options.get(option)).cloned(),
    })
}

fn unknown(part: &str, values: &Values) -> Failure {
    let id = values.id;
    Failure::new(FailureKind::Unsupported, format!("frameworks.yaml: {id}: cannot fill `{part}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::testing::with_request;

    #[test]
    fn the_command_template_is_filled() {
        with_request("fake", |mut request| {
            request.options.insert("script".into(), "fast.yaml".into());
            let spec = describe(&request).expect("describable");
            assert_eq!(
                spec.argv.join(" "),
                "/opt/bin/harness runner fake --script fast.yaml --launch b00-x-chat-t2"
            );
            let Conversation::Runner { job, .. } = spec.conversation else { panic!("a runner") };
            assert_eq!((job.threads, job.context, job.prompts.len()), (2, 32, 2));
        });
        with_request("candle", |request| {
            let spec = describe(&request).expect("describable");
            assert_eq!(spec.env["RAYON_NUM_THREADS"], "2");
        });
    }

    #[test]
    fn what_is_prepared_is_what_is_loaded() {
        with_request("transformers", |request| {
            let argv = preparation(request.entry, &Values { launch: None, ..Values::of(&request) });
            let program = "/opt/bin/llama-server";
            let wanted = format!("{program} --prepare /models/m.gguf /cache/prepared/x dtype=float32");
            assert_eq!(argv.expect("fillable").join(" "), wanted);
            let spec = describe(&request).expect("describable");
            assert_eq!(spec.argv.join(" "), format!("{program} dtype=float32 prepared=/cache/prepared/x"));
            let unprepared = LaunchRequest { prepared: None, ..request };
            let failure = describe(&unprepared).expect_err("nothing to load");
            assert_eq!(failure.message, "frameworks.yaml: transformers: cannot fill `prepared={prepared}`");
        });
    }

    #[test]
    fn a_runner_without_its_program_is_missing() {
        with_request("candle", |mut request| {
            request.program = None;
            let failure = describe(&request).expect_err("no program");
            assert_eq!(failure.kind, FailureKind::Missing);
            assert_eq!(failure.message, "candle is not installed: run `harness setup candle`");
        });
    }

    #[test]
    fn placeholders_that_mean_nothing_are_refused() {
        with_request("fake", |request| {
            for part in ["{nonsense}", "{option.none}", "{harness"] {
                let failure = fill(part, &Values::of(&request)).expect_err(part);
                assert_eq!(failure.message, format!("frameworks.yaml: fake: cannot fill `{part}`"));
            }
        });
    }
}
