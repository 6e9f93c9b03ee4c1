//! The works that are measured: what each one does, and how it is counted. Facts only.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::keys::Draw;
use crate::messages::{Ask, BURST_EVENTS};

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// `tools/call`, small JSON answer
    Json,
    /// The same answered as one server-sent event
    Sse,
    /// A burst of 100 server-sent events, then the answer; counted per event
    Burst,
    /// `tools/list` of 8 KiB
    List,
    /// `tools/call` of the modern era
    Modern,
    /// `tools/call` of the modern era under a limit that admits all of them
    Limited,
    /// The same refused by a limit; without a proxy answered as usual
    Refused,
    /// `tools/call` of the modern era whose answer of 8 KiB the cache has; other proxies relay it
    Hit,
    /// The same with arguments of which nine in ten were there before, by Zipf's law
    Zipf,
    /// The same with arguments that were never there before
    Miss,
    /// Connect, initialize, one call, DELETE, close; counted per session
    Session,
    /// Small calls at a fixed rate: latency
    Paced,
    /// Small calls at a fixed rate from sessions that each hold an open GET stream: latency
    Crowd,
    /// Memory per idle open GET stream
    Idle,
}

/// How a work is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// Every connection sends its next request as soon as it has the last answer.
    Closed(Ask),
    /// The same with calls whose answers may be kept; which of them comes next is drawn.
    Drawn(Draw),
    /// Every connection goes through whole sessions.
    Sessions,
    /// Requests start on time, whether or not earlier ones are answered.
    Paced {
        /// Whether each session also holds a GET stream open.
        streams: bool,
    },
    /// Streams are opened, then nothing happens.
    Idle,
}

impl Work {
    /// The name in file, table and command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Sse => "sse",
            Self::Burst => "burst",
            Self::List => "list",
            Self::Modern => "modern",
            Self::Limited => "limited",
            Self::Refused => "refused",
            Self::Hit => "hit",
            Self::Zipf => "zipf",
            Self::Miss => "miss",
            Self::Session => "session",
            Self::Paced => "paced",
            Self::Crowd => "crowd",
            Self::Idle => "idle",
        }
    }

    /// How it is driven.
    pub const fn drive(self) -> Drive {
        match self {
            Self::Json => Drive::Closed(Ask::Echo),
            Self::Sse => Drive::Closed(Ask::Sse),
            Self::Burst => Drive::Closed(Ask::Burst),
            Self::List => Drive::Closed(Ask::List),
            Self::Modern | Self::Limited => Drive::Closed(Ask::Modern),
            Self::Refused => Drive::Closed(Ask::Refused),
            Self::Hit => Drive::Drawn(Draw::One),
            Self::Zipf => Drive::Drawn(Draw::Zipf),
            Self::Miss => Drive::Drawn(Draw::New),
            Self::Session => Drive::Sessions,
            Self::Paced => Drive::Paced { streams: false },
            Self::Crowd => Drive::Paced { streams: true },
            Self::Idle => Drive::Idle,
        }
    }

    /// Whether a cache has to do with it.
    pub const fn is_cached(self) -> bool {
        matches!(self.drive(), Drive::Drawn(_))
    }

    /// What one request counts for: a burst's cost is told per event.
    pub const fn units(self) -> u32 {
        match self {
            Self::Burst => BURST_EVENTS,
            _ => 1,
        }
    }

    /// What one unit is called.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Burst => "event",
            Self::Session => "session",
            _ => "request",
        }
    }
}
