//! One client connection of the load generator: sends a request, takes the whole answer, and compares it with
//! the right one. An answer that is wrong in any byte that matters is an error, for it makes the measurement void.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{self, Chunks, Framing, Head};
use crate::keys::Keys;
use crate::messages::{self, Ask, FIRST_ID, LEGACY, MODERN, Numbered};

const BUFFER: usize = 32 * 1024;
const LAST_ID: u32 = 99_999_999;

/// A connection with its buffers.
pub struct Connection {
    addr: SocketAddr,
    stream: TcpStream,
    input: Vec<u8>,
    body: Vec<u8>,
}

/// A request that is sent again and again with a new id, and the answer that it must get.
#[derive(Clone)]
pub struct Call {
    request: Numbered,
    expected: Numbered,
    id: u32,
    may_be_refused: bool,
    may_be_kept: bool,
    keys: Option<Keys>,
}

/// Where a right answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A server.
    Server,
    /// A cache, which says so.
    Cache,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await.with_context(|| format!("connect to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { addr, stream, input: Vec::new(), body: Vec::new() })
    }

    /// Sends `initialize` and returns the session's id.
    ///
    /// # Errors
    /// If the answer is not the right one or names no session.
    pub async fn initialize(&mut self) -> Result<String> {
        let mut call = Call::new(Ask::Initialize, self.addr, None);
        self.send(call.next()).await?;
        let head = self.receive().await?;
        ensure!(head.status == 200, "initialize was answered {}: {}", head.status, self.body_text());
        ensure!(self.body == call.expected.bytes(), "initialize was answered wrongly: {}", self.body_text());
        http::answer_header(&self.input, "mcp-session-id").context("initialize was answered without a session id")
    }

    /// Sends `notifications/initialized`.
    ///
    /// # Errors
    /// If it is not answered with 202.
    pub async fn initialized(&mut self, session: &str) -> Result<()> {
        let body = messages::initialized();
        let head = post_head(self.addr, &session_headers(session), body.len());
        self.send(format!("{head}{body}").as_bytes()).await?;
        let head = self.receive().await?;
        ensure!(head.status == 202, "notifications/initialized was answered {}", head.status);
        Ok(())
    }

    /// Makes a call and compares the answer. Says where it came from.
    ///
    /// # Errors
    /// If the answer is not the right one.
    pub async fn call(&mut self, call: &mut Call) -> Result<Source> {
        self.send(call.next()).await?;
        let head = self.receive().await?;
        if call.may_be_refused && head.status == 429 {
            return Ok(Source::Server);
        }
        let source = if head.hit { Source::Cache } else { Source::Server };
        ensure!(head.status == 200, "a call was answered {}: {}", head.status, self.body_text());
        let expected = call.expected.bytes();
        if call.may_be_kept && messages::is_kept_answer(&self.body, expected) {
            return Ok(source);
        }
        if self.body != expected && !(head.event_stream && messages::same_events(&self.body, expected)) {
            bail!("a call was answered wrongly: {}", self.body_text());
        }
        Ok(source)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// If the answer is no success.
    pub async fn delete(&mut self, session: &str) -> Result<()> {
        self.send(bodiless("DELETE", self.addr, session).as_bytes()).await?;
        let head = self.receive().await?;
        ensure!((200..300).contains(&head.status), "DELETE was answered {}", head.status);
        Ok(())
    }

    /// Opens the session's notification stream; only [`Connection::alive`] may follow.
    ///
    /// # Errors
    /// If the answer is not a stream of events.
    pub async fn listen(&mut self, session: &str) -> Result<()> {
        self.send(bodiless("GET", self.addr, session).as_bytes()).await?;
        let head = self.receive_head().await?;
        ensure!(head.status == 200 && head.event_stream, "GET was answered {}", head.status);
        self.input = Vec::new();
        Ok(())
    }

    /// Whether the other side has kept the connection open. What it sent meanwhile is dropped.
    pub fn alive(&self) -> bool {
        let mut scratch = [0; 4096];
        loop {
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(fault) => return fault.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    async fn send(&mut self, wire: &[u8]) -> Result<()> {
        self.input.clear();
        self.body.clear();
        self.stream.write_all(wire).await.context("send a request")
    }

    async fn receive(&mut self) -> Result<Head> {
        let head = self.receive_head().await?;
        let end = match head.framing {
            Framing::Length(length) => {
                while self.input.len() < head.end + length {
                    self.more().await?;
                }
                self.body.extend_from_slice(&self.input[head.end..head.end + length]);
                head.end + length
            }
            Framing::Chunked => {
                let mut chunks = Chunks::new(head.end);
                loop {
                    if let Some(end) = chunks.advance(&self.input, &mut self.body)? {
                        break end;
                    }
                    self.more().await?;
                }
            }
        };
        ensure!(end == self.input.len(), "{} bytes follow an answer", self.input.len() - end);
        Ok(head)
    }

    async fn receive_head(&mut self) -> Result<Head> {
        loop {
            if let Some(head) = http::answer_head(&self.input)? {
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<()> {
        self.input.reserve(BUFFER);
        let read = self.stream.read_buf(&mut self.input).await.context("receive an answer")?;
        ensure!(read > 0, "the connection was closed after {} bytes of an answer", self.input.len());
        Ok(())
    }

    fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

impl Call {
    /// Prepares a call; `session` is needed by all but modern calls and `initialize`.
    pub fn new(ask: Ask, addr: SocketAddr, session: Option<&str>) -> Self {
        let body = messages::request(ask);
        let headers = match (ask, session) {
            (Ask::Modern | Ask::Refused | Ask::Kept, _) => {
                let tool = messages::tool(ask);
                format!("mcp-protocol-version: {MODERN}\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n")
            }
            (_, Some(session)) => session_headers(session),
            (_, None) => String::new(),
        };
        let head = post_head(addr, &headers, body.len());
        let request = Numbered::new(format!("{head}{body}").into_bytes());
        Self {
            request,
            expected: Numbered::new(messages::body(ask)),
            id: FIRST_ID - 1,
            may_be_refused: ask == Ask::Refused,
            may_be_kept: ask == Ask::Kept,
            keys: None,
        }
    }

    /// The same, each time with the next of these keys.
    pub fn drawn(self, keys: Keys) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// From now on with this key.
    pub fn set_key(&mut self, key: u32) {
        self.request.set_key(key);
        self.expected.set_key(key);
    }

    /// The next request's bytes, with a new id; the expected answer gets the same.
    fn next(&mut self) -> &[u8] {
        self.id = if self.id == LAST_ID { FIRST_ID } else { self.id + 1 };
        self.request.set_id(self.id);
        self.expected.set_id(self.id);
        if let Some(key) = self.keys.as_mut().map(Keys::next) {
            self.set_key(key);
        }
        self.request.bytes()
    }
}

/// What the official TypeScript client sends with Node's `fetch`.
fn post_head(addr: SocketAddr, headers: &str, length: usize) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {addr}\r\nconnection: keep-alive\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\n{headers}accept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n\
         accept-encoding: gzip, deflate\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn bodiless(method: &str, addr: SocketAddr, session: &str) -> String {
    let headers = session_headers(session);
    format!(
        "{method} /mcp HTTP/1.1\r\nhost: {addr}\r\nconnection: keep-alive\r\naccept: text/event-stream\r\n{headers}\
         accept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n\r\n"
    )
}

fn session_headers(session: &str) -> String {
    format!("mcp-protocol-version: {LEGACY}\r\nmcp-session-id: {session}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What a call to a server that answers with `body` comes to.
    async fn answered_with(body: String) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let serve = async {
            let (mut stream, _) = listener.accept().await?;
            stream.read_buf(&mut Vec::with_capacity(BUFFER)).await?;
            let wire = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(wire.as_bytes()).await?;
            anyhow::Ok(stream)
        };
        let ask = async {
            let mut connection = Connection::open(addr).await?;
            connection.call(&mut Call::new(Ask::Echo, addr, Some("s"))).await
        };
        let (served, asked) = tokio::join!(serve, ask);
        served?;
        asked.map(|_| ())
    }

    #[tokio::test]
    async fn one_wrong_byte_is_an_error() {
        let right = messages::answer(Ask::Echo);
        answered_with(right.clone()).await.unwrap();
        assert!(answered_with(right.replace("moored", "mooted")).await.is_err());
        assert!(answered_with(right.replace("10000000", "10000001")).await.is_err());
        assert!(answered_with(String::new()).await.is_err());
    }
}
