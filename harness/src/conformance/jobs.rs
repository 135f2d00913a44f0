//! The jobs that a runner under test is given.

use crate::launch::Input;
use crate::prompts::{prompts, verification_continuation};
use crate::protocol::{Job, JobModel, PROTOCOL_VERSION, Verify};
use crate::scenario::Workload;
use serde_json::{Value, json};
use std::path::Path;

/// Tokens of a prompt.
const PROMPT_TOKENS: u32 = 16;
/// Tokens generated for a prompt; the cold request has fewer, so that the two cannot be mistaken.
const GENERATE_TOKENS: u32 = 16;
const COLD_TOKENS: u32 = 5;
/// KV positions: room for a prompt and what follows.
const CONTEXT: u32 = 64;
/// Positions along which distributions are asked for.
const FORCED_TOKENS: u32 = 12;
/// Likeliest tokens asked for at each.
const TOP_K: u32 = 8;
/// Prompts of the job with several.
const N_PROMPTS: u32 = 4;
/// Prompts that are looked through for one whose continuation has an end of sequence in it.
pub(super) const N_SCOUTED: u32 = 300;
const BATCH: u32 = 512;
const KV_TYPE: &str = "f16";
const SEED: u64 = 1;

/// What the jobs are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Absolute path of the model file.
    pub model_path: String,
    /// Lower-case hexadecimal.
    pub model_sha256: String,
    /// Size of the file.
    pub model_bytes: u64,
    /// Tokens in its vocabulary.
    pub vocab_size: u32,
    /// Its end of sequence, where it has one.
    pub eos_id: Option<u32>,
    /// A prompt whose greedy continuation has the end of sequence before its end, where one is known.
    pub eos_prompt: Option<Vec<u32>>,
}

/// One of the conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// One prompt, no verification; stdin is closed as soon as the job is written.
    One,
    /// A cold request, several prompts, verification with distributions, and fields that no runner knows.
    Several,
    /// The same, without the unknown fields and the distributions.
    Again,
    /// The same on two threads.
    TwoThreads,
    /// A job of a protocol that does not exist.
    OtherProtocol,
    /// A context that has no room for what is asked.
    SmallContext,
    /// A model file that is not there.
    NoModel,
    /// No job: stdin is closed.
    NoJob,
}

impl Which {
    /// All of them, in the order in which they are held.
    pub const ALL: [Which; 8] = [
        Which::One,
        Which::Several,
        Which::Again,
        Which::TwoThreads,
        Which::OtherProtocol,
        Which::SmallContext,
        Which::NoModel,
        Which::NoJob,
    ];

    /// Those that a runner must carry out.
    pub const GOOD: [Which; 4] = [Which::One, Which::Several, Which::Again, Which::TwoThreads];

    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Which::One => "one prompt",
            Which::Several => "several prompts",
            Which::Again => "the same again",
            Which::TwoThreads => "two threads",
            Which::OtherProtocol => "protocol 2",
            Which::SmallContext => "context too small",
            Which::NoModel => "no such model",
            Which::NoJob => "no job",
        }
    }
}

impl Subject {
    /// The job of a conversation.
    pub fn job(&self, which: Which) -> Job {
        let several = self.several(N_PROMPTS);
        let verify =
            Verify { prompt: several[1].clone(), n_tokens: GENERATE_TOKENS, top_k: 0, forced: vec![] };
        let forced = verification_continuation(SEED, FORCED_TOKENS, self.vocab_size);
        let top_k = TOP_K.min(self.vocab_size);
        let several = Job {
            protocol: PROTOCOL_VERSION,
            model: JobModel { path: self.model_path.clone(), sha256: self.model_sha256.clone() },
            prompts: several,
            cold_generate: COLD_TOKENS,
            n_generate: GENERATE_TOKENS,
            context: CONTEXT,
            threads: 1,
            kv_type: KV_TYPE.into(),
            batch: BATCH,
            verify: Some(Verify { top_k, forced, ..verify.clone() }),
        };
        let one = Job {
            prompts: vec![several.prompts[1].clone()],
            cold_generate: 0,
            verify: None,
            ..several.clone()
        };
        match which {
            Which::One => one,
            Which::Several => several,
            Which::Again => Job { verify: Some(verify), ..several },
            Which::TwoThreads => Job { threads: 2, ..several },
            Which::OtherProtocol => Job { protocol: PROTOCOL_VERSION + 1, ..one },
            Which::SmallContext => Job { context: PROMPT_TOKENS, ..one },
            Which::NoModel => Job { model: JobModel { path: missing(&self.model_path), ..one.model }, ..one },
            Which::NoJob => one,
        }
    }

    /// What is said on stdin.
    ///
    /// # Panics
    /// Never: a job is JSON.
    pub fn input(&self, which: Which) -> Input {
        let mut wire = serde_json::to_value(self.job(which)).expect("a job is JSON");
        match which {
            Which::NoJob => return Input::Nothing,
            Which::Several => add_unknown_fields(&mut wire),
            _ => {}
        }
        let line = wire.to_string();
        if which == Which::One { Input::LineThenEnd(line) } else { Input::Line(line) }
    }

    /// A job whose answers tell which prompt has an end of sequence in its continuation.
    pub fn scouting(&self) -> Job {
        Job { prompts: self.several(N_SCOUTED), cold_generate: 0, verify: None, ..self.job(Which::Several) }
    }

    /// Different prompts; the second one is [`Subject::eos_prompt`], if there is one.
    fn several(&self, n: u32) -> Vec<Vec<u32>> {
        let workload = Workload {
            name: "check".into(),
            prompt_tokens: PROMPT_TOKENS,
            generate_tokens: GENERATE_TOKENS,
            context: CONTEXT,
        };
        let mut several = prompts(SEED, &workload, n, self.vocab_size);
        if let Some(prompt) = &self.eos_prompt {
            several[1].clone_from(prompt);
        }
        several
    }
}

fn add_unknown_fields(wire: &mut Value) {
    for part in ["", "/model", "/verify"] {
        if let Some(Value::Object(fields)) = wire.pointer_mut(part) {
            fields.insert("of_a_later_harness".into(), json!({ "is": ["to be ignored"] }));
        }
    }
}

/// A path beside `path` at which there is nothing.
fn missing(path: &str) -> String {
    Path::new(path).with_file_name("no-such-model.gguf").display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_differ_in_what_they_test() {
        let subject = Subject {
            model_path: "/m/a.gguf".into(),
            model_sha256: "00".into(),
            model_bytes: 1,
            vocab_size: 512,
            eos_id: Some(2),
            eos_prompt: Some(vec![7; 16]),
        };
        let several = subject.job(Which::Several);
        assert_eq!(several.prompts.len(), 4);
        assert_eq!(several.prompts[1], [7; 16]);
        assert_eq!(several.verify.as_ref().map(|v| &v.prompt), Some(&several.prompts[1]));
        assert_eq!(subject.job(Which::NoModel).model.path, "/m/no-such-model.gguf");
        let Input::Line(line) = subject.input(Which::Several) else { panic!("stdin is held") };
        assert_eq!(line.matches("of_a_later_harness").count(), 3);
        assert_eq!(serde_json::from_str::<Job>(&line).expect("unknown fields are ignored"), several);
        assert!(matches!(subject.input(Which::One), Input::LineThenEnd(_)));
        assert_eq!(subject.input(Which::NoJob), Input::Nothing);
    }
}
