//! Moorline stands in front of several replicas of an MCP server and makes them behave like one server that never goes
//! away. Start reading at [`walk`]: it is the program, and every station's room is named there.

pub mod admin;
pub mod app;
pub mod auth;
pub mod authorize;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod drain;
pub mod exchange;
pub mod fleet;
pub mod identify;
pub mod limit;
pub mod listener;
pub mod log;
pub mod mcp;
pub mod meter;
pub mod names;
pub mod notice;
pub mod observe;
pub mod rehome;
pub mod reject;
pub mod relay;
pub mod route;
pub mod seal;
pub mod session;
pub mod store;
pub mod survey;
pub mod sweep;
pub mod tasks;
pub mod tls;
pub mod toll;
pub mod walk;
pub mod wire;
