//! What servers that take text, and tell their tokens as text, have in common.

use super::server::{CompletionServer, Endpoint, Prompt, ServerTalk, Wanted};
use super::server_url::ServerUrl;
use super::text::{continuation_ids, shares_bos, text_of};
use super::{Failure, LaunchRequest, path_arg, server_url};
use crate::sample::{FEATURE_SHARED_BOS, FEATURE_VERIFIED_BY_TEXT, FailureKind};
use engine::Tokenizer;
use engine::tokenizer::EncodeOptions;
use std::sync::Arc;

/// Value of the option `url` where the framework's own program is used.
pub(super) const NO_URL: &str = "none";
/// Requests come one after the other.
const SLOTS: u32 = 1;

/// Where the server of a row is: at the option `url`, else a child of ours on the port of the launch.
pub(super) fn endpoint(request: &LaunchRequest) -> Result<Endpoint, Failure> {
    match server_url(&request.options, request.allow_remote)? {
        Some(url) => running(url, request),
        None => Ok(Endpoint::Child { port: request.port }),
    }
}

/// A server at `url`, with the key of the row's entry.
pub(super) fn running(url: ServerUrl, request: &LaunchRequest) -> Result<Endpoint, Failure> {
    let api_key = request.api_key.clone();
    if api_key.is_some() && !url.is_private() {
        let message = format!("the key would be readable on the way to {url}: give an https address");
        return Err(Failure::new(FailureKind::Unsupported, message));
    }
    Ok(Endpoint::Running { url, api_key })
}

/// The tokenizer of the model, without which there is no text.
pub(super) fn tokenizer<'a>(request: &LaunchRequest<'a>) -> Result<&'a Arc<Tokenizer>, Failure> {
    request.tokenizer.ok_or_else(|| {
        let id = &request.entry.id;
        let message = format!("{id} takes only text, and the tokenizer of this model file is not known");
        Failure::new(FailureKind::Unsupported, message)
    })
}

/// A launch of such a server, without steps.
pub(super) fn talk(
    request: &LaunchRequest,
    api: Arc<dyn CompletionServer>,
    endpoint: Endpoint,
) -> Result<ServerTalk, Failure> {
    let tokenizer = tokenizer(request)?;
    let spoken = |ids: &Vec<u32>| Ok(Prompt { ids: ids.clone(), text: Some(text_of(tokenizer, ids)?) });
    let prompts: Vec<Prompt> = request.prompts.iter().map(spoken).collect::<Result<_, Failure>>()?;
    let lengths = (0..).map(|rep| request.n_generate(rep));
    // A prompt of random ids is no text: such a launch is not verified.
    let verify_text = request.verify.as_ref().and_then(|v| text_of(tokenizer, &v.prompt).ok());
    let verify = request.verify.clone().filter(|_| verify_text.is_some());
    let features = [
        shares_bos(tokenizer).then_some(FEATURE_SHARED_BOS),
        verify.is_some().then_some(FEATURE_VERIFIED_BY_TEXT),
    ];
    Ok(ServerTalk {
        api,
        endpoint,
        opening: vec![],
        loading: vec![],
        closing: vec![],
        requests: prompts.into_iter().zip(lengths).collect(),
        spares: request.spares.iter().map(spoken).collect::<Result<_, Failure>>()?,
        has_cold: request.cold_generate > 0,
        verify,
        verify_text,
        weights_class: request.entry.weights_class,
        program_version: request.program_version.map(str::to_string),
        wanted: Wanted {
            model_path: path_arg(request.model.path)?,
            model_sha256: request.model.sha256.to_string(),
            context: request.workload.context,
            slots: SLOTS,
        },
        features: features.into_iter().flatten().map(str::to_owned).collect(),
    })
}

/// The ids of a continuation that came as text.
pub(super) fn ids_of(tokenizer: &Tokenizer, prompt: &Prompt, continuation: &str) -> Vec<u32> {
    continuation_ids(tokenizer, prompt.text(), continuation)
}

/// A piece of a streamed text: one token, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Since the start of the request.
    pub(super) at_ns: u64,
    /// Not empty.
    pub(super) text: String,
}

/// When each of `n_tokens` was there. With a piece for each they are the pieces' times. Else it is not known which
/// tokens a piece holds: the last one was there at `end_ns`, the end of the stream; the first with the first piece, or
/// where that holds `n_in_first` tokens, as much before it as the tokens after it took on average, since dated by the
/// piece they would count as taking no time and decode come out too fast. The others lie evenly between; no figure is
/// made of them.
pub(super) fn token_times(pieces: &[Piece], end_ns: u64, n_tokens: u32, n_in_first: u32) -> Vec<u64> {
    let Some(first) = pieces.first() else { return vec![end_ns; n_tokens as usize] };
    if pieces.len() == n_tokens as usize {
        return pieces.iter().map(|piece| piece.at_ns).collect();
    }
    let n_after = u64::from(n_tokens.saturating_sub(n_in_first));
    let step_ns = (end_ns.saturating_sub(first.at_ns)).checked_div(n_after).unwrap_or(0);
    let first_ns = first.at_ns.saturating_sub(step_ns * u64::from(n_in_first.saturating_sub(1)));
    spread(first_ns, end_ns, n_tokens)
}

/// `n` times from `first_ns` to `last_ns`, evenly.
pub(super) fn spread(first_ns: u64, last_ns: u64, n: u32) -> Vec<u64> {
    let span = u128::from(last_ns.saturating_sub(first_ns));
    let steps = u128::from(n.saturating_sub(1)).max(1);
    (0..u128::from(n)).map(|i| first_ns + (span * i / steps) as u64).collect()
}

/// Tokens in the first of `n_pieces` pieces, as the tokenizer cuts its text; at least one, and so that one is left for
/// each of the others.
pub(super) fn n_in_first(
    tokenizer: &Tokenizer,
    first: Option<&Piece>,
    n_pieces: usize,
    n_tokens: u32,
) -> u32 {
    let Some(first) = first else { return 1 };
    // At the beginning of a text or within one: the vocabulary decides which of the two a piece fits.
    let alone = tokenizer.encode(first.text.as_bytes(), EncodeOptions::default()).len();
    let n_cut = alone.min(continuation_ids(tokenizer, "a", &first.text).len()) as u32;
    n_cut.clamp(1, n_tokens.saturating_sub(n_pieces as u32 - 1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(times: &[u64]) -> Vec<Piece> {
        times.iter().map(|&at_ns| Piece { at_ns, text: "x".into() }).collect()
    }

    #[test]
    fn a_piece_for_each_token_dates_them_all() {
        assert_eq!(token_times(&pieces(&[5, 7, 9]), 11, 3, 1), [5, 7, 9]);
    }

    #[test]
    fn fewer_pieces_than_tokens_leave_only_the_ends_certain() {
        // Eight tokens in four pieces, the first of one token: the rate is that of seven steps in the window.
        assert_eq!(token_times(&pieces(&[100, 300, 500, 700]), 800, 8, 1), spread(100, 800, 8));
        // The first piece holds two: the six after it took 100 each, and so did the second.
        let times = token_times(&pieces(&[200, 400, 600, 800]), 800, 8, 2);
        assert_eq!((times[0], times[1], times[7], times.len()), (100, 200, 800, 8));
        // All in one: there is no window, and no rate.
        assert_eq!(token_times(&pieces(&[50]), 50, 3, 3), [50, 50, 50]);
        assert_eq!(token_times(&[], 50, 3, 1), [50, 50, 50]);
        assert_eq!(token_times(&pieces(&[5]), 9, 1, 1), [5]);
    }

    #[test]
    fn more_pieces_than_tokens_count_by_their_ends() {
        assert_eq!(token_times(&pieces(&[10, 20, 30, 40]), 40, 3, 1), [10, 25, 40]);
    }
}
