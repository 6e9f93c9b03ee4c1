//! Facts of the Model Context Protocol and of the formats it travels in: JSON-RPC envelopes, server-sent
//! events, headers. Pure functions over bytes; it does no I/O, keeps no clock and knows no session.

pub mod accept;
pub mod canonical;
pub mod capabilities;
pub mod catalogue;
pub mod crossing;
pub mod dialect;
pub mod envelope;
pub mod fault;
pub mod frame;
pub mod header;
pub mod input_required;
pub mod late_id;
pub mod listen;
pub mod needle;
pub mod params;
pub mod raw;
pub mod replay;
pub mod scanner;
pub mod splice;
pub mod sse;
pub mod tool_list;
pub mod trace_context;
pub mod version;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod stream_laws;
