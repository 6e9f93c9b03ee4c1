//! What things cost: every constant of the arithmetic, each with where it comes from. It computes nothing; whoever finds a better figure
//! changes it here, and nowhere else.

use super::step::Quantity;

/// One constant.
#[derive(Debug, PartialEq)]
pub struct Cost {
    /// By what name the arithmetic refers to it.
    pub id: &'static str,
    /// How much.
    pub value: Quantity,
    /// What it is.
    pub what: &'static str,
    /// Where it comes from: a file of the repository in which it was measured or is set, or "rule of thumb".
    pub source: &'static str,
}

impl Cost {
    /// The bare number, in the unit's base: seconds, bytes, cores.
    #[must_use]
    pub const fn get(&self) -> f64 {
        self.value.value
    }
}

/// CPU time of an instance for one call.
pub const CALL_CPU: Cost = Cost {
    id: "call-cpu",
    value: Quantity::seconds(420e-6),
    what: "CPU time of an instance for a call of a user who comes now and then, and whose connection is often a new one",
    source: "measured: deploy/tiers/4-over-1000/measured, 2,500 users",
};

/// CPU time of an instance for one session.
pub const SESSION_CPU: Cost = Cost {
    id: "session-cpu",
    value: Quantity::seconds(1.7e-3),
    what: "CPU time of an instance for a session beside its calls: it begins, opens its stream, and ends; four calls' worth",
    source: "measured: deploy/tiers/4-over-1000/measured, 2,500 users",
};

/// CPU time of an instance for a decision of the limits in Redis.
pub const CHARGE_CPU: Cost = Cost {
    id: "charge-cpu",
    value: Quantity::seconds(4.8e-6),
    what: "CPU time of an instance for one charge of a limit that is counted in Redis",
    source: "measured: bench/runs/2026-11-23-shared-decisions",
};

/// What an instance takes that has nothing to do.
pub const IDLE_CPU: Cost = Cost {
    id: "idle-cpu",
    value: Quantity::cores(0.02),
    what: "CPU of an instance that has nothing to do (sweeps, probes, signs of life)",
    source: "rule of thumb",
};

/// Memory of an instance that has nothing to do.
pub const BASE_MEMORY: Cost = Cost {
    id: "base-memory",
    value: Quantity::bytes(40.0 * 1_048_576.0),
    what: "memory of an instance that has just begun to serve",
    source: "measured: bench/runs/2026-11-23-soak-short, second 0 (37 MiB)",
};

/// Memory of an instance for a session that it knows.
pub const SESSION_MEMORY: Cost = Cost {
    id: "session-memory",
    value: Quantity::bytes(3.3 * 1024.0),
    what: "memory of an instance for each session that it has served",
    source: "measured: docs/plan.md, what a session takes",
};

/// Memory of an instance for an open stream.
pub const STREAM_MEMORY: Cost = Cost {
    id: "stream-memory",
    value: Quantity::bytes(42.0 * 1024.0),
    what: "memory of an instance for an open notification stream with its connection",
    source: "measured: bench/runs/2026-11-23-cache, idle",
};

/// Memory of an instance for a connection.
pub const CONNECTION_MEMORY: Cost = Cost {
    id: "connection-memory",
    value: Quantity::bytes(28.0 * 1024.0),
    what: "memory of an instance for a connection with a call in flight",
    source: "measured: bench/runs/2026-11-23-cache, idle (before the stream)",
};

/// Descriptors of an open stream or a call in flight.
pub const DESCRIPTORS: Cost = Cost {
    id: "descriptors",
    value: Quantity::count(2.0),
    what: "descriptors for an open stream or a call in flight: one to the client, one to the server",
    source: "docs/deployment.md",
};

/// Descriptors that the unit allows.
pub const NOFILE: Cost = Cost {
    id: "nofile",
    value: Quantity::count(65_536.0),
    what: "descriptors that an instance may have",
    source: "deploy/systemd/moorline.service, LimitNOFILE",
};

/// Connections from one proxy to one instance.
pub const PORTS: Cost = Cost {
    id: "ports",
    value: Quantity::count(28_232.0),
    what: "connections from one proxy to one instance: the ports of an address, 32768 to 60999",
    source: "Linux, net.ipv4.ip_local_port_range",
};

/// Redis' memory for a session.
pub const SESSION_STORED: Cost = Cost {
    id: "session-stored",
    value: Quantity::bytes(2160.0),
    what: "Redis' memory for a live session: its hash, its place in the index, its key",
    source: "measured: docs/redis.md, what a session takes",
};

/// Redis' memory for a session that has ended.
pub const GRAVE_STORED: Cost = Cost {
    id: "grave-stored",
    value: Quantity::bytes(580.0),
    what: "Redis' memory for a session that has ended, until its lifetime is over",
    source: "measured: docs/redis.md, what a session takes",
};

/// How long a session stays that nobody ends.
pub const IDLE: Cost = Cost {
    id: "idle",
    value: Quantity::seconds(3600.0),
    what: "how long a session stays that nobody ends",
    source: "docs/configuration.md, session.idle",
};

/// How long it is remembered that a session has ended.
pub const LIFETIME: Cost = Cost {
    id: "lifetime",
    value: Quantity::seconds(86_400.0),
    what: "how long it is remembered that a session has ended, at most",
    source: "docs/configuration.md, session.lifetime",
};

/// Redis' memory for a counter.
pub const COUNTER_STORED: Cost = Cost {
    id: "counter-stored",
    value: Quantity::bytes(170.0),
    what: "Redis' memory for a counter of a limit",
    source: "measured: docs/redis.md, limits",
};

/// Redis' memory for a result, beside its own bytes.
pub const RESULT_STORED: Cost = Cost {
    id: "result-stored",
    value: Quantity::bytes(250.0),
    what: "Redis' memory for a kept result, beside its own bytes",
    source: "measured: docs/redis.md, results",
};

/// Redis' memory for what does not depend on users.
pub const STORE_BASE: Cost = Cost {
    id: "store-base",
    value: Quantity::bytes(3.0 * 1_048_576.0),
    what: "Redis' memory with nothing in it, 0.9 MiB, and what was forgotten of results, 1.8 MB at most",
    source: "measured: docs/redis.md, results and what a session takes",
};

/// Scripts of a session.
pub const SESSION_SCRIPTS: Cost = Cost {
    id: "session-scripts",
    value: Quantity::count(6.0),
    what: "scripts that Redis runs for a session, its stream and its end included, its calls left out",
    source: "measured: docs/plan.md, what a session takes",
};

/// Scripts of a call.
pub const CALL_SCRIPTS: Cost = Cost {
    id: "call-scripts",
    value: Quantity::count(2.0),
    what: "scripts that Redis runs for a call: one charges it, and one notes that its session was used (every 5 s at most)",
    source: "measured: docs/plan.md, what a session takes",
};

/// Scripts that instances run by themselves.
pub const INSTANCE_SCRIPTS: Cost = Cost {
    id: "instance-scripts",
    value: Quantity::per_second(2.5),
    what: "scripts that Redis runs for an instance that has nothing to do",
    source: "measured: docs/plan.md, what a session takes",
};

/// Scripts that a Redis runs in a second.
pub const STORE_SPEED: Cost = Cost {
    id: "store-speed",
    value: Quantity::per_second(34_985.0),
    what: "scripts that one Redis runs in a second",
    source: "measured: bench/runs/2026-11-23-shared-decisions",
};

/// What is left free in Redis.
pub const STORE_ROOM: Cost = Cost {
    id: "store-room",
    value: Quantity::count(2.0),
    what: "times what it holds: a full Redis takes no sessions, a save copies what changes, a primary's replica may be away",
    source: "rule of thumb",
};

/// The largest single Redis.
pub const STORE_MOST: Cost = Cost {
    id: "store-most",
    value: Quantity::bytes(16.0 * 1_073_741_824.0),
    what: "memory of one Redis, above which a Cluster is quicker to save, copy and replace",
    source: "rule of thumb",
};

/// Calls that one server runs at the same time, where nobody says.
pub const SERVER_SLOTS: Cost = Cost {
    id: "server-slots",
    value: Quantity::count(10.0),
    what: "calls that one server runs at the same time, where nobody says",
    source: "rule of thumb: load one server by itself and say --server-concurrency",
};

/// The longest mean wait for a slot.
pub const MOST_WAIT: Cost = Cost {
    id: "most-wait",
    value: Quantity::share(0.25),
    what: "of the tool's latency that a call may wait for a server on average",
    source: "rule of thumb",
};

/// Calls that may find an upstream full.
pub const MOST_LOST: Cost = Cost {
    id: "most-lost",
    value: Quantity::share(0.001),
    what: "of the calls to an upstream that may find all its slots taken, and be refused",
    source: "rule of thumb",
};

/// Calls of a session's limit.
pub const SESSION_LIMIT: Cost = Cost {
    id: "session-limit",
    value: Quantity::count(20.0),
    what: "times what a user calls on average that a session may call before it counts as running wild: agents work in bursts",
    source: "rule of thumb",
};

/// What `maxconn` of the shipped proxies is.
pub const FRONT_LEAST: Cost = Cost {
    id: "front-least",
    value: Quantity::count(8192.0),
    what: "connections of clients that the shipped proxies take",
    source: "deploy/haproxy/haproxy.cfg, maxconn",
};

/// How long a stale result may be shown.
pub const STALE: Cost = Cost {
    id: "stale",
    value: Quantity::seconds(300.0),
    what: "how long a result is kept beyond its TTL",
    source: "deploy/tiers/3-100-to-1000/moorline.toml, stale",
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ALL: [&Cost; 25] = [
        &CALL_SCRIPTS,
        &CALL_CPU,
        &SESSION_CPU,
        &CHARGE_CPU,
        &IDLE_CPU,
        &BASE_MEMORY,
        &SESSION_MEMORY,
        &STREAM_MEMORY,
        &CONNECTION_MEMORY,
        &DESCRIPTORS,
        &NOFILE,
        &PORTS,
        &SESSION_STORED,
        &GRAVE_STORED,
        &IDLE,
        &LIFETIME,
        &COUNTER_STORED,
        &RESULT_STORED,
        &STORE_BASE,
        &SESSION_SCRIPTS,
        &INSTANCE_SCRIPTS,
        &STORE_SPEED,
        &STORE_ROOM,
        &STORE_MOST,
        &SERVER_SLOTS,
    ];
    const OTHERS: [&Cost; 5] = [&MOST_LOST, &MOST_WAIT, &SESSION_LIMIT, &FRONT_LEAST, &STALE];

    fn all() -> impl Iterator<Item = &'static Cost> {
        ALL.into_iter().chain(OTHERS)
    }

    #[test]
    fn every_source_is_in_the_repository_or_is_called_a_rule_of_thumb() {
        for cost in all() {
            if cost.source.starts_with("rule of thumb") || cost.source.starts_with("Linux") {
                continue;
            }
            let source = cost.source.trim_start_matches("measured: ");
            let file = source.split([',', ':', ' ']).next().unwrap();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            assert!(path.exists(), "{}: {} is not there", cost.id, path.display());
        }
    }

    #[test]
    fn the_page_lists_every_constant_as_it_is() {
        let page = include_str!("../../docs/plan.md");
        for cost in all() {
            let row = format!("| `{}` | {} |", cost.id, cost.value);
            assert!(page.contains(&row), "docs/plan.md has no row that begins with\n{row}");
            assert!(
                page.contains(cost.source.trim_start_matches("measured: ")),
                "docs/plan.md does not say {:?}",
                cost.source
            );
        }
    }

    #[test]
    fn what_was_measured_stands_where_it_is_said_to() {
        let has = |text: &str, figure: &str| assert!(text.contains(figure), "{figure}");
        let cache = include_str!("../../bench/runs/2026-11-23-cache/summary.md");
        for figure in ["**41.95**", "**27.64**"] {
            has(cache, figure);
        }
        has(
            include_str!("../../bench/runs/2026-11-23-shared-decisions/summary.md"),
            "| **4.8** | 4.2, 4.8, 5.2 | 0.20 | 34985 |",
        );
        has(include_str!("../../bench/runs/2026-11-23-soak-short/soak.tsv"), "0\t38192\t");
        has(include_str!("../../deploy/systemd/moorline.service"), "LimitNOFILE=65536");
        has(include_str!("../../deploy/haproxy/haproxy.cfg"), "maxconn 8192");
        has(include_str!("../../deploy/tiers/3-100-to-1000/moorline.toml"), "stale = \"5m\"");
    }
}
