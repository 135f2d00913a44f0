//! Frameworks that speak the runner protocol: their entry in frameworks.yaml is all there is to say.

use super::{Conversation, Failure, LaunchRequest, LaunchSpec, path_arg};
use crate::protocol::{Job, JobModel, PROTOCOL_VERSION};
use crate::sample::FailureKind;
use std::collections::BTreeMap;

/// Fills the entry's command template and writes the job.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    let entry = request.entry;
    let argv = entry.command.iter().map(|part| fill(part, request)).collect::<Result<_, _>>()?;
    let self_reported_load = entry.self_reported_load;
    let conversation = Conversation::Runner { job: job(request)?, self_reported_load };
    Ok(LaunchSpec { argv, env: environment(request)?, cpus: None, conversation })
}

/// The entry's environment, its placeholders filled.
pub(super) fn environment(request: &LaunchRequest) -> Result<BTreeMap<String, String>, Failure> {
    let variables = request.entry.environment.iter();
    variables.map(|(name, value)| Ok((name.clone(), fill(value, request)?))).collect()
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
fn fill(part: &str, request: &LaunchRequest) -> Result<String, Failure> {
    let mut filled = String::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| unknown(part, request))?;
        filled.push_str(before);
        filled.push_str(&value(name, request)?.ok_or_else(|| unknown(part, request))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn value(name: &str, request: &LaunchRequest) -> Result<Option<String>, Failure> {
    Ok(match name {
        "harness" => Some(path_arg(request.harness)?),
        "program" => Some(path_arg(request.needed_program()?)?),
        "model" => Some(path_arg(request.model.path)?),
        "threads" => Some(request.threads.to_string()),
        "launch_id" => Some(request.launch_id.into()),
        _ => name.strip_prefix("option.").and_then(|option| request.options.get(option)).cloned(),
    })
}

fn unknown(part: &str, request: &LaunchRequest) -> Failure {
    let id = &request.entry.id;
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
                let failure = fill(part, &request).expect_err(part);
                assert_eq!(failure.message, format!("frameworks.yaml: fake: cannot fill `{part}`"));
            }
        });
    }
}
