//! A client that writes HTTP/2 frames as it is told to, and reads what comes back (RFC 9113, RFC 7541). It keeps no rules at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::DEADLINE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

/// How a stream, or the whole connection, came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was given up, with this code.
    GoAway(u32),
    Closed,
}

pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Http2 {
    socket: TcpStream,
    read: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field that is not kept in the table, without Huffman coding.
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0], integer(name.len()).as_slice(), name, integer(value.len()).as_slice(), value].concat()
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
pub fn integer(value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![u8::try_from(value).unwrap()];
    }
    let (mut bytes, mut rest) = (vec![127], value - 127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// The fields of an honest message, and more.
pub fn head(more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/mcp"),
        (":authority", "localhost"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    block(&[&usual, more].concat())
}

pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

impl Http2 {
    /// A connection on which nothing has been said.
    pub fn silent(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { socket, read: Vec::new() }
    }

    /// A connection that has begun well.
    pub fn open(addr: SocketAddr) -> Self {
        Self::open_with(addr, &[])
    }

    pub fn open_with(addr: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut http = Self::silent(addr);
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        http.send(PREFACE);
        http.put(SETTINGS, 0, 0, &payload);
        http
    }

    /// Sends bytes; false where the other end has had enough.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    pub fn put(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send(&frame(kind, flags, stream, payload))
    }

    /// A whole message.
    pub fn ask(&mut self, stream: u32, more: &[(&str, &str)], body: &str) -> bool {
        self.put(HEADERS, END_HEADERS, stream, &head(more)) && self.put(DATA, END_STREAM, stream, body.as_bytes())
    }

    /// The next frame; none where the connection has ended.
    pub fn next(&mut self) -> Option<Frame> {
        while self.read.len() < 9 {
            self.fill()?;
        }
        let length = usize::from(self.read[0]) << 16 | usize::from(self.read[1]) << 8 | usize::from(self.read[2]);
        while self.read.len() < 9 + length {
            self.fill()?;
        }
        let frame: Vec<u8> = self.read.drain(..9 + length).collect();
        let stream = u32::from_be_bytes(frame[5..9].try_into().unwrap()) & 0x7fff_ffff;
        Some(Frame { kind: frame[3], stream, payload: frame[9..].to_vec() })
    }

    fn fill(&mut self) -> Option<()> {
        let mut buffer = [0; 65536];
        match self.socket.read(&mut buffer) {
            Ok(0) => None,
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                Some(())
            }
            Err(error) => {
                let silent = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                assert!(!silent, "nothing came in time");
                None
            }
        }
    }

    /// How this stream ends, or the connection before it.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(frame) = self.next() {
            match frame.kind {
                HEADERS if frame.stream == stream => return Outcome::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Outcome::Reset(number(&frame.payload)),
                GOAWAY if number(&frame.payload[4..]) != 0 => return Outcome::GoAway(number(&frame.payload[4..])),
                _ => {}
            }
        }
        Outcome::Closed
    }

    /// How the connection ends, whatever becomes of its streams.
    pub fn end(&mut self) -> Outcome {
        self.outcome(u32::MAX)
    }
}

fn number(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

/// The status, which stands first: from the static table, or with the name of entry 8 and a value in Huffman coding.
fn status(block: &[u8]) -> u16 {
    let block = match block {
        [update, rest @ ..] if update & 0xe0 == 0x20 => rest,
        _ => block,
    };
    match block {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x48 | 0x08, length, text @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&text[..3]).unwrap().parse().unwrap()
        }
        [0x48 | 0x08, length, text @ ..] => digits(&text[..usize::from(length & 0x7f)]),
        _ => panic!("no status in {block:?}"),
    }
}

/// Digits in Huffman coding: 0 to 2 have five bits, the others six (RFC 7541, appendix B).
fn digits(text: &[u8]) -> u16 {
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
        let digit = if five <= 2 {
            at += 5;
            five
        } else {
            at += 6;
            u16::from_str_radix(&bits[at - 6..at], 2).unwrap() - 0b01_1001 + 3
        };
        value = value * 10 + digit;
    }
    value
}
