//! What a runner said in one conversation, event by event, with the first fault of each kind.

use crate::launch::SaidLine;
use crate::protocol::{Event, EventOrder, Job, SampleEvent, Settings, WeightsClass, parse_event, quote};
use serde_json::Value;

/// Kind of the error that says: this cannot be done here.
const UNSUPPORTED: &str = "unsupported";

/// The events of a conversation.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) hello: Option<Hello>,
    pub(super) ready: Option<Ready>,
    /// Each with the time at which it was read, from the spawn of the process.
    pub(super) samples: Vec<(u64, SampleEvent)>,
    pub(super) verified: Option<Verified>,
    /// Kind and message.
    pub(super) error: Option<(String, String)>,
    /// `bye` was said, and everything before it.
    pub(super) is_done: bool,
    /// What was due when it said nothing more.
    pub(super) due: &'static str,
    /// The first line that is no event at all.
    pub(super) stray_line: Option<String>,
    /// The first event that lacks something, or has something of the wrong type.
    pub(super) bad_event: Option<String>,
    /// The first event that was not due.
    pub(super) out_of_order: Option<String>,
}

#[derive(Debug)]
pub(super) struct Hello {
    pub(super) framework: String,
    pub(super) version: String,
    pub(super) weights_class: WeightsClass,
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) at_ns: u64,
    pub(super) load_ns: u64,
    pub(super) threads_used: u32,
    pub(super) settings: Option<Settings>,
}

#[derive(Debug)]
pub(super) struct Verified {
    pub(super) token_ids: Vec<u32>,
    pub(super) top_logits: Vec<Vec<(u32, f32)>>,
    pub(super) forced_top: Vec<Vec<(u32, f32)>>,
}

impl Said {
    /// Reads the lines that answered `job`.
    pub(super) fn read(job: &Job, lines: &[SaidLine]) -> Said {
        let mut said = Said::default();
        let mut order = EventOrder::new(job);
        for line in lines {
            match parse_event(&line.text) {
                Ok(event) => {
                    if let Err(error) = order.accept(&event) {
                        said.out_of_order.get_or_insert(error.to_string());
                    }
                    said.take(event, line.at_ns);
                }
                Err(error) if is_named(&line.text) => {
                    said.bad_event.get_or_insert(error.to_string());
                }
                Err(_) => {
                    said.stray_line.get_or_insert(quote(&line.text));
                }
            }
        }
        said.is_done = order.is_done();
        said.due = order.due();
        said
    }

    fn take(&mut self, event: Event, at_ns: u64) {
        match event {
            Event::Hello { framework, version, weights_class, .. } => {
                self.hello = Some(Hello { framework, version, weights_class });
            }
            Event::Ready { load_ns, threads_used, settings } => {
                self.ready = Some(Ready { at_ns, load_ns, threads_used, settings });
            }
            Event::Sample(sample) => self.samples.push((at_ns, sample)),
            Event::Verified { token_ids, top_logits, forced_top } => {
                self.verified = Some(Verified { token_ids, top_logits, forced_top });
            }
            Event::Error { kind, message } => self.error = Some((kind, message)),
            Event::Phase { .. } | Event::Bye => {}
        }
    }

    /// What `hello` said of the weights; the least without one.
    pub(super) fn weights_class(&self) -> WeightsClass {
        self.hello.as_ref().map_or(WeightsClass::C, |hello| hello.weights_class)
    }

    /// It said that it cannot do what was asked, before it began.
    pub(super) fn refuses(&self) -> bool {
        self.samples.is_empty() && self.error.as_ref().is_some_and(|(kind, _)| kind == UNSUPPORTED)
    }

    /// The ids of each request.
    pub(super) fn ids(&self) -> Vec<&[u32]> {
        self.samples.iter().map(|(_, sample)| sample.token_ids.as_slice()).collect()
    }
}

/// Whether a line is an object that calls itself an event.
fn is_named(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|value| value.get("event").is_some_and(Value::is_string))
}
