//! What the sample servers can do: the tools, the one resource and its subscriptions, each with the annotations
//! that are true of it. State lives in this process alone, on purpose: a sample server that shared its state
//! would prove nothing about affinity.

#![expect(
    deprecated,
    reason = "log levels and resources/subscribe belong to the legacy era, which this server speaks too"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::handler::server::tool::{InputResponses, RequestState};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, ElicitationSchema, ErrorData,
    Implementation, InputRequest, InputRequests, InputRequiredResult, ListResourcesResult, LoggingLevel,
    LoggingMessageNotificationParam, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource, ResourceContents,
    ResourceUpdatedNotificationParam, ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{ElicitationError, Peer, RequestContext, RoleServer, SubscriptionContext};
use rmcp::{ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

/// The one resource of a sample server.
pub const COUNTER_URI: &str = "demo://counter";

/// The most steps that `slow` takes, and the longest that one step lasts.
const MAX_STEPS: u32 = 1000;
const MAX_STEP: Duration = Duration::from_secs(10);

/// How long `ask_name` waits for a human.
const ASK_TIMEOUT: Duration = Duration::from_mins(5);

/// How long one subscriber may hold up a notification.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions of one server that may be subscribed at a time.
const MAX_SUBSCRIBERS: usize = 1000;

/// What the sessions of one sample server share.
pub struct Berth {
    name: String,
    /// The value of the resource; modern subscriptions watch it.
    touched: watch::Sender<u64>,
    /// The legacy sessions that subscribed to the resource, by session. Held for a look-up only.
    subscribers: Mutex<BTreeMap<u64, Peer<RoleServer>>>,
    sessions: AtomicU64,
}

/// One client's session, or one modern request, which has none.
pub struct SampleSession {
    berth: Arc<Berth>,
    number: u64,
    counted: AtomicU64,
    /// Whether the client asked to hear of informational events.
    hears_info: AtomicBool,
}

/// What `slow` is asked for.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct SlowArguments {
    /// how many steps to take, at most 1000
    #[serde(default = "default_steps")]
    steps: u32,
    /// how long one step takes, in milliseconds, at most 10000
    #[serde(default = "default_millis")]
    millis: u64,
}

/// What `ask_name` wants to know.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NameForm {
    /// what you would like to be called
    name: String,
}

rmcp::elicit_safe!(NameForm);

const fn default_steps() -> u32 {
    5
}

const fn default_millis() -> u64 {
    500
}

impl Berth {
    /// A server called `name` that nobody has visited yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            touched: watch::Sender::new(0),
            subscribers: Mutex::default(),
            sessions: AtomicU64::new(0),
        }
    }

    fn subscribers(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Peer<RoleServer>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the subscribed sessions that the resource changed; one that does not listen in time misses it.
    async fn announce(&self) {
        let peers: Vec<Peer<RoleServer>> = self.subscribers().values().cloned().collect();
        let sends = peers.iter().map(|peer| {
            let update = ResourceUpdatedNotificationParam::new(COUNTER_URI);
            tokio::time::timeout(NOTIFY_TIMEOUT, peer.notify_resource_updated(update))
        });
        futures_util::future::join_all(sends).await;
    }
}

impl Drop for SampleSession {
    fn drop(&mut self) {
        self.berth.subscribers().remove(&self.number);
    }
}

#[tool_router]
impl SampleSession {
    /// A new session at `berth`.
    #[must_use]
    pub fn new(berth: Arc<Berth>) -> Self {
        let number = berth.sessions.fetch_add(1, Ordering::Relaxed);
        Self { berth, number, counted: AtomicU64::new(0), hears_info: AtomicBool::new(false) }
    }

    /// Counts the calls of this session. Where there is no session (2026-07-28), each call is the first.
    #[tool(annotations(
        title = "Count",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    async fn count(&self, context: RequestContext<RoleServer>) -> CallToolResult {
        let count = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
        self.log(&context, format!("counted to {count}")).await;
        said(count.to_string(), json!({ "count": count, "server": self.berth.name }))
    }

    /// Names the server that answers.
    #[tool(annotations(title = "Who am I talking to", read_only_hint = true, open_world_hint = false))]
    async fn whoami(&self) -> CallToolResult {
        said(self.berth.name.clone(), json!({ "server": self.berth.name }))
    }

    /// Takes its time and reports progress after every step. Stops when it is cancelled.
    #[tool(annotations(title = "Take your time", read_only_hint = true, open_world_hint = false))]
    async fn slow(
        &self,
        Parameters(asked): Parameters<SlowArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let steps = asked.steps.min(MAX_STEPS);
        let step = Duration::from_millis(asked.millis).min(MAX_STEP);
        for done in 1..=steps {
            tokio::select! {
                () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled by the client", None)),
                () = tokio::time::sleep(step) => {}
            }
            report(&context, done, steps).await;
        }
        Ok(said(format!("took {steps} steps"), json!({ "steps": steps, "server": self.berth.name })))
    }

    /// Asks the user for a name (elicitation) and says hello.
    #[tool(annotations(title = "Ask for a name", read_only_hint = true, open_world_hint = false))]
    async fn ask_name(
        &self,
        RequestState(state): RequestState,
        InputResponses(responses): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28) {
            let answer =
                responses.as_ref().and_then(|all| all.get("name")).and_then(|one| one["content"]["name"].as_str());
            return self.ask_by_result(state.as_deref(), answer);
        }
        let asked = context.peer.elicit_with_timeout::<NameForm>(QUESTION, Some(ASK_TIMEOUT)).await;
        Ok(match asked {
            Ok(Some(form)) => self.hello(&form.name),
            Ok(None) | Err(ElicitationError::UserDeclined | ElicitationError::UserCancelled) => {
                CallToolResult::success(vec![ContentBlock::text("hello, whoever you are")])
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(format!("could not ask: {error}"))]),
        }
        .into())
    }

    /// Changes the resource `demo://counter` and tells everybody who subscribed to it on this server.
    #[tool(annotations(
        title = "Touch the counter",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    async fn touch(&self, context: RequestContext<RoleServer>) -> CallToolResult {
        let mut value = 0;
        self.berth.touched.send_modify(|touched| {
            *touched += 1;
            value = *touched;
        });
        self.log(&context, format!("{COUNTER_URI} is {value}")).await;
        self.berth.announce().await;
        said(format!("{COUNTER_URI} is {value}"), json!({ "value": value, "server": self.berth.name }))
    }
}

const QUESTION: &str = "What is your name?";

/// A result as text for people and as data for programs.
fn said(text: String, data: serde_json::Value) -> CallToolResult {
    let mut result = CallToolResult::structured(data);
    result.content = vec![ContentBlock::text(text)];
    result
}

/// Sends one progress notification, if the client asked for them.
async fn report(context: &RequestContext<RoleServer>, done: u32, steps: u32) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let progress = ProgressNotificationParam::new(token, f64::from(done))
        .with_total(f64::from(steps))
        .with_message(format!("step {done} of {steps}"));
    let _gone = context.peer.notify_progress(progress).await;
}

impl SampleSession {
    fn hello(&self, name: &str) -> CallToolResult {
        said(format!("hello {name}"), json!({ "greeting": format!("hello {name}"), "server": self.berth.name }))
    }

    /// The modern way to ask: an unfinished result, and a state that only the server that made it accepts.
    fn ask_by_result(&self, state: Option<&str>, answer: Option<&str>) -> Result<CallToolResponse, ErrorData> {
        match (state, answer) {
            (Some(state), _) if state != self.berth.name => {
                Err(ErrorData::invalid_params(format!("{} did not mint this requestState", self.berth.name), None))
            }
            (Some(_), Some(name)) => Ok(self.hello(name).into()),
            (Some(_), None) => Ok(CallToolResult::success(vec![ContentBlock::text("hello, whoever you are")]).into()),
            (None, _) => {
                let requested_schema = ElicitationSchema::from_type::<NameForm>()
                    .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
                let form = ElicitRequestParams::FormElicitationParams {
                    meta: None,
                    message: QUESTION.to_owned(),
                    requested_schema,
                };
                let mut requests = InputRequests::new();
                requests.insert("name".to_owned(), InputRequest::Elicitation(ElicitRequest::new(form)));
                Ok(InputRequiredResult::new(Some(requests), Some(self.berth.name.clone())).into())
            }
        }
    }

    /// Sends a log message to a client that asked for it with `logging/setLevel`; to others none.
    async fn log(&self, context: &RequestContext<RoleServer>, text: String) {
        if !self.hears_info.load(Ordering::Relaxed) {
            return;
        }
        let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(text));
        let _gone = context.peer.notify_logging_message(message.with_logger(self.berth.name.clone())).await;
    }
}

#[tool_handler]
impl ServerHandler for SampleSession {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(self.berth.name.clone(), env!("CARGO_PKG_VERSION")))
            .with_instructions("A sample server. Call whoami, then count a few times: the count is your session's own.")
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let hears_info = matches!(request.level, LoggingLevel::Debug | LoggingLevel::Info);
        self.hears_info.store(hears_info, Ordering::Relaxed);
        Ok(())
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let counter =
            Resource::new(COUNTER_URI, "counter").with_description("how often touch was called on this server");
        Ok(ListResourcesResult::with_all_items(vec![counter]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        known(&request.uri)?;
        let value = self.berth.touched.borrow().to_string();
        Ok(ReadResourceResult::new(vec![ResourceContents::text(value, COUNTER_URI)]).into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        known(&request.uri)?;
        let mut subscribers = self.berth.subscribers();
        if subscribers.len() >= MAX_SUBSCRIBERS {
            return Err(ErrorData::internal_error("too many subscribers", None));
        }
        subscribers.insert(self.number, context.peer);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        known(&request.uri)?;
        self.berth.subscribers().remove(&self.number);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = requested.supported_by(&self.get_info().capabilities);
        if let Some(uris) = &mut accepted.resource_subscriptions {
            uris.retain(|uri| uri == COUNTER_URI);
        }
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut touched = self.berth.touched.subscribe();
        let wanted = context.accepted().resource_subscriptions.as_ref().is_some_and(|uris| !uris.is_empty());
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                changed = touched.changed(), if wanted => if changed.is_err() { return Ok(()) },
            }
            if context.sink().notify_resource_updated(COUNTER_URI).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Refuses any resource but the one there is.
fn known(uri: &str) -> Result<(), ErrorData> {
    if uri == COUNTER_URI { Ok(()) } else { Err(ErrorData::resource_not_found(format!("no resource {uri}"), None)) }
}
