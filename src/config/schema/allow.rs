//! The rows of who may do what. Decides nothing else.

use super::limit::{ANY_NAMES, POOLS};
use super::text;
use crate::config::allow::Claims;
use crate::config::form::{List, Text};
use crate::config::limit::Glob;
use crate::config::tree::{Optional, Section, Shape};
use crate::config::values;

const SCOPES: List<Text<Box<str>>> =
    List { element: text(values::scope, "a scope such as \"mcp:admin\""), min: 1, max: 64, bare: true };

section! { ALLOW: OptionalTables "allow", "A rule that reserves tools or methods for some callers; any number of them. What a rule names is for those alone whom one of the \
        rules that name it allows; what no rule names is for every caller. A tool that a caller may not use is not in that caller's tools/list.", below [];
    ALLOW_TOOLS: Optional<List<Text<Glob>>> = Optional { name: "tools", absent: "the rule is about methods", sample: r#"["delete_*"]"#, form: ANY_NAMES,
        doc: "The tools whose calls the rule is about." };
    ALLOW_METHODS: Optional<List<Text<Glob>>> = Optional { name: "methods", absent: "the rule is about calls of tools", sample: r#"["resources/*"]"#, form: ANY_NAMES,
        doc: "The methods that the rule is about; GET for opening a notification stream." };
    ALLOW_POOLS: Optional<List<Text<String>>> = Optional { name: "pools", absent: "all", sample: r#"["mcp"]"#, form: POOLS,
        doc: "The pools that the rule is about." };
    ALLOW_SCOPES: Optional<List<Text<Box<str>>>> = Optional { name: "scopes", absent: "any", sample: r#"["mcp:admin"]"#, form: SCOPES,
        doc: "The scopes that a caller must have, all of them." };
    ALLOW_CLAIMS: Optional<Claims> = Optional { name: "claims", absent: "any", sample: r#"{ org = "acme", team = ["data", "platform-*"] }"#, form: Claims { max: 64 },
        doc: "The claims that a caller must have, each with one of these values." };
    ALLOW_CALLERS: Optional<List<Text<Glob>>> = Optional { name: "callers", absent: "any", sample: r#"["ci-*"]"#, form: ANY_NAMES,
        doc: "The callers, by name: of a key, or the subject of a token or certificate." };
}
