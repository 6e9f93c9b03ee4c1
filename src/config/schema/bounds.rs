//! The rows of what one client may cost. Decides nothing else.

use super::{DAY, HOUR, KIB, MIB, MILLISECOND, count, key, period, size};
use crate::config::quantity::{Count, Period, Size};
use crate::config::tree::{Key, Section, Shape};

section! { BOUNDS: Table "bounds", "What one client may cost. Whatever exceeds a bound is refused.", below [];
    MAX_BODY: Key<Size> = key("max_body", r#""4MiB""#, size(KIB, 1024 * MIB, 64 * MIB),
        "A request's body.");
    MAX_HEADER_BLOCK: Key<Size> = key("max_header_block", r#""32KiB""#, size(KIB, MIB, 256 * KIB),
        "All header fields of one message together.");
    MAX_HEADERS: Key<Count<usize>> = key("max_headers", "100", count(16, 100, 100),
        "Header fields in one message.");
    MAX_URL: Key<Size> = key("max_url", r#""8KiB""#, size(256, 64 * KIB, 64 * KIB),
        "A request's path and query.");
    MAX_DEPTH: Key<Count<usize>> = key("max_depth", "128", count(8, 1024, 512),
        "How deep JSON may nest.");
    MAX_BATCH: Key<Count<usize>> = key("max_batch", "100", count(1, 10_000, 1000),
        "Messages in one JSON-RPC batch.");
    HEADER_TIMEOUT: Key<Period> = key("header_timeout", r#""10s""#, period(MILLISECOND, HOUR),
        "From a request's first byte to the end of its header fields.");
    BODY_TIMEOUT: Key<Period> = key("body_timeout", r#""30s""#, period(MILLISECOND, HOUR),
        "From the end of the header fields to the end of the body.");
    IDLE_TIMEOUT: Key<Period> = key("idle_timeout", r#""75s""#, period(MILLISECOND, DAY),
        "How long a connection is kept without a request.");
    WRITE_TIMEOUT: Key<Period> = key("write_timeout", r#""30s""#, period(MILLISECOND, HOUR),
        "How long a client may take nothing of an answer that waits for it.");
    FIRST_BYTE_TIMEOUT: Key<Period> = key("first_byte_timeout", r#""10s""#, period(MILLISECOND, HOUR),
        "How long a new connection may say nothing.");
    MAX_CONNECTIONS: Key<Count<usize>> = key("max_connections", "10_000", count(1, 1_000_000, 100_000),
        "Client connections at the same time. Each needs a file descriptor.");
    MAX_CONNECTIONS_PER_ADDRESS: Key<Count<usize>> = key("max_connections_per_address", "1_000", count(1, 1_000_000, 100_000),
        "Client connections of one address at the same time; of an IPv6 network as large as limits.ipv6_prefix says. Trusted proxies may have any number.");
    MAX_REQUESTS_PER_CONNECTION: Key<Count<u32>> = key("max_requests_per_connection", "100_000", count(1, 1_000_000_000, 1_000_000_000),
        "Requests on one client connection. After the last one it is closed in good order (Connection: close, GOAWAY).");
    MAX_EVENT: Key<Size> = key("max_event", r#""64KiB""#, size(KIB, 64 * MIB, 4 * MIB),
        "Bytes of an incomplete server-sent event that are held back at most.");
    INSPECT: Key<Size> = key("inspect", r#""1MiB""#, size(KIB, 256 * MIB, 16 * MIB),
        "The largest JSON answer that is buffered where ids in it may have to be rewritten.");
    MAX_STREAMS_PER_CONNECTION: Key<Count<u32>> = key("max_streams_per_connection", "256", count(1, 10_000, 1000),
        "HTTP/2 streams in one client connection.");
    MAX_LISTEN_STREAMS: Key<Count<usize>> = key("max_listen_streams", "10_000", count(1, 1_000_000, 100_000),
        "Open notification streams (GET and subscriptions/listen) at the same time.");
    MAX_LISTEN_STREAMS_PER_CALLER: Key<Count<usize>> = key("max_listen_streams_per_caller", "1_000", count(1, 1_000_000, 100_000),
        "Those of one caller: of one address where callers are not authenticated.");
}
