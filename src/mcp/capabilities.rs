//! Whether one server's word on what it can do is as good as another's: a session that moves must not lose what its client was
//! promised by `initialize` (MCP 2025-11-25, Lifecycle: Capability Negotiation).

use serde_json::Value;

/// What a server at the new berth lacks, by name; `None` where nothing is worse. Both are raw results of `initialize`.
/// More capabilities than before are no worse: the client does not know of them.
#[must_use]
pub fn worse(promised: &str, offered: &str) -> Option<String> {
    let Ok(offered) = serde_json::from_str::<Value>(offered) else { return Some("result".to_owned()) };
    // What cannot be read was promised to nobody.
    let Ok(promised) = serde_json::from_str::<Value>(promised) else { return None };
    if promised["protocolVersion"] != offered["protocolVersion"] {
        return Some("protocolVersion".to_owned());
    }
    lacking("capabilities", &promised["capabilities"], &offered["capabilities"], 0)
}

/// Names how deep capabilities are looked at; what nests deeper must be the same.
const DEEPEST: usize = 8;

fn lacking(name: &str, promised: &Value, offered: &Value, depth: usize) -> Option<String> {
    match (promised, offered) {
        // Not to have it, in whichever way that is said.
        (Value::Null | Value::Bool(false), _) => None,
        (Value::Object(promised), Value::Object(offered)) if depth < DEEPEST => {
            promised.iter().find_map(|(key, value)| {
                lacking(&format!("{name}.{key}"), value, offered.get(key).unwrap_or(&Value::Null), depth + 1)
            })
        }
        _ => (promised != offered).then(|| name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(version: &str, capabilities: &str) -> String {
        format!(r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{{"name":"x"}}}}"#)
    }

    fn compared(promised: &str, offered: &str) -> Option<String> {
        worse(&result("2025-11-25", promised), &result("2025-11-25", offered))
    }

    #[test]
    fn the_same_or_more_is_no_worse() {
        let usual = r#"{"tools":{"listChanged":true},"logging":{},"resources":{"subscribe":true}}"#;
        assert_eq!(compared(usual, usual), None);
        assert_eq!(compared(r#"{"tools":{}}"#, usual), None);
        assert_eq!(compared(r#"{"tools":{"listChanged":false}}"#, r#"{"tools":{}}"#), None);
        assert_eq!(compared("{}", "{}"), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(compared(r#"{"logging":{}}"#, "{}").as_deref(), Some("capabilities.logging"));
        let gone = compared(r#"{"resources":{"subscribe":true}}"#, r#"{"resources":{"subscribe":false}}"#);
        assert_eq!(gone.as_deref(), Some("capabilities.resources.subscribe"));
        assert_eq!(compared(r#"{"a":[1]}"#, r#"{"a":[2]}"#).as_deref(), Some("capabilities.a"));
    }

    #[test]
    fn another_version_is_worse_and_so_is_no_result() {
        let other = worse(&result("2025-11-25", "{}"), &result("2025-06-18", "{}"));
        assert_eq!(other.as_deref(), Some("protocolVersion"));
        assert_eq!(worse(&result("2025-11-25", "{}"), "[").as_deref(), Some("result"));
        assert_eq!(worse("[", &result("2025-11-25", "{}")), None);
    }
}
