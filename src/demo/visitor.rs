//! One client of the scenario: the official SDK's client, and the few things it does at a server. It checks
//! nothing but that it was answered; what the answers ought to be is the scenario's to say.

use std::time::Duration;

use http::Uri;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
    ElicitationAction, ErrorData, Implementation, JsonObject, ProgressNotificationParam, ProtocolVersion,
    ResourceUpdatedNotificationParam, SubscribeRequestParams,
};
use rmcp::service::{ClientInitializeError, NotificationContext, RequestContext, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ServiceError, ServiceExt};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::tools::COUNTER_URI;
use super::transport::HyperClient;

/// How long a visitor waits for any one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait for a notification before the resource is touched once more: the visitor's notification stream
/// opens in its own time, and what was sent before is lost to it.
const TOUCH_AGAIN: Duration = Duration::from_secs(1);

/// How often the resource is touched before the subscription counts as deaf.
const MAX_TOUCHES: u32 = 10;

/// Notifications that wait to be looked at; more are dropped.
const TOLD_ROOM: usize = 256;

/// Why a visit went wrong.
#[derive(Debug, Error)]
pub enum VisitError {
    /// The handshake failed.
    #[error("could not connect: {0}")]
    Connect(#[source] Box<ClientInitializeError>),
    /// A request failed.
    #[error("{asked} failed: {source}")]
    Call {
        /// What was asked for.
        asked: &'static str,
        /// How it failed.
        source: Box<ServiceError>,
    },
    /// A request was not answered in time.
    #[error("{asked} was not answered within {} s", PATIENCE.as_secs())]
    Late {
        /// What was asked for.
        asked: &'static str,
    },
    /// A tool said that it failed, or answered something else than it should.
    #[error("{asked} answered {answer}")]
    Answer {
        /// What was asked for.
        asked: &'static str,
        /// What came back.
        answer: String,
    },
    /// A subscribed resource changed and nobody said so.
    #[error("no update of {COUNTER_URI} after {MAX_TOUCHES} changes")]
    Deaf,
}

/// What a server tells a visitor unasked.
enum Told {
    Progress,
    Updated,
    Asked,
}

/// The visitor's side of the protocol: answers elicitations with its name, and passes on what it is told.
struct Guest {
    name: String,
    told: mpsc::Sender<Told>,
}

/// A client in its session.
pub struct Visitor {
    session: RunningService<RoleClient, Guest>,
    told: mpsc::Receiver<Told>,
}

impl Visitor {
    /// Opens a session at `endpoint` as the client `name`, in protocol version 2025-11-25.
    ///
    /// # Errors
    /// [`VisitError::Connect`], or [`VisitError::Late`] where the handshake takes over 30 s.
    pub async fn connect(endpoint: &Uri, name: &str) -> Result<Self, VisitError> {
        let (tell, told) = mpsc::channel(TOLD_ROOM);
        let guest = Guest { name: name.to_owned(), told: tell };
        // A session that is lost shall show, not be replaced behind the scenes.
        let config =
            StreamableHttpClientTransportConfig::with_uri(endpoint.to_string()).reinit_on_expired_session(false);
        let transport = StreamableHttpClientTransport::with_client(HyperClient, config);
        let session = timeout(PATIENCE, Box::pin(guest.serve(transport)))
            .await
            .map_err(|_| VisitError::Late { asked: "initialize" })?
            .map_err(|error| VisitError::Connect(Box::new(error)))?;
        Ok(Self { session, told })
    }

    /// The name of the server that answers.
    ///
    /// # Errors
    /// Whatever kept the tool from answering.
    pub async fn whoami(&self) -> Result<String, VisitError> {
        let said = self.call("whoami", JsonObject::new()).await?;
        field(&said, "whoami", "server", |value| value.as_str().map(str::to_owned))
    }

    /// The next number of this session's counter.
    ///
    /// # Errors
    /// Whatever kept the tool from answering.
    pub async fn count(&self) -> Result<u64, VisitError> {
        let said = self.call("count", JsonObject::new()).await?;
        field(&said, "count", "count", Value::as_u64)
    }

    /// Calls the slow tool and hands each progress notification's number to `heard`. Returns how many there were.
    ///
    /// # Errors
    /// Whatever kept the tool from answering.
    pub async fn slow(&mut self, steps: u32, step: Duration, mut heard: impl FnMut(u32)) -> Result<u32, VisitError> {
        let millis = u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
        let arguments =
            JsonObject::from_iter([("steps".to_owned(), json!(steps)), ("millis".to_owned(), json!(millis))]);
        let Self { session, told } = self;
        let mut call = Box::pin(call(session, "slow", arguments));
        let mut count = 0;
        let mut hear = |told: Told| {
            if matches!(told, Told::Progress) {
                count += 1;
                heard(count);
            }
        };
        loop {
            tokio::select! {
                biased;
                Some(news) = told.recv() => hear(news),
                answer = &mut call => {
                    answer?;
                    break;
                }
            }
        }
        // The last notification is handed over by another task and may come in just behind the answer.
        while let Ok(Some(news)) = timeout(Duration::from_millis(200), told.recv()).await {
            hear(news);
        }
        Ok(count)
    }

    /// Lets the server ask for this visitor's name, and returns the greeting.
    ///
    /// # Errors
    /// Whatever kept the tool from answering; [`VisitError::Answer`] where it did not ask.
    pub async fn ask_name(&mut self) -> Result<String, VisitError> {
        let said = self.call("ask_name", JsonObject::new()).await?;
        let greeting = field(&said, "ask_name", "greeting", |value| value.as_str().map(str::to_owned))?;
        match self.told.try_recv() {
            Ok(Told::Asked) => Ok(greeting),
            _ => Err(VisitError::Answer { asked: "ask_name", answer: format!("{greeting:?} without asking") }),
        }
    }

    /// Subscribes to the resource, changes it, and waits until it is told so.
    ///
    /// # Errors
    /// [`VisitError::Deaf`] where no update comes, or whatever kept the server from answering.
    #[expect(deprecated, reason = "resources/subscribe is how sessions of the legacy era do it")]
    pub async fn watch(&mut self) -> Result<(), VisitError> {
        let asked = "resources/subscribe";
        let subscribed = self.session.peer().subscribe(SubscribeRequestParams::new(COUNTER_URI));
        timeout(PATIENCE, subscribed)
            .await
            .map_err(|_| VisitError::Late { asked })?
            .map_err(|source| VisitError::Call { asked, source: Box::new(source) })?;
        for _ in 0..MAX_TOUCHES {
            self.call("touch", JsonObject::new()).await?;
            if let Ok(Some(Told::Updated)) = timeout(TOUCH_AGAIN, self.told.recv()).await {
                return Ok(());
            }
        }
        Err(VisitError::Deaf)
    }

    /// Ends the session.
    pub async fn leave(mut self) {
        let _ended = self.session.close_with_timeout(PATIENCE).await;
    }

    async fn call(&self, tool: &'static str, arguments: JsonObject) -> Result<CallToolResult, VisitError> {
        call(&self.session, tool, arguments).await
    }
}

async fn call(
    session: &RunningService<RoleClient, Guest>,
    tool: &'static str,
    arguments: JsonObject,
) -> Result<CallToolResult, VisitError> {
    let called = session.peer().call_tool(CallToolRequestParams::new(tool).with_arguments(arguments));
    let answer = timeout(PATIENCE, Box::pin(called)).await.map_err(|_| VisitError::Late { asked: tool })?;
    let result = answer.map_err(|source| VisitError::Call { asked: tool, source: Box::new(source) })?;
    if result.is_error == Some(true) { Err(unlike(&result, tool)) } else { Ok(result) }
}

fn field<T>(
    result: &CallToolResult,
    asked: &'static str,
    name: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<T, VisitError> {
    let found = result.structured_content.as_ref().and_then(|data| data.get(name)).and_then(read);
    found.ok_or_else(|| unlike(result, asked))
}

fn unlike(result: &CallToolResult, asked: &'static str) -> VisitError {
    let answer = serde_json::to_string(&result.content).unwrap_or_default();
    VisitError::Answer { asked, answer }
}

impl Guest {
    fn tell(&self, told: Told) {
        // A full queue means that nobody waits for the news.
        let _full = self.told.try_send(told);
    }
}

impl ClientHandler for Guest {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new(self.name.clone(), env!("CARGO_PKG_VERSION")))
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.tell(Told::Asked);
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "name": self.name })))
    }

    async fn on_progress(&self, _progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.tell(Told::Progress);
    }

    async fn on_resource_updated(
        &self,
        _update: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.tell(Told::Updated);
    }
}
