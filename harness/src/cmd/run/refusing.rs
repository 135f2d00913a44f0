//! What each program does when its model file is missing: asked once for each framework, before anything is measured.

use super::launching;
use super::loading::Loaded;
use crate::bundle::{Manifest, MissingModel};
use crate::framework::{Conversation, LaunchSpec};
use crate::launch::{Input, Interrupted, Launcher, Transcript};
use crate::protocol::{Event, parse_event};
use crate::sample::Role;
use crate::scenario::SIMULATED_ID;
use anyhow::Result;
use std::collections::BTreeMap;
use std::time::Duration;

/// A program that has not ended by then is not waited for: loading Python packages takes seconds.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Fills in [`crate::bundle::FrameworkRecord::missing_model`].
///
/// # Errors
/// If the run was interrupted.
pub(super) fn ask(
    loaded: &Loaded,
    manifest: &mut Manifest,
    launcher: &Launcher,
    allow_remote: bool,
) -> Result<()> {
    let logs = tempfile::tempdir()?;
    let mut has_said = false;
    let launcher = Launcher { logs_dir: logs.path().to_owned(), timeout: TIME_LIMIT, ..launcher.clone() };
    let missing = logs.path().join("missing.gguf");
    let mut seen: BTreeMap<String, Option<MissingModel>> = BTreeMap::new();
    for record in &mut manifest.frameworks {
        let has_program =
            record.unavailable.is_none() && record.program.is_some() && record.id != SIMULATED_ID;
        let is_of_it =
            |l: &&crate::plan::PlannedLaunch| l.role == Role::Measure && l.cell.framework == record.label;
        let Some(planned) = manifest.plan.launches.iter().find(is_of_it).filter(|_| has_program) else {
            continue;
        };
        if !seen.contains_key(&record.id) {
            if !std::mem::replace(&mut has_said, true) {
                eprintln!("asking each program for a model file that is not there");
            }
            let asked = match launching::spec(loaded, planned, None, allow_remote, &missing)? {
                Ok(spec) => asked(&launcher, &spec, &missing.display().to_string())?,
                Err(_) => None,
            };
            seen.insert(record.id.clone(), asked);
        }
        record.missing_model = seen[&record.id].clone();
    }
    Ok(())
}

/// Starts what `spec` describes, whose model file `missing` is not there; `None` where it is not told of a file.
fn asked(launcher: &Launcher, spec: &LaunchSpec, missing: &str) -> Result<Option<MissingModel>, Interrupted> {
    let input = match &spec.conversation {
        Conversation::Runner { job, .. } => match serde_json::to_string(job) {
            Ok(line) => Input::LineThenEnd(line),
            Err(_) => return Ok(None),
        },
        _ if spec.argv.iter().any(|arg| arg.contains(missing)) => Input::Nothing,
        _ => return Ok(None),
    };
    let transcript = launcher.probe("missing-model", spec, &input, 0)?;
    let said = without_place(&said(&transcript), missing);
    let said = launcher.redactor.printable(&said);
    Ok(Some(MissingModel { exit_code: transcript.exit.and_then(|exit| exit.code), said }))
}

/// The file's name in place of its path, however much of that is there: a log has lost private parts of it.
fn without_place(said: &str, missing: &str) -> String {
    let ends: Vec<usize> = missing.match_indices('/').map(|(at, _)| at + 1).collect();
    let name = ends.last().map_or(missing, |&at| &missing[at..]);
    let tails = std::iter::once(0).chain(ends.iter().copied()).map(|at| &missing[at..]);
    tails.filter(|tail| tail.contains('/')).fold(said.to_owned(), |said, tail| said.replace(tail, name))
}

/// The error event, else the last line of stderr.
fn said(transcript: &Transcript) -> String {
    let told = transcript.lines.iter().find_map(|line| match parse_event(&line.text) {
        Ok(Event::Error { message, .. }) => Some(message),
        _ => None,
    });
    let last =
        || transcript.stderr_tail.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
    told.or_else(last).unwrap_or_default()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::framework::BatchAnswer;
    use crate::protocol::WeightsClass;
    use crate::redact::Redactor;
    use std::sync::Arc;

    fn spec(script: &str) -> LaunchSpec {
        let parse = |_: &str| -> Result<BatchAnswer, crate::framework::Failure> {
            unreachable!("nothing is measured")
        };
        LaunchSpec {
            argv: ["/bin/sh", "-c", script, "x", "--model=/tmp/missing.gguf"].map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            cpus: None,
            conversation: Conversation::Batch { parse, weights_class: WeightsClass::A },
        }
    }

    fn ask(script: &str, missing: &str) -> Option<MissingModel> {
        let logs = tempfile::tempdir().unwrap();
        let launcher = Launcher {
            shim: None,
            logs_dir: logs.path().to_owned(),
            timeout: Duration::from_secs(30),
            interrupted: Arc::default(),
            redactor: Redactor::default(),
            hidden_variables: Vec::new(),
        };
        asked(&launcher, &spec(script), missing).expect("not interrupted")
    }

    #[test]
    fn exit_code_and_last_words_are_taken_down() {
        let path = "/tmp/missing.gguf";
        let refused =
            ask("echo loading >&2; echo no such file: ${1#--model=} >&2; exit 3", path).expect("asked");
        assert_eq!(refused, MissingModel { exit_code: Some(3), said: "no such file: missing.gguf".into() });
        assert!(refused.is_refused());
        assert_eq!(
            without_place("no .tmpX/missing.gguf, /tmp/.tmpX/missing.gguf", "/tmp/.tmpX/missing.gguf"),
            "no missing.gguf, missing.gguf"
        );
        let silent = ask("exit 1", path).expect("asked");
        assert_eq!((silent.exit_code, silent.is_refused()), (Some(1), false));
        let told = r#"{"event":"error","kind":"model","message":"there is no such file"}"#;
        let polite = ask(&format!("echo '{told}'"), path).expect("asked");
        assert_eq!((polite.exit_code, polite.said.as_str()), (Some(0), "there is no such file"));
        assert!(!polite.is_refused(), "its exit code does not tell");
        let killed = ask("echo oh >&2; kill -9 $$", path).expect("asked");
        assert_eq!((killed.exit_code, killed.is_refused()), (None, false));
        assert_eq!(ask("exit 1", "/tmp/other.gguf"), None, "it is not told of the file");
    }
}
