//! Another load generator, wrk, at the same server: both must find the same.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::loaded::{Loaded, load, options, server};
use crate::support::Backend;
use crate::support::backend::Kind;

/// A server whose calls take, in turn, 10 ms (60 of 100), 20 ms (34), 40 ms (5.5) or 80 ms (0.5): each percentile is a plateau.
fn uneven() -> Backend {
    let calls = AtomicU64::new(0);
    server(Kind::Modern, &["good"], move |request, _| {
        if request.call() == "tools/call" {
            // 73 and 200 have no divisor in common: the calls are mixed, and each comes once in 200.
            let millis = match calls.fetch_add(1, Ordering::Relaxed) * 73 % 200 {
                0..120 => 10,
                120..188 => 20,
                188..199 => 40,
                _ => 80,
            };
            // What the call takes, and no waiting for anybody.
            std::thread::sleep(Duration::from_millis(millis));
        }
        None
    })
}

const SCRIPT: &str = r#"
wrk.method = "POST"
wrk.body = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"good","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/json, text/event-stream"
wrk.headers["MCP-Protocol-Version"] = "2026-07-28"
wrk.headers["Mcp-Method"] = "tools/call"
wrk.headers["Mcp-Name"] = "good"
done = function(summary, latency, requests)
  local function at(p) return latency:percentile(p) end
  io.write(string.format("figures %d %d %d %d %d %d %d\n", summary.requests, summary.duration, at(50), at(80), at(97), at(99),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"#;

/// Requests a second, and p50, p80, p97 and p99 in milliseconds.
struct Figures {
    rate: f64,
    percentiles: [f64; 4],
}

fn wrk(url: &str, connections: usize) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("post.lua");
    std::fs::write(&script, SCRIPT).unwrap();
    let connections = format!("-c{connections}");
    let run = Command::new("wrk").args(["-t1", &connections, "-d6s", "--latency", "-s"]).arg(script).arg(url).output();
    let run = run.expect("wrk is there: run scripts/install-test-needs.sh");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("figures ")).unwrap_or_else(|| panic!("{said}"));
    let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let &[requests, micros, p50, p80, p97, p99, errors] = &numbers[..] else { panic!("{said}") };
    assert!(errors < 0.5, "{said}");
    Figures { rate: requests / micros * 1e6, percentiles: [p50, p80, p97, p99].map(|micros| micros / 1e3) }
}

/// Percentiles of the time from sending, as wrk takes it, from the report's buckets.
fn percentiles(loaded: &Loaded, what: &str) -> [f64; 4] {
    let buckets: Vec<[u64; 2]> = serde_json::from_value(loaded.report[what]["buckets"].clone()).unwrap();
    let all: u64 = buckets.iter().map(|[_, count]| count).sum();
    [0.5, 0.8, 0.97, 0.99].map(|share| {
        let mut seen = 0;
        let found = buckets.iter().find(|[_, count]| {
            seen += count;
            seen as f64 >= share * all as f64
        });
        found.unwrap()[0] as f64 / 1e3
    })
}

#[test]
fn wrk_finds_the_same_throughput_and_percentiles_at_the_same_server() {
    let backend = uneven();
    // A closed loop of eight: the server is as busy as that makes it.
    let other = wrk(&backend.url(), 8);
    // An open loop at the same rate, on connections enough that no call waits long for the one before.
    let rate = other.rate * 60.0;
    let options = options(
        &[],
        &format!(
            "--era modern --users 64 --rate {rate} --duration 6s --ramp 0s --also none --think-shape constant --keep-alive 1m"
        ),
    );
    let loaded = load(&backend.url(), &options);
    loaded.adds_up();
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    let own_rate = loaded.number("/totals/calls_a_minute") / 60.0;
    assert!((own_rate / other.rate - 1.0).abs() < 0.05, "{own_rate} a second, wrk {}", other.rate);
    let own = percentiles(&loaded, "service");
    let shown = format!("{own:?} ms, wrk {:?} ms\n{}", other.percentiles, loaded.said);
    for (own, other) in own.into_iter().zip(other.percentiles) {
        // A core that is shared with the build of another test delays both, not always alike.
        assert!((own - other).abs() < (other * 0.3).max(5.0), "{shown}");
    }
    // What the server is known to take is a floor for both.
    for ((own, other), floor) in own.into_iter().zip(other.percentiles).zip([10.0, 20.0, 40.0, 40.0]) {
        assert!(own >= floor * 0.99 && other >= floor * 0.99, "{shown}");
    }
}
