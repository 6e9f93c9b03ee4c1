//! What results hang on, as tags: whoever orders something to be forgotten and whoever keeps a result must name it alike.

use crate::names::{PoolId, SessionId};
use crate::seal::digest;
use crate::store::results::{Key, Tag};

fn tag(kind: &[u8], parts: &[&[u8]]) -> Tag {
    let all: Vec<&[u8]> = std::iter::once(kind).chain(parts.iter().copied()).collect();
    Tag(u64::from_be_bytes(digest(&all)))
}

/// One result alone.
pub fn result(key: &Key) -> Tag {
    tag(b"result", &[&key.0])
}

/// Everything.
pub fn all() -> Tag {
    tag(b"all", &[])
}

/// Everything of one pool.
pub fn pool(pool: PoolId) -> Tag {
    tag(b"pool", &[&pool.0.to_be_bytes()])
}

/// The results of one tool.
pub fn tool(pool: PoolId, name: &str) -> Tag {
    tag(b"tool", &[&pool.0.to_be_bytes(), name.as_bytes()])
}

/// The results of one method that names no tool.
pub fn method(pool: PoolId, name: &str) -> Tag {
    tag(b"method", &[&pool.0.to_be_bytes(), name.as_bytes()])
}

/// What was read from one resource.
pub fn resource(pool: PoolId, uri: &str) -> Tag {
    tag(b"resource", &[&pool.0.to_be_bytes(), uri.as_bytes()])
}

/// The results of the tools whose names fit a pattern of the configuration.
pub fn glob(pool: PoolId, pattern: &str) -> Tag {
    tag(b"glob", &[&pool.0.to_be_bytes(), pattern.as_bytes()])
}

/// The results of tools that more patterns fit than can be noted; forgotten with each of them.
pub fn any_glob(pool: PoolId) -> Tag {
    tag(b"any glob", &[&pool.0.to_be_bytes()])
}

/// What one caller has asked for, by its name or address.
pub fn caller(name: &str) -> Tag {
    tag(b"caller", &[name.as_bytes()])
}

/// What was asked for in one session.
pub fn session(id: SessionId) -> Tag {
    tag(b"session", &[&id.0.to_be_bytes()])
}

/// The results of rules with this tag.
pub fn named(name: &str) -> Tag {
    tag(b"named", &[name.as_bytes()])
}
