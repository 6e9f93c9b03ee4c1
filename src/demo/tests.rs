//! The demo from end to end over real sockets, with a stand-in for Moorline, and the sample server by itself.

use std::future::{Future, pending};
use std::net::Ipv4Addr;
use std::time::Duration;

use http::Uri;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, ProtocolVersion, ServerNotification,
    SubscriptionFilter,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::board::Style;
use super::sample::serve_sample;
use super::scenario::{Plan, ScenarioError, run};
use super::stub::{Affinity, start};
use super::tools::COUNTER_URI;
use super::transport::HyperClient;
use super::visitor::Visitor;
use super::{DemoError, DemoEvent, DemoOptions, Gateway, demo};

const PACE: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs `play` against one sample server.
async fn with_sample<T>(play: impl AsyncFnOnce(Uri) -> T) -> T {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint: Uri = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let played = async {
        tokio::select! {
            played = play(endpoint) => played,
            ended = serve_sample("pier-1", listener, pending()) => panic!("{ended:?}"),
        }
    };
    tokio::time::timeout(DEADLINE, played).await.unwrap()
}

async fn play_demo(options: DemoOptions, affinity: Affinity) -> (Result<(), DemoError>, String) {
    let mut out = Vec::new();
    let played = Box::pin(demo(&options, &mut out, pending(), |urls| start(urls, affinity)));
    let outcome = tokio::time::timeout(DEADLINE, played).await.unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

fn plan(clients: usize) -> Plan {
    Plan { clients, servers: vec!["pier-1".to_owned()], pace: PACE, style: Style::PLAIN }
}

#[tokio::test]
async fn the_scenario_runs_against_a_single_server() {
    let mut out = Vec::new();
    let summary = with_sample(async |endpoint| run(&endpoint, &plan(4), &mut out).await).await.unwrap();
    assert_eq!(summary.moored["pier-1"].len(), 4);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("Ben waited for a slow call and heard all 5 steps"), "{text}");
    assert!(text.contains("Cleo was asked for a name and heard \"hello Cleo\""), "{text}");
    assert!(text.contains("Dora subscribed to demo://counter and heard it change"), "{text}");
    assert!(text.contains("each session counted 1, 2, 3 on one server"), "{text}");
    assert!(!text.contains('\u{1b}'), "no escapes in plain output: {text}");
}

#[tokio::test]
async fn the_scenario_tells_what_is_wrong_with_an_endpoint_that_is_not_there() {
    // Bound and not listening: nobody else gets the port, and nobody answers there.
    let held = TcpSocket::new_v4().unwrap();
    held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let endpoint: Uri = format!("http://{}/mcp", held.local_addr().unwrap()).parse().unwrap();
    let mut out = Vec::new();
    let failed = run(&endpoint, &plan(2), &mut out).await.unwrap_err();
    assert!(matches!(failed, ScenarioError::Faults(2)), "{failed}");
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("FAIL  Ada could not connect"), "{text}");
}

#[tokio::test]
async fn the_demo_spreads_sessions_over_its_servers() {
    let options = DemoOptions { scenario: true, clients: 6, ..DemoOptions::default() };
    let (outcome, text) = play_demo(options, Affinity::Kept).await;
    outcome.unwrap();
    assert!(text.contains("6 sessions spread over 3 servers"), "{text}");
    assert!(text.contains("all well: 6 clients came"), "{text}");
}

#[tokio::test]
async fn the_demo_fails_where_sessions_are_not_spread() {
    let options = DemoOptions { scenario: true, clients: 3, ..DemoOptions::default() };
    let (outcome, text) = play_demo(options, Affinity::OnePlace).await;
    assert!(matches!(outcome, Err(DemoError::Scenario(ScenarioError::Faults(1)))), "{outcome:?}");
    assert!(text.contains("FAIL  all 3 sessions lie on one server of 3"), "{text}");
}

#[tokio::test]
async fn the_demo_tells_of_sessions_and_ends_when_interrupted() {
    let mut out = Vec::new();
    let (visited, told) = tokio::sync::oneshot::channel::<()>();
    let start_and_visit = async |urls| -> Result<Gateway, super::GatewayError> {
        let mut gateway = start(urls, Affinity::Kept).await?;
        let mut seen = std::mem::replace(&mut gateway.events, tokio::sync::mpsc::channel(1).1);
        let (tell, events) = tokio::sync::mpsc::channel(8);
        gateway.events = events;
        let endpoint = gateway.endpoint.clone();
        let stop = std::mem::replace(&mut gateway.stop, Box::pin(async {}));
        let visit = crate::tasks::spawn("visit", async move {
            Visitor::connect(&endpoint, "Ada").await.unwrap().leave().await;
            for _ in 0..2 {
                tell.send(seen.recv().await.unwrap()).await.unwrap();
            }
            // All that was sent has been taken when the channel has its whole room again.
            drop(tell.reserve_many(8).await.unwrap());
            visited.send(()).unwrap();
            pending::<()>().await;
        });
        gateway.stop = Box::pin(async move {
            drop(visit);
            stop.await;
        });
        Ok(gateway)
    };
    let interrupt = async { told.await.unwrap() };
    let options = DemoOptions::default();
    let played = Box::pin(demo(&options, &mut out, interrupt, start_and_visit));
    tokio::time::timeout(DEADLINE, played).await.unwrap().unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("Ada is moored at pier-1    [pier-1 1, pier-2 0, pier-3 0]"), "{text}");
    assert!(text.contains("Ada left pier-1    [pier-1 0, pier-2 0, pier-3 0]"), "{text}");
}

#[tokio::test]
async fn a_gateway_that_dies_ends_the_demo() {
    let mut out = Vec::new();
    let dead = |_urls| async {
        let (_tell, events) = tokio::sync::mpsc::channel::<DemoEvent>(1);
        let endpoint = Uri::from_static("http://127.0.0.1:1/mcp");
        Ok(Gateway { endpoint, events, stop: Box::pin(async {}) })
    };
    let options = DemoOptions::default();
    let outcome = Box::pin(demo(&options, &mut out, pending(), dead)).await;
    assert!(matches!(outcome, Err(DemoError::Died)), "{outcome:?}");
}

#[tokio::test]
async fn a_demo_needs_servers() {
    let options = DemoOptions { servers: 0, ..DemoOptions::default() };
    let (outcome, _) = play_demo(options, Affinity::Kept).await;
    assert!(matches!(outcome, Err(DemoError::Servers(0))), "{outcome:?}");
}

/// Sends bytes, and reads what comes back until the connection ends.
async fn raw(endpoint: &Uri, request: &str) -> String {
    let mut socket = TcpStream::connect(endpoint.authority().unwrap().as_str()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A POST of `body` that closes its connection. `host` may bring further header lines.
fn post(host: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn initialize(host: &str) -> String {
    post(
        host,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}"#,
    )
}

#[tokio::test]
async fn a_sample_answers_to_its_own_authority_and_to_no_foreign_host() {
    with_sample(async |endpoint: Uri| {
        let authority = endpoint.authority().unwrap().to_string();
        let own = raw(&endpoint, &initialize(&authority)).await;
        assert!(own.starts_with("HTTP/1.1 200") && own.contains("mcp-session-id: "), "{own}");
        let foreign = raw(&endpoint, &initialize("evil.example")).await;
        assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    })
    .await;
}

fn modern() -> ClientConfig {
    let capabilities = ClientCapabilities::builder().enable_elicitation().build();
    ClientConfig::new(capabilities, Implementation::new("modern", "1"))
}

#[tokio::test]
async fn a_sample_speaks_the_modern_era_too() {
    with_sample(async |endpoint: Uri| {
        let config = StreamableHttpClientTransportConfig::with_uri(endpoint.to_string());
        let transport = StreamableHttpClientTransport::with_client(HyperClient, config);
        let lifecycle = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
        let client = modern().serve_with_lifecycle(transport, lifecycle).await.unwrap();
        for _ in 0..2 {
            let counted = client.peer().call_tool(CallToolRequestParams::new("count")).await.unwrap();
            assert_eq!(counted.structured_content.unwrap()["count"], 1, "no session, so each call is the first");
        }
        let asked = client.call_tool_once(CallToolRequestParams::new("ask_name")).await.unwrap();
        assert!(matches!(asked, rmcp::model::CallToolResponse::InputRequired(_)), "{asked:?}");
        let filter = SubscriptionFilter::builder().resource_subscriptions([COUNTER_URI]).build();
        let mut heard = client.listen(filter).await.unwrap();
        client.peer().call_tool(CallToolRequestParams::new("touch")).await.unwrap();
        let update = heard.next().await.unwrap();
        assert!(matches!(update, Some(ServerNotification::ResourceUpdatedNotification(_))), "{update:?}");
        heard.cancel().await.unwrap();
        client.cancel().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_slow_call_stops_when_it_is_cancelled() {
    with_sample(async |endpoint: Uri| {
        let authority = endpoint.authority().unwrap().to_string();
        let opened = raw(&endpoint, &initialize(&authority)).await;
        let session = opened.split("mcp-session-id: ").nth(1).unwrap().split('\r').next().unwrap();
        let headers = format!("{authority}\r\nmcp-session-id: {session}");
        raw(&endpoint, &post(&headers, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)).await;
        let call = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"slow","arguments":{"steps":1000,"millis":50},"_meta":{"progressToken":7}}}"#;
        let mut socket = TcpStream::connect(&authority).await.unwrap();
        socket.write_all(post(&headers, call).as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("notifications/progress") {
            let mut part = [0; 4096];
            let read = socket.read(&mut part).await.unwrap();
            answer.push_str(std::str::from_utf8(&part[..read]).unwrap());
        }
        let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
        let accepted = raw(&endpoint, &post(&headers, cancel)).await;
        assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.contains("took 1000 steps"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_sample_ends_with_its_shutdown_while_streams_are_open() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint: Uri = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let client = async {
        let visitor = Visitor::connect(&endpoint, "Ada").await.unwrap();
        assert_eq!(visitor.whoami().await.unwrap(), "pier-9");
        stop.send(()).unwrap();
        visitor
    };
    let both = join(serve_sample("pier-9", listener, async { drop(stopped.await) }), client);
    let (ended, _visitor) = tokio::time::timeout(DEADLINE, both).await.unwrap();
    ended.unwrap();
}

async fn join<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    futures_util::future::join(one, other).await
}
