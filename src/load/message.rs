//! What simulated users say: requests of both eras, as bytes and header fields. No sockets; what an answer means is `answer`'s matter.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::mcp::header;
use crate::mcp::raw;
use crate::mcp::version::{
    Era, LAST_EVENT_ID, MCP_METHOD, MCP_NAME, MCP_PROTOCOL_VERSION, MCP_SESSION_ID, META_CLIENT_CAPABILITIES,
    META_CLIENT_INFO, META_PROTOCOL_VERSION, V2025_11_25, V2026_07_28,
};

/// Stands in arguments for a number that no other call of the run has.
pub const UNIQUE: &str = "{unique}";

const CLIENT: &str = concat!("{\"name\":\"moorline-load\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}");
const AGENT: &str = concat!("moorline-load/", env!("CARGO_PKG_VERSION"));
const BOTH: &str = "application/json, text/event-stream";
const EVENTS: &str = "text/event-stream";

/// What is asked of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `tools/call`.
    Tool {
        /// Its name.
        name: String,
        /// A JSON object; [`UNIQUE`] in it is filled in.
        arguments: String,
    },
    /// `tools/list`.
    ListTools {
        /// Where the page begins that is asked for.
        cursor: Option<String>,
    },
    /// `resources/list`.
    ListResources,
    /// `resources/read`.
    Read {
        /// Which one.
        uri: String,
    },
    /// `ping`; in the modern era, which has none, `server/discover`.
    Ping,
    /// `subscriptions/listen`, for changes of lists (modern era).
    Listen,
}

impl Ask {
    /// The method in that era.
    #[must_use]
    pub const fn method(&self, era: Era) -> &'static str {
        match (self, era) {
            (Self::Tool { .. }, _) => "tools/call",
            (Self::ListTools { .. }, _) => "tools/list",
            (Self::ListResources, _) => "resources/list",
            (Self::Read { .. }, _) => "resources/read",
            (Self::Ping, Era::Legacy) => "ping",
            (Self::Ping, Era::Modern) => "server/discover",
            (Self::Listen, _) => "subscriptions/listen",
        }
    }

    /// What the `Mcp-Name` field says (2026-07-28, Request Metadata).
    fn name(&self) -> Option<&str> {
        match self {
            Self::Tool { name, .. } => Some(name),
            Self::Read { uri } => Some(uri),
            _ => None,
        }
    }

    /// The members of `params`, without braces.
    fn members(&self, id: u64) -> String {
        match self {
            Self::Tool { name, arguments } => {
                let arguments = arguments.replace(UNIQUE, &id.to_string());
                format!("\"name\":{},\"arguments\":{arguments}", raw::quote(name))
            }
            Self::Read { uri } => format!("\"uri\":{}", raw::quote(uri)),
            Self::ListTools { cursor: Some(cursor) } => format!("\"cursor\":{}", raw::quote(cursor)),
            Self::Listen => "\"notifications\":{\"toolsListChanged\":true}".to_owned(),
            Self::ListTools { cursor: None } | Self::ListResources | Self::Ping => String::new(),
        }
    }

    /// The request's body.
    #[must_use]
    pub fn body(&self, era: Era, id: u64) -> Bytes {
        let (method, mut members) = (self.method(era), self.members(id));
        if era == Era::Modern {
            let comma = if members.is_empty() { "" } else { "," };
            members = format!("{members}{comma}\"_meta\":{}", meta());
        }
        let params = if members.is_empty() { String::new() } else { format!(",\"params\":{{{members}}}") };
        Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"{params}}}"))
    }
}

/// What every modern request says of its sender.
fn meta() -> String {
    format!(
        "{{\"{META_PROTOCOL_VERSION}\":\"{V2026_07_28}\",\"{META_CLIENT_INFO}\":{CLIENT},\"{META_CLIENT_CAPABILITIES}\":{{}}}}"
    )
}

/// The legacy handshake's first message.
#[must_use]
pub fn initialize(id: u64) -> Bytes {
    Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{V2025_11_25}\",\
         \"capabilities\":{{}},\"clientInfo\":{CLIENT}}}}}"
    ))
}

/// Its last one.
pub const INITIALIZED: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";

/// The answer to a request of the server's: nothing to a ping, and to all else that there is no such method.
#[must_use]
pub fn reply(id: &str, method: &str) -> Bytes {
    let outcome = match method {
        "ping" => "\"result\":{}",
        _ => "\"error\":{\"code\":-32601,\"message\":\"simulated users do not do that\"}",
    };
    Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{outcome}}}"))
}

/// A session as its messages name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The server's id; none where it gives none.
    pub id: Option<HeaderValue>,
    /// The version that was agreed upon; none before.
    pub version: Option<HeaderValue>,
}

/// Header fields that all requests of a user carry, and those of each kind.
#[derive(Clone, Debug)]
pub struct Fields {
    common: HeaderMap,
}

impl Fields {
    /// With these of the run's own, such as `Authorization`, which win over ours.
    #[must_use]
    pub fn new(own: &[(HeaderName, HeaderValue)]) -> Self {
        let mut common = HeaderMap::new();
        common.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in own {
            common.insert(name.clone(), value.clone());
        }
        Self { common }
    }

    fn posting(&self) -> HeaderMap {
        let mut fields = self.common.clone();
        fields.insert(ACCEPT, HeaderValue::from_static(BOTH));
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields
    }

    /// Of a legacy message.
    #[must_use]
    pub fn legacy(&self, session: &Session) -> HeaderMap {
        let mut fields = self.posting();
        name_session(&mut fields, session);
        fields
    }

    /// Of a modern request.
    #[must_use]
    pub fn modern(&self, ask: &Ask) -> HeaderMap {
        let mut fields = self.posting();
        fields.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(V2026_07_28));
        fields.insert(MCP_METHOD, HeaderValue::from_static(ask.method(Era::Modern)));
        if let Some(value) = ask.name().and_then(|name| HeaderValue::from_str(&header::encode(name)).ok()) {
            fields.insert(MCP_NAME, value);
        }
        fields
    }

    /// Of a GET for an event stream, from behind `last` on.
    #[must_use]
    pub fn stream(&self, session: &Session, last: Option<&str>) -> HeaderMap {
        let mut fields = self.common.clone();
        fields.insert(ACCEPT, HeaderValue::from_static(EVENTS));
        name_session(&mut fields, session);
        if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
            fields.insert(LAST_EVENT_ID, last);
        }
        fields
    }

    /// Of a DELETE.
    #[must_use]
    pub fn bare(&self, session: &Session) -> HeaderMap {
        let mut fields = self.common.clone();
        name_session(&mut fields, session);
        fields
    }
}

fn name_session(fields: &mut HeaderMap, session: &Session) {
    if let Some(id) = &session.id {
        fields.insert(MCP_SESSION_ID, id.clone());
    }
    if let Some(version) = &session.version {
        fields.insert(MCP_PROTOCOL_VERSION, version.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::mcp::envelope::{Body, Bounds, peek};

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn arguments_get_a_number_of_their_own() {
        let ask = Ask::Tool { name: "a \"b\"".into(), arguments: r#"{"q":"{unique}","n":{unique}}"#.into() };
        let said = value(&ask.body(Era::Legacy, 7));
        assert_eq!(said["params"], json!({"name": "a \"b\"", "arguments": {"q": "7", "n": 7}}));
        assert_eq!((&said["id"], &said["method"]), (&json!(7), &json!("tools/call")));
    }

    #[test]
    fn modern_requests_are_what_a_server_checks() {
        let tool = Ask::Tool { name: "grüße".into(), arguments: "{}".into() };
        for ask in [tool, Ask::ListTools { cursor: None }, Ask::Read { uri: "a://b".into() }, Ask::Ping, Ask::Listen] {
            let body = ask.body(Era::Modern, 1);
            let Ok(Body::One(message)) = peek(&body, &Bounds::default()) else { panic!("{body:?}") };
            header::check_modern(&Fields::new(&[]).modern(&ask), &message).unwrap();
            assert!(value(&body)["params"]["_meta"][META_CLIENT_CAPABILITIES].is_object());
        }
    }

    #[test]
    fn a_message_names_its_session_and_what_it_was_told_to() {
        let own = (HeaderName::from_static("authorization"), HeaderValue::from_static("Bearer x"));
        let session =
            Session { id: Some(HeaderValue::from_static("s1")), version: Some(HeaderValue::from_static(V2025_11_25)) };
        let fields = Fields::new(&[own]);
        for headers in [fields.legacy(&session), fields.stream(&session, Some("e1")), fields.bare(&session)] {
            assert_eq!(
                (&headers[MCP_SESSION_ID], &headers["authorization"]),
                (&"s1".parse().unwrap(), &"Bearer x".parse().unwrap())
            );
        }
        assert_eq!(fields.stream(&session, Some("e1"))[LAST_EVENT_ID], "e1");
        assert!(!fields.legacy(&Session::default()).contains_key(MCP_PROTOCOL_VERSION));
        assert_eq!(value(&initialize(1))["params"]["protocolVersion"], V2025_11_25);
        assert_eq!(value(&reply("\"s\"", "ping")), json!({"jsonrpc": "2.0", "id": "s", "result": {}}));
    }
}
