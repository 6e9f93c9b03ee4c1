//! The threads of the modern era that cross requests: an `input_required` result's `requestState` goes to the client sealed
//! together with its backend and its caller, and is opened on that caller's retry, so that the retry finds the backend that
//! minted it.

use std::sync::Arc;

use bytes::Bytes;

use crate::exchange::{Act, Answer, Ask, Call, Exchange, Heading, Lesson};
use crate::mcp::input_required;
use crate::names::{BackendId, CallerDigest, PoolId};
use crate::seal::{Purpose, Ring};

/// Stands before the digest of a known caller. The raw state of anybody begins with a quote instead.
const KNOWN: u8 = 1;

/// Opens the `requestState` of a retry, and puts the backend's own text back into the body. A text that is not ours
/// stays as it is: what it is worth, the backend judges.
pub fn open(exchange: &mut Exchange, ring: &Ring) {
    let Ask::Call(Call { act: Act::Rounds(Some(retry)), .. }) = &mut exchange.ask else { return };
    let Some(sealed) = exchange.body.get(retry.state.clone()) else { return };
    let Ok(text) = serde_json::from_slice::<String>(sealed) else { return };
    let Ok(plain) = ring.open(Purpose::RequestState, &text) else { return };
    let Some((pool, plain)) = plain.split_first_chunk::<4>() else { return };
    let Some((backend, state)) = plain.split_first_chunk::<8>() else { return };
    let Some((caller, state)) = split_caller(state) else { return };
    if u32::from_be_bytes(*pool) != exchange.pool.id.0 || caller != exchange.caller.digest() {
        return;
    }
    exchange.body = Bytes::from(input_required::splice(&exchange.body, &retry.state, state));
    if let Some(trace) = exchange.meta_trace.as_mut().filter(|trace| trace.at.start >= retry.state.end) {
        let shifted = |at: usize| at + state.len() - retry.state.len();
        trace.at = shifted(trace.at.start)..shifted(trace.at.end);
    }
    retry.backend = Some(BackendId(u64::from_be_bytes(*backend)));
}

/// Seals the `requestState` in an answer, now or when it passes.
pub fn settle(exchange: &Exchange, heading: &Heading, answer: &mut Answer, ring: &Arc<Ring>) -> Option<Lesson> {
    let Ask::Call(Call { act: Act::Rounds(_), .. }) = &exchange.ask else { return None };
    let (ring, origin) = (Arc::clone(ring), (exchange.pool.id, heading.backend.id, exchange.caller.digest()));
    let mut lesson: Lesson = Box::new(move |message| wrap(message, origin, &ring));
    let Some(whole) = &answer.whole else { return Some(lesson) };
    if let Some(wrapped) = lesson(whole) {
        answer.whole = Some(wrapped.into());
    }
    None
}

/// The raw state, quotes and all, is sealed, so that the backend gets back exactly what it wrote.
fn wrap(message: &[u8], (pool, backend, caller): (PoolId, BackendId, CallerDigest), ring: &Ring) -> Option<Vec<u8>> {
    let span = input_required::state_span(message)?;
    let mut plain = pool.0.to_be_bytes().to_vec();
    plain.extend_from_slice(&backend.0.to_be_bytes());
    if caller != CallerDigest::ANYBODY {
        plain.push(KNOWN);
        plain.extend_from_slice(&caller.0);
    }
    plain.extend_from_slice(message.get(span.clone())?);
    let sealed = ring.seal(Purpose::RequestState, &plain).ok()?;
    Some(input_required::splice(message, &span, format!("\"{sealed}\"").as_bytes()))
}

/// For whom a state was sealed, and the raw state.
fn split_caller(plain: &[u8]) -> Option<(CallerDigest, &[u8])> {
    match plain.strip_prefix(&[KNOWN]) {
        Some(rest) => rest.split_first_chunk::<16>().map(|(caller, state)| (CallerDigest(*caller), state)),
        None => Some((CallerDigest::ANYBODY, plain)),
    }
}
