//! Counts the frames on an HTTP/2 connection and ends it when a client sends little else than work: pings, settings, priorities,
//! windows by the byte, streams that are reset as soon as they are opened. Each such frame is allowed, and a program that obeys
//! all of them does nothing else (CVE-2019-9512 to 9515, CVE-2023-44487, CVE-2025-8671). What frames mean is hyper's business.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::Guard;
use crate::observe::metrics::Metrics;

/// The length of what a client says first (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// The length of a frame's head (RFC 9113 §4.1), and of the code behind it in a reset.
const HEAD: usize = 9;
const WITH_CODE: usize = HEAD + 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

/// Codes of resets that are no fault (RFC 9113 §7): none, and what is not wanted any more.
const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;

/// Frames that a client may send at once beside its requests, at least.
const BURST: u32 = 2000;
/// Of which it gets back so many at each tick of the sweep.
const REFILL: u32 = 100;
/// A stream that was opened for nothing has cost more than a frame.
const RESET: u32 = 5;
/// A piece of an answer may be acknowledged by two frames (for the stream and the connection), and by one more for so many bytes.
const ACKNOWLEDGED: usize = 512;
/// A piece of a body that is shorter than this is counted, unless it is the last one.
const SHORT: usize = 64;

/// The client sent little else than work.
#[derive(Debug, thiserror::Error)]
#[error("a flood of http/2 frames")]
pub struct Flood;

/// A connection whose frames are counted.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    heard: Scan,
    said: Scan,
    left: u32,
    burst: u32,
    tick: u32,
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
}

impl<S> Frames<S> {
    /// Counts the frames of a connection on which so many streams may be open at the same time.
    pub fn new(stream: S, guard: Arc<Guard>, metrics: Arc<Metrics>, max_streams: u32) -> Self {
        // Whoever gives up all that it has open has done nothing wrong.
        let burst = BURST.max(max_streams.saturating_mul(2 * RESET));
        let tick = guard.tick();
        Self { stream, heard: Scan::after(PREFACE), said: Scan::after(0), left: burst, burst, tick, guard, metrics }
    }

    /// What has been read; an error where it was too much.
    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        let now = self.guard.tick();
        let back = now.wrapping_sub(self.tick).saturating_mul(REFILL);
        (self.tick, self.left) = (now, self.left.saturating_add(back).min(self.burst));
        let left = &mut self.left;
        self.heard.feed(bytes, |frame| *left = left.saturating_sub(frame.cost()));
        if self.left > 0 { Ok(()) } else { Err(io::Error::other(Flood)) }
    }

    /// What has been written.
    fn say(&mut self, bytes: &[u8]) {
        let (left, metrics) = (&mut self.left, &self.metrics);
        self.said.feed(bytes, |frame| {
            if frame.kind == RST_STREAM && !matches!(frame.code, NO_ERROR | CANCEL) {
                *left = left.saturating_sub(RESET);
                metrics.refusals.count("http2_stream");
            }
            if frame.kind == DATA {
                let windows = u32::try_from(2 + frame.length / ACKNOWLEDGED).unwrap_or(u32::MAX);
                *left = left.saturating_add(windows).min(self.burst);
            }
        });
    }
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    /// Of a reset alone; else 0.
    code: u32,
}

impl Head {
    /// What it costs a client to send it.
    const fn cost(self) -> u32 {
        match self.kind {
            // A request is counted elsewhere; a goodbye comes once.
            HEADERS | GOAWAY => 0,
            DATA if self.length >= SHORT || self.flags & END_STREAM != 0 => 0,
            RST_STREAM => RESET,
            _ => 1,
        }
    }
}

/// Finds the heads of frames in a stream of bytes.
#[derive(Debug)]
struct Scan {
    /// Bytes that are still to be passed over.
    skip: usize,
    head: [u8; WITH_CODE],
    have: usize,
}

impl Scan {
    const fn after(skip: usize) -> Self {
        Self { skip, head: [0; WITH_CODE], have: 0 }
    }

    fn feed(&mut self, mut bytes: &[u8], mut on: impl FnMut(Head)) {
        loop {
            let passed = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - passed, &bytes[passed..]);
            let taken = bytes.len().min(self.wants() - self.have);
            if taken == 0 {
                return;
            }
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            (self.have, bytes) = (self.have + taken, &bytes[taken..]);
            if self.have == self.wants() {
                on(self.take());
            }
        }
    }

    /// Bytes of the head that are needed: more where it is a reset, which has a code behind it.
    fn wants(&self) -> usize {
        if self.have >= HEAD && self.head[3] == RST_STREAM && self.length() >= 4 { WITH_CODE } else { HEAD }
    }

    fn length(&self) -> usize {
        usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2])
    }

    fn take(&mut self) -> Head {
        let length = self.length();
        let code = match self.have {
            WITH_CODE => u32::from_be_bytes([self.head[9], self.head[10], self.head[11], self.head[12]]),
            _ => 0,
        };
        self.skip = length - (self.have - HEAD);
        self.have = 0;
        Head { length, kind: self.head[3], flags: self.head[4], code }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &polled {
            this.hear(&buffer.filled()[before..])?;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, buffer);
        if let Poll::Ready(Ok(written)) = &polled {
            this.say(&buffer[..*written]);
        }
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, buffers);
        if let Poll::Ready(Ok(written)) = &polled {
            let mut left = *written;
            for buffer in buffers {
                let part = left.min(buffer.len());
                this.say(&buffer[..part]);
                left -= part;
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    proptest! {
        /// However the bytes are cut, the same frames are seen.
        #[test]
        fn frames_are_found_wherever_the_bytes_are_cut(
            frames in prop::collection::vec((0_u8..12, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            piece in 1_usize..30,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, payload)).collect();
            let (mut scan, mut seen) = (Scan::after(0), Vec::new());
            bytes.chunks(piece).for_each(|part| scan.feed(part, |head| seen.push(head)));
            let expected: Vec<Head> = frames.iter().map(|(kind, flags, payload)| {
                let code = payload.first_chunk().filter(|_| *kind == RST_STREAM).map_or(0, |code| u32::from_be_bytes(*code));
                Head { length: payload.len(), kind: *kind, flags: *flags, code }
            }).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
