//! `moorline load`: simulated MCP users against any MCP endpoint, and what they met. An open loop: the [plan](plan) of who does what and when
//! is settled before anything is sent, time counts from the planned moment, and what was planned and could not be sent is counted too.
//! It knows Moorline only as an endpoint.

pub mod aftermath;
pub mod answer;
pub mod board;
pub mod chaos;
mod crew;
pub mod discover;
pub mod events;
pub mod fairness;
pub mod html;
pub mod keep;
pub mod line;
pub mod message;
pub mod mix;
pub mod pacer;
pub mod plan;
pub mod process;
pub mod record;
pub mod report;
pub mod run;
pub mod series;
pub mod stream;
pub mod summary;
pub mod times;
pub mod trouble;
pub mod user;
pub mod words;
