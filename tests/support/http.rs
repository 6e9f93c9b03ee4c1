//! A client that sends exactly what it is told to, and reads answers to their end: no library smooths anything out.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::DEADLINE;

/// What an endpoint is sent with every message unless the test says otherwise.
pub const USUAL: [&str; 2] = ["Content-Type: application/json", "Accept: application/json, text/event-stream"];

/// An answer, read to its end.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The text of a tool's result.
    pub fn said(&self) -> String {
        let body = self.json();
        let text = body["result"]["content"][0]["text"].as_str();
        assert!(text.is_some(), "no tool result: {} {}", self.status, self.text());
        text.unwrap_or_default().to_owned()
    }
}

/// The first value of a field.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A request with a body, its length declared.
pub fn request(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\n");
    if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
        head.push_str("Host: localhost\r\n");
    }
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if !line.starts_with("GET") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// A message to `path` with the usual header fields and more.
pub fn post_to(path: &str, more: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    request(&format!("POST {path}"), &[&USUAL, more].concat(), body.as_ref())
}

/// A message to `/mcp`.
pub fn post(more: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    post_to("/mcp", more, body)
}

/// A GET.
pub fn get(path: &str, headers: &[&str]) -> Vec<u8> {
    request(&format!("GET {path}"), headers, b"")
}

/// A GET of a session's stream.
pub fn listen(session: &str, more: &[&str]) -> Vec<u8> {
    let session = format!("Mcp-Session-Id: {session}");
    get("/mcp", &[&["Accept: text/event-stream", session.as_str()], more].concat())
}

/// Sends bytes on a connection of their own and reads one answer.
pub fn ask(addr: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = Connection::to(addr);
    connection.send(request);
    connection.answer()
}

/// How an answer's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    tls: Option<Box<rustls::ClientConnection>>,
    read: Vec<u8>,
    framing: Framing,
    body: Vec<u8>,
    ended: bool,
}

impl Connection {
    /// Connects.
    pub fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("somebody listens there");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is a positive time");
        stream.set_write_timeout(Some(DEADLINE)).expect("it is a positive time");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self { stream, tls: None, read: Vec::new(), framing: Framing::Close, body: Vec::new(), ended: false }
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// Why there was no handshake. A server may refuse a client's certificate only after it (RFC 8446 §4.4.2.4).
    pub fn secure(addr: SocketAddr, name: &str, config: &Arc<rustls::ClientConfig>) -> std::io::Result<Self> {
        Self::prefixed(addr, b"", name, config)
    }

    /// The same after something that is said in clear text.
    ///
    /// # Errors
    /// As [`Connection::secure`].
    pub fn prefixed(
        addr: SocketAddr,
        prefix: &[u8],
        name: &str,
        config: &Arc<rustls::ClientConfig>,
    ) -> std::io::Result<Self> {
        let mut connection = Self::to(addr);
        connection.send(prefix);
        let name = name.to_owned().try_into().expect("the test knows a name");
        let tls = rustls::ClientConnection::new(Arc::clone(config), name).expect("the configuration is good");
        let mut tls = Box::new(tls);
        while tls.is_handshaking() {
            tls.complete_io(&mut connection.stream)?;
        }
        connection.tls = Some(tls);
        Ok(connection)
    }

    /// Connects, says the first words of a handshake, and nothing more.
    pub fn hello(addr: SocketAddr, name: &str, config: &Arc<rustls::ClientConfig>) -> Self {
        let mut connection = Self::to(addr);
        let name = name.to_owned().try_into().expect("the test knows a name");
        let mut tls = rustls::ClientConnection::new(Arc::clone(config), name).expect("the configuration is good");
        tls.write_tls(&mut connection.stream).expect("the other end reads");
        connection
    }

    /// Whether the handshake took up an earlier session.
    pub fn was_resumed(&self) -> bool {
        let kind = self.tls.as_ref().and_then(|tls| tls.handshake_kind());
        kind == Some(rustls::HandshakeKind::Resumed)
    }

    /// Waits for something to read, without taking it.
    pub fn await_bytes(&self) {
        assert!(self.stream.peek(&mut [0]).expect("something comes") > 0);
    }

    /// What the other end has shown.
    pub fn certificate(&self) -> Vec<u8> {
        let shown = self.tls.as_ref().and_then(|tls| tls.peer_certificates()?.first());
        shown.expect("it has shown a certificate").to_vec()
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.write(bytes).expect("the other end reads");
    }

    /// Sends these bytes, unless the other end has had enough.
    pub fn offer(&mut self, bytes: &[u8]) -> bool {
        self.write(bytes).is_ok()
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write_all(bytes),
            None => self.stream.write_all(bytes),
        }
    }

    /// Our own address.
    pub fn addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("it is connected")
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
    }

    /// Reads one whole answer.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        self.rest();
        answer.body = std::mem::take(&mut self.body);
        answer
    }

    /// Reads one whole answer, unless the connection ends before it begins.
    pub fn try_answer(&mut self) -> Option<Answer> {
        self.await_head()?;
        Some(self.answer())
    }

    /// Where the head ends that has come.
    fn await_head(&mut self) -> Option<usize> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                return Some(end);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads an answer's head; its body is still to come.
    pub fn head(&mut self) -> Answer {
        let end = self.await_head();
        assert!(end.is_some(), "closed before a head came; so far: {:?}", String::from_utf8_lossy(&self.read));
        let end = end.unwrap_or_default();
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        self.framing = match header(&headers, "content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Framing::Length(length),
            None if header(&headers, "transfer-encoding") == Some("chunked") => Framing::Chunked,
            None if status == 204 || status == 304 || status < 200 => Framing::Length(0),
            None => Framing::Close,
        };
        self.ended = self.framing == Framing::Length(0);
        self.body.clear();
        Answer { status, headers, body: Vec::new() }
    }

    /// Reads on until the body has `text` in it, and returns the body up to its end. None where the body ends before.
    pub fn read_to(&mut self, text: &str) -> Option<String> {
        loop {
            if let Some(at) = find(&self.body, text.as_bytes()) {
                let part = self.body.drain(..at + text.len()).collect();
                return Some(String::from_utf8(part).expect("the answer is text"));
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next server-sent event (or comment), without the empty line behind it.
    pub fn event(&mut self) -> Option<String> {
        self.read_to("\n\n").map(|event| event.trim_end().to_owned())
    }

    /// Reads the rest of the body, and returns it.
    pub fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the body ended as HTTP says, rather than being cut.
    pub fn ended_well(&mut self) -> bool {
        self.rest();
        self.ended
    }

    /// Whether the other end has closed, having sent nothing more.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill()
    }

    /// Whether nothing comes for this long.
    pub fn is_quiet_for(&mut self, time: Duration) -> bool {
        let before = self.body.len();
        self.stream.set_read_timeout(Some(time)).expect("it is a positive time");
        let mut byte = [0];
        let quiet = self.read.is_empty() && self.body.len() == before && self.stream.peek(&mut byte).is_err();
        self.stream.set_read_timeout(Some(DEADLINE)).expect("it is a positive time");
        quiet
    }

    /// Takes in more of the body; false where it has ended or was cut.
    fn more(&mut self) -> bool {
        loop {
            if self.ended {
                return false;
            }
            if self.unframe() {
                return true;
            }
            if self.ended {
                return false;
            }
            if !self.fill() {
                self.ended = self.framing == Framing::Close;
                self.read.clear();
                return false;
            }
        }
    }

    /// Moves what is there from the socket's bytes to the body's.
    fn unframe(&mut self) -> bool {
        match self.framing {
            Framing::Close => {
                let any = !self.read.is_empty();
                self.body.append(&mut self.read);
                any
            }
            Framing::Length(left) => {
                let now = left.min(self.read.len());
                self.body.extend(self.read.drain(..now));
                self.framing = Framing::Length(left - now);
                self.ended = left == now;
                now > 0
            }
            Framing::Chunked => self.unchunk(),
        }
    }

    fn unchunk(&mut self) -> bool {
        let Some(line) = find(&self.read, b"\r\n") else { return false };
        let size = String::from_utf8_lossy(&self.read[..line]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk begins with its size");
        let end = line + 2 + size;
        if self.read.len() < end + 2 {
            return false;
        }
        self.body.extend_from_slice(&self.read[line + 2..end]);
        self.read.drain(..end + 2);
        self.ended = size == 0;
        size > 0
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let read = match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(&mut buffer),
            None => self.stream.read(&mut buffer),
        };
        match read {
            Ok(read) => {
                self.read.extend_from_slice(&buffer[..read]);
                read > 0
            }
            Err(error) => {
                let silent = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                assert!(!silent, "nothing came in time; so far: {:?}", String::from_utf8_lossy(&self.body));
                false
            }
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
