//! The engine of this repository behind HTTP, in the dialect of llama-server: driven exactly as [`super::llama_cpp`]
//! is, so that the row beside the plain engine's shows what the HTTP path adds.

use super::{Conversation, Failure, LaunchRequest, LaunchSpec, llama_cpp, path_arg, runner};

/// Describes a `harness runner engine-http` for one launch.
pub(super) fn describe(request: &LaunchRequest) -> Result<LaunchSpec, Failure> {
    let mut argv = vec![path_arg(request.harness)?, "runner".into(), "engine-http".into()];
    argv.extend(["--model".into(), path_arg(request.model.path)?]);
    let flags = format!(
        "--threads {} --context {} --batch {} --kv-type {} --port {}",
        request.threads, request.workload.context, request.batch, request.kv_type, request.port,
    );
    argv.extend(flags.split_whitespace().map(str::to_string));
    let talk = llama_cpp::talk(request)?;
    let env = runner::environment(request)?;
    Ok(LaunchSpec { argv, env, cpus: None, conversation: Conversation::Server(talk) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::testing::with_request;

    #[test]
    fn the_work_is_that_of_the_llama_server_row() {
        let (argv, env, ours) = with_request("engine-http", |request| {
            let spec = describe(&request).expect("describable");
            let Conversation::Server(talk) = spec.conversation else { panic!("a server") };
            (spec.argv, spec.env, talk)
        });
        assert_eq!(
            argv.join(" "),
            "/opt/bin/harness runner engine-http --model /models/m.gguf --threads 2 --context 32 --batch 2048 \
             --kv-type f16 --port 4000"
        );
        let plain = with_request("engine", |request| runner::environment(&request).expect("fillable"));
        assert_eq!(env, plain);
        let theirs = with_request("llama.cpp", |request| llama_cpp::talk(&request).expect("describable"));
        assert_eq!(
            (ours.requests, ours.has_cold, ours.endpoint),
            (theirs.requests, theirs.has_cold, theirs.endpoint)
        );
    }
}
