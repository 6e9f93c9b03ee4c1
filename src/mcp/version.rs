//! Versions, eras, error codes and the names of headers and `_meta` keys. It decides nothing but which era a
//! version belongs to: whether a version is supported is the backend's word.

use http::HeaderName;

/// First protocol revision with the Streamable HTTP transport.
pub const V2025_03_26: &str = "2025-03-26";
/// Second legacy revision: brings the `MCP-Protocol-Version` header, drops batches.
pub const V2025_06_18: &str = "2025-06-18";
/// Last legacy revision.
pub const V2025_11_25: &str = "2025-11-25";
/// First modern revision: no handshake, no session.
pub const V2026_07_28: &str = "2026-07-28";

/// Every revision that is known here, oldest first.
pub const KNOWN: [&str; 4] = [V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28];

/// What a legacy server assumes where the header is absent (2025-06-18, Streamable HTTP).
pub const ASSUMED_WITHOUT_HEADER: &str = V2025_03_26;

/// The two ages of the protocol, told apart by the version's date.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Era {
    /// 2025-03-26 to 2025-11-25: `initialize`, sessions, GET streams.
    Legacy,
    /// From 2026-07-28: every request carries its own metadata.
    Modern,
}

impl Era {
    /// The era of a version string. Versions are dates and compare as text; whatever is no well-formed date is
    /// legacy, where the backend refuses it in its own words.
    #[must_use]
    pub fn of(version: &str) -> Self {
        if is_date(version) && version >= V2026_07_28 { Self::Modern } else { Self::Legacy }
    }
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
}

/// Headers do not match the body, or a required one is missing (2026-07-28, Server Validation).
pub const HEADER_MISMATCH: i64 = -32_020;
/// The request needs a client capability that was not declared (2026-07-28).
pub const MISSING_CLIENT_CAPABILITY: i64 = -32_021;
/// The server does not implement the requested version (2026-07-28).
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32_022;
/// The body is not JSON (JSON-RPC 2.0 §5.1).
pub const PARSE_ERROR: i64 = -32_700;
/// The JSON is no JSON-RPC message (JSON-RPC 2.0 §5.1).
pub const INVALID_REQUEST: i64 = -32_600;
/// No such method (JSON-RPC 2.0 §5.1).
pub const METHOD_NOT_FOUND: i64 = -32_601;
/// The parameters do not fit the method (JSON-RPC 2.0 §5.1).
pub const INVALID_PARAMS: i64 = -32_602;
/// The server failed (JSON-RPC 2.0 §5.1).
pub const INTERNAL: i64 = -32_603;

/// Names a legacy session.
pub const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Names the protocol version, from 2025-06-18 on.
pub const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Mirrors `method`, from 2026-07-28 on.
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// Mirrors `params.name` or `params.uri`, from 2026-07-28 on.
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
/// The last event a client has seen, legacy only (WHATWG HTML §9.2.4).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// `no` tells reverse proxies not to buffer a stream.
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `_meta` key of the request's protocol version.
pub const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of the client's name and version.
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `_meta` key of the client's capabilities.
pub const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of the subscription that a notification belongs to.
pub const META_SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_part_at_2026_07_28() {
        assert_eq!(KNOWN.map(Era::of), [Era::Legacy, Era::Legacy, Era::Legacy, Era::Modern]);
        assert_eq!(Era::of("2026-07-27"), Era::Legacy);
        assert_eq!(Era::of("2031-01-01"), Era::Modern);
    }

    #[test]
    fn what_is_no_date_is_legacy() {
        for odd in ["", "draft", "DRAFT-2026-v1", "2026-7-28", "9999-99-9x", "2026/07/28", "2026-07-28 "] {
            assert_eq!(Era::of(odd), Era::Legacy, "{odd}");
        }
    }
}
