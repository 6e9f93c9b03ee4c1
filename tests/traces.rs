//! Traces: what a request says of its trace is passed on both ways, and what Moorline records of it reaches a collector (OTLP/HTTP),
//! from a real client of the official SDK to a real server. What is not recorded stays as it came.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, span::SpanKind, status::StatusCode};
use prost::Message as _;
use serde_json::{Value, json};

use support::backend::{Kind, fault, respond};
use support::session::{call, modern};
use support::{After, Backend, Gateway, Received, Session, Setup, golden_dir, now, until, wait_for};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

// ---- a collector -----------------------------------------------------------------------------------------------------

/// Takes whatever spans it is sent, and remembers them.
struct Collector(Backend);

/// One span as the collector has it.
#[derive(Clone, Debug)]
struct Span {
    service: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: SpanKind,
    nanos: (u64, u64),
    failed: bool,
    state: String,
    links: Vec<(String, String)>,
    attributes: HashMap<String, String>,
}

impl Collector {
    fn start() -> Self {
        Self(Backend::new("collector", Kind::Modern, |_, stream| {
            Some(respond(stream, 200, &[], "application/x-protobuf", b""))
        }))
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.addr())
    }

    fn spans(&self) -> Vec<Span> {
        self.0.received().iter().flat_map(spans_in).collect()
    }

    /// Waits until the trace has that many spans, and returns them in the order in which they began.
    fn trace(&self, trace: &str, count: usize) -> Vec<Span> {
        let mut found: Vec<Span> = until("the spans arrive", || {
            let found: Vec<Span> = self.spans().into_iter().filter(|span| span.trace == trace).collect();
            (found.len() >= count).then_some(found)
        });
        found.sort_by_key(|span| span.nanos);
        found
    }
}

fn spans_in(request: &Received) -> Vec<Span> {
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/traces"));
    let sent = ExportTraceServiceRequest::decode(&request.body[..]).unwrap();
    let mut spans = Vec::new();
    for resource in sent.resource_spans {
        let about = attributes(&resource.resource.unwrap().attributes);
        let service = about.get("service.name").cloned().unwrap_or_default();
        let all = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(all.map(|span| read(span, &service)));
    }
    spans
}

fn read(span: Sent, service: &str) -> Span {
    Span {
        service: service.to_owned(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        kind: SpanKind::try_from(span.kind).unwrap(),
        nanos: (span.start_time_unix_nano, span.end_time_unix_nano),
        failed: span.status.is_some_and(|status| status.code == StatusCode::Error as i32),
        state: span.trace_state,
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        attributes: attributes(&span.attributes),
    }
}

fn attributes(all: &[KeyValue]) -> HashMap<String, String> {
    let text = |value: &KeyValue| match value.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some(text),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    };
    all.iter().filter_map(|pair| Some((pair.key.clone(), text(pair)?))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Span {
    fn is(&self, name: &str, value: &str) {
        let found = self.attributes.get(name).map(String::as_str);
        assert_eq!(found, Some(value), "{name} of {self:?}");
    }

    fn has_no(&self, name: &str) {
        assert_eq!(self.attributes.get(name), None, "{name} of {self:?}");
    }
}

// ---- a gateway that traces -------------------------------------------------------------------------------------------

fn traced(backends: &[&Backend], collector: &Collector, sample: &str) -> Setup {
    let urls: Vec<String> = backends.iter().map(|backend| backend.url()).collect();
    Setup::of(&urls).key(&format!("traces.endpoint = {:?}", collector.url())).key(&format!("traces.sample = {sample}"))
}

/// A modern call of a tool; `meta` is raw JSON that stands in `_meta` beside what must.
fn told(more: &[&str], tool: &str, meta: &str) -> Vec<u8> {
    let plain = modern("/mcp", more, ("7", "tools/call"), &format!("\"name\":\"{tool}\",\"arguments\":{{}}"));
    let text = String::from_utf8(plain).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let comma = if meta.is_empty() { "" } else { "," };
    let body = body.replacen("\"_meta\":{", &format!("\"_meta\":{{{meta}{comma}"), 1);
    let lines = head.split("\r\n").filter(|line| !line.starts_with("Content-Length"));
    let head: Vec<&str> = lines.collect();
    format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len()).into_bytes()
}

fn header(value: &str) -> String {
    format!("traceparent: {value}")
}

/// The span that a backend was told of as its parent.
fn heard(value: &str) -> (String, String) {
    let parts: Vec<&str> = value.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{value}");
    (parts[1].to_owned(), parts[2].to_owned())
}

// ---- in and out ------------------------------------------------------------------------------------------------------

#[test]
fn a_recorded_request_is_a_span_here_and_a_child_there() {
    let (backend, collector) = (Backend::modern("a"), Collector::start());
    let gateway = traced(&[&backend], &collector, "0").start();
    let answer = gateway.ask(&told(&[&header(&parent("01")), "tracestate: a=1", "baggage: k=v"], "look", ""));
    assert_eq!(answer.said(), "a");
    let spans = collector.trace(TRACE, 2);
    let [server, client] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((server.kind, server.name.as_str()), (SpanKind::Server, "tools/call look"));
    assert_eq!((server.parent.as_str(), server.state.as_str(), server.service.as_str()), (PARENT, "a=1", "moorline"));
    for span in [server, client] {
        span.is("mcp.method.name", "tools/call");
        span.is("gen_ai.tool.name", "look");
        span.is("gen_ai.operation.name", "execute_tool");
        span.is("jsonrpc.request.id", "7");
        span.is("mcp.protocol.version", "2026-07-28");
        span.is("network.protocol.name", "http");
        span.is("network.transport", "tcp");
        span.is("http.response.status_code", "200");
        span.has_no("error.type");
        assert!(!span.failed && span.nanos.0 <= span.nanos.1);
    }
    server.is("moorline.pool", "mcp");
    server.is("moorline.outcome", "ok");
    server.is("client.address", "127.0.0.1");
    assert_eq!((client.kind, client.parent.as_str()), (SpanKind::Client, server.id.as_str()));
    client.is("server.address", "127.0.0.1");
    client.is("server.port", &backend.addr().port().to_string());
    let request = &backend.received()[0];
    assert_eq!(heard(request.header("traceparent").unwrap()), (TRACE.to_owned(), client.id.clone()));
    assert_eq!((request.header("tracestate"), request.header("baggage")), (Some("a=1"), Some("k=v")));
    assert!(!request.json()["params"]["_meta"].as_object().unwrap().contains_key("traceparent"));
    // The same name, in the access log.
    assert!(gateway.access.wait(TRACE, 1).contains("\"tries\":1"));
}

#[test]
fn what_the_message_says_counts_and_is_kept_up_to_date_where_it_stands() {
    let (backend, collector) = (Backend::modern("a"), Collector::start());
    let gateway = traced(&[&backend], &collector, "0").start();
    let other = "00-11111111111111111111111111111111-2222222222222222-00";
    let meta = format!("\"traceparent\":\"{}\",\"tracestate\":\"m=1\",\"baggage\":\"k=v\"", parent("01"));
    gateway.ask(&told(&[&header(other), "tracestate: h=1"], "look", &meta));
    let spans = collector.trace(TRACE, 2);
    assert_eq!((spans[0].parent.as_str(), spans[0].state.as_str()), (PARENT, "m=1"));
    assert_eq!(spans[0].links, [("1".repeat(32), "2".repeat(16))]);
    let request = &backend.received()[0];
    let there = &request.json()["params"]["_meta"];
    assert_eq!(heard(there["traceparent"].as_str().unwrap()), (TRACE.to_owned(), spans[1].id.clone()));
    assert_eq!((there["tracestate"].as_str(), there["baggage"].as_str()), (Some("m=1"), Some("k=v")));
    assert_eq!(request.header("traceparent"), there["traceparent"].as_str());
    assert_eq!(request.header("tracestate"), Some("m=1"));
}

#[test]
fn a_trace_is_written_into_the_message_where_that_is_wanted() {
    let (backend, collector) = (Backend::stateless("a"), Collector::start());
    let gateway = traced(&[&backend], &collector, "1").key("traces.meta = true").start();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","arguments":{}}}"#;
    gateway.ask(&support::http::post(&[], body));
    let request = &backend.received()[0];
    let (trace, span) = heard(request.json()["params"]["_meta"]["traceparent"].as_str().unwrap());
    assert_eq!(collector.trace(&trace, 2)[1].id, span);
    assert_eq!(request.header("traceparent"), request.json()["params"]["_meta"]["traceparent"].as_str());
}

#[test]
fn what_is_not_recorded_passes_as_it_came() {
    let (backend, collector) = (Backend::modern("a"), Collector::start());
    let gateway = traced(&[&backend], &collector, "0").start();
    let meta = format!("\"traceparent\":\"{}\",\"tracestate\":\"m=1\"", parent("00"));
    let malformed = ["00-zz-zz-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", ""];
    let mut asked: Vec<Vec<u8>> = vec![
        told(&[&header(&parent("00")), "tracestate: h=1", "baggage: k=v"], "look", ""),
        told(&[], "look", &meta),
        told(&[], "look", "\"traceparent\":7"),
        told(&[], "look", ""),
        told(&[&header(&parent("01")), &header(&parent("01"))], "look", ""),
    ];
    asked.extend(malformed.iter().map(|bad| told(&[&header(bad)], "look", "")));
    for request in &asked {
        assert_eq!(gateway.ask(request).said(), "a");
    }
    let text = |request: &[u8]| String::from_utf8(request.to_vec()).unwrap();
    for (sent, came) in asked.iter().zip(backend.received()) {
        let sent = text(sent);
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert_eq!(text(&came.body), body);
        let trace = |name: &str| name.starts_with("trace") || name == "baggage";
        let fields = head.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| trace(name));
        let fields: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let there: Vec<_> = came.headers.iter().filter(|(name, _)| trace(name)).cloned().collect();
        assert_eq!(there, fields);
    }
    // Something that is sent proves that nothing else was on its way.
    gateway.ask(&told(&[&header(&parent("01"))], "look", ""));
    collector.trace(TRACE, 2);
    assert_eq!(collector.spans().len(), 2, "{:#?}", collector.spans());
}

#[test]
fn a_trace_may_begin_here_and_strangers_do_not_decide_where_that_is_not_wanted() {
    let (backend, collector) = (Backend::modern("a"), Collector::start());
    let gateway = traced(&[&backend], &collector, "1").key("traces.follow = false").start();
    gateway.ask(&told(&[&header(&parent("00"))], "look", ""));
    gateway.ask(&told(&[&header("nonsense"), "tracestate: h=1"], "look", ""));
    let here = backend.received();
    let (trace, _) = heard(here[1].header("traceparent").unwrap());
    assert_eq!(here[1].header("tracestate"), None, "it belongs to no trace");
    let own = collector.trace(&trace, 2);
    assert_eq!((own[0].parent.as_str(), own[1].parent.as_str()), ("", own[0].id.as_str()));
    assert_eq!(collector.trace(TRACE, 2)[0].parent, PARENT);
    let unheard = traced(&[&backend], &collector, "0").key("traces.follow = false").start();
    let before = collector.spans().len();
    unheard.ask(&told(&[&header(&parent("01"))], "look", ""));
    let mut unheard = unheard;
    unheard.signal("TERM");
    unheard.wait();
    assert_eq!(collector.spans().len(), before);
}

#[test]
fn without_traces_a_request_keeps_its_trace() {
    let backend = Backend::modern("a");
    let gateway = Setup::of(&[backend.url()]).start();
    let meta = format!("\"traceparent\":\"{}\"", parent("01"));
    let request = told(&[&header(&parent("01"))], "look", &meta);
    gateway.ask(&request);
    let came = &backend.received()[0];
    assert_eq!(came.header("traceparent"), Some(parent("01").as_str()));
    assert!(request.ends_with(&came.body));
    assert!(gateway.access.wait("\"trace\"", 1).contains(TRACE));
}

// ---- failures, retries and moves -------------------------------------------------------------------------------------

/// A server that fails in each way in which a call can fail.
fn failing(request: &Received, stream: &mut std::net::TcpStream) -> Option<After> {
    match request.tool().as_str() {
        "tool_error" => {
            let result = json!({"content": [{"type": "text", "text": "no"}], "isError": true});
            let body = json!({"jsonrpc": "2.0", "id": 7, "result": result}).to_string();
            Some(respond(stream, 200, &[], "application/json", body.as_bytes()))
        }
        "rpc_error" => {
            Some(respond(stream, 200, &[], "application/json", fault(request, "hunter2 is not a word").as_bytes()))
        }
        "http_error" => Some(respond(stream, 500, &[], "text/plain", b"oh")),
        _ => None,
    }
}

#[test]
fn a_failure_has_its_word_and_nothing_of_what_was_said() {
    let (backend, collector) = (Backend::new("a", Kind::Modern, failing), Collector::start());
    let limit = "limit = [{ name = \"few\", tools = [\"limited\"], rate = \"1/h\" }]";
    let gateway = traced(&[&backend], &collector, "1").key(limit).start();
    let spans_of = |tool: &str| {
        gateway.ask(&told(&[], tool, ""));
        let name = format!("tools/call {tool}");
        until("its spans arrive", || {
            let found: Vec<Span> = collector.spans().into_iter().filter(|span| span.name == name).collect();
            (!found.is_empty()).then_some(found)
        })
    };
    for (tool, error, code) in
        [("tool_error", "tool_error", None), ("rpc_error", "-32000", Some("-32000")), ("http_error", "500", None)]
    {
        let spans = spans_of(tool);
        assert_eq!(spans.len(), 2, "{spans:#?}");
        for span in spans {
            assert!(span.failed);
            span.is("error.type", error);
            assert_eq!(span.attributes.get("rpc.response.status_code").map(String::as_str), code);
            assert!(!format!("{span:?}").contains("hunter2"));
        }
    }
    spans_of("limited");
    gateway.ask(&told(&[], "limited", ""));
    let refused = until("the refusal arrives", || {
        collector.spans().into_iter().find(|span| span.attributes.contains_key("moorline.refused"))
    });
    refused.is("moorline.refused", "limited");
    refused.is("error.type", "429");
    refused.is("moorline.outcome", "refused");
    assert!(!collector.spans().iter().any(|span| span.parent == refused.id), "nobody was asked");
}

#[test]
fn each_attempt_has_a_span_of_its_own() {
    let [one, other] = ["a", "b"].map(Backend::modern);
    let collector = Collector::start();
    let gateway = traced(&[&one, &other], &collector, "1").pool_key("health.every = \"1h\"").start();
    one.kill();
    let spans = until("a request meets the dead server first", || {
        assert_eq!(gateway.ask(&told(&[], "look", "")).said(), "b");
        let (trace, _) = heard(other.received().last()?.header("traceparent")?);
        let spans = collector.trace(&trace, 2);
        (spans.len() == 3).then_some(spans)
    });
    let [server, first, second] = &spans[..] else { panic!("{spans:#?}") };
    assert!(!server.failed && first.failed && !second.failed);
    first.is("error.type", "connection_refused");
    first.is("server.port", &one.addr().port().to_string());
    second.is("server.port", &other.addr().port().to_string());
    assert!([first, second].iter().all(|span| span.parent == server.id && span.kind == SpanKind::Client));
    assert!(first.nanos.1 <= second.nanos.0);
    let last = other.received().last().unwrap().header("traceparent").map(heard).unwrap();
    assert_eq!(last.1, second.id, "the second attempt is the parent there");
}

#[test]
fn a_move_can_be_seen_between_the_attempts() {
    let servers = ["a", "b"].map(Backend::legacy);
    let collector = Collector::start();
    let gateway = traced(&[&servers[0], &servers[1]], &collector, "0").pool_key("health.every = \"1h\"").start();
    let session = Session::open(gateway.addr);
    let at = servers.iter().position(|server| server.sessions() == 1).unwrap();
    servers[at].kill();
    let answer = session.send(call("1", "look"), &[&header(&parent("01"))]);
    assert_eq!(answer.said(), ["b", "a"][at]);
    let spans = collector.trace(TRACE, 4);
    let clients: Vec<&Span> = spans.iter().filter(|span| span.kind == SpanKind::Client).collect();
    assert!(clients.len() >= 2 && clients[..clients.len() - 1].iter().all(|span| span.failed), "{spans:#?}");
    let moved = spans.iter().find(|span| span.name == "rehome").unwrap();
    assert_eq!((moved.kind, moved.parent.as_str()), (SpanKind::Internal, spans[0].id.as_str()));
    let last = clients.last().unwrap();
    assert!(!last.failed && moved.nanos.1 <= last.nanos.0);
    last.is("server.port", &servers[1 - at].addr().port().to_string());
    spans[0].is("mcp.session.id", servers[1 - at].received().last().unwrap().header("moorline-session").unwrap());
    assert!(!spans[0].attributes["mcp.session.id"].contains(&session.id), "the session's own id is a secret");
}

// ---- the collector ---------------------------------------------------------------------------------------------------

/// Where nobody listens, and where somebody listens who never answers.
#[test]
fn no_request_waits_for_a_collector() {
    let backend = Backend::modern("a");
    let silent = Backend::new("silent", Kind::Modern, |_, _| Some(After::AwaitHangup));
    let gone = Collector::start();
    gone.0.kill();
    for (endpoint, fate, count) in [(gone.url(), "failed", 50), (format!("http://{}", silent.addr()), "dropped", 800)] {
        let gateway = Setup::of(&[backend.url()])
            .key(&format!("traces.endpoint = {endpoint:?}"))
            .key("traces.sample = 1")
            .key("log.access = \"off\"")
            .start();
        let slowest = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| slowest_of(&gateway, count))).collect();
            asking.into_iter().map(|asked| asked.join().unwrap()).max().unwrap()
        });
        // Any wait for the collector would take at least as long as an attempt at it: five seconds.
        assert!(slowest < Duration::from_secs(4), "one request took {slowest:?}");
        wait_for("what could not be sent is counted", || spans_counted(&gateway, fate) > 0);
        assert_eq!(spans_counted(&gateway, "sent"), 0);
    }
}

/// How long the slowest of so many requests takes, one after the other.
fn slowest_of(gateway: &Gateway, count: usize) -> Duration {
    let (request, mut connection) = (told(&[], "look", ""), gateway.connect());
    let times = (0..count).map(|_| {
        let begun = now();
        connection.send(&request);
        assert_eq!(connection.answer().said(), "a");
        begun.elapsed()
    });
    times.max().unwrap()
}

fn spans_counted(gateway: &Gateway, fate: &str) -> u64 {
    let page = gateway.admin("/metrics").text();
    let start = format!("moorline_spans_total{{fate=\"{fate}\"}} ");
    let count = page.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    count.map_or(0, |count| count as u64)
}

#[test]
fn what_was_recorded_is_sent_before_the_end() {
    let (backend, collector) = (Backend::modern("a"), Collector::start());
    let mut gateway = traced(&[&backend], &collector, "1").start();
    gateway.ask(&told(&[], "look", ""));
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn a_reload_turns_traces_on_and_off() {
    let (backend, collector) = (Backend::modern("a"), Collector::start());
    let gateway = Setup::of(&[backend.url()]).start();
    gateway.ask(&told(&[&header(&parent("01"))], "look", ""));
    gateway.configure(&traced(&[&backend], &collector, "0").text());
    gateway.log.wait("configuration reloaded", 1);
    gateway.ask(&told(&[&header(&parent("01"))], "look", ""));
    collector.trace(TRACE, 2);
    gateway.configure(&Setup::of(&[backend.url()]).text());
    gateway.log.wait("configuration reloaded", 2);
    gateway.ask(&told(&[&header(&parent("01"))], "look", ""));
    let told = |at: usize| backend.received()[at].header("traceparent").map(str::to_owned);
    assert_eq!((told(0), told(2)), (Some(parent("01")), Some(parent("01"))));
    assert_ne!(told(1), Some(parent("01")));
}

#[test]
fn the_environment_says_where_as_it_does_for_others() {
    let (backend, collector) = (Backend::modern("a"), Collector::start());
    let setup = Setup::of(&[backend.url()]).key("traces.headers_env = \"COLLECTOR_KEY\"");
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=harbour,deployment.environment.name=test".to_owned()),
        ("COLLECTOR_KEY", "api-key=hunter2".to_owned()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let gateway = Gateway::start_in(&setup.text(), &variables);
    gateway.ask(&told(&[&header(&parent("01"))], "look", ""));
    assert_eq!(collector.trace(TRACE, 2)[0].service, "harbour");
    assert_eq!(collector.0.received()[0].header("api-key"), Some("hunter2"));
    assert!(!gateway.log.text().contains("hunter2"), "{}", gateway.log.text());
    let off = [variables[0], ("OTEL_SDK_DISABLED", "true")];
    let gateway = Gateway::start_in(&Setup::of(&[backend.url()]).text(), &off);
    gateway.ask(&told(&[&header(&parent("01"))], "look", ""));
    assert_eq!(backend.received()[1].header("traceparent"), Some(parent("01").as_str()));
}

// ---- from client to server -------------------------------------------------------------------------------------------

/// A program of `tests/otel`, ended when dropped.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let folder = golden_dir().join("../otel");
        assert!(folder.join("node_modules/.stamp").exists(), "run tests/otel/install.sh first");
        let mut command = Command::new("node");
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        Self(command.spawn().expect("node is there"))
    }

    fn first_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn one_trace_reaches_from_a_real_client_to_a_real_server() {
    let collector = Collector::start();
    let mut server = Program::start(&["server.mjs", "--collector", &collector.url()]);
    let url = server.first_line().trim().replace("listening ", "");
    let gateway =
        Setup::of(&[url]).key(&format!("traces.endpoint = {:?}", collector.url())).key("traces.sample = 0").start();
    let here = format!("http://{}/mcp", gateway.addr);
    for era in ["modern", "legacy"] {
        let mut client = Program::start(&["client.mjs", "--url", &here, "--collector", &collector.url(), "--era", era]);
        let line = client.first_line();
        let calls: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{era}: {line}"));
        for one in calls.as_array().unwrap() {
            reaches(&collector, one);
        }
        assert_eq!(calls.as_array().unwrap().len(), 2);
    }
}

/// Client, Moorline twice, server: each the child of the one before.
fn reaches(collector: &Collector, one: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let spans = collector.trace(&text(&one["trace"]), 4);
    let child_of = |parent: &str| spans.iter().find(|span| span.parent == parent).unwrap();
    let first = child_of("");
    let second = child_of(&first.id);
    let third = child_of(&second.id);
    let last = child_of(&third.id);
    let shown: Vec<_> = [first, second, third, last].map(|span| (span.service.as_str(), span.kind)).to_vec();
    let expected = [
        ("agent", SpanKind::Client),
        ("moorline", SpanKind::Server),
        ("moorline", SpanKind::Client),
        ("tools", SpanKind::Server),
    ];
    assert_eq!(shown, expected, "{one}");
    let told = &one["told"];
    assert_eq!(heard(&text(&told["header"]["traceparent"])).1, third.id);
    if one["way"] == "meta" {
        assert_eq!(heard(&text(&told["meta"]["traceparent"])).1, third.id);
        assert_eq!(told["meta"]["baggage"], "tenant=acme");
    } else {
        assert_eq!((&told["meta"]["traceparent"], &told["header"]["baggage"]), (&Value::Null, &json!("tenant=acme")));
    }
}
