//! Sends spans to a collector: OTLP over HTTP with protobuf, many at a time, on a thread of its own with a runtime of its own. A
//! collector that is away costs spans, and nobody's time.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::export::{Counts, Order, TraceError};
use super::span::{Side, Span, Value};
use crate::clock::Clock;
use crate::config::{BackendTls, BackendUrl, TraceHeaders, TracesSettings};
use crate::names::{BackendId, InstanceId};
use crate::tls::Client;
use crate::wire::{HttpVersion, Outgoing, Secure, Settings, Target, Wire};

/// Spans wait so long for others to go with.
const GATHER: Duration = Duration::from_secs(1);

/// What waits is taken up so often meanwhile: whoever sends one span after the other must not wake this thread for each.
const REST: Duration = Duration::from_millis(25);

/// Exchanges whose spans go together, at most.
const TOGETHER: usize = 128;

/// How long one batch may take, tried again and again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A collector's answer is never longer, in bytes.
const LARGEST: usize = 64 * 1024;

/// What this gateway is called where nobody has said.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Starts the thread. It ends when the other end of the queue is gone and all is sent, or given up.
pub fn start(
    settings: &TracesSettings,
    endpoint: &BackendUrl,
    own: (&Clock, InstanceId),
    (waiting, counts): (mpsc::Receiver<Order>, Arc<Counts>),
) -> Result<(), TraceError> {
    let exporter = exporter(settings, endpoint, own)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(TraceError::Thread)?;
    let work = move || runtime.block_on(Sender { exporter, counts, works: true }.run(waiting));
    std::thread::Builder::new().name("traces".into()).spawn(work).map_err(TraceError::Thread)?;
    Ok(())
}

fn exporter(
    settings: &TracesSettings,
    endpoint: &BackendUrl,
    (clock, instance): (&Clock, InstanceId),
) -> Result<SpanExporter, TraceError> {
    let fields = settings.headers.iter().flat_map(TraceHeaders::fields);
    let fields = fields.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.to_string())
        .with_timeout(PATIENCE)
        .with_headers(fields.collect())
        .with_http_client(Post::to(settings, endpoint, clock)?)
        .build();
    let mut exporter = exporter.map_err(|error| TraceError::Exporter(error.to_string()))?;
    exporter.set_resource(&resource(settings.service_name.as_deref(), instance));
    Ok(exporter)
}

/// What this program is: what `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say, unless the configuration has a name for it.
fn resource(name: Option<&str>, instance: InstanceId) -> Resource {
    let said = Resource::builder().build();
    let known = said.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    let known = known.filter(|name| !name.starts_with("unknown_service"));
    let name = name.map(str::to_owned).or(known).unwrap_or_else(|| NAME.to_owned());
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let instance = KeyValue::new("service.instance.id", instance.to_string());
    Resource::builder().with_attributes([version, instance]).with_service_name(name).build()
}

struct Sender {
    exporter: SpanExporter,
    counts: Arc<Counts>,
    /// Whether the last batch was taken.
    works: bool,
}

impl Sender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Order>) {
        while let Some(first) = waiting.recv().await {
            let (spans, told) = gather(first, &mut waiting).await;
            self.send(spans).await;
            if let Some(tell) = told {
                // Whoever asked may have stopped waiting.
                let _ = tell.send(());
            }
        }
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        if count == 0 {
            return;
        }
        let scope = InstrumentationScope::builder(NAME).with_version(env!("CARGO_PKG_VERSION")).build();
        let batch = spans.into_iter().map(|span| data(span, scope.clone())).collect();
        let sent = tokio::time::timeout(PATIENCE, self.exporter.export(batch)).await;
        let error = match sent {
            Ok(sent) => sent.err().map(|error| error.to_string()),
            Err(_) => Some(format!("no answer within {PATIENCE:?}")),
        };
        let worked = std::mem::replace(&mut self.works, error.is_none());
        match error {
            None => self.counts.sent(count),
            Some(_) => self.counts.failed(count),
        }
        match error {
            Some(error) if worked => tracing::warn!(error, "spans cannot be sent; they are lost until they can"),
            None if !worked => tracing::info!("spans can be sent again"),
            _ => {}
        }
    }
}

/// What there is to send together, and whom to tell then.
async fn gather(first: Order, waiting: &mut mpsc::Receiver<Order>) -> (Vec<Span>, Option<oneshot::Sender<()>>) {
    let mut spans = Vec::new();
    let mut next = Some(first);
    let mut late = pin!(tokio::time::sleep(GATHER));
    for left in (0..TOGETHER).rev() {
        match next {
            Some(Order::Send(more)) => spans.extend(more),
            Some(Order::Tell(tell)) => return (spans, Some(tell)),
            None => break,
        }
        next = if left > 0 { take_up(waiting, late.as_mut()).await } else { None };
    }
    (spans, None)
}

/// What waits next, unless it gets late.
async fn take_up(waiting: &mut mpsc::Receiver<Order>, mut late: Pin<&mut tokio::time::Sleep>) -> Option<Order> {
    loop {
        match waiting.try_recv() {
            Ok(order) => return Some(order),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            () = &mut late => return None,
        }
    }
}

/// A span as the library wants it.
fn data(span: Span, scope: InstrumentationScope) -> SpanData {
    let context = |trace, id, flags, remote, state| {
        SpanContext::new(
            opentelemetry::TraceId::from_bytes(trace),
            opentelemetry::SpanId::from_bytes(id),
            TraceFlags::new(flags),
            remote,
            state,
        )
    };
    let state = span.state.as_deref().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    let mut links = SpanLinks::default();
    links.links.extend(
        span.link.map(|link| {
            Link::with_context(context(link.trace.0, link.span.0, link.flags, true, TraceState::default()))
        }),
    );
    let none = (crate::mcp::trace_context::SpanId([0; 8]), false);
    let (parent, parent_span_is_remote) = span.parent.unwrap_or(none);
    let [start_time, end_time] = [span.times.0, span.times.1].map(|nanos| UNIX_EPOCH + Duration::from_nanos(nanos));
    SpanData {
        span_context: context(span.trace.0, span.id.0, span.flags, false, state),
        parent_span_id: opentelemetry::SpanId::from_bytes(parent.0),
        parent_span_is_remote,
        span_kind: match span.side {
            Side::Server => SpanKind::Server,
            Side::Client => SpanKind::Client,
            Side::Internal => SpanKind::Internal,
        },
        name: String::from(span.name).into(),
        start_time,
        end_time,
        attributes: span.attributes.into_iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: if span.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: scope,
    }
}

fn attribute((name, value): (&'static str, Value)) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(name, String::from(text)),
        Value::Number(number) => KeyValue::new(name, number),
    }
}

/// Posts to the collector over the wire that backends are asked over.
struct Post {
    wire: Wire,
    host: String,
    port: u16,
    authority: Authority,
    path: PathAndQuery,
    tls: Option<Secure>,
}

impl Post {
    fn to(settings: &TracesSettings, endpoint: &BackendUrl, clock: &Clock) -> Result<Self, TraceError> {
        let wrong = || TraceError::Exporter(format!("`{endpoint}` cannot be asked"));
        let authority = endpoint.uri().authority().ok_or_else(wrong)?.clone();
        let tls = BackendTls { ca_file: settings.ca_file.clone(), ..BackendTls::default() };
        let tls = match endpoint.is_secure() {
            true => Some(Secure { client: Some(Arc::new(Client::new(&tls)?)), host: authority.clone() }),
            false => None,
        };
        let limits = Settings { connect_timeout: ATTEMPT, head_timeout: Some(ATTEMPT), ..Settings::default() };
        Ok(Self {
            wire: Wire::new(limits, clock.clone()),
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
            authority,
            path: endpoint.uri().path_and_query().ok_or_else(wrong)?.clone(),
            tls,
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let addr: SocketAddr = found.next().ok_or("the collector's name has no address")?;
        let target = Target {
            backend: BackendId(0),
            addr,
            authority: self.authority.clone(),
            version: HttpVersion::Http1,
            secure: self.tls.clone(),
        };
        let (parts, body) = request.into_parts();
        let outgoing = Outgoing {
            method: parts.method,
            path_and_query: self.path.clone(),
            headers: parts.headers,
            body,
            // A batch that is sent twice is known by its spans' names.
            replayable: true,
        };
        let incoming = self.wire.send(&target, &outgoing).await?;
        let body = Limited::new(incoming.body, LARGEST).collect().await?.to_bytes();
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (incoming.status, incoming.headers);
        Ok(response)
    }
}

impl HttpClient for Post {
    fn send_bytes<'a, 'f>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let sent = tokio::time::timeout(ATTEMPT, self.send(request)).await;
            sent.unwrap_or_else(|_| Err(format!("no answer within {ATTEMPT:?}").into()))
        })
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post to {}", self.authority)
    }
}
