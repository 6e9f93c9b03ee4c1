//! The front door as callers, servers and operators meet it: who is let in, what each may do and sees, and what becomes of that
//! when a credential ends.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod allowed;
mod callers;
mod issuer;
mod moves;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use support::http::{ask, post_to};
use support::session::initialize;
use support::{Answer, Backend, Setup};

/// A file of keys, which tests change while an instance reads it.
pub(crate) struct Keys {
    folder: tempfile::TempDir,
}

/// What a key is for; the key itself is its name with `moor_` before it.
pub(crate) const ALICE: &str = r#"name = "alice"
scopes = ["mcp:read"]
claims = { org = "acme" }"#;
pub(crate) const BOB: &str = r#"name = "bob"
scopes = ["mcp:read", "mcp:admin"]
claims = { org = "acme" }"#;
pub(crate) const CAROL: &str = r#"name = "carol"
claims = { org = "other" }"#;

impl Keys {
    /// A file with these keys.
    pub(crate) fn of(keys: &[&str]) -> Self {
        let keys_file = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        keys_file.write(keys);
        keys_file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// Puts other keys into the file, as editors do: a new file takes its place.
    pub(crate) fn write(&self, keys: &[&str]) {
        let mut text = String::new();
        for key in keys {
            let name = key.lines().next().and_then(|line| line.split('"').nth(1)).expect("a key begins with its name");
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key_of(name).as_bytes());
            let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!("[[key]]\n{key}\nhash = \"sha256:{hash}\"\n\n"));
        }
        let mut file = tempfile::NamedTempFile::new_in(self.folder.path()).expect("the folder can be written");
        file.write_all(text.as_bytes()).expect("the file can be written");
        file.persist(self.path()).expect("it takes the other's place");
    }

    /// An instance's configuration that lets in whoever has one of the keys.
    pub(crate) fn setup(&self, backends: &[&Backend]) -> Setup {
        let urls: Vec<String> = backends.iter().map(|backend| backend.url()).collect();
        Setup::of(&urls).key("auth.mode = \"api_keys\"").key(&format!("auth.keys_file = {:?}", self.path()))
    }
}

/// The key of a caller.
pub(crate) fn key_of(name: &str) -> String {
    format!("moor_{name}_0123456789abcdefghijklmnopqrstuvwxyz")
}

/// The header field in which a caller shows its key.
pub(crate) fn shows(name: &str) -> String {
    format!("Authorization: Bearer {}", key_of(name))
}

/// A legacy client that shows a credential with all that it sends.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) addr: SocketAddr,
    pub(crate) credential: String,
    pub(crate) session: String,
}

impl Client {
    /// Opens a session.
    pub(crate) fn open(addr: SocketAddr, credential: &str) -> Self {
        let answer = ask(addr, &post_to("/mcp", &[credential], initialize("0")));
        assert_eq!(answer.status, 200, "initialize: {}", answer.text());
        let session = answer.header("mcp-session-id").expect("the answer names the session").to_owned();
        let client = Self { addr, credential: credential.to_owned(), session };
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    /// The same session as somebody else, or with another credential.
    pub(crate) fn with(&self, credential: &str) -> Self {
        Self { credential: credential.to_owned(), ..self.clone() }
    }

    pub(crate) fn headers(&self) -> [String; 2] {
        [self.credential.clone(), format!("Mcp-Session-Id: {}", self.session)]
    }

    pub(crate) fn send(&self, message: &Value) -> Answer {
        let [credential, session] = self.headers();
        let fields = [credential.as_str(), session.as_str(), "MCP-Protocol-Version: 2025-11-25"];
        ask(self.addr, &post_to("/mcp", &fields, message.to_string()))
    }

    pub(crate) fn ask(&self, method: &str, params: &Value) -> Answer {
        self.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
    }

    pub(crate) fn call(&self, tool: &str) -> Answer {
        self.ask("tools/call", &json!({ "name": tool, "arguments": {} }))
    }

    /// The names of the tools that it is shown.
    pub(crate) fn tools(&self) -> Vec<String> {
        names_in(&self.ask("tools/list", &json!({})))
    }
}

/// The names in an answer to `tools/list`, be it JSON or an event.
pub(crate) fn names_in(answer: &Answer) -> Vec<String> {
    let text = answer.text();
    let json = text.lines().find_map(|line| line.strip_prefix("data: ").filter(|data| data.contains("result")));
    let list: Value = serde_json::from_str(json.unwrap_or(&text)).unwrap_or_default();
    let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("no list of tools: {text}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
}
