//! `moorline load`: simulated MCP users against any MCP endpoint, and what they met. An open loop: the [plan](plan) of who does what and when
//! is settled before anything is sent, time counts from the planned moment, and what was planned and could not be sent is counted too.
//! It knows Moorline only as an endpoint.

pub mod answer;
pub mod discover;
pub mod events;
pub mod line;
pub mod message;
pub mod mix;
pub mod pacer;
pub mod plan;
pub mod record;
pub mod stream;
pub mod times;
pub mod trouble;
pub mod user;
