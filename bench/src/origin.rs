//! The backend that answers as an MCP server would, as cheaply as it can, so that what is measured is the
//! proxy. It believes every request and keeps no sessions: an id is minted, echoed and forgotten.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::http::{self, Request};
use crate::messages::{self, Ask, KEY_ANSWER, KEY_ARGUMENT};

const BACKLOG: u32 = 4096;
const BUFFER: usize = 16 * 1024;
const ID_DIGITS: usize = 8;
const KEY_DIGITS: usize = 8;
const PLACEHOLDER: &[u8] = b"\"id\":10000000";

/// Serves on loopback ports until the process ends. One process for all, as it is not the backends that are measured.
///
/// # Errors
/// If a port can't be had.
pub async fn serve(ports: &[u16]) -> Result<()> {
    let mut backends = JoinSet::new();
    for port in ports {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, *port))).with_context(|| format!("origin port {port}"))?;
        backends.spawn(accept(socket.listen(BACKLOG)?, u64::from(*port)));
    }
    while let Some(ended) = backends.join_next().await {
        ended??;
    }
    Ok(())
}

async fn accept(listener: TcpListener, seed: u64) -> Result<()> {
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    let mut minted = seed << 40;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        minted += 1 << 20;
        tokio::spawn(converse(stream, answers, minted));
    }
}

/// One connection's requests in turn; a fault ends it, and the load generator notices.
async fn converse(mut stream: TcpStream, answers: &'static Answers, mut mint: u64) {
    let mut input = Vec::with_capacity(BUFFER);
    let mut output = Vec::with_capacity(2 * BUFFER);
    loop {
        let taken = match http::request(&input) {
            Ok(Some(request)) => {
                mint += 1;
                answers.write(&request, mint, &mut output);
                request.taken
            }
            Ok(None) => {
                input.reserve(BUFFER);
                match stream.read_buf(&mut input).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => continue,
                }
            }
            Err(fault) => {
                eprintln!("origin: {fault:#}");
                return;
            }
        };
        input.drain(..taken);
        if stream.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}

/// All answers, ready but for session id and request id.
struct Answers {
    initialize: Vec<u8>,
    echo: Vec<u8>,
    modern: Vec<u8>,
    kept: Vec<u8>,
    sse: Vec<u8>,
    burst: Vec<u8>,
    list: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        Self {
            initialize: json(&messages::answer(Ask::Initialize)),
            echo: json(&messages::answer(Ask::Echo)),
            modern: json(&messages::answer(Ask::Modern)),
            kept: json(&messages::answer(Ask::Kept)),
            sse: chunked(Ask::Sse),
            burst: chunked(Ask::Burst),
            list: json(&messages::answer(Ask::List)),
        }
    }

    fn write(&self, request: &Request<'_>, mint: u64, out: &mut Vec<u8>) {
        match (request.method, request.target) {
            ("POST", "/mcp") => self.post(request, mint, out),
            ("GET", "/mcp") => {
                let stream =
                    b"content-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
                head(b"200 OK", request.session, out);
                out.extend_from_slice(stream);
            }
            ("DELETE", "/mcp") => empty(b"200 OK", out),
            _ => empty(b"404 Not Found", out),
        }
    }

    fn post(&self, request: &Request<'_>, mint: u64, out: &mut Vec<u8>) {
        let Some(id) = request_id(request.body) else {
            return empty(b"202 Accepted", out);
        };
        let ask = asked(request.body);
        if ask == Some(Ask::Initialize) {
            head(b"200 OK", Some(session_id(mint).as_bytes()), out);
        } else {
            head(b"200 OK", request.session, out);
        }
        let Some(ask) = ask.filter(|_| id.len() == ID_DIGITS) else {
            return out.extend_from_slice(&uncommon(ask, request.body, id));
        };
        let from = out.len();
        out.extend_from_slice(self.ready(ask));
        // Searched from the end: the answer's own id stands in the last event.
        if let Some(at) = memmem::rfind(&out[from..], PLACEHOLDER) {
            let digits = from + at + PLACEHOLDER.len() - ID_DIGITS;
            out[digits..digits + ID_DIGITS].copy_from_slice(id);
        }
        if ask == Ask::Kept {
            write_key(request.body, &mut out[from..]);
        }
    }

    const fn ready(&self, ask: Ask) -> &Vec<u8> {
        match ask {
            Ask::Initialize => &self.initialize,
            Ask::Echo => &self.echo,
            Ask::Modern | Ask::Refused => &self.modern,
            Ask::Kept => &self.kept,
            Ask::Sse => &self.sse,
            Ask::Burst => &self.burst,
            Ask::List => &self.list,
        }
    }
}

/// Says in an answer which call it is the answer to.
fn write_key(asked: &[u8], answer: &mut [u8]) {
    let after = |text: &[u8], before: &str| Some(memmem::find(text, before.as_bytes())? + before.len());
    let key = after(asked, KEY_ARGUMENT).and_then(|at| asked.get(at..at + KEY_DIGITS));
    let (Some(key), Some(at)) = (key, after(answer, KEY_ANSWER)) else { return };
    if let Some(place) = answer.get_mut(at..at + KEY_DIGITS) {
        place.copy_from_slice(key);
    }
}

/// What a request asks for; `None` for what only a proxy itself would ask (`ping` and the like).
fn asked(body: &[u8]) -> Option<Ask> {
    let has = |needle: &[u8]| memmem::find(body, needle).is_some();
    if has(b"\"method\":\"tools/call\"") {
        return Some(match () {
            () if has(b"\"name\":\"sse\"") => Ask::Sse,
            () if has(b"\"name\":\"burst\"") => Ask::Burst,
            () if has(b"\"name\":\"kept\"") => Ask::Kept,
            () if has(b"io.modelcontextprotocol/protocolVersion") => Ask::Modern,
            () => Ask::Echo,
        });
    }
    match () {
        () if has(b"\"method\":\"tools/list\"") => Some(Ask::List),
        () if has(b"\"method\":\"initialize\"") => Some(Ask::Initialize),
        () => None,
    }
}

/// Answers, without hurry, requests that a proxy makes on its own: with ids of any form and other methods.
fn uncommon(ask: Option<Ask>, body: &[u8], id: &[u8]) -> Vec<u8> {
    let id = String::from_utf8_lossy(id);
    let answer = match ask {
        Some(ask) => messages::answer(ask).replace("\"id\":10000000", &format!("\"id\":{id}")),
        None if memmem::find(body, b"\"ping\"").is_some() => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#),
        None => {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"the origin has no such method"}}}}"#
            )
        }
    };
    json(&answer)
}

fn head(status: &[u8], session: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status);
    out.extend_from_slice(b"\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\n");
    if let Some(session) = session {
        out.extend_from_slice(b"mcp-session-id: ");
        out.extend_from_slice(session);
        out.extend_from_slice(b"\r\n");
    }
}

fn empty(status: &[u8], out: &mut Vec<u8>) {
    head(status, None, out);
    out.extend_from_slice(b"content-length: 0\r\n\r\n");
}

fn json(body: &str) -> Vec<u8> {
    format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn chunked(ask: Ask) -> Vec<u8> {
    let head = "content-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks =
        messages::events(ask).iter().map(|event| format!("{:x}\r\n{event}\r\n", event.len())).collect::<String>();
    format!("{head}{chunks}0\r\n\r\n").into_bytes()
}

/// A request's id as it stands there (eight digits from the load generator); `None` for a notification.
fn request_id(body: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(body, b"\"id\":")? + 5;
    let rest = &body[at..];
    memchr::memchr2(b',', b'}', rest).map(|end| rest[..end].trim_ascii())
}

/// A session id in the form of a UUID, spread evenly (SplitMix64) so that hashing proxies see no pattern.
fn session_id(mint: u64) -> String {
    let (one, two) = (mix(mint), mix(!mint));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        one >> 32,
        one >> 16 & 0xffff,
        one & 0xfff,
        two >> 52,
        two & 0xffff_ffff_ffff
    )
}

const fn mix(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
