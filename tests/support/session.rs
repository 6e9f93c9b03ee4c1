//! A legacy client's session, and modern requests: what a well-behaved client sends.

use std::net::SocketAddr;

use super::http::{Answer, ask, listen, post_to, request};

/// What a legacy client says first.
pub fn initialize(id: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{{}},\"clientInfo\":{{\"name\":\"test\",\"version\":\"1\"}}}}}}"
    )
}

/// A tool call of a legacy client; `id` is raw JSON.
pub fn call(id: &str, tool: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{{}}}}}}"
    )
}

/// A tool call of a modern client.
pub fn modern_call(id: &str, tool: &str) -> Vec<u8> {
    modern("/mcp", &[], (id, "tools/call"), &format!("\"name\":\"{tool}\",\"arguments\":{{}}"))
}

/// A modern request: `params` is the raw JSON of the params beside `_meta`.
pub fn modern(path: &str, more: &[&str], (id, method): (&str, &str), params: &str) -> Vec<u8> {
    let comma = if params.is_empty() { "" } else { "," };
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{{\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientInfo\":{{\"name\":\"test\",\"version\":\"1\"}},\"io.modelcontextprotocol/clientCapabilities\":{{}}}}{comma}{params}}}}}"
    );
    let parsed: serde_json::Value = serde_json::from_str(&body).expect("the test writes JSON");
    let name = parsed["params"]["name"].as_str().or(parsed["params"]["uri"].as_str());
    let name = name.map(|name| format!("Mcp-Name: {name}"));
    let method = format!("Mcp-Method: {method}");
    let mut headers = vec!["MCP-Protocol-Version: 2026-07-28", method.as_str()];
    headers.extend(name.as_deref());
    headers.extend(more);
    post_to(path, &headers, body)
}

/// A legacy client's session.
#[derive(Clone, Debug)]
pub struct Session {
    addr: SocketAddr,
    path: String,
    pub id: String,
}

impl Session {
    /// Initialises at `/mcp`.
    pub fn open(addr: SocketAddr) -> Self {
        Self::open_at(addr, "/mcp")
    }

    /// Initialises at `path`.
    pub fn open_at(addr: SocketAddr, path: &str) -> Self {
        let answer = ask(addr, &post_to(path, &[], initialize("0")));
        assert_eq!(answer.status, 200, "initialize: {}", answer.text());
        let id = answer.header("mcp-session-id").expect("the answer names the session").to_owned();
        let session = Self { addr, path: path.to_owned(), id };
        let noted = session.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", &[]);
        assert_eq!(noted.status, 202, "initialized: {}", noted.text());
        session
    }

    /// The same session as a client of another instance.
    pub fn at(&self, addr: SocketAddr) -> Self {
        Self { addr, ..self.clone() }
    }

    /// Another session of the same server.
    pub fn other(&self, id: String) -> Self {
        Self { id, ..self.clone() }
    }

    /// The field that names it.
    pub fn header(&self) -> String {
        format!("Mcp-Session-Id: {}", self.id)
    }

    /// A message of this session, as bytes.
    pub fn message(&self, body: impl AsRef<[u8]>, more: &[&str]) -> Vec<u8> {
        post_to(&self.path, &[&[self.header().as_str(), "MCP-Protocol-Version: 2025-11-25"], more].concat(), body)
    }

    /// Sends a message.
    pub fn send(&self, body: impl AsRef<[u8]>, more: &[&str]) -> Answer {
        ask(self.addr, &self.message(body, more))
    }

    /// Calls a tool.
    pub fn call(&self, tool: &str) -> Answer {
        self.send(call("1", tool), &[])
    }

    /// A GET of its stream, as bytes.
    pub fn listen(&self, more: &[&str]) -> Vec<u8> {
        listen(&self.id, more)
    }

    /// Ends it.
    pub fn end(&self) -> Answer {
        ask(self.addr, &request(&format!("DELETE {}", self.path), &[self.header().as_str()], b""))
    }
}
