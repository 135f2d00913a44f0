//! Rules of the conversation: what is said, in which order, and how it ends.

use super::{Run, Runs, Verdict, Which, in_job};

/// Why nothing can be judged of a runner that [`start`] is about.
const SILENT: &str = "it says nothing at all";

pub(super) fn start(runs: &Runs) -> Verdict {
    let held: Vec<_> = runs.of(&Which::GOOD).collect();
    match held.first() {
        Some((_, run)) if runs.is_silent() => {
            let why =
                run.transcript.failure.clone().or(run.transcript.exit.as_ref().map(|exit| exit.how.clone()));
            let why = why.unwrap_or_else(|| "it did not end".into());
            Verdict::Failed(with_stderr(format!("it said nothing on stdout: {why}"), run))
        }
        _ => Verdict::of(held.len(), [], "it speaks"),
    }
}

pub(super) fn stdout(runs: &Runs) -> Verdict {
    let all = runs.of(&Which::ALL);
    let faults = all.filter_map(|(which, run)| {
        let line = run.said.stray_line.as_ref()?;
        Some(in_job(which, format!("a line that is no event: {line}")))
    });
    Verdict::of(runs.n_speaking(), faults, "events only")
}

pub(super) fn fields(runs: &Runs) -> Verdict {
    let all = runs.of(&Which::ALL);
    let faults = all.filter_map(|(which, run)| Some(in_job(which, run.said.bad_event.as_ref()?)));
    Verdict::of(runs.n_speaking(), faults, "complete")
}

pub(super) fn order(runs: &Runs) -> Verdict {
    let fault = |(which, run): (Which, &Run)| {
        let said = &run.said;
        let fault = match (&said.out_of_order, &said.error) {
            (Some(wrong), _) => wrong.clone(),
            (None, Some(_)) if which == Which::TwoThreads && said.refuses() => return None,
            (None, Some((kind, message))) => format!("it gave up: {kind}: {message}"),
            (None, None) if said.is_done => return None,
            (None, None) => {
                let how = run.transcript.exit.as_ref().map(|exit| exit.how.clone());
                let how = how.or(run.transcript.failure.clone()).unwrap_or_else(|| "it fell silent".into());
                with_stderr(format!("{how}; `{}` was due", said.due), run)
            }
        };
        Some(in_job(which, fault))
    };
    if runs.is_silent() {
        return Verdict::Skipped(SILENT.into());
    }
    let names = "hello, ready, samples, verified, bye";
    // Unknown fields, stdin closed early and events that cannot be read have rules of their own.
    let is_other_rule = |which: Which, run: &Run| match which {
        _ if run.said.bad_event.is_some() => true,
        Which::Several => refuses_unknown_fields(runs),
        Which::One => needs_open_stdin(runs),
        _ => false,
    };
    let judged: Vec<_> = runs.of(&Which::GOOD).filter(|(which, run)| !is_other_rule(*which, run)).collect();
    Verdict::of(judged.len(), judged.into_iter().filter_map(fault), names)
}

pub(super) fn hello(runs: &Runs) -> Verdict {
    let said: Vec<_> =
        runs.of(&Which::GOOD).filter_map(|(which, run)| Some((which, run.said.hello.as_ref()?))).collect();
    let fault = |(which, hello): &(Which, &super::said::Hello)| {
        let missing = [("framework", &hello.framework), ("version", &hello.version)];
        let (name, _) = missing.into_iter().find(|(_, text)| text.trim().is_empty())?;
        Some(in_job(*which, format!("`{name}` is empty")))
    };
    let passed = said.first().map(|(_, hello)| {
        format!("{} {}, weights class {:?}", hello.framework, hello.version, hello.weights_class)
    });
    Verdict::of(said.len(), said.iter().filter_map(fault), passed.unwrap_or_default())
}

/// The job with unknown fields fails, and the same without them is carried out.
fn refuses_unknown_fields(runs: &Runs) -> bool {
    runs.said(Which::Several).is_none() && runs.said(Which::Again).is_some()
}

pub(super) fn unknown_fields(runs: &Runs) -> Verdict {
    match runs.held.get(&Which::Several) {
        Some(run) if run.said.is_done => Verdict::Passed("ignored".into()),
        Some(run) if refuses_unknown_fields(runs) => {
            let said = run.said.error.as_ref().map(|(kind, message)| format!("{kind}: {message}"));
            let seen = said.unwrap_or_else(|| with_stderr(format!("`{}` never came", run.said.due), run));
            Verdict::Failed(format!("the job with such fields failed, the same without them did not: {seen}"))
        }
        _ => Verdict::Skipped("no job was carried out".into()),
    }
}

pub(super) fn protocol(runs: &Runs) -> Verdict {
    refused(runs, Which::OtherProtocol)
}

pub(super) fn context(runs: &Runs) -> Verdict {
    refused(runs, Which::SmallContext)
}

pub(super) fn model(runs: &Runs) -> Verdict {
    refused(runs, Which::NoModel)
}

/// A job that must end with an error event, before any sample.
fn refused(runs: &Runs, which: Which) -> Verdict {
    let Some(run) = runs.held.get(&which) else { return Verdict::Skipped("not asked".into()) };
    if runs.is_silent() {
        return Verdict::Skipped(SILENT.into());
    }
    let said = &run.said;
    let sampled = said.samples.len();
    match &said.error {
        _ if sampled > 0 => Verdict::Failed(format!("it carried the job out: {sampled} sample")),
        None => {
            let how = run.transcript.exit.as_ref().map_or("it did not end", |exit| exit.how.as_str());
            Verdict::Failed(with_stderr(format!("no `error` event: {how}"), run))
        }
        Some((kind, message)) if kind.trim().is_empty() || message.trim().is_empty() => {
            Verdict::Failed("its `error` has an empty kind or message".into())
        }
        Some(_) if run.transcript.exit.is_none() => {
            Verdict::Failed("it said `error` and did not end within 2 s of stdin's end".into())
        }
        Some((kind, message)) => Verdict::Passed(format!("{kind}: {message}")),
    }
}

pub(super) fn bye(runs: &Runs) -> Verdict {
    let fault = |(which, run): (Which, &Run)| {
        let transcript = &run.transcript;
        let n_after = transcript.lines.iter().rev().take_while(|line| !is_bye(&line.text)).count();
        let fault = match (&transcript.exit, transcript.waited_after_bye) {
            (_, Some(false)) => "it did not wait: it ended while stdin was open".to_owned(),
            (None, _) => "it did not end within 2 s of stdin's end".to_owned(),
            (Some(exit), _) if exit.code != Some(0) => with_stderr(exit.how.clone(), run),
            _ if n_after > 0 => format!("{n_after} lines on stdout after `bye`"),
            _ => return None,
        };
        Some(in_job(which, fault))
    };
    Verdict::of(runs.done().count(), runs.done().filter_map(fault), "it waited, and ended with exit code 0")
}

fn is_bye(line: &str) -> bool {
    matches!(crate::protocol::parse_event(line), Ok(crate::protocol::Event::Bye))
}

/// The job whose stdin is closed fails, and one whose stdin stays open is carried out.
fn needs_open_stdin(runs: &Runs) -> bool {
    runs.said(Which::One).is_none() && runs.said(Which::Again).is_some()
}

pub(super) fn stdin(runs: &Runs) -> Verdict {
    let Some(no_job) = runs.held.get(&Which::NoJob) else { return Verdict::Skipped("not asked".into()) };
    if runs.is_silent() {
        return Verdict::Skipped(SILENT.into());
    }
    if no_job.transcript.exit.is_none() {
        let why = no_job.transcript.failure.as_deref().unwrap_or("it did not end");
        return Verdict::Failed(in_job(Which::NoJob, why));
    }
    match runs.held.get(&Which::One) {
        Some(run) if needs_open_stdin(runs) => {
            let fault = format!("stdin was closed after the job, and `{}` never came", run.said.due);
            Verdict::Failed(with_stderr(in_job(Which::One, fault), run))
        }
        _ => Verdict::Passed("it ended".into()),
    }
}

pub(super) fn group(runs: &Runs) -> Verdict {
    let seen: Vec<_> =
        runs.done().filter_map(|(which, run)| Some((which, run.transcript.n_outside_group?))).collect();
    if seen.is_empty() && runs.done().next().is_some() {
        return Verdict::Skipped("this system does not tell".into());
    }
    let outside = seen.iter().filter(|(_, n)| *n > 0);
    let faults = outside.map(|(which, n)| in_job(*which, format!("{n} processes left the group")));
    Verdict::of(seen.len(), faults, "all of them")
}

/// A fault with the last line of stderr, which may say more.
fn with_stderr(fault: String, run: &Run) -> String {
    match run.transcript.stderr_tail.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{fault} (stderr: {line})"),
        None => fault,
    }
}
