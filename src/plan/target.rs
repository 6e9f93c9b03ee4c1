//! What is to be carried: users, calls, how long these take, and what may be assumed about them. It is checked here; everything behind it
//! relies on that.

use std::time::Duration;

use serde::Serialize;

use crate::config::Rate;

use super::words;

/// Users that a plan is made for at most.
pub const MOST_USERS: u32 = 5_000_000;

/// Calls a minute that a plan is made for at most.
const MOST_CALLS: f64 = 60e6;

/// Mean calls in flight of one user from which on the target says something about users that these do not do.
const CALLS_OF_A_USER: f64 = 8.0;

/// What is to be carried.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Concurrent users, each with a session.
    pub users: u32,
    /// Calls a minute, of all users together.
    pub calls_per_minute: f64,
    /// Mean time that a server takes for a call.
    pub tool_latency: Duration,
    /// Share of users with an open notification stream.
    pub streams: f64,
    /// Mean calls in a session; 0: it lasts.
    pub session_calls: u32,
    /// Calls that one server runs at the same time, where that is known.
    pub server_concurrency: Option<u32>,
    /// Servers that are there, where that is known.
    pub servers: Option<u32>,
    /// Cores of an instance.
    pub instance_cores: u32,
    /// Mean size of a result.
    pub answer_bytes: usize,
    /// What the cache may do.
    pub cache: CacheTarget,
    /// Upstreams behind tools, with what they allow.
    pub quotas: Vec<Quota>,
    /// Which part of everything stays free.
    pub headroom: f64,
    /// The least tier.
    pub least_tier: u8,
}

/// What the cache may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheTarget {
    /// Share of calls whose tools only read.
    pub cacheable: f64,
    /// Share of those that ask what is asked again and again.
    pub repeat: f64,
    /// How many different such questions there are.
    pub questions: u32,
    /// How old an answer may be.
    pub ttl: Duration,
    /// Who shares an answer.
    pub scope: Scope,
}

/// Who shares a kept answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Each caller has answers of its own.
    Caller,
    /// Everybody has the same.
    Public,
}

impl Scope {
    /// As the configuration has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Public => "public",
        }
    }
}

/// An upstream with a quota.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// What it is called.
    pub name: String,
    /// What it allows.
    pub rate: Rate,
    /// Which part of the calls goes to it.
    pub share: f64,
}

/// Why there is no plan for a target.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TargetError {
    /// A number that cannot be.
    #[error("{what} must be {accepted}, not {given}")]
    Range {
        /// Which number.
        what: &'static str,
        /// What it may be.
        accepted: &'static str,
        /// What it is.
        given: String,
    },
    /// Numbers that exclude each other.
    #[error(
        "{users} users with {calls} calls a minute of {latency} each would have {each} calls in flight each, all the time: \
         raise --users, or lower --calls-per-minute or --tool-latency"
    )]
    Busy {
        /// Users.
        users: String,
        /// Calls a minute.
        calls: String,
        /// How long each takes.
        latency: String,
        /// Calls in flight of one user.
        each: String,
    },
    /// An upstream twice.
    #[error("--quota names {0:?} twice")]
    Twice(String),
}

impl Target {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// [`TargetError`]: a number that cannot be, or numbers that exclude each other.
    pub fn check(&self) -> Result<(), TargetError> {
        in_range("users", f64::from(self.users), (1.0, f64::from(MOST_USERS)), "1 to 5,000,000")?;
        in_range("calls per minute", self.calls_per_minute, (1e-3, MOST_CALLS), "0.001 to 60,000,000")?;
        in_range(
            "tool latency",
            self.tool_latency.as_secs_f64(),
            (1e-6, 3600.0),
            "1us to 1h (in seconds: 0.000001 to 3600)",
        )?;
        in_range("streams", self.streams, (0.0, 1.0), "0 % to 100 % of the users")?;
        in_range("headroom", self.headroom, (0.0, 0.9), "0 % to 90 %")?;
        in_range("cacheable", self.cache.cacheable, (0.0, 1.0), "0 % to 100 % of the calls")?;
        in_range("repeat", self.cache.repeat, (0.0, 1.0), "0 % to 100 % of the cacheable calls")?;
        in_range("ttl", self.cache.ttl.as_secs_f64(), (1.0, 30.0 * 86_400.0), "1s to 30d (in seconds: 1 to 2592000)")?;
        for (at, quota) in self.quotas.iter().enumerate() {
            if self.quotas.iter().take(at).any(|other| other.name == quota.name) {
                return Err(TargetError::Twice(quota.name.clone()));
            }
        }
        let each = self.in_flight() / f64::from(self.users);
        if each > CALLS_OF_A_USER {
            return Err(TargetError::Busy {
                users: words::number(f64::from(self.users)),
                calls: words::number(self.calls_per_minute),
                latency: words::seconds(self.tool_latency.as_secs_f64()),
                each: words::number(each),
            });
        }
        Ok(())
    }

    /// Calls a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.calls_per_minute / 60.0
    }

    /// Mean time of a call, in seconds.
    #[must_use]
    pub const fn service(&self) -> f64 {
        self.tool_latency.as_secs_f64()
    }

    /// Calls in flight on average: J. D. C. Little, *A Proof for the Queuing Formula L = λW*, 1961.
    #[must_use]
    pub fn in_flight(&self) -> f64 {
        self.rate() * self.service()
    }

    /// Open streams.
    #[must_use]
    pub fn open_streams(&self) -> f64 {
        f64::from(self.users) * self.streams
    }

    /// Sessions that begin in a second.
    #[must_use]
    pub fn sessions_begun(&self) -> f64 {
        if self.session_calls == 0 { 0.0 } else { self.rate() / f64::from(self.session_calls) }
    }

    /// How busy anything may be.
    #[must_use]
    pub fn most_busy(&self) -> f64 {
        1.0 - self.headroom
    }
}

fn in_range(
    what: &'static str,
    value: f64,
    (least, most): (f64, f64),
    accepted: &'static str,
) -> Result<(), TargetError> {
    // No number is in no range.
    if value >= least && value <= most {
        return Ok(());
    }
    Err(TargetError::Range { what, accepted, given: value.to_string() })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A company: 900 users, half of them with a stream.
    pub fn company() -> Target {
        Target {
            users: 900,
            calls_per_minute: 5400.0,
            tool_latency: Duration::from_millis(800),
            streams: 0.5,
            session_calls: 20,
            server_concurrency: None,
            servers: None,
            instance_cores: 2,
            answer_bytes: 8192,
            cache: CacheTarget {
                cacheable: 0.3,
                repeat: 0.5,
                questions: 100,
                ttl: Duration::from_mins(1),
                scope: Scope::Caller,
            },
            quotas: vec![Quota { name: "llm".into(), rate: "500/min".parse().unwrap(), share: 0.2 }],
            headroom: 0.3,
            least_tier: 1,
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_could() {
        assert_eq!(company().check(), Ok(()));
        let wrong = |change: fn(&mut Target)| {
            let mut target = company();
            change(&mut target);
            target.check().unwrap_err().to_string()
        };
        assert_eq!(wrong(|t| t.users = 0), "users must be 1 to 5,000,000, not 0");
        assert_eq!(wrong(|t| t.streams = 1.3), "streams must be 0 % to 100 % of the users, not 1.3");
        assert_eq!(wrong(|t| t.headroom = 0.95), "headroom must be 0 % to 90 %, not 0.95");
        assert!(wrong(|t| t.calls_per_minute = f64::NAN).contains("not NaN"));
        assert!(wrong(|t| t.quotas.extend(t.quotas.clone())).contains("\"llm\" twice"));
        assert!(
            wrong(|t| t.users = 5).contains("5 users with 5,400 calls a minute of 800 ms each would have 14.4 calls")
        );
    }

    #[test]
    fn calls_in_flight_are_rate_times_time() {
        assert!((company().in_flight() - 72.0).abs() < 1e-9);
        assert!((company().sessions_begun() - 4.5).abs() < 1e-9);
        assert!((Target { session_calls: 0, ..company() }.sessions_begun()).abs() < 1e-9);
    }
}
