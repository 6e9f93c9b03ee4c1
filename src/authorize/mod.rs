//! The authorize station: whether a caller may do what is asked for, and which tools it is shown. Owns the rules. Who the caller
//! is was found out before; how often something may be done is for limits to say.

mod rules;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use crate::auth::{Denied, Gates};
use crate::config::AllowRule;
use crate::exchange::{Answer, Ask, Call, Exchange, IDENTITY_KEYS, Said, WELL_KNOWN};
use crate::reject::{Cause, Challenge};
use rules::{Refused, Rules};

/// How long such documents may be kept.
const METADATA_AGE: &str = "max-age=300";

/// What opens a notification stream is called so where a rule names it.
const STREAM: &str = "GET";

/// Answers to a server's requests are called so where a rule names them.
const REPLIES: &str = "replies";

/// The authorize station.
pub struct Authorize {
    rules: ArcSwap<Rules>,
    gates: Arc<Gates>,
}

/// What the authorize station needs to know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who may do what.
    pub allow: Vec<AllowRule>,
    /// How clients reach this instance, where that is configured.
    pub public_url: Option<http::Uri>,
}

impl Authorize {
    /// A station with these settings.
    #[must_use]
    pub fn new(settings: Settings, gates: Arc<Gates>) -> Self {
        Self { rules: ArcSwap::from_pointee(Rules::new(settings)), gates }
    }

    /// Takes a new configuration.
    pub fn reconfigure(&self, settings: Settings) {
        self.rules.store(Arc::new(Rules::new(settings)));
    }

    /// What a pool publishes of itself, where that is asked for and is ours to give: its description as a protected resource
    /// (RFC 9728 §3), and the key by which its backends verify who calls.
    #[must_use]
    pub fn document(&self, exchange: &Exchange) -> Option<Answer> {
        let path = exchange.uri.path();
        if !matches!(exchange.ask, Ask::Plain) || exchange.method != Method::GET {
            return None;
        }
        let document = if path.starts_with(IDENTITY_KEYS) {
            self.gates.of(exchange.pool.id)?.identity_keys()?
        } else if path.starts_with(WELL_KNOWN) {
            let resource = exchange.resource(self.rules.load().public_url.as_ref()).unwrap_or_default();
            self.gates.of(exchange.pool.id)?.metadata(&resource)?
        } else {
            return None;
        };
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(METADATA_AGE));
        Some(Answer { status: StatusCode::OK, headers, whole: Some(Bytes::from(document)) })
    }

    /// Lets a request pass that its caller may make, and says what its caller is shown of tools.
    ///
    /// # Errors
    /// [`Cause::InsufficientScope`] where another token would do, else [`Cause::NotAllowed`].
    pub fn admit(&self, exchange: &mut Exchange) -> Result<(), Cause> {
        let rules = self.rules.load();
        if rules.is_empty() {
            return Ok(());
        }
        let judge = |method: &str, name: Option<&str>| {
            let tool = name.filter(|_| method == "tools/call");
            if method == "tools/call" && tool.is_none() && rules.reserve_tools(exchange) {
                // A lenient server might make a name of what is none.
                return Err(Cause::BadMessage("tools/call needs params.name, a string".into()));
            }
            let refused = rules.judge(exchange, method, tool);
            refused.map_err(|refused| self.refuse(exchange, &rules, refused, tool.unwrap_or(method)))
        };
        match &exchange.ask {
            Ask::Call(Call { method, name, .. }) => judge(method, name.as_deref())?,
            Ask::Note(said) => judge(method_of(said), said.name.as_deref())?,
            Ask::Batch(all) => all.iter().try_for_each(|said| judge(method_of(said), said.name.as_deref()))?,
            Ask::Reply => judge(REPLIES, None)?,
            Ask::Stream => judge(STREAM, None)?,
            Ask::Goodbye | Ask::Plain => {}
        }
        if shows_tools(&exchange.ask) {
            exchange.veil = rules.veil(exchange);
        }
        Ok(())
    }

    fn refuse(&self, exchange: &Exchange, rules: &Rules, refused: Refused, what: &str) -> Cause {
        let Refused::Scopes { needed, missing } = refused else { return Cause::NotAllowed(what.into()) };
        let text = format!("`{what}` needs the scope {}; ask for a token that has it", missing.join(" "));
        let gate = self.gates.of(exchange.pool.id);
        let metadata = exchange.metadata_url(rules.public_url.as_ref()).unwrap_or_default();
        let header = gate.and_then(|gate| gate.challenge(&Denied::InsufficientScope { needed, missing }, &metadata));
        Cause::InsufficientScope(Box::new(Challenge { header, text: text.into() }))
    }
}

/// Whether the answer may hold a list of tools: also that of an earlier request, in a stream that is resumed.
fn shows_tools(ask: &Ask) -> bool {
    let lists = |method: Option<&str>| method == Some("tools/list");
    match ask {
        Ask::Call(call) => lists(Some(&call.method)),
        Ask::Batch(all) => all.iter().any(|said| lists(said.method.as_deref())),
        Ask::Stream => true,
        _ => false,
    }
}

fn method_of(said: &Said) -> &str {
    said.method.as_deref().unwrap_or(REPLIES)
}
