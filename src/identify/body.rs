//! Reading a request's body within its bounds of size and time, and saying what is wrong with it.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_immediate;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::config::Bounds;
use crate::mcp::envelope::{self, PeekError};
use crate::mcp::late_id::LateId;
use crate::reject::Cause;

/// How much of a body over its bound is read on and thrown away, in multiples of the bound: a client that is still
/// sending does not hear a refusal, and its request's id may come last.
const LINGER: usize = 16;

/// Why a body was not read, and whose it was as far as what came says so.
pub struct Fault {
    pub cause: Cause,
    pub ids: Vec<Box<str>>,
    /// It was a response: its sender waits for no answer.
    pub unanswered: bool,
}

/// What has come of a body. The usual body comes in one piece and is never copied.
#[derive(Default)]
struct SoFar {
    first: Bytes,
    all: BytesMut,
}

/// Reads the whole body.
pub async fn read(mut incoming: Incoming, headers: &HeaderMap, bounds: &Bounds) -> Result<Bytes, Fault> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut sofar = SoFar::default();
    let come = {
        let mut whole = pin!(collect(&mut incoming, headers, bounds.max_body, &mut sofar));
        // Mostly it has come with its head: no timer is made then.
        match poll_immediate(whole.as_mut()).await {
            Some(come) => Ok(come),
            None => tokio::time::timeout(bounds.body_timeout, whole).await,
        }
    };
    match come {
        Ok(Ok(())) => Ok(sofar.freeze()),
        Ok(Err(Cause::BodyTooLarge(_))) => Err(linger(incoming, sofar, bounds).await),
        Ok(Err(cause)) => Err(sofar.unfinished(cause)),
        Err(_) => Err(sofar.unfinished(Cause::SlowBody(bounds.body_timeout))),
    }
}

async fn collect(incoming: &mut Incoming, headers: &HeaderMap, limit: usize, sofar: &mut SoFar) -> Result<(), Cause> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let too_large = declared.is_some_and(|length| length > limit);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| Cause::BadMessage(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        sofar.push(data);
        if too_large || sofar.text().len() > limit {
            return Err(Cause::BodyTooLarge(limit));
        }
    }
    Ok(())
}

/// Lets the rest of a body that is too large pass, within the bounds of time and of [`LINGER`].
async fn linger(mut incoming: Incoming, sofar: SoFar, bounds: &Bounds) -> Fault {
    let mut late = LateId::default();
    late.feed(sofar.text());
    drop(sofar);
    let pass = async {
        let mut left = bounds.max_body.saturating_mul(LINGER);
        while let (1.., Some(Ok(frame))) = (left, incoming.frame().await) {
            let Ok(data) = frame.into_data() else { continue };
            left = left.saturating_sub(data.len());
            late.feed(&data);
        }
    };
    // The refusal is due whether or not the end was seen.
    drop(tokio::time::timeout(bounds.body_timeout, pass).await);
    let ids = late.id().filter(|_| late.has_method()).map(Box::from).into_iter().collect();
    let unanswered = late.id().is_some() && !late.has_method();
    Fault { cause: Cause::BodyTooLarge(bounds.max_body), ids, unanswered }
}

impl SoFar {
    fn push(&mut self, data: Bytes) {
        if self.text().is_empty() {
            self.first = data;
            return;
        }
        self.all.extend_from_slice(&std::mem::take(&mut self.first));
        self.all.extend_from_slice(&data);
    }

    fn text(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }

    fn freeze(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }

    /// The id is looked for in what has come.
    fn unfinished(&self, cause: Cause) -> Fault {
        let ids = match envelope::peek(self.text(), &envelope::Bounds::default()) {
            Ok(_) => Vec::new(),
            Err(fault) => fault.id.iter().map(|id| Box::from(&**id)).collect(),
        };
        Fault { cause, ids, unanswered: false }
    }
}

/// The refusal that belongs to a fault in a message.
pub fn explain(error: &PeekError) -> Cause {
    match error {
        PeekError::NotUtf8 { .. } | PeekError::NotJson { .. } => Cause::NotJson(error.to_string()),
        _ => Cause::BadMessage(error.to_string()),
    }
}
