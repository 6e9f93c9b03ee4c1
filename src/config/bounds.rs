//! What one client may cost: the settings, and how they are read. What is done where a bound is exceeded is others' business.

use std::time::Duration;

use super::read::preset;
use super::schema::bounds;
use super::tree::Reader;

/// What one client may cost. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A request's body.
    pub max_body: usize,
    /// All header fields of one message together.
    pub max_header_block: usize,
    /// Header fields in one message.
    pub max_headers: usize,
    /// A request's target (path and query).
    pub max_url: usize,
    /// How deep JSON may nest.
    pub max_depth: usize,
    /// Messages in one JSON-RPC batch.
    pub max_batch: usize,
    /// From a connection's or request's first byte to the end of its header fields.
    pub header_timeout: Duration,
    /// From the end of the header fields to the end of the body.
    pub body_timeout: Duration,
    /// How long a kept connection may stay without a request.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    pub write_timeout: Duration,
    /// Client connections at the same time, over all listening addresses.
    pub max_connections: usize,
    /// From a connection's acceptance to its first byte.
    pub first_byte_timeout: Duration,
    /// Client connections of one address, or of one IPv6 network, at the same time.
    pub max_connections_per_address: usize,
    /// Requests on one client connection.
    pub max_requests_per_connection: u32,
    /// Bytes of an incomplete server-sent event that are held back at most.
    pub max_event: usize,
    /// The largest JSON answer that is buffered because ids in it may have to be rewritten.
    pub inspect: usize,
    /// HTTP/2 streams in one client connection.
    pub max_streams_per_connection: u32,
    /// Open notification streams (GET and `subscriptions/listen`) at the same time.
    pub max_listen_streams: usize,
    /// Those of one caller.
    pub max_listen_streams_per_caller: usize,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Bounds {
    Bounds {
        max_body: reader.get(&bounds::MAX_BODY),
        max_header_block: reader.get(&bounds::MAX_HEADER_BLOCK),
        max_headers: reader.get(&bounds::MAX_HEADERS),
        max_url: reader.get(&bounds::MAX_URL),
        max_depth: reader.get(&bounds::MAX_DEPTH),
        max_batch: reader.get(&bounds::MAX_BATCH),
        header_timeout: reader.get(&bounds::HEADER_TIMEOUT),
        body_timeout: reader.get(&bounds::BODY_TIMEOUT),
        idle_timeout: reader.get(&bounds::IDLE_TIMEOUT),
        write_timeout: reader.get(&bounds::WRITE_TIMEOUT),
        max_connections: reader.get(&bounds::MAX_CONNECTIONS),
        first_byte_timeout: reader.get(&bounds::FIRST_BYTE_TIMEOUT),
        max_connections_per_address: reader.get(&bounds::MAX_CONNECTIONS_PER_ADDRESS),
        max_requests_per_connection: reader.get(&bounds::MAX_REQUESTS_PER_CONNECTION),
        max_event: reader.get(&bounds::MAX_EVENT),
        inspect: reader.get(&bounds::INSPECT),
        max_streams_per_connection: reader.get(&bounds::MAX_STREAMS_PER_CONNECTION),
        max_listen_streams: reader.get(&bounds::MAX_LISTEN_STREAMS),
        max_listen_streams_per_caller: reader.get(&bounds::MAX_LISTEN_STREAMS_PER_CALLER),
    }
}

impl Default for Bounds {
    fn default() -> Self {
        preset(&bounds::BOUNDS, read)
    }
}
