//! A legacy client on one connection that takes everything that can happen to a call for an answer: nothing here panics
//! because of what comes back, and every wait has an end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::http::{self, Answer, post, request};

/// A call that has no answer by then hangs.
pub const HANG: Duration = Duration::from_secs(12);

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The text of the tool's answer.
    Done(String),
    /// The error that says that the call may have run, under the call's own id.
    Unknown,
    /// There is no such session (any more).
    Gone(String),
    /// Not now, says the gateway.
    NotNow(String),
    /// The balancer itself had nobody who answered.
    Balancer(String),
    /// The connection broke before the answer was there.
    Broken(String),
    /// Nothing came.
    Silence,
    /// Anything else.
    Other(String),
}

impl Outcome {
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// The text of the answer; panics where there is none.
    pub fn text(self) -> String {
        match self {
            Self::Done(text) => text,
            other => panic!("the call failed: {other:?}"),
        }
    }

    /// The server that a tool's answer names.
    pub fn server(&self) -> Option<String> {
        let Self::Done(text) = self else { return None };
        let answer: Value = serde_json::from_str(text).ok()?;
        answer["name"].as_str().map(str::to_owned)
    }
}

/// Why there is no whole answer.
#[derive(Debug)]
pub enum Lost {
    Broken(String),
    Silence,
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silence,
            kind => Self::Broken(format!("{kind:?}")),
        }
    }
}

/// One client with its session.
pub struct Client {
    pub addr: SocketAddr,
    /// The session id that it was given.
    pub session: String,
    /// Fields of every request, such as `Authorization: …`.
    pub fields: Vec<String>,
    from: Option<IpAddr>,
    wire: Option<BufReader<TcpStream>>,
    next: u64,
}

impl Client {
    /// Begins a session, and lists the tools as every client does.
    pub fn open(addr: SocketAddr) -> Self {
        let mut client = Self::new(addr, None, &[]);
        client.begin().unwrap_or_else(|refused| panic!("no session: {refused:?}"));
        client
    }

    /// A client that has no session yet; `from` is the loopback address it comes from.
    pub fn new(addr: SocketAddr, from: Option<IpAddr>, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        Self { addr, session: String::new(), fields, from, wire: None, next: 0 }
    }

    /// The same session at another address.
    pub fn at(&self, addr: SocketAddr) -> Self {
        // Two clients of one session must not use the same request ids.
        let next = self.next + 100_000;
        Self { addr, session: self.session.clone(), fields: self.fields.clone(), from: self.from, wire: None, next }
    }

    /// `initialize` and what follows it.
    ///
    /// # Errors
    /// What became of the first of these that failed.
    pub fn begin(&mut self) -> Result<(), Outcome> {
        self.session.clear();
        let answer = self.exchange(&self.initialize());
        let named = answer.as_ref().ok().and_then(|answer| answer.header("mcp-session-id")).map(str::to_owned);
        outcome_of(answer, 0)?;
        self.session = named.ok_or_else(|| Outcome::Other("no session id".into()))?;
        let noted = self.exchange(&self.message("notifications/initialized", None, &Value::Null));
        match noted {
            Ok(answer) if answer.status == 202 => self.ask("tools/list", &json!({})).map(drop),
            Ok(answer) => Err(Outcome::Other(format!("initialized: {} {}", answer.status, answer.text()))),
            Err(lost) => Err(lost.into()),
        }
    }

    /// What a client says first, as bytes.
    pub fn initialize(&self) -> Vec<u8> {
        let capabilities = json!({ "elicitation": {} });
        let info = json!({ "name": "fleet", "version": "1" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info });
        self.message("initialize", Some(0), &params)
    }

    /// Calls a tool.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Outcome {
        match self.ask("tools/call", &json!({ "name": tool, "arguments": arguments })) {
            Ok(result) if result["isError"] == true => Outcome::Other(result.to_string()),
            Ok(result) => Outcome::Done(result["content"][0]["text"].as_str().unwrap_or_default().to_owned()),
            Err(failed) => failed,
        }
    }

    /// Any request; its result.
    ///
    /// # Errors
    /// What became of it instead.
    pub fn ask(&mut self, method: &str, params: &Value) -> Result<Value, Outcome> {
        let id = self.next_id();
        let message = self.message(method, Some(id), params);
        outcome_of(self.exchange(&message), id)
    }

    /// Ends the session; the status of the answer.
    ///
    /// # Errors
    /// Where there is no whole answer.
    pub fn end(&mut self) -> Result<u16, Lost> {
        let fields = self.own_fields();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        self.exchange(&request("DELETE /mcp", &fields, b"")).map(|answer| answer.status)
    }

    /// Any bytes; the answer, read to its end.
    ///
    /// # Errors
    /// Where there is no whole answer. A connection that was kept and is closed by now is replaced first.
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<Answer, Lost> {
        let mut wire = match self.wire.take().filter(is_open) {
            Some(wire) => wire,
            None => connect(self.addr, self.from)?,
        };
        wire.get_mut().write_all(bytes)?;
        let answer = read_answer(&mut wire)?;
        if answer.header("connection") != Some("close") {
            self.wire = Some(wire);
        }
        Ok(answer)
    }

    /// A message of this session, as bytes.
    pub fn message(&self, method: &str, id: Option<u64>, params: &Value) -> Vec<u8> {
        let mut message = json!({ "jsonrpc": "2.0", "method": method });
        if let Some(id) = id {
            message["id"] = id.into();
        }
        if !params.is_null() {
            message["params"] = params.clone();
        }
        self.posting(&message)
    }

    /// Any JSON that is posted in this session, as bytes.
    pub fn posting(&self, message: &Value) -> Vec<u8> {
        let fields = self.own_fields();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        post(&fields, message.to_string())
    }

    /// The fields that say whose request it is.
    pub fn own_fields(&self) -> Vec<String> {
        let mut fields = self.fields.clone();
        if !self.session.is_empty() {
            fields.push(format!("Mcp-Session-Id: {}", self.session));
            fields.push("MCP-Protocol-Version: 2025-11-25".into());
        }
        fields
    }

    pub fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl From<Lost> for Outcome {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Broken(how) => Self::Broken(how),
            Lost::Silence => Self::Silence,
        }
    }
}

fn connect(addr: SocketAddr, from: Option<IpAddr>) -> io::Result<BufReader<TcpStream>> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&addr.into(), HANG)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(HANG))?;
    stream.set_write_timeout(Some(HANG))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Whether the other end has not closed it meanwhile.
fn is_open(wire: &BufReader<TcpStream>) -> bool {
    let stream = wire.get_ref();
    stream.set_nonblocking(true).is_ok_and(|()| {
        let quiet = stream.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        stream.set_nonblocking(false).is_ok() && quiet
    })
}

fn read_answer(wire: &mut BufReader<TcpStream>) -> Result<Answer, Lost> {
    let mut answer = read_head(wire)?;
    answer.body = match (answer.header("content-length"), answer.header("transfer-encoding")) {
        (Some(length), _) => read_exactly(wire, length.parse().unwrap_or(0))?,
        (None, Some(_)) => read_chunks(wire)?,
        (None, None) if matches!(answer.status, 100..200 | 204 | 304) => Vec::new(),
        (None, None) => {
            let mut body = Vec::new();
            wire.read_to_end(&mut body)?;
            body
        }
    };
    Ok(answer)
}

/// An answer's head, its body still to come.
pub fn read_head(wire: &mut impl BufRead) -> Result<Answer, Lost> {
    let first = read_line(wire)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut headers = Vec::new();
    loop {
        let line = read_line(wire)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Ok(Answer { status, headers, body: Vec::new() }),
        }
    }
}

/// A line without its end; an error where the stream ends before.
pub fn read_line(wire: &mut impl BufRead) -> Result<String, Lost> {
    let mut line = String::new();
    wire.read_line(&mut line)?;
    if line.ends_with('\n') { Ok(line.trim_end().to_owned()) } else { Err(Lost::Broken("closed".into())) }
}

fn read_exactly(wire: &mut impl Read, length: usize) -> Result<Vec<u8>, Lost> {
    let mut body = vec![0; length];
    wire.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(wire: &mut impl BufRead) -> Result<Vec<u8>, Lost> {
    let mut body = Vec::new();
    loop {
        let chunk = read_chunk(wire)?;
        if chunk.is_empty() {
            return Ok(body);
        }
        body.extend(chunk);
    }
}

/// One chunk of a body; the last one is empty.
pub fn read_chunk(wire: &mut impl BufRead) -> Result<Vec<u8>, Lost> {
    let size = read_line(wire)?;
    let size = usize::from_str_radix(&size, 16).map_err(|_| Lost::Broken(format!("no chunk: {size:?}")))?;
    let chunk = read_exactly(wire, size)?;
    read_line(wire)?;
    Ok(chunk)
}

/// The JSON-RPC messages of an answer, whether it is JSON or an event stream.
pub fn messages(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    if http::header(&answer.headers, "content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?).ok()).collect();
    }
    serde_json::from_str(&text).into_iter().collect()
}

fn outcome_of(answer: Result<Answer, Lost>, id: u64) -> Result<Value, Outcome> {
    let answer = answer?;
    let all = messages(&answer);
    let own = all.iter().find(|message| message["id"] == id && message.get("method").is_none());
    if let Some(result) = own.and_then(|message| message.get("result")) {
        return Ok(result.clone());
    }
    let words = format!("{} {}", answer.status, answer.text().chars().take(400).collect::<String>());
    let Some(error) = own.and_then(|message| message.get("error")) else {
        return Err(match answer.status {
            404 => Outcome::Gone(words),
            502 | 504 if words.contains("nginx") => Outcome::Balancer(words),
            _ => Outcome::Other(words),
        });
    };
    Err(match (answer.status, error["data"]["reason"].as_str()) {
        (_, Some("outcome_unknown")) => Outcome::Unknown,
        (404, _) | (_, Some("session_lost" | "session_unknown")) => Outcome::Gone(words),
        (503, _) => Outcome::NotNow(words),
        _ => Outcome::Other(words),
    })
}
