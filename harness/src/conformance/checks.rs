//! The rules, in the order in which they are shown.

use super::{Rule, figures, manners};

/// Every rule.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "start",
        rule: "the command can be started",
        remedy: "give the command as the launcher shall start it, program first, without a shell",
        judge: manners::start,
    },
    Rule {
        id: "stdout",
        rule: "nothing is on stdout but events",
        remedy: "write logs to stderr; if a library prints, point file descriptor 1 at stderr before it is loaded",
        judge: manners::stdout,
    },
    Rule {
        id: "fields",
        rule: "every event has its fields, of the right types",
        remedy: "write every field of the event's table in RUNNER_PROTOCOL.md; times and counts are whole numbers",
        judge: manners::fields,
    },
    Rule {
        id: "order",
        rule: "hello, ready, one sample for each prompt, verified if asked for, bye",
        remedy: "carry out the whole job in this order; `verified` exactly if `verify` is not null",
        judge: manners::order,
    },
    Rule {
        id: "hello",
        rule: "hello names framework and version",
        remedy: "tell the framework's own version, not the runner's alone: reports show it",
        judge: manners::hello,
    },
    Rule {
        id: "unknown_fields",
        rule: "fields of the job that are not known are ignored",
        remedy: "read the fields that you know and refuse none: a later harness may send more",
        judge: manners::unknown_fields,
    },
    Rule {
        id: "counts",
        rule: "every prompt token is processed, none comes from a cache",
        remedy: "use the ids as they are (no BOS, no template), and empty the cache before each request",
        judge: figures::counts,
    },
    Rule {
        id: "lengths",
        rule: "exactly as many tokens as asked, with a time for each",
        remedy: "generate `cold_generate` tokens for the first prompt (if it is not 0), `n_generate` for the others, \
                 `verify.n_tokens` for the verification",
        judge: figures::lengths,
    },
    Rule {
        id: "eos",
        rule: "generation goes on past the end of sequence",
        remedy: "ignore the end of sequence: take the largest logit again and again",
        judge: figures::eos,
    },
    Rule {
        id: "times",
        rule: "times are positive and do not run backwards",
        remedy: "stamp each token with one monotonic clock, in nanoseconds from the start of the request, as soon as \
                 it could be handed to the caller; prefill_ns comes before the first of them",
        judge: figures::times,
    },
    Rule {
        id: "clock",
        rule: "the times add up to what the launcher's clock saw",
        remedy: "take nanoseconds, start the request's clock before its prompt is touched, and do nothing of its work \
                 outside the stamps; if it is the cleaning between two requests that takes so long, use a larger model",
        judge: figures::clock,
    },
    Rule {
        id: "threads",
        rule: "threads_used is what was asked for, and what is seen",
        remedy: "set the framework's threads from the job (or from `{threads}` in the command and its environment), \
                 and tell what it really uses",
        judge: figures::threads,
    },
    Rule {
        id: "settings",
        rule: "the settings that are told are those asked for",
        remedy: "give the framework the job's context and a KV cache of at least kv_type's bits, or give up with \
                 `error`; tell what is in use, not what was asked",
        judge: figures::settings,
    },
    Rule {
        id: "repeatable",
        rule: "the same prompt gives the same ids, whatever came before",
        remedy: "greedy: the largest logit, the first of equals, no sampling and no penalties; and forget every \
                 position before each request",
        judge: figures::repeatable,
    },
    Rule {
        id: "over_threads",
        rule: "another number of threads gives the same ids",
        remedy: "look for a race; rounding may part two texts after a while, but not most of them at once",
        judge: figures::over_threads,
    },
    Rule {
        id: "distributions",
        rule: "forced_top and top_logits are what verify asks for",
        remedy: "one list for each position, `top_k` entries `[id, natural log-probability over the whole \
                 vocabulary]`, largest first; position 0 is after the prompt; nothing where top_k is 0",
        judge: figures::distributions,
    },
    Rule {
        id: "reference",
        rule: "the ids are those of the model, by the engine of this repository",
        remedy: "compare one forward pass with another implementation's: weights, norms, rotation, BOS",
        judge: figures::reference,
    },
    Rule {
        id: "protocol",
        rule: "a job of another protocol is refused by an error event",
        remedy: "look at `protocol` before anything else; anything but 1: an `error` event, and end",
        judge: manners::protocol,
    },
    Rule {
        id: "context",
        rule: "a job that its context has no room for is refused by an error event",
        remedy: "before a request: prompt and tokens to generate must fit `context`, else an `error` event, and end",
        judge: manners::context,
    },
    Rule {
        id: "model",
        rule: "a model file that is not there is refused by an error event",
        remedy: "catch what goes wrong while loading and say it in an `error` event, with the path",
        judge: manners::model,
    },
    Rule {
        id: "bye",
        rule: "after bye it waits until stdin is closed, and then ends with exit code 0",
        remedy: "after `bye` read stdin to its end, then end within 2 s; say nothing more on stdout",
        judge: manners::bye,
    },
    Rule {
        id: "stdin",
        rule: "it ends when stdin is closed early",
        remedy: "an empty job line is the end of the conversation; a job whose stdin is closed already is carried out, \
                 and `bye` needs no waiting then",
        judge: manners::stdin,
    },
    Rule {
        id: "group",
        rule: "its processes stay in its process group",
        remedy: "start no process in a session or group of its own: the launcher kills the group",
        judge: manners::group,
    },
];
