//! Does a runner keep to the protocol? Conversations with it, written down by [`crate::launch::Launcher::probe`], are
//! judged check by check: what was seen, and what to do about it. Pure; the conversations are held by
//! `harness check-runner`.

mod checks;
mod figures;
mod jobs;
mod manners;
mod said;

pub use jobs::{Subject, Which};

use crate::launch::Transcript;
use crate::protocol::Job;
use said::Said;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As the protocol wants it.
    Passed,
    /// Not as the protocol wants it.
    Failed,
    /// It could not be seen, or there was nothing to be seen.
    Skipped,
}

/// One rule of the protocol, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Short and stable: `order`.
    pub id: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was seen.
    pub found: String,
    /// What to do, where it failed.
    pub remedy: Option<&'static str>,
}

/// The conversations that were held.
#[derive(Debug)]
pub struct Runs {
    subject: Subject,
    held: BTreeMap<Which, Run>,
    reference: Result<Said, String>,
}

/// One of them.
#[derive(Debug)]
struct Run {
    job: Job,
    transcript: Transcript,
    said: Said,
}

impl Runs {
    /// None yet. Nothing is known of the right answers.
    pub fn new(subject: Subject) -> Runs {
        let reference = Err("the engine of this repository does not read this model".into());
        Runs { subject, held: BTreeMap::new(), reference }
    }

    /// Adds a conversation about the job of `which`.
    pub fn add(&mut self, which: Which, transcript: Transcript) {
        let job = self.subject.job(which);
        let said = Said::read(&job, &transcript.lines);
        self.held.insert(which, Run { job, transcript, said });
    }

    /// Takes the reference's answers to the job of [`Which::Several`]; only a whole conversation is one.
    pub fn refer_to(&mut self, transcript: &Transcript) {
        let said = Said::read(&self.subject.job(Which::Several), &transcript.lines);
        self.reference = match &said.error {
            _ if said.is_done => Ok(said),
            Some((_, message)) => {
                Err(format!("the engine of this repository does not read this model: {message}"))
            }
            None => Err("the engine of this repository did not answer".into()),
        };
    }

    /// Judges every rule.
    pub fn judge(&self) -> Vec<Check> {
        let judged = |rule: &Rule| {
            let (status, found) = match (rule.judge)(self) {
                Verdict::Passed(found) => (Status::Passed, found),
                Verdict::Failed(found) => (Status::Failed, found),
                Verdict::Skipped(why) => (Status::Skipped, why),
            };
            let remedy = (status == Status::Failed).then_some(rule.remedy);
            Check { id: rule.id, rule: rule.rule, status, found, remedy }
        };
        checks::RULES.iter().map(judged).collect()
    }

    /// The conversations of `wanted` that were held.
    fn of<'a>(&'a self, wanted: &'a [Which]) -> impl Iterator<Item = (Which, &'a Run)> {
        wanted.iter().filter_map(|which| Some((*which, self.held.get(which)?)))
    }

    /// The good jobs that were carried out to the end.
    fn done(&self) -> impl Iterator<Item = (Which, &Run)> {
        self.of(&Which::GOOD).filter(|(_, run)| run.said.is_done)
    }

    /// How many conversations it said anything in.
    fn n_speaking(&self) -> usize {
        self.held.values().filter(|run| !run.transcript.lines.is_empty()).count()
    }

    /// It said nothing in any job that it must carry out.
    fn is_silent(&self) -> bool {
        self.of(&Which::GOOD).all(|(_, run)| run.transcript.lines.is_empty())
    }

    /// The events of a good job, if it was carried out to the end.
    fn said(&self, which: Which) -> Option<&Said> {
        self.held.get(&which).map(|run| &run.said).filter(|said| said.is_done)
    }
}

/// A rule and how it is judged.
struct Rule {
    id: &'static str,
    rule: &'static str,
    remedy: &'static str,
    judge: fn(&Runs) -> Verdict,
}

/// With what was seen, or why nothing was.
enum Verdict {
    Passed(String),
    Failed(String),
    Skipped(String),
}

impl Verdict {
    /// Failed with the first fault; else passed, or skipped where nothing was looked at.
    fn of(n_seen: usize, faults: impl IntoIterator<Item = String>, passed: impl Into<String>) -> Verdict {
        match faults.into_iter().next() {
            Some(fault) => Verdict::Failed(fault),
            None if n_seen == 0 => Verdict::Skipped("no job was carried out".into()),
            None => Verdict::Passed(passed.into()),
        }
    }
}

/// A fault, with the job in which it was seen.
fn in_job(which: Which, fault: impl std::fmt::Display) -> String {
    format!("in the job `{}`: {fault}", which.name())
}

/// The prompt whose continuation in the answers to [`Subject::scouting`] has the end of sequence before its end.
pub fn prompt_with_eos(subject: &Subject, transcript: &Transcript) -> Option<Vec<u32>> {
    let (job, eos_id) = (subject.scouting(), subject.eos_id?);
    let said = Said::read(&job, &transcript.lines);
    let has_eos = |ids: &[u32]| ids.split_last().is_some_and(|(_, before)| before.contains(&eos_id));
    let rep = said.ids().into_iter().position(has_eos)?;
    job.prompts.get(rep).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{EventOrder, json_schemas, parse_event};
    use serde_json::Value;

    const DOCUMENT: &str = include_str!("../RUNNER_PROTOCOL.md");
    const EXAMPLE: &str = include_str!("../runners/python/example/runner.py");

    /// The first block of code in this language whose text has `part`.
    fn block(language: &str, part: &str) -> &'static str {
        let start = format!("```{language}\n");
        let mut blocks = DOCUMENT.split(&start).skip(1).filter_map(|text| text.split("```").next());
        blocks.find(|text| text.contains(part)).expect(part)
    }

    #[test]
    fn the_document_holds_the_example_runner_word_for_word() {
        assert_eq!(block("python", "def serve"), EXAMPLE);
        assert!(EXAMPLE.lines().count() <= 60, "it is to be read at a glance");
    }

    #[test]
    fn the_documents_example_is_a_conversation() {
        let job: Job = serde_json::from_str(block("json", "\"protocol\":1")).expect("a job");
        let mut order = EventOrder::new(&job);
        for line in block("json", "\"event\":\"hello\"").lines() {
            order.accept(&parse_event(line).expect(line)).expect(line);
        }
        assert!(order.is_done());
    }

    /// Names of all properties in a schema.
    fn properties(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::Object(named)) = map.get("properties") {
                    found.extend(named.keys().cloned());
                }
                map.values().for_each(|value| properties(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| properties(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_names_every_field_and_every_check() {
        let (job, event) = json_schemas();
        let mut names = Vec::new();
        properties(&job, &mut names);
        properties(&event, &mut names);
        assert!(names.len() > 30, "{names:?}");
        let is_named = |name: &str| {
            ["`", "`settings.", "`model."].iter().any(|before| DOCUMENT.contains(&format!("{before}{name}`")))
        };
        let missing: Vec<_> = names.iter().filter(|name| *name != "event" && !is_named(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let unnamed: Vec<_> = checks::RULES.iter().map(|rule| rule.id).filter(|id| !is_named(id)).collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
    }

    #[test]
    fn what_was_not_held_is_not_judged() {
        let subject = Subject {
            model_path: "/m.gguf".into(),
            model_sha256: "00".into(),
            model_bytes: 1,
            vocab_size: 512,
            eos_id: None,
            eos_prompt: None,
        };
        let checks = Runs::new(subject).judge();
        let judged: Vec<_> = checks.iter().filter(|check| check.status != Status::Skipped).collect();
        assert!(judged.is_empty(), "{judged:?}");
    }
}
