//! What a message does beyond being relayed: what the journal, the catalogue and the threads of the modern era need.

use crate::exchange::{Act, Retry};
use crate::mcp::envelope::Message;

/// What `message` does.
pub fn of(message: &Message<'_>, body: &[u8]) -> Act {
    let params = &message.params;
    let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(Box::from);
    let act = match message.method() {
        Some("initialize") => Some(Act::Initialize(message.params_raw().unwrap_or("{}").into())),
        Some("notifications/initialized") => Some(Act::Initialized),
        Some("logging/setLevel") => text(&params.level).map(Act::SetLevel),
        Some("resources/subscribe") => text(&params.uri).map(Act::Subscribe),
        Some("resources/unsubscribe") => text(&params.uri).map(Act::Unsubscribe),
        Some("tools/list") => Some(Act::ListTools),
        Some("subscriptions/listen") => Some(Act::Listen(params.filter.unwrap_or("{}").into())),
        Some("tools/call" | "prompts/get" | "resources/read") => {
            Some(Act::Rounds(message.state_span(body).map(|state| Retry { state, backend: None })))
        }
        _ => None,
    };
    act.unwrap_or(Act::None)
}
