//! Reads the rules that say who may do what, and checks what must hold within each.

use super::{AllowRule, AllowTarget};
use crate::config::fault::{Code, Fault};
use crate::config::limit::Around;
use crate::config::limit::check::{globs, pools};
use crate::config::schema::allow as rows;
use crate::config::tree::{Reader, Row};

/// Reads the rules, in their order.
pub(in crate::config) fn read(top: &mut Reader<'_>, around: &Around<'_>) -> Vec<AllowRule> {
    let mut rules = Vec::new();
    for (at, table) in top.each_below(&rows::ALLOW) {
        let mut reader = Reader::new(&rows::ALLOW, Some(table), at, &mut *top.sink);
        rules.push(rule(&mut reader, around));
    }
    rules
}

fn rule(reader: &mut Reader<'_>, around: &Around<'_>) -> AllowRule {
    let scopes = reader.find(&rows::ALLOW_SCOPES).unwrap_or_default();
    let rule = AllowRule {
        target: AllowTarget {
            tools: globs(reader.find(&rows::ALLOW_TOOLS)),
            methods: globs(reader.find(&rows::ALLOW_METHODS)),
            pools: pools(reader, &rows::ALLOW_POOLS, around),
        },
        scopes: scopes.into_iter().map(|(_, scope)| scope).collect(),
        claims: reader.find(&rows::ALLOW_CLAIMS).unwrap_or_default(),
        callers: globs(reader.find(&rows::ALLOW_CALLERS)),
    };
    if !around.knows_callers {
        let fault = Fault::new(
            Code::Careless,
            reader.at.clone(),
            "the rule allows nobody anything: no caller is authenticated",
        );
        reader.sink.warn(fault.help("let `[auth]` say how callers are known, or leave the rule out"));
    }
    one_of(reader, [&rows::ALLOW_TOOLS, &rows::ALLOW_METHODS], "what it is about", "tools = [\"delete_*\"]");
    one_of(
        reader,
        [&rows::ALLOW_SCOPES, &rows::ALLOW_CLAIMS, &rows::ALLOW_CALLERS],
        "whom it allows that",
        "scopes = [\"mcp:admin\"]",
    );
    rule
}

/// Checks that one of the keys is given.
fn one_of<const N: usize>(reader: &mut Reader<'_>, keys: [&dyn Row; N], what: &str, sample: &str) {
    if keys.iter().any(|row| reader.span(*row).is_some()) {
        return;
    }
    let fault = Fault::new(Code::Missing, reader.at.clone(), format!("the rule does not say {what}"));
    let names = keys.map(|row| format!("`{}`", row.name())).join(", ");
    reader.sink.fault(fault.help(format!("give one of {names}; for instance `{sample}`")));
}
