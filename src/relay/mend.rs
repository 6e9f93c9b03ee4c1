//! What becomes of a stream whose backend is lost: the rest of it is asked for elsewhere, underneath the client's open stream.
//! How, whoever owns the walk says; here is only what the stream sees of it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::Sent;
use crate::exchange::Lesson;
use crate::reject::Cause;

/// Asks for the rest of a stream elsewhere. It is told the id of the last event that the client has, as the client knows it.
pub type Mend = Box<dyn Fn(Option<Box<str>>) -> Mending + Send + Sync>;

/// The rest of a stream, or why there is none.
pub type Mended = Result<(Sent, Option<Lesson>), Cause>;

/// A stream is being mended.
pub type Mending = Pin<Box<dyn Future<Output = Mended> + Send>>;

/// A response that came as plain JSON, for a stream that has begun.
pub(super) fn as_event(message: &[u8]) -> Bytes {
    let lines = message.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut event = b"event: message\n".to_vec();
    for line in lines.filter(|line| !line.is_empty()) {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}
