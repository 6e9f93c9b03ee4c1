//! The metrics as Prometheus meets them: in which forms, under which names, and how many of them at most. `UPDATE=1` writes
//! `docs/metrics.md` anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod page;
mod tools;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use moorline::survey::{CHAPTERS, document};

use page::Page;
use support::backend::{Kind, Received};
use support::http::get;
use support::session::modern_call;
use support::{Backend, Session, Setup, ask, wait_for};
use tools::{Prometheus, Redis, promtool};
use traffic::{CONFIGURATION, every_kind};

/// What the documentation says of a metric that the page shows.
fn documented() -> BTreeMap<&'static str, BTreeSet<String>> {
    let all = CHAPTERS.iter().flat_map(|chapter| chapter.metrics);
    all.map(|metric| (metric.name, metric.labels.iter().map(ToString::to_string).collect())).collect()
}

#[test]
fn the_documentation_is_made_from_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document, "docs/metrics.md differs; UPDATE=1 writes it anew");
}

#[test]
fn the_alert_rules_are_good_and_ask_for_what_there_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerts.yml");
    let said = promtool(&["check", "rules", path.to_str().unwrap()], "").unwrap();
    assert!(said.contains("SUCCESS"), "{said}");
    let rules = std::fs::read_to_string(path).unwrap() + &document();
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let known = documented();
    let strange: BTreeSet<_> = words
        .filter(|word| word.starts_with("moorline_"))
        .filter(|word| !known.contains_key(word.trim_end_matches("_bucket")) && !known.contains_key(word))
        .collect();
    assert!(strange.is_empty(), "no such metric: {strange:?}");
}

#[test]
fn after_traffic_of_every_kind_all_metrics_are_there_as_they_are_documented() {
    let traffic = every_kind();
    let page = Page::of(traffic.gateway.admin);
    let said = promtool(&["check", "metrics"], &page.text).unwrap_or_else(|said| panic!("{said}\n{}", page.text));
    assert_eq!(said.trim(), "", "promtool has something to say");
    let shown: BTreeMap<_, _> =
        page.families.iter().map(|(name, family)| (name.as_str(), family.labels.clone())).collect();
    let (shown, documented) = (shown, documented());
    let missing: Vec<_> = documented.keys().filter(|name| !shown.contains_key(*name)).collect();
    assert!(missing.is_empty(), "documented, and not on the page: {missing:?}\n{}", page.text);
    for (name, labels) in shown {
        assert_eq!(documented.get(name), Some(&labels), "{name} is not documented so");
    }
    traffic.assert_counted(&page);
}

#[test]
fn each_form_is_given_to_whoever_asks_for_it() {
    let backend = Backend::modern("a");
    let gateway = Setup::of(&[backend.url()]).start();
    assert_eq!(gateway.ask(&modern_call("1", "echo")).status, 200);
    let form = |accept: &str| {
        let answer = ask(gateway.admin, &get("/metrics", &[&format!("Accept: {accept}")]));
        (answer.header("content-type").unwrap_or_default().to_owned(), answer.body)
    };
    let (kind, body) = form("application/openmetrics-text; version=1.0.0");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("# TYPE moorline_requests counter\n") && text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("# UNIT moorline_request_duration_seconds seconds\n"), "{text}");
    let (kind, body) =
        form("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited");
    assert!(kind.starts_with("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"), "{kind}");
    assert!(body.windows(24).any(|window| window == b"moorline_requests_total\x12"), "the name, and then the help");
    let (kind, body) = form("*/*");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(String::from_utf8(body).unwrap().contains("# TYPE moorline_requests_total counter\n"));
}

/// A modern server that takes its time for some tools.
fn slow(tool: &'static str, takes: Duration) -> Backend {
    Backend::new("slow", Kind::Modern, move |request: &Received, _| {
        if request.tool() == tool {
            std::thread::sleep(takes);
        }
        None
    })
}

#[test]
fn a_prometheus_reads_native_histograms_of_two_instances() {
    let backends = [slow("slow", Duration::from_millis(80)), slow("slow", Duration::from_millis(80))];
    let gateways = backends.each_ref().map(|backend| Setup::of(&[backend.url()]).start());
    let prometheus = Prometheus::over(&gateways.each_ref().map(|gateway| gateway.admin));
    for (gateway, count) in gateways.iter().zip([10, 20]) {
        for number in 0..count {
            let tool = if number % 5 == 0 { "slow" } else { "fast" };
            assert_eq!(gateway.ask(&modern_call("1", tool)).status, 200);
        }
    }
    let calls = "sum(histogram_count(moorline_request_backend_duration_seconds{method=\"tools/call\"}))";
    wait_for("both were scraped, as native histograms", || (prometheus.number(calls) - 30.0).abs() < 0.5);
    let quantile = |tool: &str, quantile: f64| {
        prometheus.number(&format!(
            "histogram_quantile({quantile}, sum(moorline_request_backend_duration_seconds{{tool=\"{tool}\"}}))"
        ))
    };
    // Six calls that took 80 ms and a little: known to a tenth.
    let slow = quantile("slow", 0.5);
    assert!((0.073..0.2).contains(&slow), "{slow}");
    assert!(quantile("fast", 0.5) < slow / 2.0);
    let own = prometheus.number("histogram_quantile(0.9, sum(moorline_request_own_duration_seconds))");
    assert!(own > 0.0 && own < 0.08, "{own}");
    let each = prometheus.query("sum by (instance) (moorline_requests_total{outcome=\"ok\"})");
    assert_eq!(each.len(), 2, "{each:?}");
    assert_eq!(prometheus.query("moorline_build_info").len(), 2);
}

#[test]
fn ten_thousand_names_of_tools_make_no_more_series_than_there_is_room_for() {
    let backend = Backend::modern("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (gateway, done) = (&gateway, &done);
        let scraping = scope.spawn(move || {
            let mut scrapes = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                Page::of(gateway.admin);
                scrapes += 1;
            }
            scrapes
        });
        let calling: Vec<_> = (0..4).map(|thread| scope.spawn(move || call_many(gateway, thread, 2500))).collect();
        calling.into_iter().for_each(|caller| caller.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let scrapes = scraping.join().unwrap();
        assert!(scrapes > 5, "scraped {scrapes} times while 10,000 calls were made");
    });
    let page = Page::of(gateway.admin);
    let tools = page.values("moorline_requests_total", "tool");
    assert_eq!(tools.len(), 201, "200 names, and `other`");
    assert!((page.sum("moorline_requests_total", &[("method", "tools/call")]) - 10_000.0).abs() < 0.5);
    assert!(page.sum("moorline_requests_total", &[("tool", "other")]) > 9_000.0);
    println!("{} series, {} bytes after 10,000 names of tools", page.samples.len(), page.text.len());
    assert!(page.samples.len() < 8_000, "{} series", page.samples.len());
    assert!(page.text.len() < 1_200_000, "{} bytes", page.text.len());
}

fn call_many(gateway: &support::Gateway, thread: usize, count: usize) {
    let mut connection = gateway.connect();
    for number in 0..count {
        connection.send(&modern_call("1", &format!("tool-{thread}-{number}")));
        assert_eq!(connection.answer().status, 200);
    }
}

#[test]
fn two_instances_tell_of_the_store_that_they_share_and_of_its_absence() {
    let mut redis = Redis::start();
    let backend = Backend::legacy("a");
    let setup = Setup::of(&[backend.url()])
        .key(&format!("store.url = \"redis://{}/0\"", redis.addr))
        .key("limit = [{ name = \"calls\", key = \"caller\", rate = \"1000/s\" }]");
    let gateways = [setup.start(), setup.start()];
    let session = Session::open(gateways[0].addr);
    assert_eq!(session.at(gateways[1].addr).call("echo").status, 200);
    let pages = || gateways.each_ref().map(|gateway| Page::of(gateway.admin));
    wait_for("both know of each other", || {
        pages().iter().all(|page| (page.sum("moorline_instances", &[]) - 2.0).abs() < 0.1)
    });
    let [first, second] = pages();
    let operations = |page: &Page, part: &str, operation: &str| {
        page.sum("moorline_store_operation_seconds_count", &[("part", part), ("operation", operation)])
    };
    assert!(operations(&first, "sessions", "create") > 0.5, "{}", first.text);
    assert!(operations(&second, "sessions", "load") > 0.5 && operations(&second, "counters", "take") > 0.5);
    assert!((first.sum("moorline_sessions_opened_total", &[]) - 1.0).abs() < 0.1);
    assert!(second.sum("moorline_sessions_opened_total", &[]) < 0.1, "it was opened elsewhere");
    assert!((second.sum("moorline_sessions", &[]) - 1.0).abs() < 0.1, "and is known here too");
    let up = |page: &Page| page.sum("moorline_store_up", &[("part", "sessions")]);
    assert!(pages().iter().all(|page| up(page) > 0.5));
    redis.kill();
    wait_for("both see that it is away", || pages().iter().all(|page| up(page) < 0.5));
    assert_eq!(session.call("echo").status, 200, "and what is known goes on");
}

#[test]
fn no_counter_goes_back_over_a_reload() {
    let traffic = every_kind();
    let gateway = &traffic.gateway;
    let before = Page::of(gateway.admin);
    let text = std::fs::read_to_string(gateway.config_path()).unwrap();
    let changed = text.replace("rate = \"3/h\"", "rate = \"5/h\"").replace("idle = \"1h\"", "idle = \"2h\"");
    assert_ne!(text, changed, "{CONFIGURATION:?}");
    gateway.configure(&changed);
    gateway.signal("HUP");
    gateway.log.wait("configuration reloaded", 1);
    gateway.configure("nonsense");
    gateway.log.wait("the old one stays", 1);
    let after = Page::of(gateway.admin);
    let counts = |name: &str| {
        let name = name.split('{').next().unwrap();
        ["_total", "_count", "_bucket", "_sum"].iter().any(|suffix| name.ends_with(suffix))
    };
    for (series, value) in before.samples.iter().filter(|(series, _)| counts(series)) {
        let now = after.samples.get(series);
        assert!(now.is_some_and(|now| now >= value), "{series} was {value} and is {now:?}");
    }
    let reloads = |result| after.sum("moorline_config_reloads_total", &[("result", result)]);
    assert!(reloads("taken") > 0.5 && reloads("refused") > 0.5, "{}", after.text);
}
