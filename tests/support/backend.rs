//! Servers for tests: small ones that behave, of every kind that there is, each of which may be told to do anything else
//! with the requests that the test picks out.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{DEADLINE, http, now, until};

/// Which kind of MCP server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gives session ids, and asks for them.
    Legacy,
    /// Speaks the legacy protocol and gives no session ids.
    Stateless,
    /// 2026-07-28.
    Modern,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Such as `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Received {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The JSON-RPC method.
    pub fn call(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }

    /// The tool that is called.
    pub fn tool(&self) -> String {
        self.json()["params"]["name"].as_str().unwrap_or_default().to_owned()
    }
}

/// What becomes of the connection when a request has been dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Keep,
    Close,
    /// Waits for the other end to hang up, and notes when it did.
    AwaitHangup,
}

/// Deals with a request itself, or returns `None` for the usual behaviour.
type Hook = dyn Fn(&Received, &mut TcpStream) -> Option<After> + Send + Sync;

struct Shared {
    name: String,
    kind: Kind,
    hook: Box<Hook>,
    received: Mutex<Vec<Received>>,
    sessions: Mutex<(HashSet<String>, usize)>,
    connections: Mutex<Vec<TcpStream>>,
    /// When the other end of some connection was seen to hang up.
    hangups: Mutex<Vec<Instant>>,
    frozen: AtomicBool,
    gone: AtomicBool,
}

/// One server.
pub struct Backend {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

impl Backend {
    /// A legacy server that keeps sessions.
    pub fn legacy(name: &str) -> Self {
        Self::new(name, Kind::Legacy, |_, _| None)
    }

    /// A legacy server that gives no session ids.
    pub fn stateless(name: &str) -> Self {
        Self::new(name, Kind::Stateless, |_, _| None)
    }

    /// A modern server.
    pub fn modern(name: &str) -> Self {
        Self::new(name, Kind::Modern, |_, _| None)
    }

    /// A server that behaves like its kind where `hook` returns `None`.
    pub fn new(
        name: &str,
        kind: Kind,
        hook: impl Fn(&Received, &mut TcpStream) -> Option<After> + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0".parse().expect("it is an address"), name, kind, hook)
    }

    /// The same at a fixed address.
    pub fn at(
        addr: SocketAddr,
        name: &str,
        kind: Kind,
        hook: impl Fn(&Received, &mut TcpStream) -> Option<After> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(addr).expect("the address is free");
        let addr = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            kind,
            hook: Box::new(hook),
            received: Mutex::default(),
            sessions: Mutex::default(),
            connections: Mutex::default(),
            hangups: Mutex::default(),
            frozen: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || serving.accept(&listener));
        Self { shared, addr }
    }

    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    /// What it was sent, without probes.
    pub fn received(&self) -> Vec<Received> {
        let received = self.shared.received.lock().expect("no server thread panics");
        received.iter().filter(|request| !is_probe(request)).cloned().collect()
    }

    /// Forgets what it was sent: for those who send for hours.
    pub fn forget_received(&self) {
        self.shared.received.lock().expect("no server thread panics").clear();
    }

    /// Waits for the first request that fits.
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
        until(what, || self.received().into_iter().find(|request| fits(request)))
    }

    /// How many sessions it has.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.lock().expect("no server thread panics").0.len()
    }

    /// Forgets all its sessions, as a restart does.
    pub fn forget(&self) {
        self.shared.sessions.lock().expect("no server thread panics").0.clear();
    }

    /// From now on it answers nothing, and keeps all connections open.
    pub fn freeze(&self) {
        self.shared.frozen.store(true, Ordering::Release);
    }

    /// Closes all connections, and goes on listening.
    pub fn hang_up(&self) {
        for connection in self.shared.connections.lock().expect("no server thread panics").drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Ends as a killed process does: connections break, new ones are refused.
    pub fn kill(&self) {
        if self.shared.gone.swap(true, Ordering::AcqRel) {
            return;
        }
        // Wakes the acceptor, which then drops the listener.
        drop(TcpStream::connect(self.addr));
        for connection in self.shared.connections.lock().expect("no server thread panics").iter() {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
        until("the port is closed", || TcpStream::connect(self.addr).is_err().then_some(()));
    }

    /// Waits until a client's hang-up is noticed, and says when that was.
    pub fn hangup(&self) -> Instant {
        until("the hang-up is noticed", || self.shared.hangups.lock().expect("no server thread panics").pop())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept() {
            if self.gone.load(Ordering::Acquire) {
                return;
            }
            stream.set_nodelay(true).expect("it is a TCP socket");
            self.connections.lock().expect("no server thread panics").push(stream.try_clone().expect("it is open"));
            let shared = Arc::clone(&self);
            std::thread::spawn(move || shared.serve(stream, number));
            number += 1;
        }
    }

    fn serve(&self, mut stream: TcpStream, number: usize) {
        let mut buffer = Vec::new();
        let peer = stream.peer_addr().ok();
        while let Some(request) = read_request(&mut stream, &mut buffer, number) {
            self.received.lock().expect("no server thread panics").push(request.clone());
            while self.frozen.load(Ordering::Acquire) && !self.gone.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let after = (self.hook)(&request, &mut stream).unwrap_or_else(|| self.behave(&request, &mut stream));
            match after {
                After::Keep => {}
                After::Close => break,
                After::AwaitHangup => {
                    self.await_hangup(&mut stream);
                    break;
                }
            }
        }
        // The clone among the connections would keep it open, and a descriptor for each connection that there ever was.
        let is_another = |one: &TcpStream| one.peer_addr().is_ok_and(|other| Some(other) != peer);
        self.connections.lock().expect("no server thread panics").retain(is_another);
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn behave(&self, request: &Received, stream: &mut TcpStream) -> After {
        match self.kind {
            Kind::Modern => reply(stream, &self.result(request)),
            Kind::Stateless => match (request.method.as_str(), request.call().as_str()) {
                ("POST", "") if request.json().get("id").is_none() => accept(stream),
                ("POST", call) if call.starts_with("notifications/") => accept(stream),
                ("POST", _) => reply(stream, &self.result(request)),
                _ => respond(stream, 405, &[("Allow", "POST")], "application/json", b"{}"),
            },
            Kind::Legacy => self.behave_legacy(request, stream),
        }
    }

    fn behave_legacy(&self, request: &Received, stream: &mut TcpStream) -> After {
        let call = request.call();
        if request.method == "POST" && call == "initialize" {
            let id = self.new_session();
            let body = self.result(request).to_string();
            return respond(stream, 200, &[("Mcp-Session-Id", &id)], "application/json", body.as_bytes());
        }
        let Some(id) = request.header("mcp-session-id") else {
            let body = fault(request, "Bad Request: Missing session ID");
            return respond(stream, 400, &[], "application/json", body.as_bytes());
        };
        if !self.sessions.lock().expect("no server thread panics").0.contains(id) {
            let body = fault(request, "Session not found");
            return respond(stream, 404, &[], "application/json", body.as_bytes());
        }
        match request.method.as_str() {
            "DELETE" => {
                self.sessions.lock().expect("no server thread panics").0.remove(id);
                respond(stream, 200, &[], "text/plain", b"")
            }
            "GET" => {
                open_stream(stream, &[]);
                After::AwaitHangup
            }
            _ if request.json()["id"].is_null() || call.is_empty() => accept(stream),
            _ if call == "tools/call" && request.tool() == "hang" => After::AwaitHangup,
            _ => {
                let body = self.result(request).to_string();
                respond(stream, 200, &[("Mcp-Session-Id", id)], "application/json", body.as_bytes())
            }
        }
    }

    fn new_session(&self) -> String {
        let mut sessions = self.sessions.lock().expect("no server thread panics");
        sessions.1 += 1;
        let id = format!("{}-{:08}", self.name, sessions.1);
        sessions.0.insert(id.clone());
        id
    }

    fn result(&self, request: &Received) -> Value {
        let id = &request.json()["id"];
        let session = request.header("mcp-session-id").unwrap_or("none");
        let text = match request.tool().as_str() {
            "session" => session.to_owned(),
            _ => self.name.clone(),
        };
        let result = match request.call().as_str() {
            "initialize" => json!({
                "protocolVersion": request.json()["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": self.name, "version": "1"},
            }),
            _ => json!({"content": [{"type": "text", "text": text}]}),
        };
        json!({"jsonrpc": "2.0", "id": id, "result": result})
    }

    fn await_hangup(&self, stream: &mut TcpStream) {
        if await_hangup(stream) && !self.gone.load(Ordering::Acquire) {
            self.hangups.lock().expect("no server thread panics").push(now());
        }
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.shared.name, self.addr)
    }
}

fn is_probe(request: &Received) -> bool {
    request.json()["id"] == "moorline-probe"
}

/// The text of a JSON-RPC error for this request.
pub fn fault(request: &Received, message: &str) -> String {
    json!({"jsonrpc": "2.0", "id": request.json()["id"], "error": {"code": -32000, "message": message}}).to_string()
}

/// 202.
pub fn accept(stream: &mut TcpStream) -> After {
    respond(stream, 202, &[], "text/plain", b"")
}

/// 200 with this JSON.
pub fn reply(stream: &mut TcpStream, body: &Value) -> After {
    respond(stream, 200, &[], "application/json", body.to_string().as_bytes())
}

/// An answer of declared length.
pub fn respond(stream: &mut TcpStream, status: u16, more: &[(&str, &str)], kind: &str, body: &[u8]) -> After {
    let mut head = format!("HTTP/1.1 {status} Something\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in more {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    write(stream, &[head.as_bytes(), body].concat())
}

/// Writes bytes as they are; closes where nobody takes them.
pub fn write(stream: &mut TcpStream, bytes: &[u8]) -> After {
    if stream.write_all(bytes).is_ok() { After::Keep } else { After::Close }
}

/// The head of an event stream, in chunks.
pub fn open_stream(stream: &mut TcpStream, more: &[(&str, &str)]) {
    let mut head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n".to_owned();
    for (name, value) in more {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    write(stream, head.as_bytes());
}

/// One chunk of a stream.
pub fn chunk(stream: &mut TcpStream, text: &str) -> After {
    write(stream, format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

/// The last chunk.
pub fn end_stream(stream: &mut TcpStream) -> After {
    write(stream, b"0\r\n\r\n")
}

/// Waits until the other end hangs up; false where it did not in time.
pub fn await_hangup(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(2 * DEADLINE)).expect("it is a positive time");
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Received> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        fill(stream, buffer)?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    buffer.drain(..end + 4);
    let body = if http::header(&headers, "transfer-encoding").is_some() {
        let mut body = Vec::new();
        while let Some(chunk) = read_chunk(stream, buffer)?.filter(|chunk| !chunk.is_empty()) {
            body.extend(chunk);
        }
        body
    } else {
        let length = http::header(&headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        take(stream, buffer, length)?
    };
    Some(Received { method, target, headers, body, connection })
}

/// The next chunk, which is empty at the end; the inner none is for a size that is no number.
fn read_chunk(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Option<Vec<u8>>> {
    let end = loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            break end;
        }
        fill(stream, buffer)?;
    };
    let size = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let Ok(size) = usize::from_str_radix(size.trim(), 16) else { return Some(None) };
    buffer.drain(..end + 2);
    let chunk = take(stream, buffer, size)?;
    take(stream, buffer, 2)?;
    Some(Some(chunk))
}

fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    while buffer.len() < count {
        fill(stream, buffer)?;
    }
    Some(buffer.drain(..count).collect())
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut more = [0; 16384];
    match stream.read(&mut more) {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            buffer.extend_from_slice(&more[..read]);
            Some(())
        }
    }
}
