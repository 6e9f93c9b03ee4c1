//! Which requests may be sent twice whatever became of the first. What a tool may is said by its annotations, in
//! the catalogue, not here.

/// Whether the method only reads, or sets what it would set again to the same: sending it twice changes nothing.
/// Methods that are not known are not safe.
#[must_use]
pub fn safe_by_nature(method: &str) -> bool {
    matches!(
        method,
        "ping"
            | "tools/list"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "completion/complete"
            | "logging/setLevel"
            | "server/discover"
            | "subscriptions/listen"
            | "tasks/get"
            | "tasks/list"
            | "tasks/result"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_safe_and_calls_are_not() {
        assert!(safe_by_nature("tools/list") && safe_by_nature("ping"));
        for unsafe_method in ["tools/call", "initialize", "tasks/cancel", "notifications/initialized", "x/y", ""] {
            assert!(!safe_by_nature(unsafe_method), "{unsafe_method}");
        }
    }
}
