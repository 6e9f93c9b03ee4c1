//! What is said of one backend that is asked for alone: how it is probed, how well it is, and what went wrong with it lately.

use serde::Serialize;

use super::Admin;
use crate::config::Probe as Kind;
use crate::fleet::{Backend, Pool, Trouble};

#[derive(Serialize)]
pub struct Detail {
    addr: String,
    configured_as: String,
    probe: Probe,
    failures_in_a_row: u32,
    ejections_in_a_row: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    back_in_ms: Option<u64>,
    troubles: Vec<TroubleView>,
}

#[derive(Serialize)]
struct Probe {
    kind: &'static str,
    every_ms: u64,
    timeout_ms: u64,
    /// How the last one went; `none` where there was none yet.
    last: &'static str,
}

#[derive(Serialize)]
struct TroubleView {
    at: u64,
    what: String,
    times: u64,
}

/// All that is known of it.
pub fn detail(admin: &Admin, pool: &Pool, backend: &Backend) -> Detail {
    let (settings, condition, now) = (pool.settings(), backend.condition(), admin.clock.now());
    let health = &settings.health;
    let unix = admin.clock.unix_millis();
    let trouble = |trouble: Trouble| TroubleView {
        at: unix.saturating_sub(millis(now.saturating_duration_since(trouble.at))),
        what: trouble.what.into(),
        times: trouble.times,
    };
    let stumbled = backend.counts.stumbled.get() > 0;
    Detail {
        addr: backend.addr().to_string(),
        configured_as: backend.origin.to_string(),
        probe: Probe {
            kind: match health.kind {
                Kind::Tcp => "tcp",
                Kind::Http { .. } => "http",
                Kind::Mcp => "mcp",
            },
            every_ms: millis(health.every),
            timeout_ms: millis(health.timeout),
            last: if condition.heard {
                "passed"
            } else if stumbled {
                "failed"
            } else {
                "none"
            },
        },
        failures_in_a_row: condition.failures,
        ejections_in_a_row: condition.ejections,
        back_in_ms: condition.ejected_until.map(|until| millis(until.saturating_duration_since(now))),
        troubles: backend.troubles.latest().into_iter().map(trouble).collect(),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
