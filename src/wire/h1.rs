//! One exchange over one HTTP/1.1 connection, inline: no task, no channel, the caller's own future writes the
//! request and reads the head. The body is [`super::body`]'s.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write as _};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::body::{Decoder, Http1Body, WireBody, poll_read, with_space};
use super::error::{Fault, Phase, WireError};
use super::head::{self, Framing, Head, Keep};
use super::headers::is_hop_by_hop;
use super::pool::Lease;
use super::stream::{Stream, refused_handshake};
use super::{Incoming, Outgoing, Target};

/// Most interim responses before the final one.
const MAX_INTERIM: u8 = 32;

/// Sends the request and reads the response's head.
pub(super) async fn exchange(mut lease: Lease, target: &Target, request: &Outgoing) -> Result<Incoming, WireError> {
    let mut reader = Reader::new(request.method == Method::HEAD, lease.reused);
    let mut written = match &lease.stream {
        Stream::Plain(stream) => send_now(stream, target, request)?,
        Stream::Secure(_) => Written::Partly(Rest::all(target, request)),
    };
    let mut early = None;
    if let Written::Partly(rest) = &mut written {
        early = match &mut lease.stream {
            Stream::Plain(stream) => send_rest(stream, rest, &mut reader).await?,
            // Boxed, like all that is rare here.
            secure @ Stream::Secure(_) => Box::pin(send_secure(secure, rest, &mut reader)).await?,
        };
    }
    let unsent = matches!(&written, Written::Partly(rest) if !rest.is_empty());
    let mut arrived = match early {
        Some(arrived) => arrived,
        None => poll_fn(|cx| reader.poll(cx, &mut lease.stream)).await?,
    };
    if unsent {
        arrived.head.keep = Keep::Close;
    }
    Ok(arrived.into_incoming(lease))
}

/// What became of the first write.
enum Written {
    All,
    Partly(Rest),
}

/// What is still to be written.
struct Rest {
    head: Bytes,
    body: Bytes,
}

impl Rest {
    fn all(target: &Target, request: &Outgoing) -> Self {
        let mut head = Vec::new();
        write_head(&mut head, target, request);
        Self { head: head.into(), body: request.body.clone() }
    }

    const fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }

    /// Writes as much as the socket takes now.
    fn write(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.is_empty() {
            match stream.try_write_vectored(&[IoSlice::new(&self.head), IoSlice::new(&self.body)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let of_head = written.min(self.head.len());
                    drop(self.head.split_to(of_head));
                    drop(self.body.split_to(written - of_head));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Writes head and body with one system call; mostly that is all there is to it, and nothing was allocated.
fn send_now(stream: &TcpStream, target: &Target, request: &Outgoing) -> Result<Written, WireError> {
    thread_local! {
        static WRITE_SPACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    WRITE_SPACE.with(|space| {
        let mut space = space.borrow_mut();
        space.clear();
        write_head(&mut space, target, request);
        let written = match stream.try_write_vectored(&[IoSlice::new(&space), IoSlice::new(&request.body)]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(source) => return Err(WireError::Send { sent_any: false, source }),
        };
        if written == space.len() + request.body.len() {
            return Ok(Written::All);
        }
        let of_head = written.min(space.len());
        let head = Bytes::copy_from_slice(&space[of_head..]);
        Ok(Written::Partly(Rest { head, body: request.body.slice(written - of_head..) }))
    })
}

/// The rest of a request that the socket did not take at once. A backend may answer before it has read everything
/// (a 413, say) and then stop reading: so watch for its answer meanwhile, or both would wait for ever.
async fn send_rest(stream: &TcpStream, rest: &mut Rest, reader: &mut Reader) -> Result<Option<Arrived>, WireError> {
    while !rest.is_empty() {
        let ready = stream.ready(Interest::READABLE | Interest::WRITABLE).await;
        let ready = ready.map_err(|source| WireError::Send { sent_any: true, source })?;
        if ready.is_writable()
            && let Err(source) = rest.write(stream)
        {
            // What it answered before it closed is worth more than the news that it did.
            let answer = reader.try_read(stream).ok().flatten();
            return answer.map(Some).ok_or(WireError::Send { sent_any: true, source });
        }
        if ready.is_readable()
            && let Some(arrived) = reader.try_read(stream)?
        {
            return Ok(Some(arrived));
        }
    }
    Ok(None)
}

/// All of a request over TLS. What has gone into TLS may be out, so every failure leaves doubt; for the rest see [`send_rest`].
async fn send_secure(stream: &mut Stream, rest: &mut Rest, reader: &mut Reader) -> Result<Option<Arrived>, WireError> {
    poll_fn(|cx| {
        let sent = stream.poll_send(cx, (&mut rest.head, &mut rest.body));
        if let Poll::Ready(Ok(())) = sent {
            return Poll::Ready(Ok(None));
        }
        let arrived = reader.poll(cx, stream);
        match (sent, arrived) {
            (_, Poll::Ready(Ok(arrived))) => Poll::Ready(Ok(Some(arrived))),
            (_, Poll::Ready(Err(refused @ WireError::Connect { .. }))) => Poll::Ready(Err(refused)),
            (Poll::Ready(Err(source)), _) => Poll::Ready(Err(WireError::Send { sent_any: true, source })),
            (_, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
            (_, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

fn write_head(out: &mut Vec<u8>, target: &Target, request: &Outgoing) {
    let path = request.path_and_query.as_str();
    let length = request.content_length();
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.extend_from_slice(if path.starts_with('/') { b" " } else { b" /" });
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(target.authority.as_str().as_bytes());
    for (name, value) in &request.headers {
        // Framing and authority are ours to say; a second opinion would be request smuggling.
        if *name == HOST || *name == CONTENT_LENGTH || *name == EXPECT || is_hop_by_hop(name) {
            continue;
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    if let Some(length) = length {
        out.extend_from_slice(b"\r\ncontent-length: ");
        // Writing to a `Vec` cannot fail.
        drop(write!(out, "{length}"));
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// A head that has arrived, and what of the body came with it.
struct Arrived {
    head: Head,
    decoder: Decoder,
    first: Bytes,
    done: bool,
}

impl Arrived {
    /// Starts on the body with the bytes that came after the head.
    fn begin(mut head: Head, rest: &mut [u8]) -> Result<Self, Fault> {
        let mut decoder = Decoder::new(head.framing);
        let decoded = decoder.decode(rest)?;
        if decoded.consumed < rest.len() {
            head.keep = Keep::Close;
        }
        let first = Bytes::copy_from_slice(&rest[decoded.data]);
        Ok(Self { done: decoded.done || head.framing == Framing::Empty, head, decoder, first })
    }

    fn into_incoming(self, lease: Lease) -> Incoming {
        let Head { status, version, headers, keep, .. } = self.head;
        let body = if self.done {
            lease.release(keep);
            WireBody::whole(self.first)
        } else {
            WireBody::http1(Http1Body { lease, decoder: self.decoder, keep, first: self.first })
        };
        Incoming { status, version, headers, body }
    }
}

/// Reads heads: interim ones are passed over, the final one is returned.
struct Reader {
    answers_head: bool,
    reused: bool,
    interim: u8,
    /// What has arrived of a head that is not complete; mostly nothing.
    pending: Vec<u8>,
    /// How much of it has been searched for its end.
    scanned: usize,
}

impl Reader {
    const fn new(answers_head: bool, reused: bool) -> Self {
        Self { answers_head, reused, interim: 0, pending: Vec::new(), scanned: 0 }
    }

    fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<Result<Arrived, WireError>> {
        loop {
            let arrived = with_space(|space| {
                let input = ready!(poll_read(stream, cx, space)).map_err(|source| self.broken(Some(source)))?;
                Poll::Ready(self.take(input))
            });
            if let Some(arrived) = ready!(arrived)? {
                return Poll::Ready(Ok(arrived));
            }
        }
    }

    /// Reads what is there without waiting.
    fn try_read(&mut self, stream: &TcpStream) -> Result<Option<Arrived>, WireError> {
        with_space(|space| match stream.try_read(space) {
            Ok(read) => self.take(&mut space[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(self.broken(Some(error))),
        })
    }

    fn take(&mut self, input: &mut [u8]) -> Result<Option<Arrived>, WireError> {
        if input.is_empty() {
            return Err(self.broken(None));
        }
        let result = if self.pending.is_empty() {
            self.scan(input).map(|(used, arrived)| {
                if arrived.is_none() {
                    self.pending.extend_from_slice(&input[used..]);
                }
                arrived
            })
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(input);
            self.scan(&mut pending).map(|(used, arrived)| {
                pending.drain(..used);
                self.pending = pending;
                arrived
            })
        };
        result.map_err(|what| WireError::Malformed { phase: Phase::Head, what })
    }

    /// Looks for the final head; says how many bytes interim ones took.
    fn scan(&mut self, bytes: &mut [u8]) -> Result<(usize, Option<Arrived>), Fault> {
        let mut start = 0;
        while let Some(end) = head::find_end(&bytes[start..], self.scanned)? {
            let head = head::parse(&bytes[start..start + end], self.answers_head)?;
            self.scanned = 0;
            start += end;
            if !head.status.is_informational() {
                return Ok((start, Some(Arrived::begin(head, &mut bytes[start..])?)));
            }
            self.note_interim(&head)?;
        }
        self.scanned = bytes.len() - start;
        Ok((start, None))
    }

    fn note_interim(&mut self, head: &Head) -> Result<(), Fault> {
        self.interim += 1;
        if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Err(Fault::Upgrade);
        }
        if self.interim > MAX_INTERIM { Err(Fault::TooManyInterim) } else { Ok(()) }
    }

    /// The connection ended or failed before the head was complete.
    fn broken(&self, source: Option<io::Error>) -> WireError {
        let answered = self.interim > 0 || !self.pending.is_empty();
        let source = match source.map(refused_handshake) {
            Some(Ok(refused)) if !answered && !self.reused => return refused,
            Some(Ok(WireError::Connect { source, .. })) => source,
            Some(Err(source)) => Some(source),
            Some(Ok(_)) | None => None,
        };
        match (answered, source) {
            (false, source) => WireError::NoAnswer { reused: self.reused, source },
            (true, None) => WireError::Truncated { phase: Phase::Head },
            (true, Some(source)) => WireError::Read { phase: Phase::Head, source },
        }
    }
}
