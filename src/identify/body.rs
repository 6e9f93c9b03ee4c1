//! Reading a request's body within its bounds of size and time, and saying what is wrong with it.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::config::Bounds;
use crate::mcp::envelope::{self, PeekError};
use crate::reject::Cause;

/// Why a body was not read, and whose it was as far as the part that came says so.
pub struct Fault {
    pub cause: Cause,
    pub ids: Vec<Box<str>>,
}

/// Reads the whole body.
pub async fn read(incoming: Incoming, headers: &HeaderMap, bounds: &Bounds) -> Result<Bytes, Fault> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut sofar = BytesMut::new();
    let limit = bounds.max_body;
    match tokio::time::timeout(bounds.body_timeout, collect(incoming, headers, limit, &mut sofar)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(cause)) => Err(Fault { cause, ids: id_in(&sofar) }),
        Err(_) => Err(Fault { cause: Cause::SlowBody(bounds.body_timeout), ids: id_in(&sofar) }),
    }
}

async fn collect(
    mut incoming: Incoming,
    headers: &HeaderMap,
    limit: usize,
    sofar: &mut BytesMut,
) -> Result<Bytes, Cause> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let too_large = declared.is_some_and(|length| length > limit);
    let mut first = Bytes::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Cause::BadMessage(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + sofar.len() + data.len() > limit || too_large {
            sofar.extend_from_slice(if sofar.is_empty() { &first } else { &[] });
            sofar.extend_from_slice(&data[..data.len().min(limit.saturating_sub(sofar.len()))]);
            return Err(Cause::BodyTooLarge(limit));
        }
        // The usual body comes in one piece and is never copied.
        if first.is_empty() && sofar.is_empty() {
            first = data;
            continue;
        }
        if sofar.is_empty() {
            sofar.extend_from_slice(&first);
        }
        first = Bytes::new();
        sofar.extend_from_slice(&data);
    }
    Ok(if sofar.is_empty() { first } else { std::mem::take(sofar).freeze() })
}

/// The id in a body of which only the beginning is known.
fn id_in(sofar: &[u8]) -> Vec<Box<str>> {
    match envelope::peek(sofar, &envelope::Bounds::default()) {
        Ok(_) => Vec::new(),
        Err(fault) => fault.id.iter().map(|id| Box::from(&**id)).collect(),
    }
}

/// The refusal that belongs to a fault in a message.
pub fn explain(error: &PeekError) -> Cause {
    match error {
        PeekError::NotUtf8 { .. } | PeekError::NotJson { .. } => Cause::NotJson(error.to_string()),
        _ => Cause::BadMessage(error.to_string()),
    }
}
